--- cache_spec: the neural cache against a plain loop, over pieces of any length, and where it must help.
local lu = require "luaunit"
local kooka = require "kooka"
local model = require "kooka.model"
local nn = require "kooka.nn"

local stored = (arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/checkpoints/"

local function language_model(cell, softmax)
  local tok = kooka.try(kooka.text.tokenizer.load(stored .. "qrnn_language_model/tokenizer.model"))
  local config = { kind = "language_model", vocab = tok:size(), padding = tok.pad, cell = cell, embed = 8, hidden = 12,
    layers = 2, seed = 7, softmax = softmax, cutoffs = softmax == "adaptive" and { 10, 20 } or nil }
  local m = model.new { network = nn.language_model(config):eval(), tokenizer = tok, config = config }
  for _, p in ipairs(m.network:parameters()) do p:copy_((p * 5):detach()) end
  return m
end

local TEXTS = { "the bird laughs at the bird", "rain rain on the rain", "why not", "the rain laughs at the bird" }

-- Perplexity by a loop over tokens, as the paper's formulas read.
local function oracle(m, corpus, window, theta, lambda)
  local x, y = kooka.data.batches.lm(corpus, { batch = 1, length = corpus:tokens() - 1, shuffle = false }):get(1)
  local logits, _, h = m.network(x)
  local p, states, words, n = kooka.softmax(logits):tolist(), h:tolist(), y:reshape(-1):tolist(), x:shape(1)
  local nll = 0
  for t = 1, n do
    local weights, total, hit = {}, 0, 0
    for i = math.max(1, t - window), t - 1 do
      local dot = 0
      for k, v in ipairs(states[t][1]) do dot = dot + v * states[i][1][k] end
      weights[i] = math.exp(theta * dot)
      total = total + weights[i]
      if words[i] == words[t] then hit = hit + weights[i] end
    end
    local q = total > 0 and hit / total or 0
    nll = nll - math.log((1 - lambda) * p[t][1][words[t]] + lambda * q)
  end
  return math.exp(nll / n), n
end

TestCache = {}

function TestCache:test_equals_the_paper_s_formulas_whatever_the_pieces()
  for _, cell in ipairs { "lstm", "qrnn" } do
    local m = language_model(cell)
    local corpus = m:encode(TEXTS)
    for _, window in ipairs { 1, 5, 1000 } do
      local want, n = oracle(m, corpus, window, .7, .25)
      for _, length in ipairs { 1, 7, 1000 } do
        local got = m:perplexity(TEXTS, { window = window, theta = .7, lambda = .25, length = length, bar = false })
        lu.assertAlmostEquals(got.with.value / want, 1, 1e-4, ("%s, window %d, length %d"):format(cell, window, length))
        lu.assertEquals(got.tokens, n)
        lu.assertAlmostEquals(got.without.value / oracle(m, corpus, 1, 0, 0), 1, 1e-5)
      end
    end
  end
end

function TestCache:test_other_decoders()
  local m = language_model("lstm", "adaptive")
  local corpus = m:encode(TEXTS)
  local x, y = kooka.data.batches.lm(corpus, { batch = 1, length = corpus:tokens() - 1, shuffle = false }):get(1)
  local want = math.exp(m.network:loss { x = x, y = y }:item())
  lu.assertAlmostEquals(m:perplexity(TEXTS, { bar = false }).without.value / want, 1, 1e-4)
  local small = language_model("lstm"):int8()
  want = math.exp(small.network:loss { x = x, y = y }:item())
  lu.assertAlmostEquals(small:perplexity(TEXTS, { bar = false, length = 1000 }).without.value / want, 1, 1e-4)
end

function TestCache:test_a_grid_in_one_pass_finds_the_best_pair()
  local m = language_model("lstm")
  local grid = m:perplexity(TEXTS, { theta = { 0, .5 }, lambda = { 0, .1, .3 }, bar = false })
  lu.assertEquals(#grid.grid, 6)
  local best = math.huge
  for _, g in ipairs(grid.grid) do
    local alone = m:perplexity(TEXTS, { theta = g.theta, lambda = g.lambda, bar = false })
    lu.assertAlmostEquals(g.perplexity, alone.with.value, 1e-9)
    if g.lambda == 0 then lu.assertAlmostEquals(g.perplexity / grid.without.value, 1, 1e-9) end
    best = math.min(best, g.perplexity)
  end
  lu.assertEquals(grid.with.value, best)
end

function TestCache:test_it_helps_where_texts_repeat_themselves()
  local m, texts = language_model("lstm"), {}
  for i = 1, 20 do texts[i] = "the bird laughs at the rain" end
  local r = m:perplexity(texts, { theta = .5, lambda = .5, bar = false })
  lu.assertTrue(r.with.value < .6 * r.without.value, ("%g, %g"):format(r.with.value, r.without.value))
end

function TestCache:test_a_model_that_reads_backwards_is_read_so()
  local m = language_model("lstm")
  m.config.backwards = true
  local corpus = m:encode(TEXTS)
  local x, y = kooka.data.batches.lm(corpus, { batch = 1, length = corpus:tokens() - 1, shuffle = false, backwards = true }):get(1)
  local want = math.exp(m.network:loss { x = x, y = y }:item())
  lu.assertAlmostEquals(m:perplexity(TEXTS, { bar = false }).without.value / want, 1, 1e-4)
end

function TestCache:test_it_leaves_no_memory()
  local m = language_model("lstm")
  m:perplexity(TEXTS, { bar = false, length = 3, window = 4 })
  collectgarbage()
  local before = kooka.sys.memory()
  for _ = 1, 3 do m:perplexity(TEXTS, { bar = false, length = 3, window = 4 }) end
  collectgarbage()
  lu.assertTrue(kooka.sys.memory() <= before + 4096, ("%d bytes more"):format(kooka.sys.memory() - before))
end

function TestCache:test_misuse_is_named()
  local m = language_model("lstm")
  lu.assertErrorMsgContains("window is 0", m.perplexity, m, TEXTS, { window = 0 })
  lu.assertErrorMsgContains("lambda is 2, expected 0 to 1", m.perplexity, m, TEXTS, { lambda = 2 })
  lu.assertErrorMsgContains("theta is -1", m.perplexity, m, TEXTS, { theta = { .1, -1 } })
  lu.assertErrorMsgContains("has no option 'lamda'", m.perplexity, m, TEXTS, { lamda = .1 })
  lu.assertErrorMsgContains("fewer than two tokens", m.perplexity, m, { "" })
end

os.exit(lu.LuaUnit.run())
