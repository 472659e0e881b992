--- edges_spec: numbers at the ends of their ranges, empty tensors, and misuse of tapes and scopes.
local lu = require "luaunit"
local kooka = require "kooka"

local function raises(pattern, f, ...)
  local ok, message = pcall(f, ...)
  lu.assertFalse(ok)
  lu.assertStrContains(tostring(message), pattern)
end

TestEdgesOfSizes = {}

function TestEdgesOfSizes:test_narrow_refuses_what_would_overflow()
  local t = kooka.ones(5)
  raises("narrow", t.narrow, t, 1, math.maxinteger, 10)
  raises("narrow", t.narrow, t, 1, 2, math.maxinteger)
  raises("narrow", t.narrow, t, 1, math.mininteger, 2)
  raises("narrow", function() return t[{ { math.mininteger, 3 } }] end)
  raises("narrow", function() return t[{ { 1, math.maxinteger, 2 } }] end)
  raises("narrow", function() return t[{ { 0, math.maxinteger } }] end)
  lu.assertEquals(t[{ { math.maxinteger, 1 } }]:numel(), 0)
  lu.assertEquals(t[{ { 2, 2, math.maxinteger } }]:tolist(), { 1 })
end

function TestEdgesOfSizes:test_shapes_whose_product_overflows_are_refused()
  raises("reshape", function() return kooka.zeros(0):reshape(1 << 32, 1 << 32) end)
  raises("too large", function() return kooka.ones(1):expand(1 << 40, 1 << 40) end)
  raises("too large", kooka.zeros, 0, 1 << 40, 1 << 40, 1 << 40)
  lu.assertEquals(kooka.zeros(0, 3):reshape(-1, 3):shape(), { 0, 3 })
end

