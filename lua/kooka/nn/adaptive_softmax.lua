--- adaptive_softmax: frequent words at once, rare ones in clusters (Grave, Joulin, Cisse, Grangier & Jegou 2017).
local core = require "kooka.core"
local module = require "kooka.nn.module"

local AdaptiveSoftmax = module.class "adaptive_softmax"

local function checked(o)
  local cutoffs, last = {}, 0
  for i, c in ipairs(o.cutoffs or {}) do
    if math.type(c) ~= "integer" or c <= last or c >= o.classes then
      error(("adaptive_softmax: cutoffs must be whole numbers that rise, from 1 to %d; number %d is %s")
        :format(o.classes - 1, i, c), 3)
    end
    cutoffs[i], last = c, c
  end
  if #cutoffs < 1 or #cutoffs > 10 then error(("adaptive_softmax: %d cutoffs, expected 1 to 10"):format(#cutoffs), 3) end
  cutoffs[#cutoffs + 1] = o.classes
  return cutoffs
end

--- adaptive_softmax{inputs=, classes=, cutoffs=, div=4, tied=nil, stream=} -> layer
-- Classes come in order of falling frequency. The head knows classes 1 .. cutoffs[1] and one entry a cluster; cluster i
-- holds classes cutoffs[i]+1 .. cutoffs[i+1] (the last up to `classes`), its inputs projected down to inputs / div^i:
-- p(class) = p(cluster) p(class in cluster). The cost of a rare word is paid for rare words only. tied = {weight [V,D],
-- bias [V]}: the classes' weights are those rows (an embedding), without projection; only the clusters' entries are own.
local function adaptive_softmax(o)
  local self = module.new(AdaptiveSoftmax)
  local stream, D = o.stream or core.random("init", o.seed), o.inputs
  local function uniform(rows, columns)
    local bound = 1 / math.sqrt(columns)
    return stream:fill_uniform(core.zeros(rows, columns), -bound, bound)
  end
  self.inputs, self.cutoffs, self.tied = D, checked(o), o.tied
  self.short, self.clusters = self.cutoffs[1], #self.cutoffs - 1
  if self.tied then
    self:parameter("weight", uniform(self.clusters, D))
    self:parameter("bias", core.zeros(self.clusters))
  else
    self:parameter("weight", uniform(self.short + self.clusters, D))
    self:parameter("bias", core.zeros(self.short + self.clusters))
    for i = 1, self.clusters do
      local narrow, size = math.max(1, math.floor(D / (o.div or 4) ^ i)), self.cutoffs[i + 1] - self.cutoffs[i]
      self:parameter("down" .. i, uniform(narrow, D))
      self:parameter("weight" .. i, uniform(size, narrow))
      self:parameter("bias" .. i, core.zeros(size))
    end
  end
  local route = { 0 }                       -- class c at c + 1: its place in the head; 0 (ignored) stays 0
  for c = 1, self.short do route[c + 1] = c end
  for i = 1, self.clusters do
    for c = self.cutoffs[i] + 1, self.cutoffs[i + 1] do route[c + 1] = self.short + i end
  end
  self.route = core.tensor(route, "int32"):keep()
  return self
end

local function head(self)
  if not self.tied then return self.weight, self.bias end
  local weight, bias = self.tied.weight:narrow(1, 1, self.short), self.tied.bias:narrow(1, 1, self.short)
  return core.cat(weight, self.weight), core.cat(bias, self.bias)
end

-- What cluster i's classes are scored with: inputs, weights, bias.
local function tail(self, i, x)
  if not self.tied then return core.linear(x, self["down" .. i]), self["weight" .. i], self["bias" .. i] end
  local first, size = self.cutoffs[i] + 1, self.cutoffs[i + 1] - self.cutoffs[i]
  return x, self.tied.weight:narrow(1, first, size), self.tied.bias:narrow(1, first, size)
end

--- layer:loss(x [...,D], y [...]) -> loss, stats [3]
-- loss: the mean of -log p over targets that are not 0. stats: sum of -log p, targets counted, hits of the greedy
-- guess: the best entry of the head and, where that is a cluster, its best class (not always the most probable of all).
function AdaptiveSoftmax:loss(x, y)
  x, y = x:reshape(-1, self.inputs), y:reshape(-1)
  local w, b = head(self)
  local loss, stats, _, hit = core.linear_cross_entropy(x, w, b, core.index_select(self.route, y + 1))
  local sums = stats:tolist()
  local nll, counted, hits = sums[1], sums[2], sums[3]
  for i = 1, self.clusters do
    local rows = core.nonzero(core.logical_and(y:gt(self.cutoffs[i]), y:le(self.cutoffs[i + 1]))):reshape(-1)
    local n = rows:shape(1)
    if n > 0 then
      local h, wi, bi = tail(self, i, core.index_select(x, rows))
      local within = core.index_select(y, rows) - self.cutoffs[i]
      local part, part_stats, _, part_hit = core.linear_cross_entropy(h, wi, bi, within)
      local found = core.index_select(hit, rows)
      loss = loss + part * (n / counted)
      nll = nll + part_stats:tolist()[1]
      hits = hits - found:sum():item() + core.logical_and(found, part_hit):sum():item()
    end
  end
  return loss, core.tensor { nll, counted, hits }
end

--- layer:log_prob(x [...,D]) -> log p [...,V] of every class
function AdaptiveSoftmax:log_prob(x)
  local first = core.log_softmax(core.linear(x, head(self)))
  local parts = { first:narrow(-1, 1, self.short) }
  for i = 1, self.clusters do
    parts[i + 1] = core.log_softmax(core.linear(tail(self, i, x))) + first:narrow(-1, self.short + i, 1)
  end
  parts[#parts + 1] = { dim = -1 }
  return core.cat(table.unpack(parts))
end

--- layer(x) -> log p [...,V]
function AdaptiveSoftmax:forward(x) return self:log_prob(x) end

return adaptive_softmax
