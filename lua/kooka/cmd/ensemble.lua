--- ensemble: kooka ensemble: the predictions of several runs become one, scored out of fold.
local ensemble = require "kooka.ensemble"
local files = require "kooka.ensemble.files"
local progress = require "kooka.progress"
local runs = require "kooka.runs"
local sys = require("kooka.core").sys

local command = { about = "combine the predictions of several runs, scored out of fold" }

command.usage = [[
usage: kooka ensemble RUN RUN ... [--method mean|logit|stack] [--out DIR] [--json]
RUN: the folder of a run, a piece of its id, or a csv of held-out predictions (NAME_oof.csv)

  --method M          mean of probabilities (default), mean of logits, or stack: logistic regression on the members'
                      logits, its weights for a fold found on the other folds
  --weights A,B,...   for mean and logit: one a member, in order
  --nonnegative       stack: no weight below 0
  --l2 X              stack: strength that pulls weights to equal ones (default 1)
  --metric NAME       f1 (default), accuracy, mcc, ...; cuts for it are chosen on the other folds
  --labels FILE[:COLUMN]  the true labels, a csv with the column id; default: a column label of the predictions, or
                      the csv of the runs' own data
  --no-nbsvm          leave NB-SVM out: it joins by default where the predictions have its columns (nbsvm_...) or the
                      texts are at hand (the csv with the labels has a column text)
  --common            keep the rows that all runs have, instead of stopping where one lacks some
  --task NAME         which predictions, where a run has several (default: each in turn)
  --resamples N       of the bootstrap intervals (1000)
  --seed N            of the bootstrap (1)
  --out DIR           default runs/<date>-ensemble-...; predictions/NAME_oof.csv and NAME.csv have the runs' columns
exit status: 0 done, 1 failed, 2 wrong usage
]]

local FLAGS = { json = true, nonnegative = true, ["no-nbsvm"] = true, common = true, help = true }
local VALUES = { method = true, weights = true, l2 = true, metric = true, labels = true, task = true, resamples = true, seed = true,
  out = true }

local function refuse(message)
  io.stderr:write("kooka ensemble: ", message, "\n")
  return 2
end

local function failed(message)
  io.stderr:write("kooka ensemble: ", message, "\n")
  return 1
end

