--- check: whether a text that somebody else made of a training text is worth having: not itself, not torn, and of the same label.
local check_options = require "kooka.options"
local leaks = require "kooka.data.leaks"

local check = {}

local function length(text)
  local _, n = text:gsub("%S+", "")
  return n
end

--- check.fault(source, text, ratio) -> why, or nil
-- ratio: so many times longer or shorter, in words, is torn.
function check.fault(source, text, ratio)
  if not text:find("%S") then return "empty" end
  if leaks.normalise(text) == leaks.normalise(source) then return "like its source" end
  local a, b = length(source), length(text)
  if b > ratio * a + 2 or a > ratio * b + 2 then return "torn (too short or too long)" end
  return nil
end

local function best(row)
  if type(row) ~= "table" then return row end
  row = row.prob or row
  local class = 1
  for c = 2, #row do
    if row[c] > row[class] then class = c end
  end
  return class
end

--- check.judge{model= or labels=, against="source"} -> judge or nil
-- model: a kooka.model classifier (trained without the held-out side); labels: a function(texts) -> list of labels.
-- against: "source": the new text must get the label that its source gets; "label": the label that its source has.
function check.judge(o)
  if not o then return nil end
  check_options("augment: check", o, { model = true, labels = true, against = true })
  local against = o.against or "source"
  if against ~= "source" and against ~= "label" then
    error(("augment: check: against is '%s', expected source or label"):format(tostring(against)), 3)
  end
  local labels = o.labels
  if o.model then
    labels = function(texts)
      local out = {}
      for i, row in ipairs(o.model:predict(texts, { bar = false })) do out[i] = best(row) end
      return out
    end
  end
  if type(labels) ~= "function" then error("augment: check: expected model or a function labels", 3) end
  return { labels = labels, against = against }
end

--- check.agree(judge, sources, texts, labels) -> list of booleans
-- labels: of the sources.
function check.agree(judge, sources, texts, labels)
  local want, got, out = labels, judge.labels(texts), {}
  if judge.against == "source" then want = judge.labels(sources) end
  for i in ipairs(texts) do out[i] = got[i] == want[i] end
  return out
end

return check
