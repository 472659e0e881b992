--- tensor_ops_spec: values and gradients of the ops on tensors. Numbers by hand, or from PyTorch 2.13.0 (CPU)
-- where a comment says so.
local lu = require "luaunit"
local kooka = require "kooka"

local function raises(pattern, f, ...)
  local ok, message = pcall(f, ...)
  lu.assertFalse(ok)
  lu.assertStrContains(message, pattern)
end

local function equals(t, list, dtype)
  lu.assertEquals(t:tolist(), list)
  if dtype then lu.assertEquals(t:dtype(), dtype) end
end

local function close(t, flat, tolerance)
  local have = t:flatten():tolist()
  lu.assertEquals(#have, #flat)
  for i, want in ipairs(flat) do
    lu.assertAlmostEquals(have[i], want, (tolerance or 2e-6) * math.max(1, math.abs(want)))
  end
end

local function int(list) return kooka.tensor(list, "int32") end
local function matrix() return kooka.tensor { { 1, 2, 3 }, { 4, 5, 6 } } end
local function sample() return kooka.tensor { { 0.5, -1.25, 2.0 }, { 3.0, 0.25, -0.75 } } end

TestArithmetic = {}

function TestArithmetic:test_operators_take_tensors_and_numbers_on_either_side()
  local a = matrix()
  equals(a + 1, { { 2, 3, 4 }, { 5, 6, 7 } })
  equals(1 - a, { { 0, -1, -2 }, { -3, -4, -5 } })
  equals(a * a, { { 1, 4, 9 }, { 16, 25, 36 } })
  equals(6 / kooka.tensor { 1, 2, 4 }, { 6, 3, 1.5 })
  equals(a // 2, { { 0, 1, 1 }, { 2, 2, 3 } })
  equals(a % 2, { { 1, 0, 1 }, { 0, 1, 0 } })
  equals(a ^ 2, { { 1, 4, 9 }, { 16, 25, 36 } })
  equals(2 ^ kooka.tensor { 1, 3 }, { 2, 8 })
  equals(-a, { { -1, -2, -3 }, { -4, -5, -6 } })
end

function TestArithmetic:test_shapes_broadcast_from_the_last_dimension()
  local a = matrix()
  equals(a + kooka.tensor { 10, 20, 30 }, { { 11, 22, 33 }, { 14, 25, 36 } })
  equals(a + kooka.tensor { { 10 }, { 20 } }, { { 11, 12, 13 }, { 24, 25, 26 } })
  equals(kooka.tensor { { 1 }, { 2 } } * kooka.tensor { 3, 4 }, { { 3, 4 }, { 6, 8 } })
  equals(a:t() + kooka.tensor { 10, 20 }, { { 11, 24 }, { 12, 25 }, { 13, 26 } })
  raises("y(2) does not fit (2,3)", function() return a + kooka.ones(2) end)
  equals(kooka.zeros(0, 3) + 1, {})
end

function TestArithmetic:test_integers_stay_integers_and_overflow_is_refused()
  equals(int { 7, -7 } + 2, { 9, -5 }, "int32")
  equals(int { 7, -7 } // 2, { 3, -4 }, "int32")
  equals(int { 7, -7 } % 3, { 1, 2 }, "int32")
  equals(int { 7, -7 } % -3, { -2, -1 }, "int32")
  equals(int { 3, -2 } ^ 3, { 27, -8 }, "int32")
  equals(int { 1, 2 } / 2, { 0.5, 1 }, "float32")
  equals(int { 1, 2 } + 0.5, { 1.5, 2.5 }, "float32")
  equals(1 - kooka.tensor({ 0, 1 }, "uint8"), { 1, 0 }, "uint8")
  raises("sub: the result of 1 and 2 does not fit uint8", function() return kooka.tensor({ 1 }, "uint8") - 2 end)
  raises("add: the result of 2147483647 and 1 does not fit int32", function() return int { 2147483647 } + 1 end)
  raises("division of the integer 1 by zero", function() return int { 1 } // 0 end)
  raises("power -1 of an integer is negative", function() return int { 2 } ^ -1 end)
  raises("the result of 10 and 10 does not fit int32", function() return int { 10 } ^ 10 end)
end

function TestArithmetic:test_lua_and_tensors_agree_on_floor_division_and_remainder()
  for _, x in ipairs { 7.5, -7.5, 0, 3 } do
    for _, y in ipairs { 2, -2, 0.5 } do
      lu.assertEquals((kooka.tensor(x) // y):item(), x // y)
      lu.assertEquals((kooka.tensor(x) % y):item(), x % y)
    end
  end
end

function TestArithmetic:test_large_results_are_the_same_bits_for_any_number_of_threads()
  kooka.seed(3)
  local a, b = kooka.randn(300, 500), kooka.randn(500)
  local sys = kooka.sys
  local function all()
    local y = (a * b):exp() + a
    return { y:sum():item(), y:sum(1):tolist(), y:softmax(1):mean():item(), y:norm():item(), a:matmul(a:t()):sum():item() }
  end
  local was = sys.threads()
  sys.threads(1)
  local one = all()
  sys.threads(4)
  local four = all()
  sys.threads(was)
  lu.assertEquals(four, one)
end

TestFunctions = {}

function TestFunctions:test_maximum_minimum_clamp_abs_sign_and_rounding()
  equals(kooka.maximum(matrix(), 3), { { 3, 3, 3 }, { 4, 5, 6 } })
  equals(kooka.minimum(int { 1, 5 }, 3), { 1, 3 }, "int32")
  equals(matrix():clamp(2, 5), { { 2, 2, 3 }, { 4, 5, 5 } })
  equals(int { -5, 5 }:clamp { max = 2 }, { -5, 2 }, "int32")
  raises("option min is 3, above max, 2", function() return matrix():clamp(3, 2) end)
  equals(kooka.tensor { -1.5, 0, 2.5 }:abs(), { 1.5, 0, 2.5 })
  equals(int { -3, 0, 2 }:sign(), { -1, 0, 1 }, "int32")
  equals(kooka.tensor { -1.5, 0.5, 1.5, 2.4 }:round(), { -2, 0, 2, 2 })
  equals(kooka.tensor { -1.5, 1.5 }:floor(), { -2, 1 })
  equals(kooka.tensor { -1.5, 1.5 }:ceil(), { -1, 2 })
  local x = kooka.maximum(kooka.tensor { 0 / 0, 1 }, kooka.tensor { 1, 0 / 0 }):tolist()
  lu.assertTrue(x[1] ~= x[1] and x[2] ~= x[2])
end

function TestFunctions:test_exponentials_reach_denormals_infinity_and_nan()
  -- PyTorch 2.13.0
  close(kooka.tensor { -100, -50, -1, 0, 1, 50, 88 }:exp(),
    { 3.783506e-44, 1.92875e-22, 0.3678795, 1, 2.718282, 5.184705e+21, 1.651636e+38 }, 1e-6)
  equals(kooka.tensor { 1000, -1000, 1 / 0, -1 / 0 }:exp(), { 1 / 0, 0, 1 / 0, 0 })
  local nan = kooka.tensor { 0 / 0 }:exp():item()
  lu.assertTrue(nan ~= nan)
  equals(kooka.tensor { 1000, -1000 }:sigmoid(), { 1, 0 })
  local worst = 0
  for x = -87, 88, 0.37 do
    worst = math.max(worst, math.abs(kooka.tensor(x):exp():item() / math.exp(kooka.tensor(x):item()) - 1))
  end
  lu.assertTrue(worst < 2e-7, worst)
end

function TestFunctions:test_activations_match_pytorch()
  -- PyTorch 2.13.0: sigmoid, gelu, gelu(approximate="tanh")
  close(sample():sigmoid(), { 0.6224594, 0.2227001, 0.880797, 0.9525741, 0.5621765, 0.3208213 })
  close(sample():gelu(), { 0.3457312, -0.1320622, 1.9545, 2.99595, 0.1496766, -0.1699705 })
  close(sample():gelu { approximate = "tanh" }, { 0.345714, -0.1322858, 1.954598, 2.996363, 0.1496754, -0.1700395 })
  equals(sample():relu(), { { 0.5, 0, 2 }, { 3, 0.25, 0 } })
  raises("expected one of: none tanh", function() return sample():gelu { approximate = "fast" } end)
end

function TestFunctions:test_comparisons_give_masks()
  equals(matrix():gt(3), { { 0, 0, 0 }, { 1, 1, 1 } }, "uint8")
  equals(int { 1, 2, 3 }:ge(2), { 0, 1, 1 }, "uint8")
  equals(int { 1, 2, 3 }:eq(int { 1, 0, 3 }), { 1, 0, 1 })
  equals(int { 1, 2, 3 }:ne(2), { 1, 0, 1 })
  equals(kooka.tensor { 1, 0 / 0 }:le(1), { 1, 0 })
  equals(kooka.tensor { 1, 0 / 0 }:lt(2), { 1, 0 })
  local m = kooka.tensor({ 1, 1, 0, 0 }, "uint8")
  local n = kooka.tensor({ 1, 0, 1, 0 }, "uint8")
  equals(m:logical_and(n), { 1, 0, 0, 0 })
  equals(m:logical_or(n), { 1, 1, 1, 0 })
  equals(m:logical_not(), { 0, 0, 1, 1 })
end

TestReductions = {}

function TestReductions:test_over_all_over_one_dimension_and_kept()
  local a = matrix()
  lu.assertEquals(a:sum():item(), 21)
  equals(a:sum(1), { 5, 7, 9 })
  equals(a:sum { dim = -1, keepdim = true }, { { 6 }, { 15 } })
  equals(a:mean(2), { 2, 5 })
  equals(a:prod(2), { 6, 120 })
  equals(kooka.arange(1, 24):reshape(2, 3, 4):sum(2), { { 15, 18, 21, 24 }, { 51, 54, 57, 60 } })
  equals(a:cumsum(2), { { 1, 3, 6 }, { 4, 9, 15 } })
  equals(a:cumsum(1), { { 1, 2, 3 }, { 5, 7, 9 } })
  raises("option dim is 3, expected 0 (all), 1..2 or -2..-1 for (2,3)", a.sum, a, 3)
  raises("sum has no option 'axis' (options: dim, keepdim)", a.sum, a, { axis = 1 })
end

function TestReductions:test_integer_sums_are_exact_and_masks_are_counted()
  equals(matrix():gt(2):sum(), 4, "int64")
  lu.assertEquals(kooka.full({ 1000 }, 16777217, "int32"):sum():item(), 16777217000)
  raises("may not fit int64", function() return kooka.full({ 3 }, math.maxinteger, "int64"):sum() end)
end

function TestReductions:test_sums_in_float_do_not_lose_small_terms()
  local a = kooka.full({ 1 << 20 }, 0.1)
  lu.assertAlmostEquals(a:sum():item(), (1 << 20) * 0.10000000149011612, 0.01)
  local b = kooka.ones(20000001)
  lu.assertEquals(b:sum():item(), 20000000)          -- nearest float to 20000001
end

function TestReductions:test_extremes_come_with_their_places()
  local v, at = matrix():max(2)
  equals(v, { 3, 6 })
  equals(at, { 3, 3 }, "int32")
  local all, place = kooka.tensor { { 3, 9 }, { 9, 1 } }:max()
  lu.assertEquals({ all:item(), place:item() }, { 9, 2 })
  equals(matrix():argmin(1), { 1, 1, 1 })
  equals(kooka.tensor { { 1, 5, 2 }, { 7, 0, 2 } }:argmax(1), { 2, 1, 1 })
  equals(int { 4, -4 }:min(), -4, "int32")
  local nan, where = kooka.tensor { 1, 0 / 0, 3 }:max()
  lu.assertTrue(nan:item() ~= nan:item())
  lu.assertEquals(where:item(), 2)
  raises("max: (0) has 0 elements there, needs at least 1", function() return kooka.zeros(0):max() end)
  raises("mean: (0)", function() return kooka.zeros(0):mean() end)
  lu.assertEquals(kooka.zeros(0):sum():item(), 0)
end

function TestReductions:test_spread_and_norms_match_pytorch()
  -- PyTorch 2.13.0: std(0), var(1, unbiased=False), norm(), logsumexp(1)
  close(sample():std(1), { 1.767767, 1.06066, 1.944544 })
  close(sample():var { dim = 2, ddof = 0 }, { 1.763889, 2.513889 })
  close(sample():norm(), { 3.929058 })
  close(sample():norm { dim = 2, p = 1 }, { 3.75, 4 })
  close(sample():norm { dim = 1, p = math.huge }, { 3, 1.25, 2 })
  close(sample():logsumexp(2), { 2.232622, 3.083832 })
  raises("needs at least 2", function() return kooka.ones(1):std() end)
  raises("expected 1, 2 or math.huge", function() return sample():norm { p = 3 } end)
  lu.assertEquals(kooka.tensor { -1 / 0, -1 / 0 }:logsumexp():item(), -1 / 0)
end

function TestReductions:test_any_and_all()
  local m = matrix():gt(2)
  equals(m:any(1), { 1, 1, 1 }, "uint8")
  equals(m:all(1), { 0, 0, 1 })
  lu.assertEquals({ m:any():item(), m:all():item() }, { 1, 0 })
end

TestSoftmax = {}

function TestSoftmax:test_values_match_pytorch_along_either_dimension()
  -- PyTorch 2.13.0: softmax(-1), log_softmax(0)
  close(sample():softmax(), { 0.1768202, 0.03072674, 0.7924531, 0.9195862, 0.05878718, 0.0216266 })
  close(sample():log_softmax(1), { -2.57889, -1.701413, -0.06196762, -0.07888975, -0.2014133, -2.811968 })
  close(sample():t():softmax(1), { 0.1768202, 0.9195862, 0.03072674, 0.05878718, 0.7924531, 0.0216266 })
end

function TestSoftmax:test_large_and_masked_inputs_stay_finite()
  equals(kooka.tensor { 10000, 10000 }:softmax(), { 0.5, 0.5 })
  equals(kooka.tensor { 1, -1 / 0 }:softmax(), { 1, 0 })
  equals(kooka.tensor { 0, -10000 }:log_softmax(), { 0, -10000 })
  close(kooka.randn(7, 1001):softmax():sum(2), { 1, 1, 1, 1, 1, 1, 1 }, 1e-6)
end

TestPicking = {}

function TestPicking:test_where_and_masks()
  local a = matrix()
  equals(kooka.where(a:gt(2), a, 0), { { 0, 0, 3 }, { 4, 5, 6 } })
  equals(kooka.where(kooka.tensor({ 1, 0, 1 }, "uint8"), a, -a), { { 1, -2, 3 }, { 4, -5, 6 } })
  equals(a:masked_fill(a:gt(2), -1), { { 1, 2, -1 }, { -1, -1, -1 } })
  equals(a:masked_fill(kooka.tensor({ 1, 0, 0 }, "uint8"), -1 / 0), { { -1 / 0, 2, 3 }, { -1 / 0, 5, 6 } })
  equals(a:masked_select(a:lt(4)), { 1, 2, 3 })
  equals(a:gt(4):nonzero(), { { 2, 2 }, { 2, 3 } }, "int32")
  raises("mask is float32, expected uint8", kooka.where, a, a, a)
  raises("option value is 0.5, expected an integer of type int32", function() return int { 1 }:masked_fill(int { 1 }:eq(1), 0.5) end)
end

function TestPicking:test_gather_and_index_select_count_from_one()
  local a = matrix()
  equals(a:gather(int { { 1, 3 }, { 2, 2 } }, 2), { { 1, 3 }, { 5, 5 } })
  equals(a:gather(int { { 2, 1, 2 } }, 1), { { 4, 2, 6 } })
  equals(a:index_select(int { 3, 1 }, 2), { { 3, 1 }, { 6, 4 } })
  raises("index 4, element 2, expected 1..3", a.gather, a, int { { 1, 4 } }, 2)
  raises("index 0, element 1, expected 1..2", a.index_select, a, int { 0 })
  raises("index(3,1) does not fit x(2,3)", a.gather, a, int { { 1 }, { 1 }, { 1 } }, 2)
end

function TestPicking:test_additions_at_places()
  local z = kooka.zeros(3, 2)
  equals(z:index_add(int { 3, 1, 3 }, kooka.tensor { { 1, 2 }, { 3, 4 }, { 5, 6 } }), { { 3, 4 }, { 0, 0 }, { 6, 8 } })
  equals(z:scatter_add(int { { 1, 1 }, { 2, 2 } }, kooka.tensor { { 1, 2 }, { 3, 4 } }, 2), { { 3, 0 }, { 0, 7 }, { 0, 0 } })
  raises("source is (1,2), expected (2,2)", z.index_add, z, int { 1, 2 }, kooka.ones(1, 2))
end

function TestPicking:test_joining()
  local a = matrix()
  equals(kooka.cat(a, a[{ { 1, 1 } }]), { { 1, 2, 3 }, { 4, 5, 6 }, { 1, 2, 3 } })
  equals(kooka.cat({ a, kooka.zeros(2, 1) }, 2), { { 1, 2, 3, 0 }, { 4, 5, 6, 0 } })
  equals(kooka.stack(a[1], a[2], { dim = 2 }), { { 1, 4 }, { 2, 5 }, { 3, 6 } })
  equals(kooka.stack({ kooka.tensor(1), kooka.tensor(2) }), { 1, 2 })
  equals(kooka.cat(int { 1 }, kooka.tensor { 2.5 }), { 1, 2.5 }, "float32")
  local many = {}
  for i = 1, 200 do many[i] = kooka.tensor { i } end
  equals(kooka.cat(many), kooka.arange(1, 200):tolist())
  raises("cat: tensor 2 is (3,3), which does not fit (2,3) outside dimension 2", kooka.cat, { a, kooka.ones(3, 3) }, 2)
  equals(kooka.tensor { { 1, 2 } }:tile(2, 2), { { 1, 2, 1, 2 }, { 1, 2, 1, 2 } })
  equals(kooka.tensor { 1, 2 }:tile(2, 1), { { 1, 2 }, { 1, 2 } })
end

function TestPicking:test_orders_are_stable_and_nan_is_the_largest()
  local v, at = kooka.tensor { 3, 1, 3, 2 }:sort()
  equals(v, { 1, 2, 3, 3 })
  equals(at, { 2, 4, 1, 3 }, "int32")
  v, at = kooka.tensor { 3, 1, 3, 2 }:sort { descending = true }
  equals(v, { 3, 3, 2, 1 })
  equals(at, { 1, 3, 4, 2 })
  equals(kooka.tensor { { 3, 1 }, { 2, 5 } }:argsort(1), { { 2, 1 }, { 1, 2 } })
  equals(kooka.tensor { 0 / 0, -1 / 0, 1 / 0, -0.0, 0 }:argsort(), { 2, 4, 5, 3, 1 })
  equals((int { 5, -5, 0 }:sort()), { -5, 0, 5 }, "int32")
  kooka.seed(2)
  local x = kooka.randint(1, 50, 1000)
  local want = x:tolist()
  table.sort(want)
  equals((x:sort()), want)
end

function TestPicking:test_topk_agrees_with_sort()
  kooka.seed(5)
  local x = kooka.randint(1, 30, 4, 200):to("float32")
  for _, smallest in ipairs { false, true } do
    local v, at = x:topk(7, -1, smallest)
    local sv, sat = x:sort { descending = not smallest }
    equals(v, sv[{ {}, { 1, 7 } }]:tolist())
    equals(at, sat[{ {}, { 1, 7 } }]:tolist())
  end
  raises("topk: (3) has 3 elements there, needs at least 4", function() return kooka.ones(3):topk(4) end)
end

function TestPicking:test_triangles_flip_and_one_hot()
  local a = matrix()
  equals(a:tril(), { { 1, 0, 0 }, { 4, 5, 0 } })
  equals(a:triu(1), { { 0, 2, 3 }, { 0, 0, 6 } })
  equals(a:tril(-1), { { 0, 0, 0 }, { 4, 0, 0 } })
  equals(a:triu(-5), a:tolist())
  equals(a:flip(), { { 3, 2, 1 }, { 6, 5, 4 } })
  equals(a:flip(1), { { 4, 5, 6 }, { 1, 2, 3 } })
  equals(kooka.one_hot(int { 1, 3 }), { { 1, 0, 0 }, { 0, 0, 1 } }, "float32")
  raises("one_hot: index 5, element 2, expected 1..4", kooka.one_hot, int { 1, 5 }, 4)
end

TestProducts = {}

function TestProducts:test_matrices_vectors_and_batches()
  local a = matrix()
  equals(a:matmul(a:t()), { { 14, 32 }, { 32, 77 } })
  equals(a:t():matmul(a), { { 17, 22, 27 }, { 22, 29, 36 }, { 27, 36, 45 } })
  equals(a:matmul(kooka.tensor { 1, 0, 1 }), { 4, 10 })
  equals(kooka.tensor { 1, 1 }:matmul(a), { 5, 7, 9 })
  lu.assertEquals(kooka.tensor { 1, 2 }:matmul(kooka.tensor { 3, 4 }):item(), 11)
  -- PyTorch 2.13.0
  local x, y = kooka.arange(1, 12):reshape(2, 2, 3), kooka.arange(1, 12):reshape(2, 3, 2)
  close(x:matmul(y), { 22, 28, 49, 64, 220, 244, 301, 334 })
  equals(x:matmul(y:transpose(2, 3):contiguous():transpose(2, 3)), x:matmul(y):tolist())
  equals(x:matmul(y[1]), kooka.stack(x[1]:matmul(y[1]), x[2]:matmul(y[1])):tolist())
  equals(kooka.zeros(2, 0):matmul(kooka.zeros(0, 2)), { { 0, 0 }, { 0, 0 } })
  raises("matmul: (2,3) x (2,3): the last size of the first is 3, the last but one of the second 2", a.matmul, a, a)
end

function TestProducts:test_decompositions_put_the_matrix_together_again()
  kooka.seed(4)
  local x = kooka.randn(5, 3)
  local u, s, vt = kooka.svd(x)
  close((u * s):matmul(vt), x:flatten():tolist(), 1e-5)
  close(u:t():matmul(u), kooka.eye(3):flatten():tolist(), 1e-5)
  -- PyTorch 2.13.0: svdvals, eigvalsh, inv
  local _, values = sample():svd()
  close(values, { 3.106517, 2.40563 })
  local m = kooka.tensor { { 2, 1, 0 }, { 1, 3, 1 }, { 0, 1, 4 } }
  local w, v = m:eigh()
  close(w, { 1.267949, 3, 4.732051 })
  close(m:matmul(v), (v * w):flatten():tolist(), 1e-5)
  close(m:inverse(), { 0.6111111, -0.2222222, 0.05555556, -0.2222222, 0.4444445, -0.1111111, 0.05555556, -0.1111111, 0.2777778 })
  local b = kooka.tensor { 1, 2, 3 }
  close(m:matmul(m:solve(b)), { 1, 2, 3 })
  close(m:cholesky_solve(b), m:solve(b):tolist())
  close(m:solve(kooka.eye(3)), m:inverse():flatten():tolist())
end

function TestProducts:test_bad_matrices_are_refused()
  raises("the matrix is singular", kooka.inverse, kooka.ones(2, 2))
  raises("not positive definite", kooka.cholesky_solve, kooka.tensor { { 1, 2 }, { 2, 1 } }, kooka.ones(2))
  raises("svd: element (1,2) is", kooka.svd, kooka.tensor { { 1, 0 / 0 } })
  raises("eigh: not symmetric: (2,1) is 3.0, (1,2) is 2.0", kooka.eigh, kooka.tensor { { 1, 2 }, { 3, 1 } })
  raises("expected a square matrix [N,N]", kooka.inverse, matrix())
  raises("solve: expected [2] or [2,K], got (3)", kooka.solve, kooka.eye(2), kooka.ones(3))
end

TestGradients = {}

function TestGradients:test_gradients_flow_through_views_indexing_copies_and_broadcasting()
  -- PyTorch 2.13.0 of the same lines
  local w = matrix():param()
  local b = kooka.tensor { 0.5, -0.5, 1 }:param()
  local tape <close> = kooka.tape()
  local h = (w * b + w[1]):t():reshape(6)
  local y = (h[{ { 2, 5 } }] * w[{ {}, { 2, 3 } }]:reshape(4)):sum() + (w[{ 2, 1 }] / b):pow(2):sum()
    + (w:softmax(1) * w):sum() * 0.5
  tape:backward(y)
  lu.assertAlmostEquals(y:item(), 193.78659, 1e-3)
  close(w:grad(), { 1.955948, 9.455948, 12.95595, 73.54405, -2.455948, 6.544052 }, 1e-5)
  close(b:grad(), { -248, 287, -14 }, 1e-5)
end

function TestGradients:test_masks_rows_and_joins_pass_their_gradient_on()
  local w = matrix():param()
  local tape <close> = kooka.tape()
  local picked = w[int { 2, 2, 1 }]
  local loss = w[w:gt(4)]:sum() * 10 + picked:sum() + kooka.cat({ w, w }, 2):sum() + kooka.stack(w[1], w[2]):sum()
  tape:backward(loss)
  equals(w:grad(), { { 4, 4, 4 }, { 5, 15, 15 } })
end

function TestGradients:test_a_scaled_transposed_product_has_the_gradient_of_the_plain_one()
  local a, b = kooka.randn(3, 4):param(), kooka.randn(5, 4):param()
  local function grads(f)
    a:zero_grad()
    b:zero_grad()
    local tape <close> = kooka.tape()
    tape:backward(f():square():sum())
    return a:grad():flatten():tolist(), b:grad():flatten():tolist()
  end
  local a1, b1 = grads(function() return a:matmul(b:t()) end)
  local a2, b2 = grads(function() return a:matmul(b:t():contiguous()) end)
  local a3, b3 = grads(function() return b:matmul(a:t()):t() end)
  for i = 1, #a1 do
    lu.assertAlmostEquals(a2[i], a1[i], 1e-4)
    lu.assertAlmostEquals(a3[i], a1[i], 1e-4)
  end
  for i = 1, #b1 do
    lu.assertAlmostEquals(b2[i], b1[i], 1e-4)
    lu.assertAlmostEquals(b3[i], b1[i], 1e-4)
  end
end

function TestGradients:test_shifted_views_of_one_storage_both_get_their_gradient()
  local n = 100000
  local w = kooka.ones(n):param()
  do
    local tape <close> = kooka.tape()
    tape:backward((w[{ { 2, n } }] * w[{ { 1, n - 1 } }]):sum())
  end
  local g = w:grad()
  lu.assertEquals({ g[1]:item(), g[n]:item(), g[{ { 2, n - 1 } }]:min():item(), g:max():item() }, { 1, 1, 2, 2 })
end

function TestGradients:test_detached_and_integer_results_carry_none()
  local w = matrix():param()
  local tape <close> = kooka.tape()
  lu.assertFalse((w:detach() * 2):wants_grad())
  lu.assertFalse(w:argmax():wants_grad())
  lu.assertFalse(w:gt(1):wants_grad())
  lu.assertTrue(w:clone():wants_grad())
  raises("does not depend on any parameter", tape.backward, tape, w:detach():sum())
end

os.exit(lu.LuaUnit.run())
