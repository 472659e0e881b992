--- batches_spec: tokens and documents arrive once each, in tensors counted from 1.
local lu = require "luaunit"
local kooka = require "kooka"
local batches = require "kooka.data.batches"

local function numbered(docs)
  local c = kooka.corpus.new(1000)
  for d = 1, docs do
    local ids = {}
    for i = 1, d % 6 do ids[i] = 10 * d + i end
    c:add(ids)
  end
  return c
end

TestLm = {}

function TestLm.test_targets_are_the_inputs_one_later_and_rows_go_on()
  local c = numbered(40)
  local maker = batches.lm(c, {batch = 3, length = 5, shuffle = false})
  local steps, tokens = maker:steps()
  local stream, rows, seen = {}, {{}, {}, {}}, 0
  for d = 1, 40 do
    for _, id in ipairs(c:doc(d):tolist()) do stream[#stream + 1] = id end
  end
  for step, x, y in maker:epoch(1) do
    seen = seen + 1
    lu.assertEquals(step, seen)
    lu.assertEquals(x:dtype(), "int32")
    lu.assertEquals(x:shape()[2], 3)
    local xs, ys = x:tolist(), y:tolist()
    for t = 1, #xs do
      for r = 1, 3 do
        table.insert(rows[r], xs[t][r])
        lu.assertEquals(ys[t][r], stream[(r - 1) * ((#stream - 1) // 3) + #rows[r] + 1])
      end
    end
  end
  lu.assertEquals(seen, steps)
  lu.assertEquals(tokens, 3 * #rows[1])
  for r = 1, 3 do
    for t, id in ipairs(rows[r]) do lu.assertEquals(id, stream[(r - 1) * ((#stream - 1) // 3) + t]) end
  end
end

function TestLm.test_epochs_differ_and_repeat()
  local c = numbered(60)
  local function first(epoch, seed)
    local maker = batches.lm(c, {batch = 2, length = 9, seed = seed})
    for _, x in maker:epoch(epoch) do return x:tolist() end
  end
  lu.assertEquals(first(2, 1), first(2, 1))
  lu.assertNotEquals(first(1, 1), first(2, 1))
  lu.assertNotEquals(first(1, 1), first(1, 2))
end

function TestLm.test_an_epoch_goes_on_in_the_middle()
  local maker = batches.lm(numbered(60), {batch = 2, length = 9})
  local all = {}
  for step, x in maker:epoch(3) do all[step] = x:tolist() end
  for step, x in maker:epoch(3, 4) do lu.assertEquals(x:tolist(), all[step]) end
end

function TestLm.test_backwards_is_the_stream_reversed()
  local c = kooka.corpus.new(9)
  c:add {1, 2, 3, 4}
  c:add {5, 6, 7, 8, 9}
  local x, y = batches.lm(c, {batch = 1, length = 8, shuffle = false, backwards = true}):get(1)
  lu.assertEquals(x:tolist(), {{9}, {8}, {7}, {6}, {5}, {4}, {3}, {2}})
  lu.assertEquals(y:tolist(), {{8}, {7}, {6}, {5}, {4}, {3}, {2}, {1}})
end

function TestLm.test_misuse_raises()
  lu.assertErrorMsgContains("too few", batches.lm, numbered(3), {batch = 64})
  lu.assertErrorMsgContains("no option 'bptt'", batches.lm, numbered(3), {bptt = 64})
  lu.assertErrorMsgContains("batch 99, expected 1..", function() batches.lm(numbered(40), {batch = 2}):get(99) end)
end

TestBuckets = {}

function TestBuckets.test_every_document_once_padded_at_the_end_long_to_short()
  local c = numbered(50)
  for _, train in ipairs {true, false} do
    local maker = batches.buckets(c, {batch = 8, train = train, pad = 7})
    local seen, n = {}, 0
    for k, ids, lens, rows, places in maker:epoch(2) do
      n = n + 1
      lu.assertEquals(k, n)
      local m, l, r = ids:tolist(), lens:tolist(), rows:tolist()
      lu.assertEquals(places:tolist(), r)
      for b, row in ipairs(r) do
        lu.assertNil(seen[row])
        seen[row] = true
        local doc = c:doc(row):tolist()
        lu.assertEquals(l[b], math.max(1, #doc))
        for t = 1, #m do lu.assertEquals(m[t][b], doc[t] or 7) end
        if b > 1 then lu.assertTrue(l[b] <= l[b - 1]) end
      end
    end
    lu.assertEquals(n, 7)
    for row = 1, 50 do lu.assertTrue(seen[row]) end
  end
end

function TestBuckets.test_results_come_back_in_the_given_order()
  local c = numbered(30)
  local rows = {9, 3, 3, 30, 17, 3}
  local maker = batches.buckets(c, {rows = rows, batch = 2})
  local back = batches.collector(#rows)
  for _, _, _, docs, places in maker:epoch() do back:add(places, docs) end
  lu.assertEquals(back:list(), rows)
end

function TestBuckets.test_a_long_document_keeps_its_end()
  local c = kooka.corpus.new(9)
  c:add {1, 2, 3, 4, 5}
  lu.assertEquals((batches.buckets(c, {max_len = 3}):get(1)):tolist(), {{3}, {4}, {5}})
  lu.assertEquals((batches.buckets(c, {max_len = 3, backwards = true}):get(1)):tolist(), {{5}, {4}, {3}})
end

function TestBuckets.test_training_orders_repeat_by_seed_and_epoch()
  local c = numbered(90)
  local function order(epoch, seed)
    local out = {}
    for _, _, _, rows in batches.buckets(c, {batch = 8, train = true, seed = seed}):epoch(epoch) do
      table.move(rows:tolist(), 1, 8, #out + 1, out)
    end
    return out
  end
  lu.assertEquals(order(1, 1), order(1, 1))
  lu.assertNotEquals(order(1, 1), order(2, 1))
  lu.assertNotEquals(order(1, 1), order(1, 2))
end

function TestBuckets.test_rows_as_a_tensor()
  local maker = batches.buckets(numbered(9), {rows = kooka.tensor({2, 4}, "int32"), batch = 2})
  local _, _, rows = maker:get(1)
  lu.assertEquals(rows:tolist(), {4, 2})
end

function TestBuckets.test_misuse_raises()
  local c = numbered(9)
  lu.assertErrorMsgContains("element 2 is 10, expected 1..9", batches.buckets, c, {rows = {1, 10}})
  lu.assertErrorMsgContains("no documents", batches.buckets, c, {rows = {}})
  lu.assertErrorMsgContains("came twice", function()
    local back = batches.collector(2)
    back:add({1, 1}, {0, 0})
  end)
  lu.assertErrorMsgContains("1 of 2 places", function()
    local back = batches.collector(2)
    back:add({1}, {0})
    back:list()
  end)
end

os.exit(lu.LuaUnit.run())
