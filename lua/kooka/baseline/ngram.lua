--- kooka.baseline.ngram: interpolated modified Kneser-Ney (Chen & Goodman 1998), the language model to beat.
-- Counts of all n-grams in one trie. An n-gram reaches back to the last boundary token (the end of the text before, or the
-- beginning of this one) and not beyond it; the boundary itself is predicted like any token. Below the highest order an n-gram
-- counts by the different tokens that precede it, except where it begins with the boundary. Every order is interpolated with the
-- one below, the lowest with 1/vocabulary. Penn Treebank, order 5: 2.3 million n-grams, 5 s, 0.6 GB while counting; perplexity
-- of the test part 141.19 (148.28 for order 3), where 141.2 is published (Mikolov & Zweig 2012).
local check_options = require "kooka.options"
local progress = require "kooka.progress"

local ngram = {}

local Model = {}
Model.__index = Model
Model.__name = "kooka.ngram_model"

function Model.__tostring(m) return ("Kneser-Ney of order %d: %d n-grams of %d tokens"):format(m.order, m.nodes, m.vocab) end

-- The trie: node `parent` and token w -> key parent * (vocab + 1) + w in `child`. Node 1 is the root.
local function count(corpus, order, boundary)
  local step = corpus:vocab() + 1
  local child, parent, depth, raw, before, from_boundary = {}, { 0 }, { 0 }, { 0 }, { 0 }, { false }
  local nodes, history, length = 1, { 1 }, 0         -- history[k + 1]: node of the last k tokens, k = 0..length
  local top = order - 1
  local function node_of(at, w)
    local key = at * step + w
    local node = child[key]
    if node then return node, false end
    nodes = nodes + 1
    child[key], parent[nodes], depth[nodes], raw[nodes], before[nodes] = nodes, at, depth[at] + 1, 0, 0
    from_boundary[nodes] = from_boundary[at] or (at == 1 and w == boundary)
    return nodes, true
  end
  if boundary and top > 0 then history[2], length = node_of(1, boundary), 1 end
  local bar = progress.new { label = "n-grams", total = #corpus, unit = "text" }
  for i = 1, #corpus do
    for _, w in ipairs(corpus:doc(i):tolist()) do
      local below, moved = nil, { 1 }
      for k = 0, length do
        local node, fresh = node_of(history[k + 1], w)
        raw[node] = raw[node] + 1
        if fresh and below then before[below] = before[below] + 1 end
        below = node
        if k < top then moved[k + 2] = node end
      end
      if w == boundary then
        if top > 0 then history, length = { 1, moved[2] }, 1 end
      else
        history, length = moved, math.min(length + 1, top)
      end
    end
    bar:step()
  end
  bar:close()
  return { child = child, parent = parent, depth = depth, raw = raw, before = before, from_boundary = from_boundary, nodes = nodes,
    step = step }
end

-- A node of depth 1 is the event after nothing: it counts by what precedes it, boundary or not.
local function effective(t, order)
  local a = {}
  for node = 2, t.nodes do
    local d = t.depth[node]
    local whole = d == order or (d > 1 and t.from_boundary[node])
    a[node] = whole and t.raw[node] or t.before[node]
  end
  return a
end

-- Discounts of one order from how many of its n-grams count 1, 2, 3 and 4; those of few n-grams are not to be trusted.
local function discounts(n)
  if n[1] == 0 or n[2] == 0 or n[3] == 0 or n[4] == 0 then return { .5, 1, 1.5 } end
  local y = n[1] / (n[1] + 2 * n[2])
  local d = {}
  for k = 1, 3 do d[k] = math.max(0, math.min(k, k - (k + 1) * y * n[k + 1] / n[k])) end
  return d
end

--- fit{corpus =, order = 5, boundary = nil} -> model
-- corpus: kooka.corpus. boundary: id of the token that stands between texts (eos, or bos), nil: n-grams reach over all.
function ngram.fit(o)
  check_options("ngram.fit", o, { corpus = true, order = true, boundary = true })
  if type(o) ~= "table" or not o.corpus then error("ngram.fit: expected a table with a corpus", 2) end
  local order = o.order or 5
  if math.type(order) ~= "integer" or order < 1 or order > 9 then
    error(("ngram.fit: order is %s, expected 1..9"):format(tostring(order)), 2)
  end
  local t = count(o.corpus, order, o.boundary)
  local a, seen = effective(t, order), {}
  for k = 1, order do seen[k] = { 0, 0, 0, 0 } end
  for node = 2, t.nodes do
    local c, d = a[node], t.depth[node]
    if c >= 1 and c <= 4 then seen[d][c] = seen[d][c] + 1 end
  end
  local discount = {}
  for k = 1, order do discount[k] = discounts(seen[k]) end
  local total, spare = {}, {}             -- of a context: its counts, and what its discounts take away
  for node = 2, t.nodes do
    local c, at = a[node], t.parent[node]
    if c > 0 then
      local d = discount[t.depth[node]][math.min(c, 3)]
      total[at], spare[at] = (total[at] or 0) + c, (spare[at] or 0) + d
    end
  end
  return setmetatable({ order = order, boundary = o.boundary, vocab = t.step - 1, child = t.child, step = t.step, count = a,
    depth = t.depth, total = total, spare = spare, discount = discount, nodes = t.nodes }, Model)
end

-- P(w | the last 0..length tokens), from the shortest history up; moved receives the next history.
local function prob(m, history, length, w, moved)
  local p, top = 1 / m.vocab, m.order - 1
  local nodes = 0
  for k = 0, length do
    local at = history[k + 1]
    local node = m.child[at * m.step + w]
    local total = m.total[at]
    if total then
      local c = node and m.count[node] or 0
      local kept = c > 0 and c - m.discount[k + 1][math.min(c, 3)] or 0
      p = (kept + m.spare[at] * p) / total
    end
    if node and k < top and nodes == k then
      moved[k + 2], nodes = node, k + 1
    end
  end
  return p, nodes
end

-- Nodes of the longest known suffix of `known` (a list of tokens, oldest first), at most order - 1 tokens.
local function context(m, known)
  local out, length = { 1 }, 0
  for k = 1, math.min(#known, m.order - 1) do
    local at = 1
    for i = #known - k + 1, #known do
      at = m.child[at * m.step + known[i]]
      if not at then return out, length end
    end
    out[k + 1], length = at, k
  end
  return out, length
end

--- model:prob(ids, w) -> probability of token w behind the tokens ids (oldest first)
function Model:prob(ids, w)
  local history, length = context(self, ids)
  return (prob(self, history, length, w, {}))
end

--- model:score(corpus) -> nll, tokens
-- Two lists, one entry a document: the sum of -log p of its tokens in nats, and how many they are.
function Model:score(corpus)
  local nll, tokens, recent = {}, {}, { self.boundary }
  local top = self.order - 1
  local history, length = context(self, recent)
  for i = 1, #corpus do
    local sum, ids = 0, corpus:doc(i):tolist()
    for _, w in ipairs(ids) do
      local moved = { 1 }
      local p, known = prob(self, history, length, w, moved)
      sum = sum - math.log(p)
      if w == self.boundary then
        history, length = context(self, { w })
      else
        history, length = moved, math.min(known, top)
      end
    end
    nll[i], tokens[i] = sum, #ids
  end
  return nll, tokens
end

return ngram
