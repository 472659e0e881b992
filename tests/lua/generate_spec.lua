--- generate_spec: each filter against a plain oracle, texts that depend on the seed alone, carried states, beam search against all texts.
local lu = require "luaunit"
local generate = require "kooka.generate"
local kooka = require "kooka"
local model = require "kooka.model"
local nn = require "kooka.nn"
local sys = kooka.sys

local stored = (arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/checkpoints/"

-- ---- the oracle: a distribution as a list, filters one after the other

local function normal(p)
  local sum, out = 0, {}
  for _, v in ipairs(p) do sum = sum + v end
  for i, v in ipairs(p) do out[i] = v / sum end
  return out
end

local function softmax(x)
  local most, out = -math.huge, {}
  for _, v in ipairs(x) do most = math.max(most, v) end
  for i, v in ipairs(x) do out[i] = math.exp(v - most) end
  return normal(out)
end

local function places(p, before)
  local order = {}
  for i, v in ipairs(p) do
    if v > 0 then order[#order + 1] = i end
  end
  table.sort(order, function(a, b)
    local x, y = before(p[a]), before(p[b])
    if x ~= y then return x < y end
    return a < b
  end)
  return order
end

local function keep(p, order, n)
  local out = {}
  for i = 1, #p do out[i] = 0 end
  for k = 1, n do out[order[k]] = p[order[k]] end
  return normal(out)
end

local function prefix(p, order, mass)
  local sum = 0
  for n, i in ipairs(order) do
    sum = sum + p[i]
    if sum >= mass then return keep(p, order, n) end
  end
  return keep(p, order, #order)
end

local function falling(v) return -v end

local FILTERS = {
  top_k = function(p, k)
    local order = places(p, falling)
    return keep(p, order, math.min(k, #order))
  end,
  top_p = function(p, mass) return prefix(p, places(p, falling), mass) end,
  min_p = function(p, share)
    local most, out = math.max(table.unpack(p)), {}
    for i, v in ipairs(p) do out[i] = v >= share * most and v or 0 end
    return normal(out)
  end,
  typical = function(p, mass)
    local entropy = 0
    for _, v in ipairs(p) do entropy = entropy - (v > 0 and v * math.log(v) or 0) end
    return prefix(p, places(p, function(v) return math.abs(-math.log(v) - entropy) end), mass)
  end,
}
local ORDER = { "top_k", "top_p", "min_p", "typical" }

local function oracle(logits, o, seen, banned)
  local x, once = { table.unpack(logits) }, {}
  for _, id in ipairs(seen or {}) do
    if id > 0 and not once[id] then
      once[id] = true
      x[id] = x[id] > 0 and x[id] / o.penalty or x[id] * o.penalty
    end
  end
  for _, id in ipairs(banned or {}) do x[id] = -math.huge end
  for i, v in ipairs(x) do x[i] = v / (o.temperature or 1) end
  local p = softmax(x)
  for _, name in ipairs(ORDER) do
    if o[name] then p = FILTERS[name](p, o[name]) end
  end
  return p
end

local function close(got, want, about)
  for i, v in ipairs(want) do
    if math.abs(got[i] - v) > 1e-5 then
      lu.fail(("%s: class %d is %.7f, expected %.7f"):format(about or "p", i, got[i], v))
    end
  end
end

local stream = kooka.random("generate spec", 3)

local function random_logits(n, wide)
  local out = {}
  for i = 1, n do out[i] = math.floor((stream:uniform() - .5) * wide * 1024) / 1024 end      -- exact in float32
  return out
end

TestFilters = {}

local function check(o, n, seen, banned)
  for _ = 1, 20 do
    local logits = random_logits(n or 50, 8)
    local s = seen and seen(n or 50)
    local b = banned and banned(n or 50)
    local _, p = kooka.sample_next(kooka.tensor(logits), s and kooka.tensor(s, "int32"), b and kooka.tensor(b, "int32"), o)
    close(p:tolist(), oracle(logits, o, s, b))
  end
end

function TestFilters:test_temperature() check { temperature = .5 } check { temperature = 3 } end
function TestFilters:test_top_k() check { top_k = 1 } check { top_k = 7 } check { top_k = 500 } check({ top_k = 40 }, 1000) end
function TestFilters:test_top_p() check { top_p = .1 } check { top_p = .9 } check { top_p = .999 } check({ top_p = .95 }, 1000) end
function TestFilters:test_min_p() check { min_p = .1 } check { min_p = .5 } check { min_p = 1 } end
function TestFilters:test_typical() check { typical = .2 } check { typical = .9 } check({ typical = .95 }, 1000) end

local function some(n)
  local out = {}
  for i = 1, 12 do out[i] = stream:below(n + 1) - 1 end      -- 0: none
  return out
end

function TestFilters:test_penalty_acts_once_on_each_class_seen()
  check({ penalty = 1.7 }, 20, some)
  check({ penalty = .5, temperature = .7 }, 20, some)
end

function TestFilters:test_banned_classes_never_come()
  check({ top_p = .9 }, 20, nil, function() return { 3, 7, 3 } end)
  local logits = kooka.tensor { 5, 1, 1 }
  lu.assertEquals(kooka.sample_next(logits, nil, kooka.tensor({ 1, 2 }, "int32"), {}):item(), 3)
  lu.assertErrorMsgContains("row 1: no class may follow", kooka.sample_next, logits, nil, kooka.tensor({ 1, 2, 3, 1 }, "int32"), {})
end

function TestFilters:test_all_together_in_their_order()
  check({ temperature = .8, top_k = 30, top_p = .95, min_p = .02, typical = .9, penalty = 1.2 }, 60, some)
end

function TestFilters:test_equal_classes_are_taken_in_order()
  local _, p = kooka.sample_next(kooka.zeros(6), nil, nil, { top_k = 2 })
  lu.assertEquals(p:tolist(), { .5, .5, 0, 0, 0, 0 })
  _, p = kooka.sample_next(kooka.zeros(4), nil, nil, { top_p = .5 })
  lu.assertEquals(p:tolist(), { .5, .5, 0, 0 })
end

function TestFilters:test_rows_are_filtered_apart()
  local a, b = random_logits(9, 6), random_logits(9, 6)
  local _, p = kooka.sample_next(kooka.tensor { a, b }, kooka.tensor({ { 1, 2 }, { 0, 5 } }, "int32"), nil, { penalty = 2, top_k = 4 })
  p = p:tolist()
  close(p[1], oracle(a, { penalty = 2, top_k = 4 }, { 1, 2 }))
  close(p[2], oracle(b, { penalty = 2, top_k = 4 }, { 0, 5 }))
end

function TestFilters:test_draws_follow_the_distribution()
  local logits = random_logits(6, 3)
  local want, count, n = oracle(logits, { top_k = 5 }), { 0, 0, 0, 0, 0, 0 }, 20000
  local rows = kooka.tensor { logits }:expand(n, 6):contiguous()
  for _, id in ipairs(kooka.sample_next(rows, nil, nil, { top_k = 5, stream = kooka.random("draws", 1) }):tolist()) do
    count[id] = count[id] + 1
  end
  for i, p in ipairs(want) do                               -- five standard errors
    lu.assertTrue(math.abs(count[i] / n - p) <= 5 * math.sqrt(p * (1 - p) / n) + 1e-9, ("class %d: %d"):format(i, count[i]))
  end
end

function TestFilters:test_temperature_0_takes_the_largest_the_first_of_equals()
  local id, p = kooka.sample_next(kooka.tensor { 1, 3, 3, 2 }, nil, nil, { temperature = 0 })
  lu.assertEquals(id:item(), 2)
  lu.assertEquals(p:tolist(), { 0, 1, 0, 0 })
end

function TestFilters:test_what_cannot_be_is_refused()
  lu.assertErrorMsgContains("logit 1 of row 1 is", kooka.sample_next, kooka.tensor { 0 / 0, 1 }, nil, nil, {})
  lu.assertErrorMsgContains("seen class 4, expected 1..3", kooka.sample_next, kooka.zeros(3), kooka.tensor({ 4 }, "int32"), nil, {})
  lu.assertErrorMsgContains("top_k is 1.5", kooka.sample_next, kooka.zeros(3), nil, nil, { top_k = 1.5 })
  lu.assertErrorMsgContains("option top_p is 0", kooka.sample_next, kooka.zeros(3), nil, nil, { top_p = 0 })
end

-- ---- texts

TestTexts = {}

local WORDS = { "the", "bird", "laughs", "at", "every", "joke", "rain", "falls", "on", "grey" }

function TestTexts:setUp()
  self.dir = os.tmpname() .. ".d"
  kooka.try(sys.mkdir_p(self.dir))
  local texts = {}
  for i = 1, 60 do texts[i] = WORDS[i % 10 + 1] .. " " .. WORDS[i * 3 % 10 + 1] .. " " .. WORDS[i * 7 % 10 + 1] end
  self.tok = kooka.try(kooka.text.tokenizer.train { texts = texts, vocab = 60, path = self.dir .. "/pieces.model" })
end

function TestTexts:tearDown() sys.remove_tree(self.dir) end

function TestTexts:model(cell, more)
  local config = { kind = "language_model", vocab = self.tok:size(), padding = self.tok.pad, cell = cell, embed = 12, hidden = 16,
    layers = 2, seed = 5 }
  for k, v in pairs(more or {}) do config[k] = v end
  local m = model.new { network = nn.language_model(config), tokenizer = self.tok, config = config }
  for _, p in ipairs(m.network:parameters()) do p:copy_((p * 6):detach()) end          -- sharp distributions
  return m
end

function TestTexts:test_same_seed_same_texts()
  for _, cell in ipairs { "lstm", "qrnn" } do
    local m = self:model(cell)
    local o = { n = 3, tokens = 25, top_p = .95, seed = 4, stop = false }
    local first = m:generate(o)
    kooka.randn(3)                                             -- somebody else's numbers do not matter
    lu.assertEquals(m:generate(o), first)
    o.seed = 5
    lu.assertNotEquals(m:generate(o)[1].ids, first[1].ids)
    lu.assertNotEquals(first[1].ids, first[2].ids)
  end
end

-- Greedy ids by reading everything anew for each token.
local function slow_greedy(m, prompt, tokens)
  local ids = kooka.try(m.tokenizer:encode(prompt, { bos = true }))
  local from, ban = #ids + 1, kooka.tensor({ m.tokenizer.pad, m.tokenizer.unk, m.tokenizer.bos, m.tokenizer.eos }, "int32")
  m.network:eval()
  for _ = 1, tokens do
    local logits = m.network(kooka.tensor(ids, "int32"):reshape(#ids, 1))
    ids[#ids + 1] = kooka.sample_next(logits:narrow(1, #ids, 1):reshape(-1), nil, ban, { temperature = 0 }):item()
  end
  return table.move(ids, from, #ids, 1, {})
end

function TestTexts:test_the_carried_state_gives_what_reading_everything_anew_gives()
  for _, cell in ipairs { "lstm", "qrnn" } do
    for _, kind in ipairs { "full", "adaptive" } do
      local m = self:model(cell, { softmax = kind, cutoffs = kind == "adaptive" and { 20, 40 } or nil })
      local got = m:generate { prompt = "the bird", tokens = 15, temperature = 0, stop = false, n = 2 }
      local want = slow_greedy(m, "the bird", 15)
      lu.assertEquals(got[1].ids, want, cell .. " " .. kind)
      lu.assertEquals(got[2].ids, want)
    end
  end
end

function TestTexts:test_a_token_costs_one_step_however_long_the_text_is()
  local m, steps = self:model("lstm"), {}
  local forward = m.network.encoder.forward
  m.network.encoder.forward = function(encoder, ids, ...)
    steps[#steps + 1] = ids:shape(1)
    return forward(encoder, ids, ...)
  end
  m:generate { prompt = "the bird laughs", tokens = 6, stop = false }
  local prompt = #kooka.try(self.tok:encode("the bird laughs", { bos = true }))
  lu.assertEquals(steps, { prompt - 1, 1, 1, 1, 1, 1, 1 })
end

function TestTexts:test_a_generation_leaves_no_memory_and_the_mode_as_it_was()
  local m = self:model("lstm")
  m.network:train()
  m:generate { tokens = 5, n = 2 }
  collectgarbage()
  local before = sys.memory()
  for _ = 1, 3 do m:generate { tokens = 5, n = 2, penalty = 1.2 } end
  m:generate { tokens = 5, n = 2, beams = 3 }
  collectgarbage()
  lu.assertTrue(sys.memory() <= before + 4096, ("%d bytes more"):format(sys.memory() - before))
  lu.assertTrue(m.network.training)
end

function TestTexts:test_unknown_and_padding_never_come_and_a_text_ends_at_the_next_one()
  local m = self:model("lstm")
  local bias = m.network.bias
  bias[self.tok.unk], bias[self.tok.pad] = 50, 60
  for _, t in ipairs(m:generate { n = 4, tokens = 20 }) do
    for _, id in ipairs(t.ids) do lu.assertTrue(id ~= self.tok.unk and id ~= self.tok.pad and id ~= self.tok.bos) end
  end
  lu.assertEquals(m:generate({ no_unk = false, tokens = 3 })[1].ids, { self.tok.unk, self.tok.unk, self.tok.unk })
  bias[self.tok.bos] = 100
  lu.assertEquals(m:generate { tokens = 20 }, { { text = "", ids = {}, finished = true } })
  lu.assertEquals(#m:generate({ tokens = 20, stop = false })[1].ids, 20)
end

function TestTexts:test_texts_come_a_token_at_a_time()
  local m = self:model("qrnn")
  local whole = m:generate { tokens = 12, seed = 9, stop = false, prompt = "rain" }[1]
  local g <close> = generate.start(m, { tokens = 12, seed = 9, stop = false, prompt = "rain" })
  local ids = {}
  for new in function() return g:next() end do ids[#ids + 1] = new[1] end
  lu.assertEquals(ids, whole.ids)
  lu.assertEquals(g:text(), whole.text)
end

function TestTexts:test_a_model_that_reads_backwards_writes_what_stands_before_the_prompt()
  local m = self:model("lstm")
  local prompt = kooka.try(self.tok:encode("the bird"))
  m.config.backwards = true
  for _, o in ipairs { { temperature = 0 }, { beams = 2 } } do
    o.prompt, o.tokens, o.stop, o.plain = "the bird", 8, false, false
    local t = m:generate(o)[1]
    local all = {}
    for i = #t.ids, 1, -1 do all[#all + 1] = t.ids[i] end
    lu.assertEquals(t.text, self.tok:decode(table.move(prompt, 1, #prompt, #all + 1, all)))
  end
  local read = {}
  local forward = m.network.encoder.forward
  m.network.encoder.forward = function(encoder, ids, ...)
    table.move(ids:reshape(-1):tolist(), 1, ids:numel(), #read + 1, read)
    return forward(encoder, ids, ...)
  end
  m:generate { prompt = "the bird", tokens = 1 }
  local want = { self.tok.bos }
  for i = #prompt, 1, -1 do want[#want + 1] = prompt[i] end
  lu.assertEquals(read, want)
end

function TestTexts:test_misuse_is_named()
  local m = self:model("lstm")
  lu.assertErrorMsgContains("has no option 'temprature'", m.generate, m, { temprature = 1 })
  lu.assertErrorMsgContains("option tokens is 0, expected an integer from 1", m.generate, m, { tokens = 0 })
  lu.assertErrorMsgContains("n is 3, but there are 2 beams", m.generate, m, { n = 3, beams = 2 })
  lu.assertErrorMsgContains("not UTF-8", m.generate, m, { prompt = "\xff" })
  lu.assertErrorMsgContains("only language models", function() kooka.try(model.load(stored .. "lstm_classifier")):generate {} end)
  lu.assertErrorMsgContains("expected a language model", generate.texts, stored .. "lstm_classifier", {})
  lu.assertErrorMsgContains("no such folder", generate.texts, self.dir .. "/none", {})
end

-- All texts of up to T tokens with their scores, the best first.
local function all_texts(m, T, alpha)
  local tok, out = m.tokenizer, {}
  local V = tok:size()
  local ban = kooka.tensor({ tok.pad, tok.unk }, "int32")
  local function visit(ids, logp)
    local logits = m.network(kooka.tensor(ids, "int32"):reshape(#ids, 1)):narrow(1, #ids, 1):reshape(-1)
    local _, p = kooka.sample_next(logits, nil, ban, {})
    local scope = p:tolist()
    for id = 1, V do
      if scope[id] > 0 then
        local sum, made = logp + math.log(scope[id]), #ids
        if id == tok.bos or id == tok.eos then
          out[#out + 1] = { score = sum / ((5 + made) / 6) ^ alpha, ids = table.move(ids, 2, #ids, 1, {}) }
        else
          local longer = table.move(ids, 1, #ids, 1, {})
          longer[#longer + 1] = id
          if made == T then out[#out + 1] = { score = sum / ((5 + made) / 6) ^ alpha, ids = table.move(longer, 2, #longer, 1, {}) }
          else visit(longer, sum) end
        end
      end
    end
  end
  visit({ tok.bos }, 0)
  table.sort(out, function(a, b) return a.score > b.score end)
  return out
end

TestBeams = {}

function TestBeams:test_a_beam_wide_enough_finds_the_best_texts_there_are()
  local m = kooka.try(model.load(stored .. "qrnn_language_model"))
  for _, p in ipairs(m.network:parameters()) do p:copy_((p * 3):detach()) end
  for _, alpha in ipairs { 0, 1, 2 } do
    if alpha == 2 then m.network.bias[m.tokenizer.bos], m.network.bias[m.tokenizer.eos] = -1e4, -1e4 end      -- none ends early
    local want = all_texts(m, 3, alpha)
    local got = m:generate { beams = 2000, n = 5, tokens = 3, length_penalty = alpha }
    for i = 1, 5 do
      lu.assertAlmostEquals(got[i].score, want[i].score, 1e-4)
      lu.assertEquals(got[i].ids, want[i].ids)
      if alpha == 2 then lu.assertEquals(#got[i].ids, 3) end
    end
  end
end

function TestBeams:test_one_beam_is_greedy()
  local m = kooka.try(model.load(stored .. "qrnn_language_model"))
  m.network.bias[m.tokenizer.bos], m.network.bias[m.tokenizer.eos] = -1e4, -1e4
  lu.assertEquals(m:generate { beams = 1, tokens = 10 }[1].ids, m:generate { temperature = 0, tokens = 10 }[1].ids)
end

function TestBeams:test_a_folder_will_do()
  lu.assertEquals(generate.texts(stored .. "qrnn_language_model", { tokens = 5, seed = 2 }),
    kooka.try(model.load(stored .. "qrnn_language_model")):generate { tokens = 5, seed = 2 })
end

TestPlain = {}

function TestPlain:test_marks_become_what_they_stand_for()
  lu.assertEquals(generate.plain "xxmaj hola , xxup qué tal xxrep 4 ! xxnl ¿ bien ? xxwrep 3 ja # risa @ yo xxurl",
    "Hola, QUÉ tal!!!!\n¿bien? ja ja ja #risa @yo xxurl")
  lu.assertEquals(generate.plain "xxup", "xxup")
  lu.assertEquals(generate.plain "xxrep many a xxrep 5", "xxrep many a xxrep 5")
  lu.assertEquals(generate.plain "", "")
end

function TestPlain:test_cleaning_it_again_changes_nothing()
  local rules = kooka.text.rules
  for _, text in ipairs { "HOLA que tal!!!!! jaja", "uno\ndos, ¿tres? ja ja ja ja", "ÑANDÚ AZUL" } do
    local cleaned = kooka.try(rules.clean(text))
    lu.assertEquals(kooka.try(rules.clean(generate.plain(cleaned))), cleaned)
  end
end

os.exit(lu.LuaUnit.run())