local function option_names()
  local out = {}
  for _, set in ipairs { FLAGS, VALUES } do
    for name in pairs(set) do out[#out + 1] = "--" .. name end
  end
  table.sort(out)
  return out
end

local function parse(args)
  local words, o, i = {}, {}, 1
  while args[i] do
    local word = args[i]
    local name, inline = word:match("^%-%-([%w-]+)=(.*)$")
    name = name or word:match("^%-%-([%w-]+)$") or word == "-h" and "help"
    if not name and word:find("^%-") then return nil, ("unknown option %s"):format(word) end
    if not name then words[#words + 1] = word
    elseif FLAGS[name] and not inline then o[name] = true
    elseif VALUES[name] then
      if not inline then
        i = i + 1
        inline = args[i]
      end
      if not inline then return nil, ("option --%s wants a value"):format(name) end
      o[name] = inline
    else
      return nil, ("unknown option --%s%s"):format(name, require("kooka.nearest").hint("--" .. name, option_names()))
    end
    i = i + 1
  end
  return words, o
end

local function number(o, name, low)
  if not o[name] then return nil end
  local v = tonumber(o[name])
  if not v or v < low then return nil, ("option --%s is %s, expected a number of %g or more"):format(name, o[name], low) end
  return v
end

local function weights_of(text, n)
  local out = {}
  for piece in text:gmatch("[^,]+") do
    out[#out + 1] = tonumber(piece)
    if not out[#out] or out[#out] < 0 then return nil, ("option --weights: %s is no number of 0 or more"):format(piece) end
  end
  if #out ~= n then return nil, ("option --weights: %d weights for %d runs"):format(#out, n) end
  return out
end

-- The folders and files that the words name, each once.
local function places_of(words)
  local paths, seen = {}, {}
  for i, word in ipairs(words) do
    local path, message = word, nil
    if not word:find("%.csv$") then path, message = runs.find(word) end
    if not path then return nil, message end
    local place = sys.realpath(path) or path
    if seen[place] then
      return nil, ("%s and %s are the same: each run counts once (--weights A,B,... gives one more weight)"):format(seen[place], word)
    end
    paths[i], seen[place] = path, word
  end
  return paths
end

-- The task asked for; else those that every run has predictions of, or nil where files are named, or a run has one only.
local function tasks_of(paths, o)
  if o.task then return { o.task } end
  local count, out, first = {}, {}, nil
  for _, path in ipairs(paths) do
    if path:find("%.csv$") then return { false } end
    local found = files.tasks(path)
    first = first or found
    for _, task in ipairs(found) do count[task] = (count[task] or 0) + 1 end
  end
  for _, task in ipairs(first) do
    if count[task] == #paths then out[#out + 1] = task end
  end
  return #out > 1 and out or { false }
end

local function read_members(paths, task)
  local members = {}
  for i, path in ipairs(paths) do
    local message
    members[i], message = files.read(path, { task = task or nil })
    if not members[i] then return nil, message end
    if members[i].task ~= members[1].task then
      return nil, ("%s predicts %s, %s predicts %s"):format(members[i].name, members[i].task, members[1].name, members[1].task)
    end
  end
  return members
end

-- NB-SVM as the first run's files have it, or in its folds; not where there is no text, or more than two classes.
local function add_nbsvm(members, truth, say)
  local first = members[1]
  if first.nbsvm and (first.nbsvm_test or not first.test) then
    members[#members + 1] = { name = "NB-SVM", prob = first.nbsvm, fold = first.fold, test = first.nbsvm_test }
    return
  end
  if not truth.texts or not members[1].fold or type(members[1].prob[1]) == "table" then return end
  if members[1].test and not truth.test_texts then
    say("NB-SVM stays out: the texts of the new rows were not found")
    return
  end
  local m, message = ensemble.nbsvm_member { texts = truth.texts, labels = truth.labels, folds = members[1].fold,
    test = truth.test_texts }
  if not m then
    say("NB-SVM stays out: %s", message)
    return
  end
  members[#members + 1] = m
end

local function data_of(r)
  local scores = {}
  for i, s in ipairs(r.scores) do
    scores[i] = { name = s.name, metric = s.metric, tuned = s.tuned, log_loss = s.log_loss, other = s.other, weight = r.weights[i] }
  end
  return { method = r.method, metric = r.metric, n = r.n, scores = scores, weights = r.weights, bias = r.bias,
    against = { best = r.names[r.best], difference = r.against.difference, verdict = r.against.verdict, text = r.against.text },
    cut = r.cut and { cut = r.cut.cut, spread = r.cut.spread, value = r.cut.value, at_half = r.cut.at_half, flattered = r.cut.flattered },
    notes = r.notes }
end

local function write_report(run, results)
  local report = require "kooka.report"
  local page = report.new { title = "Ensemble", first_line = #results == 1 and results[1].against.text or ("%d tasks"):format(#results) }
  for _, r in ipairs(results) do
    local columns, rows = r:table()
    page:section(#results == 1 and "Members and ensemble" or r.task)
    page:table { columns = columns, rows = rows, caption = ("%s of %d held-out rows"):format(r.metric, r.n) }
    page:pre(tostring(r))
  end
  local ok, message = page:write(run:path "report.html")
  if not ok then error(message, 0) end
end

local function combine(run, members, truth, o, settings, prefix)
  local unlabelled = members[1].labels == nil
  for _, m in ipairs(members) do if unlabelled then m.labels = nil end end
  local r = ensemble.combine { members = members, labels = truth.labels, method = o.method or "mean", weights = settings.weights,
    nonnegative = o.nonnegative, l2 = settings.l2, metric = o.metric, resamples = settings.resamples, seed = run.seed }
  r.task = members[1].task
  run:say("%s%s", prefix == "" and "" or r.task .. "\n", tostring(r))
  local paths, message = files.write(run.dir .. "/predictions", r.task, r, members)
  if not paths then error(message, 0) end
  for _, path in ipairs(paths) do run:path(path:sub(#run.dir + 2)) end
  run:say("written: %s", table.concat(paths, ", "))
  local last = r.scores[#r.scores]
  run:metric(prefix .. r.metric, last.tuned or last.metric)
  run:metric(prefix .. "log_loss", last.log_loss)
  if r.against.difference then run:metric(prefix .. r.metric .. "_gain", r.against.difference) end
  return r
end

-- Of one task what ensemble.json holds; of several {tasks = {NAME = ...}}.
local function told_of(results)
  if #results == 1 then return data_of(results[1]) end
  local out = {}
  for _, r in ipairs(results) do out[r.task] = data_of(r) end
  return { tasks = out }
end

local function combine_all(run, list, o, settings)
  local results = {}
  for i, t in ipairs(list) do
    if not o["no-nbsvm"] then add_nbsvm(t.members, t.truth, function(...) run:say(...) end) end
    results[i] = combine(run, t.members, t.truth, o, settings, #list > 1 and t.members[1].task .. "_" or "")
  end
  local ok, message = run:save_json("ensemble.json", told_of(results))
  if not ok then error(message, 0) end
  write_report(run, results)
  return results
end

-- For each task the members in one order, and the truth.
local function prepared(paths, o)
  local list = {}
  for i, task in ipairs(tasks_of(paths, o)) do
    local members, message = read_members(paths, task)
    if not members then return nil, message end
    local ok
    ok, members = pcall(ensemble.align, members, { common = o.common })
    if not ok then return nil, (tostring(members):gsub("^[^\n]-:%d+: ", "")) .. " (--common keeps what all have)" end
    local truth
    truth, message = files.truth(members[1], { labels = o.labels })
    if not truth then return nil, message end
    list[i] = { members = members, truth = truth }
  end
  return list
end

--- run(args) -> exit status
function command.run(args)
  local words, o = parse(args)
  if not words then return refuse(o .. "\n" .. command.usage) end
  if o.help then
    io.write(command.usage)
    return 0
  end
  if #words == 0 then return refuse("which runs?\n" .. command.usage) end
  if o.method and not ({ mean = true, logit = true, stack = true })[o.method] then
    return refuse(("option --method is %s, expected mean, logit or stack"):format(o.method))
  end
  local settings = {}
  for name, low in pairs { l2 = 0, resamples = 1, seed = 0 } do
    local why
    settings[name], why = number(o, name, low)
    if why then return refuse(why) end
    if name ~= "l2" and settings[name] then
      settings[name] = math.tointeger(settings[name])
      if not settings[name] then return refuse(("option --%s is %s, expected an integer"):format(name, o[name])) end
    end
  end
  if o.weights then
    if o.method == "stack" then return refuse("--weights goes with mean and logit: stack finds its own") end
    o["no-nbsvm"] = true                       -- the weights are those of the runs named
    local why
    settings.weights, why = weights_of(o.weights, #words)
    if not settings.weights then return refuse(why) end
  end
  local paths, message = places_of(words)
  if not paths then return failed(message) end
  local list
  list, message = prepared(paths, o)
  if not list then return failed(message) end
  local folders = require("kooka").json.array(paths)
  local run
  run, message = runs.open { recipe = "ensemble", seed = settings.seed or 1, argv = args, out = o.out, quiet = o.json,
    params = { runs = folders, method = o.method or "mean", metric = o.metric, labels = list[1].truth.path, nbsvm = not o["no-nbsvm"] },
    changed = { method = o.method, runs = #words } }
  if not run then return failed(message) end
  local ok, results = xpcall(combine_all, function(err) return err end, run, list, o, settings)
  if not ok then
    local problem = tostring(results):gsub("^[^\n]-:%d+: ", "")
    run:finish("failed", problem)
    return failed(problem)
  end
  run:finish "done"
  if o.json then io.write(require("kooka").json.encode(told_of(results), { pretty = true }), "\n")
  else progress.print("kept in " .. run.dir) end
  return 0
end

return command
