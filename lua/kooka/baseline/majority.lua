--- kooka.baseline.majority: answers with the share of each class in the training labels, whatever the text.
-- The floor under every classifier: its accuracy is that of always naming the larger class.
local majority = {}

local Model = {}
Model.__index = Model
Model.__name = "kooka.majority_model"

function Model.__tostring(model)
  return ("majority: class %d, %.1f %% of %d"):format(model.class, 100 * model.shares[model.class], model.n)
end

--- fit{labels =, texts =} -> model
-- labels: a list of classes 1, 2, ...; or an int32 tensor. texts is not looked at. model.class is the most frequent
-- class (the lower one in a tie), model.shares the share of each.
function majority.fit(opts)
  local labels = type(opts) == "table" and opts.labels
  if type(labels) == "userdata" then labels = labels:tolist() end
  if type(labels) ~= "table" or #labels == 0 then error("majority.fit: expected a table with labels", 2) end
  local counts, classes = {}, 2
  for i, class in ipairs(labels) do
    if math.type(class) ~= "integer" or class < 1 then
      error(("majority.fit: label %d is %s, expected a class 1, 2, ..."):format(i, tostring(class)), 2)
    end
    counts[class] = (counts[class] or 0) + 1
    classes = math.max(classes, class)
  end
  local model = setmetatable({ n = #labels, class = 1, shares = {} }, Model)
  for class = 1, classes do
    model.shares[class] = (counts[class] or 0) / #labels
    if model.shares[class] > model.shares[model.class] then model.class = class end
  end
  return model
end

--- model:predict(texts) -> list of probabilities of class 2
-- Its share in the training labels, the same for every text: above 0.5 exactly when class 2 is the larger of two.
function Model:predict(texts)
  local out = {}
  for i = 1, #texts do out[i] = self.shares[2] end
  return out
end

return majority
