--- pooled: what models of whole texts share: an encoder, concat pooling (last, max, mean) and a small head
-- (Howard & Ruder 2018, section 3.3). Classifier, regressor, ordinal and multi_task are made of it.
local core = require "kooka.core"
local module = require "kooka.nn.module"
local awd_lstm = require "kooka.nn.awd_lstm"
local batch_norm = require "kooka.nn.batch_norm"
local linear = require "kooka.nn.linear"
local ngram_linear = require "kooka.nn.ngram_linear"
local settings = require "kooka.nn.settings"

local pooled = {}
local Pooled = {}

--- pooled.class(name) -> class
-- A class with the methods below, for pooled.new.
function pooled.class(name)
  local class = module.class(name)
  for k, f in pairs(Pooled) do class[k] = f end
  return class
end

local function as_list(v) return type(v) == "table" and v or { v } end

--- pooled.new(class, o, outputs) -> model
-- Options that all such models have, beside the encoder's (kooka.nn.awd_lstm), whose probabilities are by default those of
-- fastai's classifier (embed .05, input .4, hidden .3, weight .5, all times drop = 1):
--   head = 50, or a list of widths; head_p = .4 dropout before the first linear layer (times drop); last_p = .1, or a list,
--   before the others. head_bias = false: linear layers without biases, as fastai 2 has them (fastai 1: with).
--   bptt: a text longer than that is read in pieces of bptt tokens, the state carried and cut off from the gradient
--   between them, and only pieces that begin at most max_len (20 bptt) tokens before the text's end are
--   pooled. Without bptt a text is read and differentiated whole. fastai's are 72 and 1440. What a text gets does not
--   depend on the others of its batch: in fastai 2.8.12 it does where the longest is no multiple of bptt (tests/golden/awd.py).
--   ngrams = 0: runs of up to so many tokens that a linear model beside the network reads (kooka.nn.ngram_linear), hashed into
--   buckets = 2^20 rows; 0: none. Each of the two sides is trained on its own loss: trained on the loss of their sum, what the one
--   knows by heart the other does not learn.
--   mix = {weights = {network's, n-grams'}, bias = {K numbers}}: the answer is the sum of both sides by their weights, plus the bias;
--   by default the mean (of logits: the geometric mean of their probabilities). Held-out rows tell better ones: kooka.ensemble.stack.
--   alpha, beta = 0: activation penalties of the pooled states (fastai adds them with 2 and 1); padding counts as zeros.
--   Raises for an option that the class does not have (kooka.nn.settings), and for a mix of other sizes.
function pooled.new(class, o, outputs)
  local self = module.new(class)
  local stream = o.stream or core.random("init", o.seed)
  local e = { embed_p = .05, input_p = .4, hidden_p = .3, weight_p = .5, stream = stream }
  for k, v in pairs(settings.part("encoder", o)) do e[k] = v end
  self.bptt, self.alpha, self.beta = o.bptt, o.alpha or 0, o.beta or 0
  self.max_len = o.bptt and (o.max_len or 20 * o.bptt)
  self:add("encoder", awd_lstm(e))
  local widths, last_p = { 3 * self.encoder.config.embed }, as_list(o.last_p or .1)
  table.move(as_list(o.head or 50), 1, #as_list(o.head or 50), 2, widths)
  widths[#widths + 1] = outputs
  self.head_p = { settings.dropout(class.__name, o, "head_p", .4) }
  for i = 1, #widths - 1 do
    self.head_p[i] = self.head_p[i] or last_p[i - 1] or last_p[#last_p]
    self:add("norm" .. i, batch_norm { features = widths[i] })
    self:add("linear" .. i, linear { inputs = widths[i], outputs = widths[i + 1], bias = o.head_bias, stream = stream })
  end
  if (o.ngrams or 0) > 0 then
    self:add("wide", ngram_linear { ngrams = o.ngrams, buckets = o.buckets, outputs = outputs })
    self:set_mix(o.mix or { weights = { .5, .5 } })
  elseif o.mix then error(class.__name .. ": mix weighs the network and the n-grams: it needs ngrams", 3) end
  return self
end

-- Tokens from `at` + 1 of the rows that have any, with what is left of their lengths, and whether some row pools them.
local function piece(self, ids, n, at)
  local steps, rows, lens = math.min(self.bptt, ids:shape(1) - at), 0, {}
  for b = 1, #n do
    if n[b] <= at then break end
    rows, lens[b] = b, math.min(n[b] - at, steps)
  end
  return ids:narrow(1, at + 1, steps):narrow(2, 1, rows):contiguous(), core.tensor(lens, "int32"), rows
end

local function first_rows(state, rows)
  local out = {}
  for i, s in ipairs(state) do
    out[i] = {}
    for name, t in pairs(s) do out[i][name] = t:narrow(1, 1, rows) end
  end
  return out
end

local function detached(state)
  local out = {}
  for i, s in ipairs(state) do
    out[i] = {}
    for name, t in pairs(s) do out[i][name] = t:detach() end
  end
  return out
end

-- Where the first pooled piece of a text of n tokens begins.
local function begin(self, n) return math.max(0, (n - self.max_len + self.bptt - 1) // self.bptt * self.bptt) end

-- States of all pieces that some row pools, [T',B,E], the lengths in them and, of each row, the steps that are not pooled.
local function in_pieces(self, ids, n)
  local from, parts, state = math.huge, {}, nil
  for b = 1, #n do from = math.min(from, begin(self, n[b])) end
  for at = 0, from - 1, self.bptt do
    local scope <close> = core.scope()                  -- before anything is pooled: only the state goes on
    local x, lens, rows = piece(self, ids, n, at)
    local _, new = self.encoder(x, state and first_rows(state, rows), lens)
    state = self.encoder:carry(new)
  end
  for at = from, n[1] - 1, self.bptt do
    local x, lens, rows = piece(self, ids, n, at)
    local h, new = self.encoder(x, state and first_rows(state, rows), lens)
    state = detached(new)
    if rows < #n then h = core.cat({ h, core.zeros(h:shape(1), #n - rows, h:shape(3)) }, 2) end
    parts[#parts + 1] = h
  end
  local lens, skip = {}, {}
  for b = 1, #n do lens[b], skip[b] = n[b] - from, begin(self, n[b]) - from end
  return #parts == 1 and parts[1] or core.cat(parts, 1), core.tensor(lens, "int32"), core.tensor(skip, "int32")
end

--- model:pool(ids [T,B], lens [B] or nil) -> pooled states [B,3E], states [T',B,E]
-- lens: from long to short. The states are those that were looked at: all steps, or the pieces that some text pools.
function Pooled:pool(ids, lens)
  if not self.bptt or ids:shape(1) <= self.bptt then
    local h = self.encoder(ids, nil, lens)
    return core.concat_pool(h, lens), h
  end
  local n = lens and lens:tolist() or {}
  if not lens then
    for b = 1, ids:shape(2) do n[b] = ids:shape(1) end
  end
  local h, steps, skip = in_pieces(self, ids, n)
  return core.concat_pool(h, steps, skip), h
end

--- model:head(pooled [B,3E]) -> outputs [B,K]
-- Of each layer: batch norm, dropout, linear; a ReLU between layers.
function Pooled:head(x)
  local last = #self.head_p
  for i, p in ipairs(self.head_p) do
    x = self["norm" .. i](x)
    if self.training and p > 0 then x = core.dropout(x, { p = p }) end
    x = self["linear" .. i](x)
    if i < last then x = core.relu(x) end
  end
  return x
end

--- model:sides(ids [T,B], lens [B]) -> list of what the head's last layer and the n-grams' model give [B,K], penalty or nil
-- penalty: of the activations.
function Pooled:sides(ids, lens)
  local x, h = self:pool(ids, lens)
  local penalty
  if self.training and (self.alpha > 0 or self.beta > 0) then
    penalty = core.activation_penalty(h, h, { alpha = self.alpha, beta = self.beta })
  end
  return { self:head(x), self.wide and self.wide(ids, lens) }, penalty
end

local function finite(list, n, low)
  if type(list) ~= "table" or #list ~= n then return false end
  for _, x in ipairs(list) do
    if type(x) ~= "number" or not (x >= low and x > -math.huge and x < math.huge) then return false end
  end
  return true
end

--- model:set_mix{weights = {network's, n-grams'}, bias = {K numbers} or nil}
-- How its two sides are added from now on. Raises for other sizes, for a weight below 0 and for what is no finite number.
function Pooled:set_mix(mix)
  local outputs = self.wide.bias:shape(1)
  if type(mix) ~= "table" or not finite(mix.weights, 2, 0) or mix.bias and not finite(mix.bias, outputs, -math.huge) then
    error(("%s: mix: expected weights, 2 numbers of 0 or more, and a bias of %d numbers or none"):format(getmetatable(self).__name,
      outputs), 3)
  end
  self.mix = { weights = mix.weights, bias = mix.bias and core.tensor(mix.bias):keep() }
end

local function mixed(self, sides)
  if not sides[2] then return sides[1] end
  local weights, bias = self.mix.weights, self.mix.bias
  local y = sides[1] * weights[1] + sides[2] * weights[2]
  return bias and y + bias or y
end

--- model:raw(ids [T,B], lens [B]) -> its sides, mixed [B,K]
function Pooled:raw(ids, lens) return mixed(self, (self:sides(ids, lens))) end

--- model:loss_of(sides, penalty or nil, of) -> loss, stats
-- of(x [B,K]) -> loss, stats. In training the loss is the mean of the sides' losses, else that of their mix; the stats are always
-- of the mix.
function Pooled:loss_of(sides, penalty, of)
  local loss, stats = of(mixed(self, sides))
  if self.training and sides[2] then loss = ((of(sides[1])) + (of(sides[2]))) * .5 end
  return penalty and loss + penalty or loss, stats
end

--- model:groups() -> layer groups: embedding, each layer, head
function Pooled:groups()
  local groups, head = self.encoder:groups(), self.wide and self.wide:parameters() or {}
  for i = 1, #self.head_p do
    for _, name in ipairs { "norm" .. i, "linear" .. i } do
      for _, p in ipairs(self[name]:parameters()) do head[#head + 1] = p end
    end
  end
  for _, p in ipairs(self.own) do head[#head + 1] = p.tensor end
  groups[#groups + 1] = head
  return groups
end

--- pooled.bounded(x, range) -> x, or with range = {lo, hi} lo + (hi - lo) sigmoid(x)
function pooled.bounded(x, range)
  return range and core.sigmoid(x) * (range[2] - range[1]) + range[1] or x
end

--- pooled.check_range(who, range) -> range
function pooled.check_range(who, range)
  if range and not (type(range) == "table" and tonumber(range[1]) and tonumber(range[2]) and range[1] < range[2]) then
    error(who .. ": range: expected {low, high}, low below high", 3)
  end
  return range
end

return pooled
