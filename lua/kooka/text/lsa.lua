--- lsa: texts as short dense rows: TF-IDF in the subspace of its strongest directions (latent semantic analysis; Deerwester et al. 1990).
local check_options = require "kooka.options"
local core = require "kooka.core"

local lsa = {}

-- Products here decide features: float32 whatever the run uses.
local function exact()
  local before = core.precision()
  core.precision "float32"
  return setmetatable({}, { __close = function() core.precision(before) end })
end

-- Columns of v made orthonormal: v (v'v)^(-1/2). Directions that are not there (fewer texts than dims) become 0.
local function orthonormal(v)
  local w, u = core.eigh(core.matmul_tn(v, v))
  local list, most = w:tolist(), 0
  for _, x in ipairs(list) do most = math.max(most, x) end
  for i, x in ipairs(list) do list[i] = x > 1e-7 * most and 1 / math.sqrt(x) or 0 end
  return core.matmul(v, core.matmul(u * core.tensor(list), u:t():contiguous()))
end

--- lsa.fit(texts, {dims = 100, min_df = by count, ngrams = 2, rounds = 5, seed = 1}) -> x [N,dims], about | nil, message, code
-- Rows of TF-IDF times an orthonormal basis of (nearly) their strongest `dims` right singular directions, found by
-- subspace iteration (Halko, Martinsson & Tropp 2011, algorithm 4.4). Distances and a ridge-penalised head see the
-- same as after an SVD: they do not depend on the basis. No label is used. min_df: 1 below 500 texts, 2 below 5000,
-- else 3. dims are at most texts and terms. x is kept. about: {texts, terms, dims, kept = share of the rows' squared
-- length that the subspace holds, text}.
function lsa.fit(texts, options)
  local o = options or {}
  check_options("lsa.fit", o, { dims = true, min_df = true, ngrams = true, rounds = true, seed = true })
  local least = o.min_df or #texts < 500 and 1 or #texts < 5000 and 2 or 3
  local tfidf <close>, message, code = core.tfidf.fit(texts, { min_df = least, ngrams = o.ngrams or 2 })
  if not tfidf then return nil, message, code end
  local n, terms = tfidf:shape()
  local dims = math.max(1, math.min(o.dims or 100, n, terms))
  local _ <close> = exact()
  local scope <close> = core.scope()
  local v = orthonormal(core.randn(terms, dims, core.random("lsa", o.seed or 1)))
  for _ = 1, o.rounds or 5 do v = orthonormal(tfidf:transposed_times(tfidf:times(v))) end
  local x = tfidf:times(v):keep()
  local kept = core.square(x):sum():item() / n
  return x, { texts = n, terms = terms, dims = dims, kept = kept,
    text = ("TF-IDF of %d words and word pairs in at least %d texts, reduced to %d directions that hold %.0f %% of it"):format(terms,
      least, dims, 100 * kept) }
end

--- lsa.pca(x [N,D], dims) -> x [N,dims], share of the variance that is kept
-- Dense rows on their strongest principal directions, centred; those of at most `dims` columns as they are. Kept.
function lsa.pca(x, dims)
  local n, d = x:shape(1), x:shape(2)
  if d <= dims then return x, 1 end
  local _ <close> = exact()
  local scope <close> = core.scope()
  local c = x - x:mean(1):reshape(1, d)
  local w, u = core.eigh(core.matmul_tn(c, c) * (1 / n))
  local sum, kept, values = 0, 0, w:tolist()
  for i, v in ipairs(values) do
    sum = sum + math.max(0, v)
    if i > d - dims then kept = kept + math.max(0, v) end
  end
  return core.matmul(c, u:narrow(2, d - dims + 1, dims):contiguous()):keep(), sum > 0 and kept / sum or 1
end

return lsa
