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

--- sources.classes(maker[, labels]) -> source of {x=, lens=, y=, places=}
-- labels: int32 tensor of class labels from 1, by document.
function sources.classes(maker, labels)
  return setmetatable({ maker = maker, unit = "doc",
    shape = function(x, lens, rows, places)
      return { x = x, lens = lens, y = labels and labels:index_select(rows), rows = rows, places = places, n = lens:numel() }
    end }, Source)
end

return sources
