--- stats: sums over batches and what they say: loss, perplexity, accuracy, rmse, mae.
-- model:loss answers a vector of sums whose entries model.stats names; the names known here are
--   nll (sum of -log p of the true classes, neither smoothed nor weighted), n (items), hits (top-1),
--   sse and sae (squared and absolute errors), n_score (items that have a score, where fewer than n).
local stats = {}

local USUAL = { "nll", "n", "hits" }

local Sums = {}
Sums.__index = Sums

--- stats.sums(model) -> sums
-- Empty sums with the names of the model (default: nll, n, hits).
function stats.sums(model)
  local names = type(model.stats) == "table" and model.stats or USUAL
  local self = setmetatable({ names = names, values = {}, objective = 0, items = 0 }, Sums)
  for i = 1, #names do self.values[i] = 0 end
  return self
end

--- sums:add(vector, objective, n)
-- vector: a tensor of sums, or nil; objective: the mean that was minimised, of n items.
function Sums:add(vector, objective, n)
  for i, v in ipairs(vector and vector:tolist() or {}) do self.values[i] = (self.values[i] or 0) + v end
  self.objective, self.items = self.objective + objective * n, self.items + n
end

--- sums:result() -> {objective=, loss=, n=, nll=, perplexity=, accuracy=, rmse=, mae=}
-- objective: the mean over items of what was minimised (smoothed, weighted, with penalties); loss: nll/n, the true one,
-- or the objective where there is no nll. What the sums do not say is nil.
function Sums:result()
  local s = {}
  for i, name in ipairs(self.names) do s[name] = self.values[i] end
  local out = { objective = self.objective / self.items, n = s.n or self.items, nll = s.nll }
  out.loss = s.nll and s.nll / s.n or out.objective
  out.perplexity = s.nll and math.exp(out.loss) or nil
  out.accuracy = s.hits and s.hits / s.n or nil
  local scored = s.n_score or s.n
  out.rmse = s.sse and math.sqrt(s.sse / scored) or nil
  out.mae = s.sae and s.sae / scored or nil
  return out
end

--- sums:state() -> plain table, for checkpoints
function Sums:state() return { values = self.values, objective = self.objective, items = self.items } end

--- sums:load_state(table)
function Sums:load_state(state) self.values, self.objective, self.items = state.values, state.objective, state.items end

--- stats.differ(objective, loss) -> boolean
-- Whether what was minimised is not the true loss: then both are worth showing.
function stats.differ(objective, loss)
  if not objective or not loss then return false end
  return math.abs(objective - loss) > 1e-4 * math.max(1e-3, math.abs(loss))
end

return stats
