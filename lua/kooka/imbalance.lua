--- imbalance: resamplers, each taking the training side of a split and nothing else, so that no copy and no neighbour of a
-- held-out row gets into training. Deterministic by seed; for two classes and for many; counts are always said.
--
--   local r, counts = imbalance.smote(split, labels, { x = features, seed = 1 })
--   fit(r.x, r.labels)                    -- the given training rows first, then the made ones
--   print(counts)                         -- 1: 309 -> 309, 2: 171 -> 309 (138 rows added)
--
-- Options of all: x (tensor [N,D], a row for each label of the data, not only of the training side), seed = 1, say (a function
-- that gets the counts and notes as text; default print, false: silence), classes (the labels that may occur). `to`, of those that change
-- counts: nil: all classes to the largest or to the smallest; {[label] = count}: the others stay; a ratio of smaller to larger.
-- The answer: r.rows (the source row of each, false where it was made), r.labels, r.x, r.parents (int32 [made,2]: the two rows
-- of x between which it lies), r.split and r.train (marked as resampled: resampling again raises), counts.before, counts.after,
-- counts.added, counts.removed, counts.notes (what was done otherwise than asked: a k above the class, one row alone, ...).
--
-- Balanced training data make probabilities that are wrong for the world: calibrate or shift them back, and compare with the
-- plain model and a tuned threshold (van den Goorbergh et al., JAMIA 2022; Elor and Averbuch-Elor, arXiv 2201.08528).
local core = require "kooka.core"
local random = require "kooka.imbalance.random"
local smote = require "kooka.imbalance.smote"
local clean = require "kooka.imbalance.clean"
local balanced = require "kooka.imbalance.batches"

local imbalance = {
  random_over = random.over,
  random_under = random.under,
  weighted = random.weighted,
  batches = balanced.batches,
  smote = smote.over,
  borderline_smote = smote.borderline,
  adasyn = smote.adasyn,
  tomek = clean.tomek,
  enn = clean.enn,
  smote_enn = clean.smote_enn,
  smote_tomek = clean.smote_tomek,
  near_miss = clean.near_miss,
}

--- imbalance.methods: the names of the resamplers that answer features and labels, in the order of the documentation.
imbalance.methods = { "random_over", "random_under", "weighted", "smote", "borderline_smote", "adasyn", "tomek", "enn", "smote_enn",
  "smote_tomek", "near_miss" }

--- neighbours(x, k[, {query =, data =, far = false}]) -> index int32 [M,k], distance [M,k]
-- The exact k nearest (or farthest) rows of x [N,D] by Euclidean distance, equal distances by position; a row is not its own
-- neighbour. query, data: rows to ask for and to choose from, default all; index counts within data.
function imbalance.neighbours(x, k, options)
  local o = options or {}
  require "kooka.options"("neighbours", o, { query = true, data = true, far = true })
  local at, column, value = core.sample.bad(x)
  if at then error(("neighbours: x is %s in row %d, column %d"):format(tostring(value), at, column), 2) end
  return core.sample.near(x, o.query, o.data, k, { others = true, far = o.far })
end

--- interpolate(x, rows, others, gaps) -> tensor [n,D]
-- Row i is row rows[i] of x plus gaps[i] times the way to row others[i]: what the SMOTE family makes, for draws of one's own.
function imbalance.interpolate(x, rows, others, gaps)
  return core.sample.between(x, rows, others, gaps)
end

return imbalance
