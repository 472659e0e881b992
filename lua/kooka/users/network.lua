--- users.network: the rungs of the ladder that train the network for a person, on the rows and folds of users.fit, with a result of
-- its form: token, biases, low-rank, everything, reptile (kooka.users.rungs).
local check_options = require "kooka.options"
local core = require "kooka.core"
local fit = require "kooka.users.fit"
local progress = require "kooka.progress"
local rows_of = require "kooka.users.network_rows"
local rungs = require "kooka.users.rungs"
local tuner = require "kooka.users.tuner"

local network = {}

-- part: what is trained (users.tuner); shared: is one network trained on the rows of many persons?
local METHODS = {
  token = { part = "everything", shared = true, epochs = 2, lr = 1e-3, batch = 32 },
  biases = { part = "biases", epochs = 4, lr = 5e-3, batch = 16 },
  ["low-rank"] = { part = "low-rank", epochs = 2, lr = 2e-3, batch = 16 },
  everything = { part = "everything", epochs = 1, lr = 1e-3, batch = 16 },
  reptile = { part = "everything", shared = true, epochs = 1, lr = 1e-3, batch = 16 },
}

local OPTIONS = { model = true, texts = true, text_of = true, labels = true, users = true, fold = true, folds = true, held = true,
  method = true, epochs = true, lr = true, batch = true, rank = true, pieces = true, rounds = true, pace = true, seed = true, label = true }

---- what is asked for ---------------------------------------------------------------------------------

local function number(o, name, default, least, most, whole)
  local v = o[name]
  if v == nil then return default end
  if type(v) ~= "number" or not (v >= least and v <= most) or whole and math.type(v) ~= "integer" then
    error(("users.network: %s is %s, expected %s from %g to %g"):format(name, tostring(v), whole and "an integer" or "a number", least, most), 4)
  end
  return v
end

local function check_model(m)
  if type(m) ~= "table" or not m.network or not m.tokenizer then
    error("users.network: model is missing: a classifier of kooka.model, trained without the labels of the texts that are judged", 4)
  end
  if m:kind() ~= "classifier" or (m.config.classes or 2) ~= 2 then
    error(("users.network: the model is a %s of %d classes, expected a classifier of 2"):format(m:kind(), m.config.classes or 2), 4)
  end
  if m.config.int8 then error("users.network: a model of eight bits cannot be trained", 4) end
end

