--- users.network_rows: which rows a network is trained on and which it judges, and batches of them; for kooka.users.network.
-- A job has text_of, labels, ids, fold [N], per (persons), shared, seed, model, corpus, batch, and prefix with pieces or nil.
local core = require "kooka.core"

local rows_of = {}

local function append(t, key, value)
  t[key] = t[key] or {}
  table.insert(t[key], value)
end

--- rows_of.parts(job, held) -> list of {rows = list, is = set}
-- What is judged together. held: set of texts, or nil for all. Of networks of one person all rows that are judged. A network that several
-- persons share must not have read ANYBODY's label of a text it judges, as the general model has not: it judges the rows of texts that
-- are held and learns from those of the others. Where nothing is held it judges a fold at a time.
function rows_of.parts(job, held)
  local parts = {}
  for i, t in ipairs(job.text_of) do
    local key = job.shared and not held and job.fold[i] or 1
    parts[key] = parts[key] or { rows = {}, is = {} }
    if not held or held[t] then
      table.insert(parts[key].rows, i)
      parts[key].is[i] = true
    end
  end
  local list = {}
  for _, part in pairs(parts) do list[#list + 1] = part end
  table.sort(list, function(a, b) return (a.rows[1] or 0) < (b.rows[1] or 0) end)
  return list
end

--- rows_of.beside(job, part) -> list of rows
-- Those of the texts that the part does not judge.
function rows_of.beside(job, part)
  local judged, out = {}, {}
  for _, i in ipairs(part.rows) do judged[job.text_of[i]] = true end
  for i, t in ipairs(job.text_of) do
    if not judged[t] then out[#out + 1] = i end
  end
  return out
end

--- rows_of.by_person(job, rows) -> table person -> list of his rows
function rows_of.by_person(job, rows)
  local by = {}
  for _, i in ipairs(rows) do append(by, job.ids[i], i) end
  return by
end

--- rows_of.fits(job, part) -> list of {user=, fold=, train=, judge=}
-- One for each person of two classes and each of his folds with rows to judge, where there is any row outside the fold to train on.
function rows_of.fits(job, part)
  local list = {}
  for k, u in ipairs(job.per) do
    local judge, top = {}, 0
    for _, i in ipairs(u.rows) do
      if part.is[i] then append(judge, job.fold[i], i) end
      top = math.max(top, job.fold[i])
    end
    for f = 1, u.one_class and 0 or top do
      local train = {}
      for _, i in ipairs(judge[f] and u.rows or {}) do
        if job.fold[i] ~= f then train[#train + 1] = i end
      end
      if #train > 0 then list[#list + 1] = { user = k, fold = f, train = train, judge = judge[f] } end
    end
  end
  return list
end

--- rows_of.source(job, rows[, train]) -> source for kooka.users.tuner
-- Batches of rows: their texts with their labels, behind their persons' pieces where job.prefix has them.
function rows_of.source(job, rows, train)
  local docs, y, who = {}, {}, {}
  for j, i in ipairs(rows) do docs[j], y[j], who[j] = job.text_of[i], job.labels[i], job.ids[i] end
  local inner = job.model:source(job.corpus, nil, { rows = docs, batch = train and job.batch or 64, train = train, seed = job.seed })
  local labels, persons = core.tensor(y, "int32"), core.tensor(who, "int32")
  local source = {}
  function source.steps() return (inner:steps()) end
  function source.epoch(_, e)
    local next_item = inner:epoch(e)
    return function()
      local k, b = next_item()
      if not k then return nil end
      b.y = labels:index_select(b.places)
      if job.prefix then
        local own = job.prefix:index_select(persons:index_select(b.places))            -- [B,pieces]
        b.x, b.lens = core.cat({ own:t():contiguous(), b.x }, { dim = 1 }), b.lens + job.pieces
      end
      return k, b
    end
  end
  return source
end

return rows_of
