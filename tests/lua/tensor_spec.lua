--- tensor_spec: making, viewing, indexing, writing and printing tensors.
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

local function matrix() return kooka.tensor { { 1, 2, 3 }, { 4, 5, 6 } } end

TestTensorViews = {}

function TestTensorViews:test_a_number_selects_along_the_first_dimension_and_negatives_count_from_the_end()
  local a = matrix()
  equals(a[1], { 1, 2, 3 })
  equals(a[-1], { 4, 5, 6 })
  lu.assertEquals(a[2][3]:item(), 6)
  lu.assertEquals(#a, 2)
  lu.assertEquals(a[2]:shape(), { 3 })
end

function TestTensorViews:test_ranges_narrow_each_dimension_and_numbers_among_them_select()
  local a = kooka.arange(1, 12):reshape(3, 4)
  equals(a[{ { 1, 2 }, { 2, 3 } }], { { 2, 3 }, { 6, 7 } })
  equals(a[{ {}, 2 }], { 2, 6, 10 })
  equals(a[{ 2 }], { 5, 6, 7, 8 })
  equals(a[{ { 2 }, { 1, -1, 2 } }], { { 5, 7 } })
  equals(a[{ { -2, -1 }, -1 }], { 8, 12 })
  equals(a[{ 3, 4 }], 12)
  lu.assertEquals(a[{ { 2, 1 } }]:shape(), { 0, 4 })
end

function TestTensorViews:test_views_share_storage_with_their_base()
  local a = matrix()
  a[1][2]:fill_(20)
  a:t()[3]:fill_(9)
  a:narrow(2, 1, 1):zero_()
  equals(a, { { 0, 20, 9 }, { 0, 5, 9 } })
  a:reshape(6)[{ { 4, 5 } }] = kooka.tensor { 7, 8 }
  equals(a, { { 0, 20, 9 }, { 7, 8, 9 } })
  local copy = a:clone()
  copy:fill_(1)
  equals(a[1], { 0, 20, 9 })
end

function TestTensorViews:test_transpose_permute_squeeze_unsqueeze_expand()
  local a = kooka.arange(1, 6):reshape(1, 2, 3)
  lu.assertEquals(a:transpose(1, 3):shape(), { 3, 2, 1 })
  equals(a:permute(3, 1, 2), { { { 1, 4 } }, { { 2, 5 } }, { { 3, 6 } } })
  lu.assertEquals(a:permute { 3, 1, 2 }:shape(), { 3, 1, 2 })
  lu.assertEquals(a:squeeze():shape(), { 2, 3 })
  lu.assertEquals(a:squeeze(2):shape(), { 1, 2, 3 })
  lu.assertEquals(a:unsqueeze(-1):shape(), { 1, 2, 3, 1 })
  equals(kooka.tensor { { 1 }, { 2 } }:expand(2, 3), { { 1, 1, 1 }, { 2, 2, 2 } })
  lu.assertEquals(a:expand(4, -1, -1):shape(), { 4, 2, 3 })
end

function TestTensorViews:test_reshape_is_a_view_where_strides_allow_it_and_a_copy_elsewhere()
  local a = matrix()
  a:reshape(3, -1)[1]:fill_(0)
  equals(a, { { 0, 0, 3 }, { 4, 5, 6 } })
  local b = a:t():reshape(6)
  equals(b, { 0, 4, 0, 5, 3, 6 })
  b:fill_(1)
  equals(a, { { 0, 0, 3 }, { 4, 5, 6 } })
  lu.assertFalse(a:t():is_contiguous())
  lu.assertTrue(a:t():contiguous():is_contiguous())
  equals(a:flatten(), { 0, 0, 3, 4, 5, 6 })
end

function TestTensorViews:test_split_and_chunk_give_views_that_cover_the_dimension()
  local a = kooka.arange(1, 7)
  local parts = a:split(3)
  lu.assertEquals(#parts, 3)
  equals(parts[3], { 7 })
  parts[1]:zero_()
  equals(a, { 0, 0, 0, 4, 5, 6, 7 })
  local c = a:chunk(2)
  lu.assertEquals({ #c, #c[1], #c[2] }, { 2, 4, 3 })
  equals(matrix():split({ 1, 2 }, 2)[2], { { 2, 3 }, { 5, 6 } })
  raises("the sizes add up to 2, the dimension has 3", matrix().split, matrix(), { 1, 1 }, 2)
end

function TestTensorViews:test_errors_name_the_dimension_and_the_shape()
  local a = matrix()
  raises("index 3, expected 1..2 in dimension 1 of (2,3)", function() return a[3] end)
  raises("index 0, expected 1..2", function() return a[0] end)
  raises("more indices than dimensions", function() return a[{ 1, 2, 3 }] end)
  raises("step 0, expected 1 or more", function() return a[{ { 1, 2, 0 } }] end)
  raises("narrow: elements 2..3 of dimension 1, size 2", a.narrow, a, 1, 2, 2)
  raises("dimension 3, expected 1..2", a.transpose, a, 1, 3)
  raises("(2,3) has 6 elements, (4,2) does not", a.reshape, a, 4, 2)
  raises("(2,3) cannot become (2,4)", a.expand, a, 2, 4)
  raises("no field 'x'", function() a.x = 1 end)
  raises("is not an integer", function() return a[1.5] end)
  raises("float32 tensor; masks are uint8", function() return a[kooka.ones(2)] end)
end

TestTensorWrites = {}

function TestTensorWrites:test_assignment_of_numbers_and_tensors_broadcasts()
  local a = matrix()
  a[1] = 9
  a[{ {}, 3 }] = kooka.tensor { 7, 8 }
  equals(a, { { 9, 9, 7 }, { 4, 5, 8 } })
  a[{ {}, { 1, 2 } }] = kooka.tensor { 1, 2 }
  equals(a, { { 1, 2, 7 }, { 1, 2, 8 } })
  a[{ 2, 2 }] = 5
  lu.assertEquals(a[2][2]:item(), 5)
  raises("cannot become (3)", function() a[1] = kooka.ones(2) end)
end

function TestTensorWrites:test_overlapping_assignment_reads_the_old_values()
  local a = kooka.arange(1, 6)
  a[{ { 2, 6 } }] = a[{ { 1, 5 } }]
  equals(a, { 1, 1, 2, 3, 4, 5 })
  local m = kooka.tensor { { 1, 2 }, { 3, 4 } }
  equals(m:copy_(m:t()), { { 1, 3 }, { 2, 4 } })
end

function TestTensorWrites:test_masks_read_copies_and_write_in_place()
  local a = matrix()
  equals(a[a:gt(2)], { 3, 4, 5, 6 })
  a[a:gt(4)] = 0
  equals(a, { { 1, 2, 3 }, { 4, 0, 0 } })
  a[a:eq(0)] = kooka.tensor { 7, 8 }
  equals(a, { { 1, 2, 3 }, { 4, 7, 8 } })
  raises("the mask marks 2 elements, the tensor has 3", function() a[a:gt(4)] = kooka.ones(3) end)
  local rows = kooka.tensor({ 0, 1 }, "uint8")
  equals(a[rows], { { 4, 7, 8 } })
  a[rows] = kooka.tensor { 1, 1, 2 }
  equals(a[2], { 1, 1, 2 })
  raises("a mask (3) for a tensor (2,3)", function() return a[kooka.tensor({ 1, 0, 1 }, "uint8")] end)
  lu.assertEquals(a[a:gt(100)]:shape(), { 0 })
end

function TestTensorWrites:test_an_index_tensor_picks_rows()
  equals(matrix()[kooka.tensor({ 2, 1, 2 }, "int32")], { { 4, 5, 6 }, { 1, 2, 3 }, { 4, 5, 6 } })
  raises("index 3, element 2, expected 1..2", function() return matrix()[kooka.tensor({ 1, 3 }, "int64")] end)
  raises("only masks", function() matrix()[kooka.tensor({ 1 }, "int32")] = 1 end)
end

function TestTensorWrites:test_writes_that_would_lose_something_are_refused()
  local bytes = kooka.zeros(2, "uint8")
  raises("does not fit uint8", bytes.fill_, bytes, 256)
  raises("does not fit uint8", function() bytes[1] = 1.5 end)
  raises("copy: 300 does not fit uint8", bytes.copy_, bytes, kooka.tensor { 1, 300 })
  equals(bytes, { 0, 0 })
  local wide = kooka.ones(1, 3):expand(2, 3)
  raises("is expanded", wide.fill_, wide, 1)
end

function TestTensorWrites:test_writing_into_a_parameter_while_a_tape_records_raises_with_advice()
  local w = kooka.ones(3):param()
  do
    local tape <close> = kooka.tape()
    raises("the gradient of this tensor is being recorded", function() w[1] = 2 end)
    raises("t:detach()", w.zero_, w)
    lu.assertEquals(tostring(tape), "tape: 0 calls, 0 results")
  end
  w[1] = 2
  equals(w, { 2, 1, 1 })
end

function TestTensorWrites:test_backward_refuses_inputs_that_were_written_through_a_detached_view()
  local w = kooka.ones(3):param()
  local tape <close> = kooka.tape()
  local loss = (w * w):sum()
  w:detach()[1] = 5
  raises("was written after it was used", tape.backward, tape, loss)
end

TestTensorTypes = {}

function TestTensorTypes:test_conversion_rounds_toward_zero_and_refuses_what_does_not_fit()
  equals(kooka.tensor { 1.9, -1.9 }:to("int32"), { 1, -1 }, "int32")
  equals(kooka.tensor({ 1, 2 }, "int64"):to("float32"), { 1, 2 }, "float32")
  raises("does not fit int32", function() kooka.tensor { 3e9 }:to("int32") end)
  raises("does not fit int32", function() kooka.tensor { 0 / 0 }:to("int32") end)
  raises("expected float32, int32, int64 or uint8", function() kooka.ones(1):to("float") end)
  local a = kooka.ones(2)
  lu.assertTrue(rawequal(a:to("float32"), a))
  lu.assertEquals(kooka.tensor({ 9007199254740993 }, "int64"):item(), 9007199254740993)
end

TestTensorPrint = {}

function TestTensorPrint:test_rows_are_aligned_under_a_header()
  lu.assertEquals(tostring(kooka.tensor { { 1, -2.5 }, { 10, 0.25 } }),
    "float32 (2,2)\n[[ 1.0000, -2.5000],\n [10.0000,  0.2500]]")
  lu.assertEquals(tostring(kooka.tensor({ 1, 20 }, "int32")), "int32 (2)\n[ 1, 20]")
  lu.assertEquals(tostring(kooka.tensor { 1, 2 }), "float32 (2)\n[1., 2.]")
  lu.assertEquals(tostring(kooka.tensor { 1 / 0, -1 / 0, 1.5 }), "float32 (3)\n[   inf,   -inf, 1.5000]")
  lu.assertEquals(tostring(kooka.tensor { 1e-9, 2e-9 }), "float32 (2)\n[1.0000e-09, 2.0000e-09]")
end

function TestTensorPrint:test_scalars_empty_and_released_tensors_and_gradients_say_what_they_are()
  lu.assertEquals(tostring(kooka.tensor(3.5)), "float32 () 3.5")
  lu.assertEquals(tostring(kooka.zeros(0, 3)), "float32 (0,3) empty")
  lu.assertStrContains(tostring(kooka.ones(1):param()), "float32 (1) wants gradient")
  local gone
  do
    local scope <close> = kooka.scope()
    gone = kooka.ones(2)
    lu.assertNotNil(scope)
  end
  lu.assertStrContains(tostring(gone), "released when its scope closed")
  raises("released when its scope closed", function() return gone + 1 end)
  raises("released when its scope closed", function() return gone[1] end)
end

function TestTensorPrint:test_the_middle_of_large_tensors_is_left_out()
  local s = tostring(kooka.zeros(100, 100))
  local row = "[0., 0., 0., ..., 0., 0., 0.]"
  lu.assertEquals(s, "float32 (100,100)\n[" .. table.concat({ row, row, row, "...", row, row, row }, ",\n ") .. "]")
end

TestTensorRandom = {}

function TestTensorRandom:test_the_seed_decides_every_draw()
  local function draw()
    kooka.seed(7)
    return { kooka.rand(3):tolist(), kooka.randn(3):tolist(), kooka.randint(1, 6, 3):tolist(), kooka.randperm(5):tolist(),
      kooka.bernoulli(0.5, 4):tolist(), kooka.multinomial(kooka.ones(4), 3):tolist() }
  end
  local first = draw()
  lu.assertEquals(draw(), first)
  kooka.seed(8)
  lu.assertNotEquals(kooka.rand(3):tolist(), first[1])
end

function TestTensorRandom:test_a_stream_of_its_own_leaves_the_others_alone()
  local a, b = kooka.random("x", 3), kooka.random("x", 3)
  lu.assertEquals(kooka.rand(4, a):tolist(), kooka.rand(4, b):tolist())
  kooka.seed(1)
  local want = kooka.rand(2):tolist()
  kooka.seed(1)
  kooka.randn(5, a)
  lu.assertEquals(kooka.rand(2):tolist(), want)
end

function TestTensorRandom:test_moments_and_ranges_are_as_promised()
  kooka.seed(1)
  local u, n = kooka.rand(20000), kooka.randn(20000)
  lu.assertTrue(u:min():item() >= 0 and u:max():item() < 1)
  lu.assertAlmostEquals(u:mean():item(), 0.5, 0.01)
  lu.assertAlmostEquals(n:mean():item(), 0, 0.03)
  lu.assertAlmostEquals(n:std():item(), 1, 0.03)
  local i = kooka.randint(-2, 2, 5000)
  lu.assertEquals({ i:min():item(), i:max():item() }, { -2, 2 })
  lu.assertAlmostEquals(kooka.bernoulli(0.3, 20000):mean():item(), 0.3, 0.02)
  equals(kooka.bernoulli(kooka.tensor { 0, 1, 0 }), { 0, 1, 0 })
end

function TestTensorRandom:test_randperm_and_draws_without_replacement_give_every_place_once()
  equals((kooka.randperm(50):sort()), kooka.arange(1, 50, 1, "int32"):tolist())
  for _ = 1, 20 do
    local d = kooka.multinomial(kooka.tensor { 1, 0, 5, 2 }, 3, { replacement = false })
    equals((d:sort()), { 1, 3, 4 })
  end
  local counts = kooka.one_hot(kooka.multinomial(kooka.tensor { 1, 0, 3 }, 8000), 3):mean(1):tolist()
  lu.assertAlmostEquals(counts[1], 0.25, 0.02)
  lu.assertEquals(counts[2], 0)
  raises("needs 3", kooka.multinomial, kooka.tensor { 1, 0, 1 }, 3, { replacement = false })
  raises("weight 2 is", kooka.multinomial, kooka.tensor { 1, -1 }, 1)
end

function TestTensorRandom:test_eye_and_linspace()
  equals(kooka.eye(2, 3), { { 1, 0, 0 }, { 0, 1, 0 } })
  equals(kooka.linspace(0, 1, 5), { 0, 0.25, 0.5, 0.75, 1 })
  raises("expected 1 or more", kooka.linspace, 0, 1, 0)
end

os.exit(lu.LuaUnit.run())
