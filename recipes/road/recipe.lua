--- road: the whole road, from collecting messages over HTTP to one head a person and a report that says for whom it works.
--
-- --source generated (the demo): a community made by kooka.community is served on 127.0.0.1 in X API v2's shapes, with paging, rate
-- limits, a 429 and a 500, and collected as X would be. Its true tastes are known, so the report can say how close to the best possible
-- everything is. --source csv|archive|x: the same road for a person's own data.
-- Method: SQLite store -> SentencePiece -> AWD-LSTM language model on all messages -> fine-tuned on the rated ones -> general classifier,
-- trained without the messages of a fold -> a logistic head a person, shrunk toward the general one.
local kooka = require "kooka"
local archive = require "kooka.collect.archive"
local community = require "kooka.community"
local csv = require "kooka.data.csv"
local eval = require "kooka.eval"
local likes = require "kooka.data.likes"
local personal = require "kooka.personal"
local plot = require "kooka.plot"
local report = require "kooka.report"
local tables = require "kooka.table"
local tweets = require "kooka.store.tweets"
local ulmfit = require "kooka.ulmfit"
local x = require "kooka.collect.x"

-- ---- collecting

local function collect_over_http(run, p, client, store, people)
  local bar = run:progress { label = "collect", total = #people, unit = "person" }
  local totals = kooka.try(client:collect_people(store, people, { budget = p.budget > 0 and p.budget or nil,
    on_page = function(s) bar:note(("%s: %d posts"):format(s.name, s.items)) end }))
  bar:at(#people)
  bar:close()
  run:say("collected from %d people: %d posts, %d seen again and kept once; %d requests, %.1f s of waiting for limits and after errors",
    totals.people, totals.new, totals.duplicates, totals.requests, totals.waited)
end

-- Every page is kept with its place in one transaction: a killed run goes on behind the last one.
local function collect(run, p)
  local store <close> = kooka.try(tweets.open(run:path("collected.sqlite")))
  local function waiting(seconds, why) run:say("waiting %.1f s: %s", seconds, why) end
  if p.source == "generated" then
    local server = kooka.try(community.start { users = p.users, messages = p.messages, seed = run.seed })
    local _ <close> = setmetatable({}, { __close = server.stop })
    local client = kooka.try(x.client { base_url = server.url, token = server.token, on_wait = waiting })
    kooka.try(client:members(store, server.list))
    local ids = {}
    for i, person in ipairs(kooka.try(store:people())) do ids[i] = person.id end
    collect_over_http(run, p, client, store, ids)
  elseif p.source == "x" then
    if p.people == "" then error("--source x needs --people NAME,NAME,... (and a token in X_BEARER_TOKEN)", 0) end
    local client = kooka.try(x.client { on_wait = waiting })
    local ids = {}
    for handle in p.people:gmatch("[^,%s]+") do ids[#ids + 1] = kooka.try(client:user(store, handle)).id end
    collect_over_http(run, p, client, store, ids)
  elseif p.source == "archive" then
    local got = kooka.try(archive.import(store, p.data))
    run:say("archive: %d posts, %d likes", got.posts, got.likes)
  end
  return kooka.try(store:counts())
end

-- ---- from what was collected to rows of (person, text)

local function from_store(run)
  local store <close> = kooka.try(tweets.open(run.dir .. "/collected.sqlite", { readonly = true }))
  local d = { name = "collected", positive = "a like", users = {}, items = {}, labels = {}, text_of = {}, texts = {}, posts = {} }
  local at, ids = {}, {}
  local function text(id, words)
    if not at[id] then
      at[id] = #d.texts + 1
      d.texts[at[id]], ids[at[id]] = words, id
    end
    return at[id]
  end
  local names = {}
  for _, person in ipairs(kooka.try(store:people())) do names[person.id] = person.handle and "@" .. person.handle end
  for i, row in ipairs(kooka.try(store:likes())) do
    d.users[i], d.items[i], d.labels[i], d.text_of[i] = names[row.person] or row.person, row.item, row.label + 1, text(row.item, row.text)
  end
  local funny, n = {}, 0
  for i, post in ipairs(kooka.try(store:posts())) do
    d.posts[i] = post.text
    local label = community.funny_of(post)
    if label and at[post.id] then funny[at[post.id]], n = label + 1, n + 1 end
  end
  if n == #d.texts then d.general = { labels = funny } end
  return d, ids
end

local function read(run, p)
  if p.source == "csv" then
    local d = kooka.try(likes.read(p.data))
    d.posts = d.texts
    return d
  end
  local d, ids = from_store(run)
  if p.source == "archive" then
    if p.others == "" then
      error("an archive says what you liked, not what you saw and did not like: give such messages with --others FILE.csv (a column text)", 0)
    end
    local t = kooka.try(csv.read(p.others, { columns = { "text" } }))
    for i, words in ipairs(t.text) do
      local n = #d.labels + 1
      d.texts[#d.texts + 1] = words
      d.users[n], d.items[n], d.labels[n], d.text_of[n] = d.users[1] or "me", "other-" .. i, 1, #d.texts
    end
  end
  return d, ids
end

-- What is known of a generated community: P(like) of each row, P(funny) of each text.
local function truth(run, p, d, ids)
  if p.source ~= "generated" then return nil end
  local c = community.generate { users = p.users, messages = p.messages, seed = run.seed }
  local known, by, funny, rows, texts = community.truth(c), {}, {}, {}, {}
  for _, user in ipairs(c.users) do by["@" .. user.handle] = known[user.id] end
  for _, post in ipairs(c.posts) do funny[post.id] = post.prob_funny end
  for i, user in ipairs(d.users) do rows[i] = by[user][d.items[i]] end
  for i, id in ipairs(ids) do texts[i] = funny[id] end
  return rows, texts
end

-- ---- the general model

local SHOWN = { "f1", "precision", "recall", "accuracy", "mcc", "average_precision", "log_loss" }

-- Scores of the general classifier over all folds, beside the baseline and, where the truth is known, the best possible.
local function tell_general(run, p, d, folds, funny)
  if not d.general or d.general.shares then return nil end
  local prob, labels, best = {}, {}, {}
  for _, f in ipairs(folds) do
    for i, row in ipairs(f.rows) do
      prob[#prob + 1], labels[#labels + 1] = f.prob[i], d.general.labels[row]
      if funny then best[#best + 1] = funny[row] end
    end
  end
  local options = { seed = p.seed, resamples = 500 }
  local ours, ideal = eval.binary(prob, labels, options), funny and eval.binary(best, labels, options)
  local columns, rows = { "general classifier", "out of fold", "baseline" }, {}
  if ideal then columns[4] = "true probabilities" end
  for i, name in ipairs(SHOWN) do
    run:metric("general_" .. name, ours[name])
    rows[i] = { name, tables.metric(ours[name]), ours[name].baseline and ("%.3f"):format(ours[name].baseline) or "-",
      ideal and ("%.3f"):format(ideal[name].value) or nil }
  end
  run:say("%s", tables.text { columns = columns, rows = rows })
  return { columns = columns, rows = rows, prob = prob, labels = labels }
end

local function page_of(run, told, d, general, people, plain, history)
  local page = report.new { title = "The road", first_line = told }
  page:text(("%d ratings by %d persons of %d messages; the language model read %d messages without any label."):format(#d.labels,
    likes.count(d.users), #d.texts, #d.posts))
  if general then
    page:section "The general classifier"
    page:table { columns = general.columns, rows = general.rows }
    page:svg(plot.svg.calibration { prob = general.prob, label = general.labels })
  end
  personal.show(page, people, plain)
  page:section "The language model"
  local rows = {}
  for i, h in ipairs(history) do
    rows[i] = { h.label, h.epoch, ("%.3f"):format(h.train_loss), h.valid_loss and ("%.1f"):format(math.exp(h.valid_loss)) or "-" }
  end
  page:table { columns = { "stage", "epoch", "training loss", "perplexity of a piece" }, rows = rows }
  kooka.try(page:write(run:path("report.html")))
end

return {
  name = "road",
  about = "The whole road: collect over HTTP, language model, general classifier, one head a person, an honest report",
  params = personal.params(ulmfit.params({
    vocab = 1200, cell = "lstm", embed = 64, hidden = 128, layers = 2, lm_epochs = 4, lm_lr = 1e-2, lm_batch = 16,
    bptt = 35, epochs = 3, lr = 5e-3, drop = .3, smoothing = 0, batch = 32
  }, {
    source = { default = "generated", choices = { "generated", "csv", "archive", "x" },
      help = "generated: a community served on this machine; csv: a file of likes; archive: an unpacked X archive; x: the X API" },
    data = { default = "", help = "csv: file or folder as for the recipe likes; archive: its folder" },
    others = { default = "", help = "archive: CSV with a column text, messages that were seen and not liked" },
    people = { default = "", help = "x: names of the people, with commas" },
    budget = { default = 0, min = 0, help = "x: read at most so many posts (0: no limit); a post costs money there" },
    users = { default = 40, min = 4, max = 10000, help = "generated: people" },
    messages = { default = 100, min = 10, max = 10000, help = "generated: messages each writes, and is shown" },
    min = { default = 30, min = 4, help = "rated messages a person must have to be judged" },
    folds = { default = 3, min = 2, max = 20, help = "folds by message" },
    components = { default = 24, min = 0, max = 4096, help = "main directions of the encoder's states that a head sees (0: all)" },
    tune_epochs = { default = 1, min = 0, max = 100, help = "epochs of its fine-tuning on the rated messages" },
    resamples = { default = 300, min = 100, max = 100000, help = "bootstrap resamples of a person's interval" },
  })),
  quick = { users = 16, lm_epochs = 2, epochs = 2 },
  smoke = { users = 8, messages = 40, min = 20, folds = 2, components = 8, vocab = 300, embed = 16, hidden = 24, lm_epochs = 1, epochs = 1,
    resamples = 100 },
  run = function(p, run)
    p.seed = run.seed
    personal.rungs(p.rungs)
    if p.data == "" and (p.source == "csv" or p.source == "archive") then
      error(("--source %s needs --data PATH"):format(p.source), 0)
    end
    local generated = p.source == "generated"
    local told = generated and "This community is GENERATED: nobody in it is real, and everybody's true taste is known."
      or ("Messages and likes from %s."):format(p.source == "x" and "X" or p.data)
    run:say("%s", told)
    if p.source ~= "csv" then run:stage("collect", function() return collect(run, p) end) end
    local d, ids = read(run, p)
    if p.source == "csv" then run:data(p.data) end
    if p.source == "archive" then run:data(p.data, { only = "%.js$" }) end      -- not the pictures and films
    if p.source == "archive" then run:data(p.others) end
    if #d.labels == 0 then error("no likes were collected: nothing to learn from", 0) end
    personal.need(d, p.min)
    local rows_truth, texts_truth = truth(run, p, d, ids)
    local tok = ulmfit.tokenizer(run, d.posts, { vocab = p.vocab })
    local function lm(name, texts, epochs, from)
      local cut = math.max(1, #texts // 20)
      return ulmfit.language_model(run, tok, { name = name, from = from, epochs = epochs, lr = from and p.lm_lr / 4 or p.lm_lr,
        texts = table.move(texts, cut + 1, #texts, 1, {}), valid = table.move(texts, 1, cut, 1, {}),
        cell = p.cell, embed = p.embed, hidden = p.hidden, layers = p.layers,
        drop = p.drop, batch = p.lm_batch, bptt = p.bptt, seed = p.seed })
    end
    local file, history = lm("language-model", d.posts, p.lm_epochs)
    if p.tune_epochs > 0 then
      local more
      file, more = lm("fine-tune", d.texts, p.tune_epochs, file)
      table.move(more, 1, #more, #history + 1, history)
    end
    local results, folds = personal.heads(run, tok, file, d, p)
    personal.write_predictions(run, d, results.map)
    local judged_truth
    if rows_truth then
      judged_truth = {}
      for i, at in ipairs(d.judged) do judged_truth[i] = rows_truth[at] end
    end
    local general = tell_general(run, p, d, folds, texts_truth)
    local people, plain = personal.tell(run, results, { truth = judged_truth, seed = p.seed, resamples = p.resamples })
    page_of(run, told, d, general, people, plain, history)
    if generated then run:say("%s", told) end
    run:say("report: %s", run:path("report.html"))
  end,
}
