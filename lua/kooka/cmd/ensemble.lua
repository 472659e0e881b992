--- ensemble: kooka ensemble: the predictions of several runs become one, scored out of fold.
local ensemble = require "kooka.ensemble"
local files = require "kooka.ensemble.files"
local progress = require "kooka.progress"
local runs = require "kooka.runs"

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
  --no-nbsvm          leave NB-SVM out: it joins by default where the texts are at hand (the csv with the labels has a
                      column text)
  --common            keep the rows that all runs have, instead of stopping where one lacks some
  --task NAME         which predictions, where a run has several
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

local function read_members(words, o)
  local members = {}
  for i, word in ipairs(words) do
    local path, message = word
    if not word:find("%.csv$") then path, message = runs.find(word) end
    if not path then return nil, message end
    members[i], message = files.read(path, { task = o.task })
    if not members[i] then return nil, message end
    if members[i].task ~= members[1].task then
      return nil, ("%s predicts %s, %s predicts %s"):format(members[i].name, members[i].task, members[1].name, members[1].task)
    end
  end
  return members
end

-- NB-SVM in the folds of the first run; nil where there is no text, or more than two classes.
local function add_nbsvm(members, truth, say)
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

local function write_report(run, r)
  local report = require "kooka.report"
  local page = report.new { title = "Ensemble", first_line = r.against.text }
  local columns, rows = r:table()
  page:section "Members and ensemble"
  page:table { columns = columns, rows = rows, caption = ("%s of %d held-out rows"):format(r.metric, r.n) }
  page:pre(tostring(r))
  local ok, message = page:write(run:path "report.html")
  if not ok then error(message, 0) end
end

local function combine(run, members, truth, o, settings)
  local unlabelled = members[1].labels == nil
  for _, m in ipairs(members) do if unlabelled then m.labels = nil end end
  local r = ensemble.combine { members = members, labels = truth.labels, method = o.method or "mean", weights = settings.weights,
    nonnegative = o.nonnegative, l2 = settings.l2, metric = o.metric, resamples = settings.resamples, seed = run.seed }
  run:say("%s", tostring(r))
  local paths, message = files.write(run.dir .. "/predictions", members[1].task, r, members)
  if not paths then return nil, message end
  run:say("written: %s", table.concat(paths, ", "))
  local last = r.scores[#r.scores]
  run:metric(r.metric, last.tuned or last.metric)
  run:metric("log_loss", last.log_loss)
  if r.against.difference then run:metric(r.metric .. "_gain", r.against.difference) end
  local ok
  ok, message = run:save_json("ensemble.json", data_of(r))
  if not ok then return nil, message end
  write_report(run, r)
  return r
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
  local members, message = read_members(words, o)
  if not members then return failed(message) end
  local ok
  ok, members = pcall(ensemble.align, members, { common = o.common })
  if not ok then return failed((tostring(members):gsub("^[^\n]-:%d+: ", "")) .. " (--common keeps what all have)") end
  local truth
  truth, message = files.truth(members[1], { labels = o.labels })
  if not truth then return failed(message) end
  local folders = require("kooka").json.array({})
  for i, m in ipairs(members) do folders[i] = m.dir or words[i] end
  local run
  run, message = runs.open { recipe = "ensemble", seed = settings.seed or 1, argv = args, out = o.out, quiet = o.json,
    params = { runs = folders, method = o.method or "mean", metric = o.metric, labels = truth.path, nbsvm = not o["no-nbsvm"] },
    changed = { method = o.method, runs = #members } }
  if not run then return failed(message) end
  if not o["no-nbsvm"] then add_nbsvm(members, truth, function(...) run:say(...) end) end
  local r, problem
  ok, r, problem = xpcall(combine, function(err) return err end, run, members, truth, o, settings)
  if not ok or not r then
    problem = ok and problem or (tostring(r):gsub("^[^\n]-:%d+: ", ""))
    run:finish("failed", problem)
    return failed(problem)
  end
  run:finish "done"
  if o.json then io.write(require("kooka").json.encode(data_of(r), { pretty = true }), "\n")
  else progress.print("kept in " .. run.dir) end
  return 0
end

return command
