--- kooka.baseline.nbsvm_classes: NB-SVM for any number of classes, each against the rest.
-- The probabilities of the single models are divided by their sum: that ranks the classes, and is as well calibrated as the
-- single models are, not better. With two classes it is kooka.baseline.nbsvm itself.
local nbsvm = require "kooka.baseline.nbsvm"

local nbsvm_classes = {}

local Model = {}
Model.__index = Model
Model.__name = "kooka.nbsvm_classes_model"

function Model.__tostring(m) return ("NB-SVM of %d classes, each against the rest"):format(m.classes) end

--- fit{texts =, labels =, classes = nil, say = nil, ...} -> model | nil, message, code
-- labels: a list of classes from 1; classes: how many there are (default: the largest label). A class without a text in
-- `texts` gets probability 0. say(line): called behind each class. Other options as in kooka.baseline.nbsvm.fit.
function nbsvm_classes.fit(o)
  if type(o) ~= "table" or type(o.texts) ~= "table" or type(o.labels) ~= "table" then
    error("nbsvm_classes.fit: expected a table with texts and labels", 2)
  end
  if #o.texts ~= #o.labels then
    error(("nbsvm_classes.fit: %d labels for %d texts"):format(#o.labels, #o.texts), 2)
  end
  local classes, count = o.classes or 0, {}
  for i, y in ipairs(o.labels) do
    if math.type(y) ~= "integer" or y < 1 or (o.classes and y > o.classes) then
      error(("nbsvm_classes.fit: label %d is %s, expected a class 1..%s"):format(i, tostring(y), o.classes or "n"), 2)
    end
    classes, count[y] = math.max(classes, y), (count[y] or 0) + 1
  end
  local rest = {}
  for k, v in pairs(o) do
    if k ~= "texts" and k ~= "labels" and k ~= "classes" and k ~= "say" then rest[k] = v end
  end
  rest.texts = o.texts
  local m = setmetatable({ classes = classes, models = {} }, Model)
  local first = classes == 2 and 2 or 1      -- of two classes one model says all
  for c = first, classes do
    if count[c] and count[c] < #o.labels then
      local labels = {}
      for i, y in ipairs(o.labels) do labels[i] = y == c and 2 or 1 end
      rest.labels = labels
      local model, message, code = nbsvm.fit(rest)
      if not model then return nil, message, code end
      m.models[c] = model
    elseif count[c] then
      m.only = c
    end
    if o.say then o.say(("NB-SVM: class %d of %d"):format(c, classes)) end
  end
  if classes == 2 and not m.models[2] then m.only = count[2] and 2 or 1 end
  return m
end

local function constant(n, classes, only)
  local out = {}
  for i = 1, n do
    out[i] = {}
    for c = 1, classes do out[i][c] = c == only and 1 or 0 end
  end
  return out
end

--- model:predict(texts) -> list of lists of class probabilities | nil, message, "format"
function Model:predict(texts)
  local out = constant(#texts, self.classes, self.only)
  for c, model in pairs(self.models) do
    local p, message, code = model:predict(texts)
    if not p then return nil, message, code end
    for i, v in ipairs(p) do out[i][c] = v end
  end
  for _, row in ipairs(out) do
    if self.classes == 2 then
      if not self.only then row[1] = 1 - row[2] end
    else
      local sum = 0
      for _, v in ipairs(row) do sum = sum + v end
      for c, v in ipairs(row) do row[c] = v / sum end
    end
  end
  return out
end

return nbsvm_classes
