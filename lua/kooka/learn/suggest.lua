--- suggest: learning rates read off a range test, as fastai 2.8 does: valley, steep, slide, minimum.
-- Each takes lists of rates and of smoothed losses, of the same length, and answers the suggestion and the index of the
-- point it was read at (0 where it lies between points).
local suggest = {}

--- suggest.valley(lrs, losses) -> lr, index
-- The rate at the middle third of the longest falling subsequence of the losses (ESRI's rule, fastai's default).
function suggest.valley(lrs, losses)
  local n, longest, first, last = #losses, {}, 0, 0       -- first and last count from 0, as the rule was written
  for i = 1, n do longest[i] = 1 end
  for i = 2, n do
    for j = 1, i - 1 do
      if losses[i] < losses[j] and longest[i] < longest[j] + 1 then longest[i] = longest[j] + 1 end
      if longest[last + 1] < longest[i] then
        last = i - 1
        first = last - longest[last + 1]
      end
    end
  end
  local third = (last - first) / 3
  local index = first + third // 1 + third / 2 // 1
  index = math.tointeger(index)
  if index < 0 then index = index + n end                  -- Python's index from the end
  return lrs[index + 1], index + 1
end

local function least(list)
  local k = 1
  for i = 2, #list do
    if list[i] < list[k] then k = i end
  end
  return k
end

--- suggest.steep(lrs, losses) -> lr, index
-- Where the loss falls most steeply over the logarithm of the rate.
function suggest.steep(lrs, losses)
  local slopes = {}
  for i = 1, #losses - 1 do slopes[i] = (losses[i + 1] - losses[i]) / (math.log(lrs[i + 1]) - math.log(lrs[i])) end
  local k = least(slopes)
  return lrs[k], k
end

--- suggest.minimum(lrs, losses) -> lr, index
-- A tenth of the rate with the least loss; index: of that least loss.
function suggest.minimum(lrs, losses)
  local k = least(losses)
  return lrs[k] / 10, k
end

-- Central differences, one-sided at the ends (numpy.gradient).
local function gradient(y)
  local n, g = #y, {}
  for i = 1, n do
    local a, b = math.max(1, i - 1), math.min(n, i + 1)
    g[i] = (y[b] - y[a]) / (b - a)
  end
  return g
end

--- suggest.slide(lrs, losses[, {lr_diff = 15, thresh = .005, adjust = 1}]) -> lr, index
-- An interval of lr_diff points slides from the end to the left as long as the slopes at its ends differ by more than
-- thresh; its left end is the suggestion, times adjust.
function suggest.slide(lrs, losses, o)
  o = o or {}
  local n, diff, thresh = #losses, o.lr_diff or 15, o.thresh or .005
  if n <= diff then error(("suggest.slide: %d points, expected more than lr_diff = %d"):format(n, diff), 2) end
  local g, right, left = gradient(losses), n, n - diff
  local at = left
  while left >= 1 and math.abs(g[right] - g[left]) > thresh do
    at = left
    right, left = right - 1, left - 1
  end
  return lrs[at] * (o.adjust or 1), at
end

return suggest
