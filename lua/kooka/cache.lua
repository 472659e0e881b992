--- cache: the neural cache of a language model (Grave, Joulin & Usunier 2017): words that came after states like this one are
-- likelier now. Nothing is trained: p = (1 - lambda) p_model + lambda p_cache, with
-- p_cache(w) proportional to the sum over the last `window` steps i with x(i+1) = w of exp(theta h(t) . h(i)).
local core = require "kooka.core"
local check_options = require "kooka.options"
local eval = require "kooka.eval"
local progress = require "kooka.progress"

local cache = {}

local function list_of(v, default) return type(v) == "table" and v or { v or default } end

local function checked(o)
  check_options("cache", o, { window = true, theta = true, lambda = true, length = true, backwards = true, bar = true, seed = true,
    resamples = true })
  local c = { window = o.window or 500, length = o.length or 70, theta = list_of(o.theta, .3), lambda = list_of(o.lambda, .1) }
  for _, name in ipairs { "window", "length" } do
    if math.type(c[name]) ~= "integer" or c[name] < 1 or c[name] > 1000000 then
      error(("cache: %s is %s, expected an integer from 1"):format(name, tostring(c[name])), 4)
    end
  end
  for _, v in ipairs(c.theta) do
    if not (type(v) == "number" and v >= 0 and v < 1e6) then error(("cache: theta is %s, expected 0 or more"):format(tostring(v)), 4) end
  end
  for _, v in ipairs(c.lambda) do
    if not (type(v) == "number" and v >= 0 and v <= 1) then error(("cache: lambda is %s, expected 0 to 1"):format(tostring(v)), 4) end
  end
  return c
end

-- -log p of targets y [T] after states h [T,D] by the model alone: [T].
local function model_nll(network, h, y)
  if network.adaptive then
    return -core.gather(network.adaptive:log_prob(h), y:reshape(-1, 1), { dim = 2 }):reshape(-1)
  elseif network.decoder then
    local logits = core.linear_q8(h, network.decoder, network.decoder_scale, network.bias)
    return -core.gather(core.log_softmax(logits), y:reshape(-1, 1), { dim = 2 }):reshape(-1)
  end
  local _, _, nll = core.linear_cross_entropy(h, network.encoder.embedding, network.bias, y)
  return nll
end

-- What step t = 1 .. T of a piece may look back at, of K states before the piece and its own: those at most `window` back, not itself.
local function hidden_mask(T, K, window)
  local t = core.arange(1, T):reshape(T, 1) + K            -- place of step t among the keys
  local i = core.arange(1, K + T):reshape(1, K + T)
  return core.logical_or(i:ge(t), i:lt(t - window))
end

--- cache.probability(scores [T,S], hidden [T,S], match [T,S]) -> p_cache of the true word of each step [T]
-- scores: theta h . h; hidden: 1 where a step may not look; match: 1 where the word that followed there is the true one. A step that
-- may look nowhere has probability 0.
function cache.probability(scores, hidden, match)
  local weights = core.softmax(core.masked_fill(scores, hidden, { value = -1e30 }))
  local seen = core.logical_and(match, core.logical_not(hidden))
  return core.where(seen, weights, core.zeros(1)):sum(-1)
end

-- One piece: T tokens x with the next ones y; answers lists of T: -log p of the model, and for each theta the cache's probability.
local function piece(network, c, past, x, y)
  local raw, new = network.encoder(x:reshape(-1, 1), past.state)
  local h = raw:reshape(raw:shape(1), -1)
  local T, K = h:shape(1), past.h and past.h:shape(1) or 0
  local keys = past.h and core.cat({ past.h, h }, 1) or h
  local words = past.y and core.cat({ past.y, y }, 1) or y:clone()       -- never y itself, which release() would free
  local nll = model_nll(network, h, y):tolist()
  local dots, hidden = core.matmul_nt(h, keys), hidden_mask(T, K, c.window)
  local match = words:reshape(1, -1):eq(y:reshape(-1, 1))
  local cached = {}
  for k, theta in ipairs(c.theta) do cached[k] = cache.probability(dots * theta, hidden, match):tolist() end
  local keep = math.min(K + T, c.window)
  local next_past = { state = network.encoder:carry(new), h = keys:narrow(1, K + T - keep + 1, keep):contiguous():keep(),
    y = words:narrow(1, K + T - keep + 1, keep):contiguous():keep() }
  return nll, cached, next_past
end

