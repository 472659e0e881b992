--- kooka.baseline.nbsvm: NB-SVM on words and word pairs, the baseline to beat.
-- Wang and Manning 2012 with the settings of the HAHA 2019 entry's notebook: tf-idf of 1- and 2-grams in at
-- least 3 texts and at most 90 % of them, no accents, 1 + ln(count), times the log-count ratio of the classes;
-- logistic regression with C = 4. Accuracy on HAHA 2019 there: 0.837, sd 0.006 over 30 splits; test F1 0.7548.
local core = require "kooka.core"

local nbsvm = {}

local Model = {}
Model.__index = Model
Model.__name = "kooka.nbsvm_model"

function Model.__tostring(model) return ("%s with %d terms"):format(model.name, model.core:size()) end

--- fit{texts =, labels =, ngrams = 2, min_df = 3, max_df = .9, c = 4, ...} -> model | nil, message, code
-- labels: a list (or int32 tensor) of 1 and 2, one for each text; 2 is the positive class. Further options:
-- sublinear = true, tokens = "signs" (punctuation counts), "words" or "characters" (ngrams then counts characters), nb = true
-- (false: plain logistic regression), tolerance = 1e-4, seed = 1. Raw texts serve best: the baseline does its own tokens.
function nbsvm.fit(opts)
  if type(opts) ~= "table" or type(opts.texts) ~= "table" or opts.labels == nil then
    error("nbsvm.fit: expected a table with texts and labels", 2)
  end
  local rest = {}
  for name, value in pairs(opts) do
    if name ~= "texts" and name ~= "labels" then rest[name] = value end
  end
  local model, message, code = core.nbsvm.fit(opts.texts, opts.labels, rest)
  if not model then return nil, message, code end
  return setmetatable({ core = model, name = opts.nb == false and "logistic regression" or "NB-SVM" }, Model)
end

--- model:predict(texts) -> list of probabilities of class 2 | nil, message, "format"
function Model:predict(texts) return self.core:predict(texts) end

--- model:top([n = 20]) -> for_class_2, for_class_1
-- Two lists of {term=, weight=}: what speaks most for either class.
function Model:top(n) return self.core:top(n) end

return nbsvm
