--- kooka.baseline.neighbours: what the most similar texts were, the baseline that knows jokes by their pattern.
-- Nearest neighbours with weights (Dudani 1976; the kernel regression of Nadaraya 1964 and Watson 1964): with s the cosine of two
-- texts' tf-idf of runs of characters, over the k most similar texts j of the training side,
--   p = (sum_j w_j s_j^power t_j + near^power prior) / (sum_j w_j s_j^power + near^power),
-- t the class (or share of votes), w the weight of a text, near = .2: beside them one text of that similarity says the prior. Alone it
-- is behind linear models; it errs where they do not, so it brings a stack more than another of them.
local core = require "kooka.core"
local check_options = require "kooka.options"

local neighbours = {}

local NEAR = .2

local Model = {}
Model.__index = Model
Model.__name = "kooka.neighbours_model"

function Model.__tostring(m)
  local n, terms = m.tfidf:shape()
  return ("the nearest %d of %d texts by %d terms"):format(m.k, n, terms)
end

-- What each text says: a list of C columns of numbers 0..1. Labels are a list or an int32 tensor.
local function targets_of(opts, classes)
  local n, given = #opts.texts, opts.shares or opts.labels
  if opts.shares and classes ~= 2 then error(("neighbours.fit: shares are of two classes, not %d"):format(classes), 3) end
  local list, columns = type(given) == "userdata" and given:tolist() or given, {}
  if type(list) ~= "table" or #list ~= n then
    error(("neighbours.fit: %d %s for %d texts"):format(type(list) == "table" and #list or 0, opts.shares and "shares" or "labels", n), 3)
  end
  for c = 1, classes do columns[c] = {} end
  for i, v in ipairs(list) do
    if opts.shares then
      if type(v) ~= "number" or not (v >= 0 and v <= 1) then
        error(("neighbours.fit: share %d is %s, expected 0..1"):format(i, tostring(v)), 3)
      end
      columns[1][i], columns[2][i] = 1 - v, v
    else
      if math.type(v) ~= "integer" or v < 1 or v > classes then
        error(("neighbours.fit: label %d is %s, expected a class 1..%d"):format(i, tostring(v), classes), 3)
      end
      for c = 1, classes do columns[c][i] = c == v and 1 or 0 end
    end
  end
  return columns
end

-- How much each text counts: 1 where nothing is said.
local function weights_of(opts)
  local list = type(opts.weights) == "userdata" and opts.weights:tolist() or opts.weights
  if not list then
    list = {}
    for i = 1, #opts.texts do list[i] = 1 end
  end
  if #list ~= #opts.texts then error(("neighbours.fit: %d weights for %d texts"):format(#list, #opts.texts), 3) end
  for i, w in ipairs(list) do
    if type(w) ~= "number" or not (w >= 0 and w < math.huge) then
      error(("neighbours.fit: weight %d is %s, expected 0 or more"):format(i, tostring(w)), 3)
    end
  end
  return list
end

--- fit{texts =, labels =, classes = nil, k = 100, power = 4, ...} -> model | nil, message, code
-- labels: a list (or int32 tensor) with the class of each text, from 1. Without classes they are 1 and 2, and the model answers the
-- probability of 2; with classes, how many there are, one for each. shares: how much of each text, 0..1, is of class 2; labels are
-- then not asked. weights: how much each text counts, 0 or more. k: how many neighbours are asked; power: how much more the nearest
-- of them say. Terms as in kooka.baseline.nbsvm: tokens = "characters", ngrams = 5, min_df = 2 texts, max_df = .9 of them,
-- sublinear = true.
function neighbours.fit(opts)
  if type(opts) ~= "table" or type(opts.texts) ~= "table" or opts.labels == nil and not opts.shares then
    error("neighbours.fit: expected a table with texts and labels, or shares", 2)
  end
  check_options("neighbours.fit", opts, { texts = true, labels = true, shares = true, weights = true,
    classes = { "integer", min = 2 }, k = { "integer", min = 1 }, power = { "number", min = 0 },
    tokens = true, ngrams = true, min_df = true, max_df = true, sublinear = true })
  local classes = opts.classes or 2
  local m = setmetatable({ classes = opts.classes, k = math.min(opts.k or 100, math.max(1, #opts.texts)), power = opts.power or 4,
    columns = targets_of(opts, classes), weights = weights_of(opts), prior = {} }, Model)
  local total = 0
  for _, w in ipairs(m.weights) do total = total + w end
  for c, column in ipairs(m.columns) do
    local sum = 0
    for i, t in ipairs(column) do sum = sum + t * m.weights[i] end
    m.prior[c] = total > 0 and sum / total or 1 / classes
  end
  local message, code
  m.tfidf, message, code = core.tfidf.fit(opts.texts, { tokens = opts.tokens or "characters", ngrams = opts.ngrams or 5,
    min_df = opts.min_df or 2, max_df = opts.max_df or .9, sublinear = opts.sublinear })
  if not m.tfidf then return nil, message, code end
  return m
end

-- Sums of a text's neighbours: what they say of each class, by weight and similarity.
local function answer(m, rows, cosines)
  local prior = NEAR ^ m.power
  local total, said = prior, {}
  for c, p in ipairs(m.prior) do said[c] = prior * p end
  for j, row in ipairs(rows) do
    if row == 0 then break end
    local w = cosines[j] ^ m.power * m.weights[row]
    total = total + w
    for c, column in ipairs(m.columns) do said[c] = said[c] + w * column[row] end
  end
  for c, v in ipairs(said) do said[c] = v / total end
  return said
end

--- model:predict(texts) -> list of probabilities of class 2, or of lists of class probabilities | nil, message, "format"
function Model:predict(texts)
  local rows, cosines, code = self.tfidf:nearest(texts, self.k)
  if not rows then return nil, cosines, code end
  local out, r, s = {}, rows:tolist(), cosines:tolist()
  for i, row in ipairs(r) do
    local said = answer(self, row, s[i])
    out[i] = self.classes and said or said[2]
  end
  return out
end

return neighbours
