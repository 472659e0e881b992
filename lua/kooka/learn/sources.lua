--- sources: batch makers (kooka.data.batches) as what the learner eats: steps() and epoch(e, from).
local sources = {}

local Source = {}
Source.__index = Source

--- source:steps() -> steps, items (tokens or documents)
function Source:steps() return self.maker:steps() end

--- source:epoch(e[, from]) -> iterator of step, batch
function Source:epoch(e, from)
  local next_item, shape = self.maker:epoch(e, from), self.shape
  return function()
    local step, a, b, c, d = next_item()
    if step then return step, shape(a, b, c, d) end
  end
end

--- sources.lm(maker) -> source of {x=, y=}, whose state is carried from step to step
function sources.lm(maker)
  return setmetatable({ maker = maker, unit = "tok", carries = true,
    shape = function(x, y) return { x = x, y = y, n = x:numel() } end }, Source)
end

--- sources.classes(maker[, targets]) -> source of {x=, lens=, y= or soft=, places=}
-- targets, by document: an int32 tensor [N] of class labels from 1, or a float32 tensor [N,C] of class shares.
function sources.classes(maker, targets)
  local field = targets and (targets:ndim() == 2 and "soft" or "y")
  return setmetatable({ maker = maker, unit = "doc",
    shape = function(x, lens, rows, places)
      local batch = { x = x, lens = lens, places = places, n = lens:numel() }
      if field then batch[field] = targets:index_select(rows) end
      return batch
    end }, Source)
end

return sources