-- The options, checked, with defaults.
local function settings(o)
  check_options("users.network", o, OPTIONS, 4)
  local known = METHODS[o.method]
  if not known then
    error(("users.network: method is '%s', expected %s"):format(tostring(o.method), rungs.names(function(r) return r.network end)), 3)
  end
  check_model(o.model)
  for _, name in ipairs { "texts", "text_of", "labels", "users" } do
    if type(o[name]) ~= "table" then error(("users.network: %s is missing"):format(name), 3) end
  end
  for _, name in ipairs { "labels", "users", "fold" } do
    if o[name] and #o[name] ~= #o.text_of then
      error(("users.network: %d rows of text_of, %d of %s"):format(#o.text_of, #o[name], name), 3)
    end
  end
  for i, t in ipairs(o.text_of) do
    if not o.texts[t] then error(("users.network: row %d is of text %s, there are %d"):format(i, tostring(t), #o.texts), 3) end
  end
  return { method = o.method, part = known.part, shared = known.shared, seed = o.seed or 1, model = o.model, texts = o.texts,
    text_of = o.text_of, epochs = number(o, "epochs", known.epochs, 0, 1000, true), lr = number(o, "lr", known.lr, 1e-9, 1),
    batch = number(o, "batch", known.batch, 1, 4096, true), rank = number(o, "rank", 4, 1, 4096, true),
    pieces = number(o, "pieces", 5, 1, 100, true), rounds = number(o, "rounds", 3, 0, 1000, true),
    pace = number(o, "pace", .5, 1e-6, 1), label = o.label or "users " .. o.method }
end

---- one after the other -------------------------------------------------------------------------------

-- The ops' stream for one piece of work: of the seed and what it is for, so that a person's bits depend neither on the persons before
-- him nor on where a run was taken up again.
local function draw_from(job, what)
  local digits = core.sys.sha256(("%d %s %s"):format(job.seed, job.method, what)):sub(1, 15)
  core.op_stream():state(math.tointeger("0x" .. digits), 0)
end

local function stream_kept()
  local stream = core.op_stream()
  local seed, count = stream:state()
  return setmetatable({}, { __close = function() stream:state(seed, count) end })
end

local function put(job, rows, prob)
  for j, i in ipairs(rows) do
    job.prob[i] = prob[j]
    job.tuned[i] = true
  end
end

-- A network of his own for each person and fold, from the tuner's start.
local function persons_alone(job, t, part, bar)
  for _, f in ipairs(part.fits) do
    local scope <close> = core.scope()
    t:reset()
    draw_from(job, ("%s %d"):format(tostring(job.names[f.user]), f.fold))
    t:train(rows_of.source(job, f.train, true), job)
    put(job, f.judge, t:predict(rows_of.source(job, f.judge), #f.judge))
    bar:step()
  end
end

-- The start for persons_alone, moved toward where a short fine-tuning takes each of them, person after person in an order drawn for each
-- round; the pace falls in a line to nothing.
local function meta(job, t, part, bar)
  local rows, list = rows_of.by_person(job, part.beside), {}
  for k in ipairs(job.per) do list[#list + 1] = rows[k] and k end
  local total, done = job.rounds * #list, 0
  for round = 1, job.rounds do
    for _, at in ipairs(core.random(("reptile round %d"):format(round), job.seed):shuffle(#list)) do
      local scope <close> = core.scope()
      local k = list[at]
      t:reset()
      draw_from(job, ("%s round %d"):format(tostring(job.names[k]), round))
      t:train(rows_of.source(job, rows[k], true), job)
      t:pull(job.pace * (1 - done / total))
      done = done + 1
      bar:step()
    end
  end
end

-- One network for everybody, who are told apart by their pieces; it knows nobody of whom it has read no row.
local function together(job, t, part, bar)
  local scope <close> = core.scope()
  local read, judge = {}, {}
  for _, i in ipairs(part.beside) do read[job.ids[i]] = true end
  for _, i in ipairs(part.rows) do
    local k = job.ids[i]
    if read[k] and not job.per[k].one_class then judge[#judge + 1] = i end
  end
  if #judge == 0 then return end
  t:reset()
  draw_from(job, "all")
  t:train(rows_of.source(job, part.beside, true), { epochs = job.epochs, lr = job.lr, after = function() bar:step() end })
  put(job, judge, t:predict(rows_of.source(job, judge), #judge))
end

-- [U,pieces]: the pieces of each person, drawn from all but the marks of unknown words, ends and padding.
local function prefix_of(job)
  local tok, vocab, own = job.model.tokenizer, job.model.network.encoder.config.vocab, {}
  local mark = {}
  for _, name in ipairs { "unk", "pad", "bos", "eos" } do mark[tok[name] or 0] = true end
  for k, name in ipairs(job.names) do
    local stream, ids = core.random("pieces of " .. tostring(name), job.seed), {}
    while #ids < job.pieces do
      local id = stream:below(vocab)
      if not mark[id] then ids[#ids + 1] = id end
    end
    own[k] = ids
  end
  return core.tensor(own, "int32")
end

---- the result ----------------------------------------------------------------------------------------

local function logits(prob, text_of)
  local out = {}
  for i, t in ipairs(text_of) do
    local p = math.min(math.max(prob[t], 1e-12), 1 - 1e-12)
    out[i] = math.log(p / (1 - p))
  end
  return out
end

-- The form of users.fit, with the general prediction everywhere; checks labels and users.
local function blank(o, job, general)
  local result = fit.fit { labels = o.labels, users = o.users, method = "global", offset = logits(general, job.text_of), folds = o.folds,
    seed = job.seed }
  result.method, result.heads, result.rank, result.fold, result.global, result.prob = job.method, nil, nil, o.fold or result.fold, {}, {}
  for i, t in ipairs(job.text_of) do result.global[i], result.prob[i] = general[t], general[t] end
  return result
end

-- Persons who were judged and got the general prediction for want of rows to train on.
local function tell_untrained(job, parts)
  local judged, tuned = {}, {}
  for _, part in ipairs(parts) do
    for _, i in ipairs(part.rows) do
      judged[job.ids[i]] = true
      tuned[job.ids[i]] = tuned[job.ids[i]] or job.tuned[i]
    end
  end
  local n = 0
  for k, u in ipairs(job.per) do
    if judged[k] and not tuned[k] and not u.one_class then
      u.message = ("%s: no rows to train on beside those that are judged; the general head is kept"):format(tostring(u.user))
      n = n + 1
    end
  end
  return n
end

local function steps_of(job, parts)
  local n = 0
  for _, part in ipairs(parts) do
    if job.shared then part.beside = rows_of.beside(job, part) end
    if job.method == "token" then
      n = n + job.epochs * -(-#part.beside // job.batch)
    else
      part.fits = rows_of.fits(job, part)
      n = n + #part.fits
      for _ in pairs(rows_of.by_person(job, part.beside or {})) do n = n + job.rounds end
    end
  end
  return n
end

--- network.fit{model=, texts=, text_of=, labels=, users=, method=, fold=nil, held=nil, ...} -> result of users.fit's form
-- model: a classifier of two classes (kooka.model) that has not read the labels of the texts judged, the general model; texts: a list;
-- text_of [N]: the number of each row's text; labels [N] (1 or 2), users [N] as in users.fit. fold [N]: the folds of a users.fit result
-- on the same rows (default: dealt as there, by folds = 5 and seed); held: numbers of the texts to be judged (default: all); rows of
-- others are there to learn from, their prob is the general one. Every row judged is predicted by a network that was not trained on it.
-- method, with what it trains (epochs = 0: nothing), always with Adam from the general network and with batch norm's running statistics:
--   "biases"      his gates', head's and batch norm's biases, by his rows outside the fold (BitFit: Ben Zaken et al., ACL 2022,
--                 arXiv:2106.10199)
--   "low-rank"    W + A B for each recurrent and input matrix, rank = 4, and the last bias (LoRA: Hu et al. 2021, arXiv:2106.09685, eq. 3)
--   "everything"  all weights, lower layers slower, as kooka.ulmfit fine-tunes a classifier
--   "reptile"     the same, from a start of which rounds = 3 passes over the persons have made, pace = .5 falling to 0 (Nichol et al.
--                 2018, arXiv:1803.02999, algorithm 1)
--   "token"       one network for all persons' rows, which reads pieces = 5 random pieces of a person's, always the same, before his texts
--                 (UserIdentifier: Mireshghallah et al., NAACL 2022, arXiv:2110.00135)
-- What token and reptile learn from many persons they learn from texts that are not judged, whoever rated them: of the rows of texts
-- outside `held`, or without `held`, of texts with no row in the fold. epochs, lr, batch: of a person's fine-tuning (token: of the one
-- network). seed: of orders, dropout and pieces; the same seed gives the same bits for any number of threads, and with biases, low-rank
-- and everything a person's rows and folds decide his, whoever else is there. label: of the progress bar.
-- Persons whose rows are of one class, or with no row to train on, keep the general prediction; per[k].message says so.
-- result: prob and global (P(class 2) of each row, not calibrated), fold, users, labels, ids, per, method, as of users.fit, but no heads:
-- the networks are not kept; untrained: the number of persons without rows to train on. The model is afterwards what it was, to the bit,
-- after an error or Ctrl-C (which raises "interrupted") too.
function network.fit(o)
  local job = settings(o)
  local _ <close> = core.sys.stop_hold()               -- the first Ctrl-C ends it behind a step, with the weights put back
  local _ <close> = stream_kept()
  local scope <close> = core.scope()
  local t <close> = tuner.new(job.model.network, job.part, { rank = job.rank, seed = job.seed })
  job.corpus = job.model:encode(job.texts)
  local general = t:predict(job.model:source(job.corpus), #job.texts)
  local result = blank(o, job, general)
  job.fold, job.labels, job.ids, job.names, job.per = result.fold, result.labels, result.ids, result.users, result.per
  job.prob, job.tuned = result.prob, {}
  local held = o.held and {}
  for _, text in ipairs(o.held or {}) do held[text] = true end
  local parts = rows_of.parts(job, held)
  local bar <close> = progress.new { label = job.label, total = steps_of(job, parts), unit = job.method == "token" and "step" or "fit" }
  if job.method == "token" then job.prefix = prefix_of(job) end
  for _, part in ipairs(parts) do
    if job.method == "token" then
      together(job, t, part, bar)
    else
      t:home()
      if job.method == "reptile" then meta(job, t, part, bar) end
      persons_alone(job, t, part, bar)
    end
  end
  result.untrained = tell_untrained(job, parts)
  return result
end

return network