local function release(past)
  for _, layer in ipairs(past.state or {}) do
    for _, t in pairs(layer) do t:release() end
  end
  if past.h then past.h:release() end
  if past.y then past.y:release() end
end

-- All tokens of a corpus, documents in order.
local function stream_of(corpus, backwards)
  local maker = require("kooka.data.batches").lm(corpus, { batch = 1, length = corpus:tokens() - 1, shuffle = false,
    backwards = backwards })
  local x, y = maker:get(1)
  return x:reshape(-1), y:reshape(-1)
end

-- Mixes one step of stretch `at` and adds to its sums: -log((1 - l) p + l q).
local function add(sums, c, nll, cached, t, at)
  local p = math.exp(-nll)
  for k in ipairs(c.theta) do
    local q = cached[k][t]
    for l, lambda in ipairs(c.lambda) do
      local mixed = (1 - lambda) * p + lambda * q
      local s = sums[k][l]
      s[at] = (s[at] or 0) - (mixed > 0 and math.log(mixed) or lambda < 1 and math.log(1 - lambda) - nll or -math.huge)
    end
  end
end

local function sum_of(list)
  local sum = 0
  for _, v in ipairs(list) do sum = sum + v end
  return sum
end

--- cache.perplexity(network, corpus, {window=500, theta=.3, lambda=.1, length=70, backwards=false, bar=true, ...}) -> result
-- network: kooka.nn.language_model; corpus: kooka.data's, its documents read as one stream, `length` tokens at once with the state
-- carried. theta and lambda may be lists: then every pair is computed in the one pass, and the best is chosen on these tokens, so choose
-- on validation texts and report on others. result: {without = metric, with = metric, theta, lambda, window, tokens, grid = list of
-- {theta, lambda, perplexity}}. theta multiplies h . h, which grows with the width: .3 is of PTB's 400, wider or larger states want less.
-- Tokens seen in the first step can not be found in an empty cache: their probability is (1 - lambda) p. The metrics' intervals
-- resample stretches of `length` tokens (seed=1, resamples=1000).
function cache.perplexity(network, corpus, o)
  local c = checked(o or {})
  if not network.encoder or getmetatable(network).__name ~= "language_model" then
    error("cache: expected a language model (kooka.nn.language_model)", 2)
  end
  if corpus:tokens() < 2 then error("cache: the corpus has fewer than two tokens", 2) end
  local was = network.training
  network:eval()
  local _ <close> = setmetatable({}, { __close = function() network:train(was) end })
  local sums, plain, past, tokens = {}, {}, {}, {}        -- by stretch
  for k in ipairs(c.theta) do
    sums[k] = {}
    for l in ipairs(c.lambda) do sums[k][l] = {} end
  end
  local x, y = stream_of(corpus, o and o.backwards)
  x, y = x:keep(), y:keep()
  local n = x:shape(1)
  local bar <close> = not (o and o.bar == false) and progress.new { label = "cache", total = n, unit = "tok" } or nil
  for at = 1, n, c.length do
    local scope <close> = core.scope()
    local T = math.min(c.length, n - at + 1)
    local nll, cached, new = piece(network, c, past, x:narrow(1, at, T):contiguous(), y:narrow(1, at, T):contiguous())
    release(past)
    past = new
    local piece_number = #tokens + 1
    tokens[piece_number], plain[piece_number] = T, sum_of(nll)
    for t = 1, T do add(sums, c, nll[t], cached, t, piece_number) end
    if bar then bar:step(T) end
    if core.sys.stopped() then error("interrupted", 0) end
  end
  release(past)
  local vocab = network.encoder.config.vocab
  local best, grid = nil, {}
  for k, theta in ipairs(c.theta) do
    for l, lambda in ipairs(c.lambda) do
      local nll = sum_of(sums[k][l])
      local g = { theta = theta, lambda = lambda, perplexity = math.exp(nll / n), nll = nll, pieces = sums[k][l] }
      grid[#grid + 1] = g
      if not best or g.nll < best.nll then best = g end
    end
  end
  local told = { vocab = vocab, seed = o and o.seed, resamples = o and o.resamples }
  local without, with = eval.perplexity(plain, tokens, told), eval.perplexity(best.pieces, tokens, told)
  for _, g in ipairs(grid) do g.pieces = nil end
  return { without = without, with = with,
    theta = best.theta, lambda = best.lambda, window = c.window, tokens = n, grid = grid }
end

return cache
