--- mixup: a classifier that trains on blends of two texts: lambda of the one, 1 - lambda of the other, and of both labels.
--   "word"      wordMixup: the embeddings of two texts, token by token, the shorter one continued with zeros up to the longer
--   "sent"      sentMixup: their pooled states, in front of the head        (both: Guo, Mao & Zhang 2019, arXiv 1905.08941)
--   "manifold"  the states at a layer drawn anew for each batch             (Verma et al., ICML 2019, arXiv 1806.05236)
-- lambda ~ Beta(alpha, alpha), one a batch; the partner of each text is drawn from its batch (Zhang et al. 2018).
local core = require "kooka.core"
local check_options = require "kooka.options"
local class_loss = require "kooka.nn.class_loss"

local mixup = {}

local Mixup = {}
Mixup.__index = Mixup
Mixup.__name = "kooka.mixup"

-- The logarithm of a Gamma(shape, 1) variable: Marsaglia & Tsang (2000) for shape + 1, times U^(1 / shape).
local function log_gamma_variable(stream, shape)
  local d = shape + 1 - 1 / 3
  local c = 1 / math.sqrt(9 * d)
  while true do
    local x = stream:normal()
    local v = (1 + c * x) ^ 3
    if v > 0 and math.log(1 - stream:uniform()) < .5 * x * x + d - d * v + d * math.log(v) then
      return math.log(d * v) + math.log(1 - stream:uniform()) / shape
    end
  end
end

--- mixup.beta(stream, alpha) -> number in 0..1
-- A draw of Beta(alpha, alpha).
function mixup.beta(stream, alpha)
  local a, b = log_gamma_variable(stream, alpha), log_gamma_variable(stream, alpha)
  return 1 / (1 + math.exp(math.max(-700, math.min(700, b - a))))
end

local function int_tensor(list) return core.tensor(list, "int32") end

-- Who is blended with whom: places of the first and of the second text of each pair, and how long a pair is, from long
-- to short.
local function pair_up(perm, lens)
  local order, long = {}, {}
  for i = 1, #lens do order[i], long[i] = i, math.max(lens[i], lens[perm[i]]) end
  table.sort(order, function(i, j)
    if long[i] ~= long[j] then return long[i] > long[j] end
    return i < j
  end)
  local a, b, n = {}, {}, {}
  for k, i in ipairs(order) do a[k], b[k], n[k] = i, perm[i], long[i] end
  return int_tensor(a), int_tensor(b), int_tensor(n)
end

-- x [T,B,D] with zeros behind the end of each text.
local function masked(x, lens)
  local T, B = x:shape(1), x:shape(2)
  local inside = core.arange(1, T):reshape(T, 1, 1):le(core.tensor(lens):reshape(1, B, 1))
  return core.where(inside, x, core.zeros(1))
end

local function blend(x, a, b, lam, dim)
  return x:index_select(a, { dim = dim }) * lam + x:index_select(b, { dim = dim }) * (1 - lam)
end

-- States of the encoder's last layer [T,B,E] and their lengths, blended behind layer `at` (0: the embedding), with the
-- pairs.
local function mixed_states(model, batch, lens, perm, lam, at)
  local encoder = model.encoder
  local a, b, n = pair_up(perm, lens)
  local now = batch.lens
  local x = core.embedding(batch.x, encoder.embedding, { row_drop = encoder.embed_p, padding = encoder.config.padding })
  for i = 0, #encoder.cells do
    if i > 0 then x = encoder.cells[i](x, nil, now, i == 1 and encoder.input_p or encoder.hidden_p) end
    if i == at then x, now = blend(masked(x, lens), a, b, lam, 2), n end
  end
  return x, now, a, b
end

-- The targets of the texts at `places`.
local function targets(batch, places)
  local out = {}
  for _, name in ipairs { "y", "soft", "weight" } do
    if batch[name] then out[name] = batch[name]:index_select(places) end
  end
  return out
end

local function lengths(batch)
  if batch.lens then return batch.lens:tolist() end
  local out = {}
  for b = 1, batch.x:shape(2) do out[b] = batch.x:shape(1) end
  return out
end