function TestEdgesOfSizes:test_pieces_longer_than_the_tensor_are_one_piece()
  local t = kooka.ones(5)
  lu.assertEquals(#t:split(math.maxinteger), 1)
  lu.assertEquals(#t:chunk(math.maxinteger), 5)
  lu.assertEquals(kooka.ones(1, 1, 1, 1, 1):tile(2, 2, 2, 2, 2):numel(), 32)
end

function TestEdgesOfSizes:test_products_over_nothing_are_zero_or_the_bias()
  lu.assertEquals(kooka.matmul(kooka.zeros(2, 0), kooka.zeros(0, 3)):tolist(), { { 0, 0, 0 }, { 0, 0, 0 } })
  local y = kooka.linear(kooka.zeros(2, 0), kooka.zeros(3, 0))
  lu.assertEquals(y:tolist(), { { 0, 0, 0 }, { 0, 0, 0 } })
  y = kooka.linear(kooka.zeros(1, 0), kooka.zeros(3, 0), kooka.tensor { 1, 2, 3 })
  lu.assertEquals(y:tolist(), { { 1, 2, 3 } })
end

function TestEdgesOfSizes:test_a_result_of_seven_dimensions_is_refused()
  local ids = kooka.ones(1, 1, 1, 1, 1, 1):to("int32")
  raises("more than 6 dimensions", kooka.embedding, ids, kooka.ones(3, 2))
  lu.assertEquals(#kooka.linear(kooka.ones(1, 1, 1, 1, 1, 2), kooka.ones(3, 2)):shape(), 6)
end

function TestEdgesOfSizes:test_empty_tensors_may_be_written()
  lu.assertEquals(kooka.zeros(3, 0):fill_(1):shape(), { 3, 0 })
  lu.assertEquals(kooka.zeros(3, 0):copy_(kooka.zeros(3, 0)):numel(), 0)
end

function TestEdgesOfSizes:test_a_cross_entropy_of_no_classes_is_refused()
  raises("cross_entropy", kooka.cross_entropy, kooka.zeros(2, 0), kooka.zeros(2, "int32"))
end

TestEdgesOfNumbers = {}

function TestEdgesOfNumbers:test_integer_tensors_refuse_numbers_they_cannot_hold()
  raises("does not fit", kooka.full, { 2 }, 1e10, "int32")
  raises("does not fit", kooka.full, { 2 }, 0 / 0, "uint8")
  raises("does not fit", kooka.full, { 2 }, 1.5, "int64")
  raises("element 2 is 1.5", kooka.tensor, { 1, 1.5 }, "int32")
  raises("does not fit", kooka.tensor, { 0.5 }, "uint8")
  raises("does not fit", kooka.tensor, { 2.5 }, "int64")
  raises("does not fit", kooka.arange, 250, 260, 1, "uint8")
  lu.assertEquals(kooka.full({ 1 }, (1 << 53) + 1, "int64"):item(), (1 << 53) + 1)
  lu.assertEquals(kooka.zeros(1, "int64"):fill_(math.maxinteger):item(), math.maxinteger)
  lu.assertEquals(kooka.tensor({ 1.0, 2.0 }, "int32"):tolist(), { 1, 2 })
end

function TestEdgesOfNumbers:test_ranges_of_integers_are_exact_above_two_to_the_24()
  lu.assertEquals(kooka.arange(16777217, 16777219, 1, "int32"):tolist(), { 16777217, 16777218, 16777219 })
  lu.assertEquals(kooka.arange(1 << 40, (1 << 40) + 1, 1, "int64"):tolist(), { 1 << 40, (1 << 40) + 1 })
end

function TestEdgesOfNumbers:test_the_smallest_index_is_refused_as_any_other()
  local t = kooka.tensor({ -2147483648 }, "int32")
  raises("expected 1..3", kooka.index_select, kooka.ones(3), t)
  raises("expected 1..3", function() return kooka.ones(3)[t] end)
end

function TestEdgesOfNumbers:test_a_mask_that_is_a_view_of_what_it_writes_counts_as_it_was()
  local base = kooka.tensor({ 1, 0, 0, 0, 0 }, "uint8")
  local t, mask = base[{ { 2, 5 } }], base[{ { 1, 4 } }]
  t[mask] = kooka.tensor({ 7 }, "uint8")
  lu.assertEquals(base:tolist(), { 1, 7, 0, 0, 0 })
end

TestMisusedTapes = {}

function TestMisusedTapes:test_what_was_frozen_after_it_was_recorded_gets_no_gradient()
  local w, x = kooka.ones(3):param(), kooka.ones(3):param()
  local tape <close> = kooka.tape()
  local loss = (w:tanh() * x):sum()
  w:param(false)
  tape:backward(loss)
  lu.assertNil(w:grad())
  lu.assertAlmostEquals(x:grad():tolist()[1], 0.7615942, 1e-6)
end

function TestMisusedTapes:test_a_frozen_result_stops_the_gradient()
  local w = kooka.ones(3):param()
  local tape <close> = kooka.tape()
  local y = w:tanh()
  local loss = y:sum()
  y:param(false)
  tape:backward(loss)
  lu.assertEquals(w:grad():tolist(), { 0, 0, 0 })
end

function TestMisusedTapes:test_a_result_written_after_it_was_made_is_refused()
  local w = kooka.ones(3):param()
  local tape <close> = kooka.tape()
  local y = w:exp()
  y:detach():fill_(0)
  raises("the result of exp, (3), was written", tape.backward, tape, y:sum())
end

function TestMisusedTapes:test_a_loss_of_another_tape_is_refused()
  local w = kooka.ones(3):param()
  local outer <close> = kooka.tape()
  local a = (w * 2):sum()
  local inner <close> = kooka.tape()
  local b = (w * 3):sum()
  raises("not computed on this tape", outer.backward, outer, b)
  inner:backward(b)
  outer:backward(a)
  lu.assertEquals(w:grad():tolist(), { 5, 5, 5 })
end

function TestMisusedTapes:test_an_input_of_a_scope_that_closed_before_backward_is_refused()
  local w = kooka.ones(3):param()
  local scope = kooka.scope()
  local x = kooka.ones(3)
  local tape <close> = kooka.tape()
  local loss = (w * x):sum()
  scope:close()
  raises("an input of mul, (3), was released", tape.backward, tape, loss)
end

function TestMisusedTapes:test_a_kept_result_is_detached_when_its_tape_closes()
  local w, y = kooka.ones(3):param(), nil
  do
    local tape <close> = kooka.tape()
    y = (w * 2):keep()
    lu.assertTrue(y:wants_grad())
  end
  lu.assertFalse(y:wants_grad())
  lu.assertEquals(y:tolist(), { 2, 2, 2 })
  lu.assertTrue(w:wants_grad())
end

function TestMisusedTapes:test_a_scope_nobody_closed_releases_nothing_that_is_in_use()
  kooka.scope()
  local t = kooka.ones(50000)
  for _ = 1, 5 do lu.assertEquals(#t:tolist(), 50000) end
  collectgarbage()
  lu.assertEquals(t:sum():item(), 50000)
end

function TestMisusedTapes:test_scopes_close_in_any_order()
  local a, b = kooka.scope(), nil
  local x = kooka.ones(2)
  b = kooka.scope()
  local y = kooka.ones(3)
  a:close()
  raises("released", x.sum, x)
  lu.assertEquals(y:sum():item(), 3)
  b:close()
  raises("released", y.sum, y)
  b:close()
end
os.exit(lu.LuaUnit.run())
