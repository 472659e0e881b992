--- kooka.baseline.nbsvm: NB-SVM on words and word pairs, the baseline to beat.
-- Wang and Manning 2012 with the settings of the HAHA 2019 entry's notebook: tf-idf of 1- and 2-grams in at
-- least 3 texts and at most 90 % of them, no accents, 1 + ln(count), times the log-count ratio of the classes;
-- logistic regression with C = 4. Accuracy on HAHA 2019 there: 0.837, sd 0.006 over 30 splits; test F1 0.7548.
local core = require "kooka.core"

local nbsvm = {}

local Model = {}
Model.__index = Model
Model.__name = "kooka.nbsvm_model"

function Model.__tostring(m)
  if not m.core then return ("%s that has seen class %d only"):format(m.name, m.only) end
  return ("%s with %d terms%s"):format(m.name, m.core:size(), m.classes and (", %d classes"):format(m.classes) or "")
end

-- The one class of all the texts; nil where there are several.
local function only_class(labels, classes)
  local first = labels[1]
  if math.type(first) ~= "integer" or first < 1 or first > classes then return nil end
  for _, y in ipairs(labels) do
    if y ~= first then return nil end
  end
  return first
end

--- fit{texts =, labels =, classes = nil, ngrams = 2, min_df = 3, max_df = .9, c = 4, ...} -> model | nil, message, code
-- labels: a list (or int32 tensor) with the class of each text, from 1. Without classes they are 1 and 2, and the model answers
-- the probability of 2, the positive class. With classes, how many there are, it answers one for each: beyond two each class is
-- told from the rest, and the probabilities are divided by their sum, which ranks the classes and is as well calibrated as the
-- single models are, not better; a class without a text gets 0. weights: how much each text counts, 0 or more. shares: how much
-- of each text, 0..1, is of class 2 (of its votes, say); labels are then not asked. Further options: sublinear = true, tokens =
-- "signs" (punctuation counts), "words", "characters" (of words in lower case; ngrams then counts characters) or "cased characters"
-- (of the text as it stands), nb = true (false: plain logistic regression), tolerance = 1e-4, seed = 1. Raw texts serve best: the
-- baseline does its own tokens.
function nbsvm.fit(opts)
  if type(opts) ~= "table" or type(opts.texts) ~= "table" or opts.labels == nil and not opts.shares then
    error("nbsvm.fit: expected a table with texts and labels, or shares", 2)
  end
  local rest, m = {}, setmetatable({ classes = opts.classes, name = opts.nb == false and "logistic regression" or "NB-SVM" }, Model)
  for name, value in pairs(opts) do
    if name ~= "texts" and name ~= "labels" then rest[name] = value end
  end
  if not opts.shares and math.type(m.classes) == "integer" and m.classes >= 2 and #opts.texts == #opts.labels then
    m.only = only_class(type(opts.labels) == "userdata" and opts.labels:tolist() or opts.labels, m.classes)
    if m.only then return m end
  end
  local message, code
  m.core, message, code = core.nbsvm.fit(opts.texts, opts.labels, rest)
  if not m.core then return nil, message, code end
  return m
end

local function normalized(row)
  local sum = 0
  for _, v in ipairs(row) do sum = sum + v end
  for c, v in ipairs(row) do row[c] = v / sum end
  return row
end

--- model:predict(texts) -> list of probabilities of class 2, or of lists of class probabilities | nil, message, "format"
function Model:predict(texts)
  local out, message, code = {}, nil, nil
  if self.core then out, message, code = self.core:predict(texts) end
  if not out then return nil, message, code end
  if not self.classes then return out end
  for i = 1, #texts do
    if self.only then
      out[i] = {}
      for c = 1, self.classes do out[i][c] = c == self.only and 1 or 0 end
    else
      out[i] = self.classes == 2 and { 1 - out[i], out[i] } or normalized(out[i])
    end
  end
  return out
end

--- model:top([n = 20 [, class]]) -> for_it, against_it
-- Two lists of {term=, weight=}: what speaks most for and against class 2; of more than two classes, `class`.
function Model:top(n, class)
  if not self.core then return {}, {} end
  return self.core:top(n, class)
end

return nbsvm