--- m:loss(batch) -> loss, stats
-- lam loss(first labels) + (1 - lam) loss(second labels) of one pass over the blended batch; the sums are blended the
-- same way, so hits may be broken numbers. The loss itself (weights, smoothing, focal ...) is the classifier's.
function Mixup:loss(batch)
  local model, lens = self.model, lengths(batch)
  local lam = self.lam or mixup.beta(self.stream, self.alpha)
  local perm = self.stream:shuffle(#lens)
  local at = self.layers[#self.layers > 1 and self.stream:below(#self.layers) or 1]
  local states, x, a, b
  if at == "pool" then
    local every = {}
    for i = 1, #lens do every[i] = i end
    a, b = int_tensor(every), int_tensor(perm)
    x, states = model:pool(batch.x, batch.lens)
    x = blend(x, a, b, lam, 1)
  else
    local now
    states, now, a, b = mixed_states(model, batch, lens, perm, lam, at)
    x = core.concat_pool(states, now)
  end
  local penalty
  if model.alpha > 0 or model.beta > 0 then
    penalty = core.activation_penalty(states, states, { alpha = model.alpha, beta = model.beta })
  end
  self.last = { lam = lam, layer = at }
  local sides = { model:head(x), model.wide and blend(model.wide(batch.x, batch.lens), a, b, lam, 1) }
  local of_a, of_b = targets(batch, a), targets(batch, b)
  return model:loss_of(sides, penalty, function(logits)
    local first, sums = class_loss.of(model, logits, of_a)
    local second, more = class_loss.of(model, logits, of_b)
    return first * lam + second * (1 - lam), sums * lam + more * (1 - lam)
  end)
end

--- m:remove()
-- The classifier trains as before.
function Mixup:remove() self.model.loss = nil end

--- m:state() -> table, for checkpoints: where the stream stands
function Mixup:state()
  local seed, count = self.stream:state()
  return { seed = seed, count = count }
end

--- m:load_state(table)
function Mixup:load_state(kept) self.stream:state(kept.seed, kept.count) end

function Mixup:__tostring()
  return ("mixup of %s, alpha %g, layers %s"):format(self.kind, self.alpha, table.concat(self.layers, ", "))
end

local function layers_of(kind, layers, count)
  if kind == "word" or kind == "sent" then
    if layers then error(("mixup: %s mixup has no layers to choose: that is manifold"):format(kind), 4) end
    return { kind == "word" and 0 or "pool" }
  end
  if not layers then
    layers = { "pool" }
    for i = 0, count do table.insert(layers, #layers, i) end
  end
  if type(layers) ~= "table" then layers = { layers } end
  if #layers == 0 then error("mixup: layers is empty", 4) end
  for _, layer in ipairs(layers) do
    if layer ~= "pool" and not (math.type(layer) == "integer" and layer >= 0 and layer <= count) then
      error(("mixup: layer %s, expected 0 (the embedding) to %d or \"pool\""):format(tostring(layer), count), 4)
    end
  end
  return layers
end

--- mixup(classifier, {kind="manifold", alpha=1, layers=nil, seed=1}) -> m
-- From now on the classifier (kooka.nn.classifier) trains on blends: its loss is m:loss while it is in training mode,
-- and its own otherwise. kind: "word", "sent" or "manifold"; layers, for manifold: a layer or a list to draw from, 0
-- the embedding, 1 .. L behind that layer of the encoder, "pool" behind the pooling; default all of them. alpha: of the
-- Beta distribution; small ones blend little, 1 evenly. The draws come from the stream "mixup" of seed. Give m to the
-- learner as a callback too (callbacks = { m }): then a checkpoint knows where its stream stands and a fit that goes on
-- has the same bits. m:remove() ends it. Lengths: a blend is as long as the longer of the two; rows are sorted again. A
-- model that reads in pieces (bptt) reads its blends in one. stream, lam: a stream and a fixed share instead of drawn
-- ones, for tests.
local function new(model, options)
  local o = options or {}
  check_options("mixup", o, { kind = true, alpha = true, layers = true, seed = true, stream = true, lam = true })
  if type(model) ~= "table" or getmetatable(model).__name ~= "classifier" then
    error("mixup: expected a classifier (kooka.nn.classifier)", 2)
  end
  if rawget(model, "loss") then error("mixup: this classifier's loss is wrapped already", 2) end
  local kind, alpha = o.kind or "manifold", o.alpha or 1
  if kind ~= "word" and kind ~= "sent" and kind ~= "manifold" then
    error(("mixup: kind is '%s', expected word, sent or manifold"):format(tostring(kind)), 2)
  end
  if not (type(alpha) == "number" and alpha > 0 and alpha < math.huge) then
    error(("mixup: alpha is %s, expected above 0"):format(tostring(alpha)), 2)
  end
  local self = setmetatable({ model = model, kind = kind, alpha = alpha, lam = o.lam,
    layers = layers_of(kind, o.layers, #model.encoder.cells), stream = o.stream or core.random("mixup", o.seed or 1) }, Mixup)
  local plain = model.loss
  model.loss = function(network, batch)
    if not network.training then return plain(network, batch) end
    return self:loss(batch)
  end
  return self
end

return setmetatable(mixup, { __call = function(_, model, options) return new(model, options) end })
