--- batches_spec: tokens and documents arrive once each, in tensors counted from 1.
local lu = require "luaunit"
local kooka = require "kooka"
local batches = require "kooka.data.batches"

local golden = dofile((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/batches.lua")

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

local function long_corpus(n)
  local c = kooka.corpus.new(1000)
  for d = 1, n // 100 do
    local doc = {}
    for i = 1, 100 do doc[i] = (100 * d + i) % 1000 + 1 end
    c:add(doc)
  end
  return c
end

function TestLm.test_variable_lengths_read_every_token_once_in_order()
  local c = long_corpus(60000)
  for _, scheme in ipairs {"merity", "fastai"} do
    local maker = batches.lm(c, {batch = 4, length = 20, variable = scheme, shuffle = false, seed = 3})
    local steps, tokens = maker:steps(2)
    local row, got, lengths = 59999 // 4, {}, {}
    for step, x, y, rate in maker:epoch(2) do
      lengths[step] = x:shape(1)
      if scheme == "fastai" or step < steps then lu.assertAlmostEquals(rate, x:shape(1) / 20, 1e-9) end
      local xs, ys = x:tolist(), y:tolist()
      for t = 1, #xs do
        got[#got + 1] = xs[t][2]
        lu.assertEquals(ys[t][2], xs[t][2] % 1000 + 1)
      end
    end
    lu.assertEquals(#lengths, steps)
    lu.assertEquals(4 * #got, tokens)
    lu.assertEquals(got[1], (row + 101) % 1000 + 1)
    for i = 2, #got do lu.assertEquals(got[i], got[i - 1] % 1000 + 1) end
    lu.assertTrue(row - #got < (scheme == "merity" and 2 or .08 * row), row - #got)
  end
end

function TestLm.test_variable_lengths_are_drawn_as_documented()
  local maker = batches.lm(long_corpus(400000), {batch = 2, length = 70, variable = "merity"})
  local n, short, sum, squares = 0, 0, 0, 0
  for e = 1, 3 do
    local steps = maker:steps(e)
    for k = 1, steps - 1 do                                        -- the last is cut
      local t = maker.plan[k].steps
      n = n + 1
      if t < 52 then short = short + 1 else sum, squares = sum + t, squares + t * t end
    end
  end
  local sd = math.sqrt(n * .05 * .95)
  lu.assertTrue(math.abs(short - .05 * n) < 4 * sd, short .. " of " .. n)
  local mean = sum / (n - short)
  lu.assertTrue(math.abs(mean - 69.5) < 4 * 5 / math.sqrt(n), mean)      -- rounded down: half a step less
  lu.assertTrue(math.abs(math.sqrt(squares / (n - short) - mean ^ 2) - 5) < 4 * 5 / math.sqrt(2 * n))
end

function TestLm.test_the_fastai_scheme_starts_long_and_has_the_steps_of_fixed_lengths()
  local c = long_corpus(60000)
  local maker = batches.lm(c, {batch = 4, length = 70, variable = "fastai"})
  local _, x = maker:epoch(1)()
  lu.assertEquals(x:shape(1), 95)
  _, x = maker:epoch(2)()
  lu.assertNotEquals(x:shape(1), 95)
  for e = 1, 3 do lu.assertEquals((maker:steps(e)), 59999 // 4 // 70) end
  local small = batches.lm(c, {batch = 4, length = 3, variable = "merity"})
  small:steps()
  for k, p in ipairs(small.plan) do lu.assertTrue(p.steps >= 5 or k == #small.plan) end
end

function TestLm.test_variable_lengths_repeat_and_go_on_in_the_middle()
  local c = long_corpus(20000)
  local function all(from, seed)
    local out = {}
    for step, x in batches.lm(c, {batch = 2, length = 30, variable = "merity", seed = seed}):epoch(4, from) do out[step] = x:tolist() end
    return out
  end
  local whole, part = all(1, 1), all(100, 1)
  lu.assertEquals(part[100], whole[100])
  lu.assertEquals(part[#whole], whole[#whole])
  lu.assertNil(part[99])
  lu.assertNotEquals(all(1, 2)[5], whole[5])
  lu.assertErrorMsgContains("variable is often, expected merity or fastai", batches.lm, c, {variable = "often"})
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

function TestBuckets.test_backwards_puts_the_first_token_last_as_fastai_does()
  local c = kooka.corpus.new(9)                                     -- 1: beginning of text
  c:add {1, 7, 8, 9}
  c:add {1, 5}
  local ids, lens = batches.buckets(c, {backwards = true, pad = 2}):get(1)
  lu.assertEquals(ids:tolist(), {{9, 5}, {8, 1}, {7, 2}, {1, 2}})
  lu.assertEquals(lens:tolist(), {4, 2})
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

TestGolden = {}

-- Documents of these lengths; the tokens are 1, 2, 3 ... throughout.
local function counted(lens)
  local c, at = kooka.corpus.new(100000), 0
  for d, n in ipairs(lens) do
    local doc = {}
    for i = 1, n do doc[i] = at + i end
    c:add(doc)
    at = at + n
  end
  return c
end

function TestGolden.test_steps_of_a_language_model_are_fastai_s()
  for _, case in ipairs(golden.lm) do
    local maker, seen = batches.lm(counted(case.lens), {batch = case.batch, length = case.length, shuffle = false}), 0
    for k, x, y in maker:epoch() do
      seen = k
      lu.assertEquals(x:t():tolist(), case.steps[k].x)
      lu.assertEquals(y:t():tolist(), case.steps[k].y)
    end
    local last = case.steps[#case.steps]
    lu.assertEquals(seen, #last.x[1] == 1 and #case.steps - 1 or #case.steps)      -- one token is no step here
  end
end

function TestGolden.test_buckets_are_padded_as_little_as_fastai_s_and_begin_with_the_longest()
  for _, case in ipairs(golden.buckets) do
    local lens = {}
    for d = 1, case.n do lens[d] = 1 + d * d % 97 end
    local c, order = counted(lens), {}
    for _, _, l in batches.buckets(c, {batch = case.batch}):epoch() do
      for _, n in ipairs(l:tolist()) do order[#order + 1] = n end
    end
    lu.assertEquals(order, case.valid)
    local maker, sum = batches.buckets(c, {batch = case.batch, train = true, seed = 5}), 0
    for epoch = 1, case.epochs do
      local cells, tokens = 0, 0
      for k, ids, l in maker:epoch(epoch) do
        local list = l:tolist()
        if k == 1 then lu.assertEquals(list[1], case.first) end
        cells = cells + ids:numel()
        for _, n in ipairs(list) do tokens = tokens + n end
      end
      sum = sum + 1 - tokens / cells
    end
    local sd = case.padding_sd * math.sqrt(2 / case.epochs)
    lu.assertTrue(sum / case.epochs < case.padding + 4 * sd,
      ("%.5f of it padding, fastai %.5f with sd %.5f"):format(sum / case.epochs, case.padding, sd))
  end
end

os.exit(lu.LuaUnit.run())
