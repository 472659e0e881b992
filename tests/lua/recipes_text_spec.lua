--- recipes_text_spec: lm, classify and tweeteval run whole on small generated data, and go on where they were cut off.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local sys = kooka.sys

local WORDS = { "the", "bird", "laughs", "at", "every", "joke", "rain", "falls", "on", "grey", "streets", "today", "why", "not", "ever",
  "again", "@user", "#fun", "really", "never" }

-- n texts of `kinds` kinds, told apart by their words, and their kinds from 1.
local function texts_of(n, kinds, seed)
  local stream, texts, labels = kooka.random("generated texts", seed), {}, {}
  for i = 1, n do
    local words, kind = {}, stream:below(kinds) - 1
    for k = 1, 4 + stream:below(9) do
      words[k] = WORDS[stream:uniform() < .6 and (kind * 5 + stream:below(5)) % #WORDS + 1 or stream:below(#WORDS)]
    end
    texts[i], labels[i] = ("%s %d"):format(table.concat(words, " "), i), kind + 1
  end
  return texts, labels
end

local Base = {}                        -- not Test...: no test of its own

function Base:setUp()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  self.dir = helper.folder()
end

function Base:tearDown()
  if self.dir then sys.remove_tree(self.dir) end
end

function Base:write(name, lines)
  local path = self.dir .. "/" .. name
  assert(sys.mkdir_p(path:match("^(.*)/")))
  assert(sys.write_file(path, table.concat(lines, "\n") .. "\n"))
  return path
end

function Base:run(...)
  return helper.run({ "run", ... }, { cwd = self.dir })
end

function Base:read(path) return assert(sys.read_file(self.dir .. "/" .. path)) end
function Base:json(path) return kooka.json.decode(self:read(path)) end

-- The stages after `kept` and what was written at the end are taken away; the run goes on and must end in the same bytes.
function Base:goes_on(out, lost, files)
  local before = {}
  for i, name in ipairs(files) do before[i] = self:read(out .. "/" .. name) end
  for _, name in ipairs(lost) do assert(sys.remove(self.dir .. "/" .. out .. "/" .. name)) end
  local status, said, err = self:run("--resume", out)
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(said, "language-model: done before")
  for i, name in ipairs(files) do lu.assertTrue(self:read(out .. "/" .. name) == before[i], name .. " is not as before") end
end

local function lines_of(text) return select(2, text:gsub("\n", "\n")) end

TestLm = {}
for k, v in pairs(Base) do TestLm[k] = v end

function TestLm:folder()
  for _, split in ipairs { "train", "valid", "test" } do
    local texts = texts_of(split == "train" and 300 or 60, 3, split:byte())
    for i, text in ipairs(texts) do texts[i] = text:gsub("%d+", i % 2 == 0 and "N" or "<unk>") end
    self:write("corpus/toy." .. split .. ".txt", texts)
  end
end

function TestLm:test_words_of_a_folder_beside_n_grams()
  self:folder()
  local status, out, err = self:run("lm", "--smoke", "--data", "corpus", "--lm-epochs", "2", "--out", "o")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "toy.train.txt to train on, toy.valid.txt to validate, toy.test.txt to test. Tokens are words")
  lu.assertStrContains(out, "words: 23, of them <unk> and <eos>")
  local m = self:json "o/metrics.json"
  for _, key in ipairs { "lm", "unigram", "kneser_ney" } do
    local p = m["test_" .. key .. "_perplexity"]
    lu.assertTrue(p.value > 1 and p.low <= p.value and p.value <= p.high, key)
    lu.assertEquals(p.baseline, 23)                        -- a uniform guess
    local bits = m["test_" .. key .. "_bits_per_char"].value
    lu.assertTrue(bits > 0 and bits < 3, key .. " " .. bits)
  end
  lu.assertTrue(m.test_kneser_ney_perplexity.value < m.test_unigram_perplexity.value)
  lu.assertTrue(m.valid_lm_perplexity.value < 23)          -- it learned something
  lu.assertStrContains(self:read "o/report.html", "<svg")
  lu.assertStrContains(out, "from the model")
  local status_of, text, why = helper.run({ "generate", "o/model/lm", "--tokens", "5" }, { cwd = self.dir })
  lu.assertEquals(status_of, 0, why)
  lu.assertTrue(#text > 1)
  lu.assertEquals(self:json("o/model/lm/config.json").tokens, "words")
  self:goes_on("o", { "stages/n-grams.json", "report.html" }, { "metrics.json", "language-model.safetensors", "predictions/stretches.csv" })
end

function TestLm:test_a_neural_cache_is_measured_beside_the_same_stream_without()
  self:folder()
  local status, out, err = self:run("lm", "--smoke", "--data", "corpus", "--cache", "--out", "o")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "chosen on the validation text")
  lu.assertStrContains(out, "with a neural cache")
  local m = self:json "o/metrics.json"
  for _, split in ipairs { "valid", "test" } do
    local with, without = m[split .. "_cache_perplexity"], m[split .. "_stream_perplexity"]
    lu.assertTrue(with.low <= with.value and with.value <= with.high)
    lu.assertTrue(without.value > 1 and math.abs(without.value / m[split .. "_lm_perplexity"].value - 1) < .2)
  end
  lu.assertTrue(m.valid_cache_perplexity.value <= m.valid_stream_perplexity.value)
  local config = self:json "o/config.json"
  lu.assertEquals(#config.data, 3)
end

function TestLm:test_averaged_gradient_descent_and_varying_steps()
  self:folder()
  local status, out, err = self:run("lm", "--smoke", "--data", "corpus", "--lm-epochs", "5", "--optimizer", "asgd", "--nonmono", "1",
    "--lm-lr", "10", "--variable", "merity", "--dropouts", "awd", "--lm-drop", "0.3", "--out", "o")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "asgd at 10")
  lu.assertTrue(self:json("o/metrics.json").test_lm_perplexity.value < 23)
end

function TestLm:test_pieces_of_one_file_are_measured_by_the_character_too()
  self:write("book.txt", (texts_of(200, 3, 1)))
  local status, out, err = self:run("lm", "--smoke", "--data", "book.txt", "--vocab", "120", "--out", "o")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "the last tenth of 200 lines is held out")
  lu.assertStrContains(out, "SentencePiece pieces, with xxbos before each line")
  local m = self:json "o/metrics.json"
  lu.assertTrue(m.test_lm_word_perplexity.value > m.test_lm_perplexity.value)
  lu.assertEquals(kooka.try(require("kooka.model").load(self.dir .. "/o/model/lm")):kind(), "language_model")
  -- the same nats: a word has more of them than a piece
  local bits, byte = m.test_lm_bits_per_char.value, m.test_lm_bits_per_byte.value
  lu.assertTrue(math.abs(bits - byte) < 1e-9, "ASCII: a character is a byte")
end

function TestLm:test_bad_data_is_named()
  self:write("few.txt", { "a", "b" })
  local status, _, err = self:run("lm", "--smoke", "--data", "few.txt")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "few.txt has 2 lines: at least 40 are needed")
  assert(sys.write_file(self.dir .. "/none.txt", ""))
  lu.assertStrContains(select(3, self:run("lm", "--smoke", "--data", "none.txt")), "none.txt has 0 lines")
  self:folder()
  self:write("corpus/train-2.txt", { "x" })
  status, _, err = self:run("lm", "--smoke", "--data", "corpus")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "look like the train file")
end

TestClassify = {}
for k, v in pairs(Base) do TestClassify[k] = v end

local NAMES = { "rain", "a bird", "so, why" }

function TestClassify:table(name, n, seed, with)
  local texts, labels = texts_of(n, 3, seed)
  local lines = { with and "person,message,kind" or "person,message" }
  for i, text in ipairs(texts) do
    lines[i + 1] = ('u%d,"%s"'):format(i % 9, text) .. (with and (',"%s"'):format(NAMES[labels[i]]) or "")
  end
  return self:write(name, lines), lines
end

-- Held-out probabilities are the two sides', by weights that the other fold's rows gave; the model's weights are those of all rows.
function TestClassify:weighed_by_others(dir, model)
  local stack, csv = require "kooka.ensemble.stack", require "kooka.data.csv"
  local oof = kooka.try(csv.read(("%s/%s/predictions/classify_oof.csv"):format(self.dir, dir)))
  local network, grams, labels, rows, all, class = {}, {}, {}, { {}, {} }, {}, {}
  for c, name in ipairs(model.config.classes_names) do class[name] = c end
  for k = 1, 2 do
    local o = self:json(("%s/stages/predict-%d.json"):format(dir, k)).value
    for i in ipairs(o.rows) do
      local at = #labels + 1
      network[at], grams[at], labels[at], all[at] = o.prob_network[i], o.prob_grams[i], class[oof.truth[at]], at
      lu.assertEquals(tonumber(oof.fold[at]), k)
      table.insert(rows[k], at)
    end
  end
  local o = { classes = 3, nonnegative = true }
  for k = 1, 2 do
    local want = stack.apply(stack.fit({ network, grams }, labels, rows[3 - k], o), { network, grams }, rows[k])
    for i, at in ipairs(rows[k]) do
      for name, c in pairs(class) do lu.assertAlmostEquals(tonumber(oof.data["prob_" .. name][at]), want[i][c], 1e-5) end
    end
  end
  local fit = stack.fit({ network, grams }, labels, all, o)
  for k, w in ipairs(model.config.mix.weights) do lu.assertAlmostEquals(w, fit.weights[k], 1e-5) end
  lu.assertEquals(#model.config.mix.bias, 3)
  local texts = texts_of(4, 3, 5)
  local sides, raw = model:sides(texts), model:predict(texts, { raw = true })
  local mixed = stack.apply(fit, sides, { 1, 2, 3, 4 })
  for i = 1, 4 do
    for c = 1, 3 do lu.assertAlmostEquals(raw[i][c], mixed[i][c], 1e-4) end
  end
end

function TestClassify:test_three_classes_out_of_fold_and_a_model_to_use()
  self:table("t.csv", 240, 1, true)
  self:table("new.csv", 15, 2)
  self:write("more.txt", (texts_of(50, 3, 3)))
  local status, out, err = self:run("classify", "--smoke", "--data", "t.csv", "--folds", "2", "--test", "new.csv", "--texts", "more.txt",
    "--group", "person", "--balance", "sqrt", "--terms", "made up, free for all",
    "--batch", "0", "--epochs", "0", "--out", "o")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "text: message; label: kind")
  lu.assertStrContains(out, "classifiers: 107 rows to train on, batches of 16, 45 epochs behind the head's 1")
  lu.assertStrContains(out, "It read 50 more texts from more.txt")
  lu.assertStrContains(out, "for the n-grams; each fold was judged with those of the others")
  local m = self:json "o/metrics.json"
  for _, name in ipairs { "accuracy", "f1_macro", "mcc", "log_loss", "nbsvm_accuracy", "f1_a bird" } do
    lu.assertEquals(type(m[name].value), "number", name)
  end
  lu.assertEquals(m.accuracy.n, 240)
  lu.assertTrue(m.nbsvm_accuracy.value > m.accuracy.baseline)
  local head, oof = self:read("o/predictions/classify_oof.csv"):match("^([^\n]*)\n(.*)$")
  lu.assertEquals(head, 'row,line,label,prob_a bird,prob_rain,"prob_so, why",fold,truth,nbsvm_a bird,nbsvm_rain,"nbsvm_so, why"')
  lu.assertEquals(lines_of(oof), 240)
  local said = kooka.try(require("kooka.data.csv").read(self.dir .. "/o/predictions/classify.csv"))
  lu.assertEquals(said.n, 15)
  for i = 1, 15 do
    local sum = 0
    for _, name in ipairs(NAMES) do sum = sum + tonumber(said.data["prob_" .. name][i]) end
    lu.assertAlmostEquals(sum, 1, 1e-5)
  end
  local model = kooka.try(require("kooka.model").load(self.dir .. "/o/model/final"))
  lu.assertEquals(model.config.classes_names, { "a bird", "rain", "so, why" })
  local texts = texts_of(15, 3, 2)
  for i, row in ipairs(model:predict(texts)) do lu.assertAlmostEquals(row[1], tonumber(said.data["prob_a bird"][i]), 1e-5) end
  self:weighed_by_others("o", model)
  local card = self:read "o/model/final/card.md"
  lu.assertStrContains(card, "| f1_macro | ")
  lu.assertStrContains(card, "| terms of use | made up, free for all |")
  local config = self:json "o/config.json"
  lu.assertStrContains(card, "| precision of the training | " .. config.precision .. " |")
  for _, entry in ipairs(config.data) do lu.assertStrContains(card, "| sha256 | " .. entry.sha256 .. " |") end
  local report = self:read "o/report.html"
  lu.assertStrContains(report, "rows: what is true")
  self:goes_on("o", { "stages/predict-2.json", "stages/all-rows.json", "stages/model.json", "predictions/classify_oof.csv", "predictions/classify.csv" },
    { "predictions/classify_oof.csv", "predictions/classify.csv", "metrics.json", "model/final/model.safetensors" })
end

function TestClassify:test_it_starts_from_a_language_model_that_is_there()
  self:table("t.csv", 120, 1, true)
  local status, _, err = self:run("classify", "--smoke", "--data", "t.csv", "--embed", "12", "--out", "first")
  lu.assertEquals(status, 0, err)
  local out
  status, out, err = self:run("classify", "--smoke", "--data", "t.csv", "--start", "first/model/language-model", "--out", "second")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "start: the language model of first/model/language-model (lstm, embedding 12, hidden 24 x 2, ")
  local a, b = self:json "first/model/final/config.json", self:json "second/model/final/config.json"
  lu.assertEquals({ b.embed, b.vocab }, { 12, a.vocab })
  lu.assertEquals(self:read "second/tokenizer.model", self:read "first/tokenizer.model")
  local roles = {}
  for _, entry in ipairs(self:json("second/config.json").data) do roles[entry.role] = entry.path end
  lu.assertEquals(roles["language model"], "first/model/language-model/model.safetensors")
  -- what it starts from is where the other one ended: less to learn in its first epoch
  local function first_loss(dir)
    for line in io.lines(self.dir .. "/" .. dir .. "/log.jsonl") do
      local record = kooka.json.decode(line)
      if record.label == "language-model" and record.epoch == 1 then return record.train_loss end
    end
  end
  lu.assertTrue(first_loss "second" < first_loss "first")
  local function fails(message, ...)
    status, _, err = self:run("classify", "--smoke", "--data", "t.csv", "--out", "third", ...)
    lu.assertEquals(status, 1)
    lu.assertStrContains(err, message)
    sys.remove_tree(self.dir .. "/third")
  end
  fails("first/model/final: a classifier; expected a language model", "--start", "first/model/final")
  fails("nowhere: no such folder", "--start", "nowhere")
  fails("it reads texts forward; leave out --backwards", "--start", "first/model/language-model", "--backwards")
  fails("--start and --pretrained are two beginnings", "--start", "first/model/language-model", "--pretrained", "x.pth")
end

function TestClassify:test_seeds_share_their_folds_and_are_compared_by_fold()
  self:table("t.csv", 160, 1, true)
  local status, out, err = helper.run({ "sweep", "classify", "--seeds", "1,2", "--smoke", "--data", "t.csv", "--folds", "2", "--no-final",
    "--out", "s" }, { cwd = self.dir })
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "seed report: f1_macro")
  lu.assertStrContains(out, "of 2 seeds in 2 folds")
  status, out, err = helper.run({ "ensemble", "s/seed-1", "s/seed-2", "--resamples", "20", "--out", "e" }, { cwd = self.dir })
  lu.assertEquals(status, 0, err)
  lu.assertNotStrContains(out, "different folds")
  lu.assertStrContains(out, "NB-SVM")
end

function TestClassify:test_a_group_is_on_one_side_only()
  local _, lines = self:table("t.csv", 120, 4, true)
  local status, _, err = self:run("classify", "--smoke", "--data", "t.csv", "--folds", "3", "--no-final", "--group", "person", "--out", "o")
  lu.assertEquals(status, 0, err)
  local oof = kooka.try(require("kooka.data.csv").read(self.dir .. "/o/predictions/classify_oof.csv"))
  local fold_of = {}
  for i = 1, oof.n do
    local person = lines[tonumber(oof.line[i])]:match("^(u%d)")
    fold_of[person] = fold_of[person] or oof.fold[i]
    lu.assertEquals(oof.fold[i], fold_of[person])
  end
  lu.assertFalse(sys.exists(self.dir .. "/o/model/final"))
end

function TestClassify:test_bad_input_is_named()
  local function fails(message, ...)
    local status, _, err = self:run("classify", "--smoke", ...)
    lu.assertEquals(status, 1)
    lu.assertStrContains(err, message)
  end
  local path, lines = self:table("t.csv", 60, 1, true)
  fails('there is no column "klass"; the file has person, message, kind', "--data", path, "--label", "klass")
  lines[10] = 'u1,"words",'
  self:write("bad.csv", lines)
  fails("bad.csv: 1 rows cannot be used (line 10: no label)", "--data", "bad.csv")
  for i = 2, #lines do lines[i] = ('u1,"words %d",same'):format(i) end
  self:write("one.csv", lines)
  fails('column "kind" holds only one class ("same")', "--data", "one.csv", "--label", "kind")
  self:write("texts.txt", { "a b", "c d", "e f" })
  self:write("labels.txt", { "1", "2" })
  fails("texts.txt has 3 lines but labels.txt has 2", "--data", "texts.txt", "--labels", "labels.txt")
end

TestTweetEval = {}
for k, v in pairs(Base) do TestTweetEval[k] = v end

local CLASSES = { emoji = 20, emotion = 4, hate = 2, irony = 2, offensive = 2, sentiment = 3, stance = 3 }
local TASKS = { "emoji", "emotion", "hate", "irony", "offensive", "sentiment", "stance" }
local SIZES = { train = 80, val = 40, test = 23 }
local TARGETS = { "abortion", "atheism", "climate", "feminist", "hillary" }

function TestTweetEval:benchmark()
  local seed = 0
  local function part(folder, classes)
    for _, split in ipairs { "train", "val", "test" } do
      seed = seed + 1
      local n = SIZES[split]
      local texts, labels = texts_of(n, classes, seed * 7 + #folder)
      for i, y in ipairs(labels) do labels[i] = tostring(y - 1) end
      self:write(("%s/%s_text.txt"):format(folder, split), texts)
      if split ~= "test" then self:write(("%s/%s_labels.txt"):format(folder, split), labels) end
    end
  end
  for _, task in ipairs(TASKS) do
    local classes, mapping = CLASSES[task], {}
    for c = 1, classes do mapping[c] = ("%d\tname%d"):format(c - 1, c - 1) end
    self:write("te/" .. task .. "/mapping.txt", mapping)
    if task == "stance" then
      for _, target in ipairs(TARGETS) do part("te/stance/" .. target, classes) end
    else
      part("te/" .. task, classes)
    end
  end
end

function TestTweetEval:test_seven_tasks_in_the_contests_layout()
  self:benchmark()
  local status, out, err = self:run("tweeteval", "--smoke", "--data", "te", "--out", "o", "--vocab", "150")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "the 880 training texts of all seven tasks, without labels, and nothing else")
  lu.assertStrContains(out:gsub(" +", " "), "LSTM (published, test) 24.7 66.0 52.6 62.8 71.7 58.3 59.4 56.5")
  lu.assertStrMatches(out:gsub("\n", " "), ".*stance: weights: network %d+%.%d+, n%-grams %d+%.%d+, NB%-SVM %d+%.%d+, characters %d+%.%d+; "
    .. "frequent classes held back, tau .*")
  lu.assertStrMatches(out:gsub("\n", " "), ".*irony: weights: [^;]*; cut %.?%d.*")
  local m = self:json "o/metrics.json"
  local sum = 0
  for _, task in ipairs(TASKS) do
    local classes = CLASSES[task]
    for _, more in ipairs { "", "_ulmfit", "_nbsvm", "_characters", "_fasttext", "_majority" } do
      local value = m[task .. more].value
      lu.assertTrue(value >= 0 and value <= 1, task .. more)
    end
    sum = sum + m[task].value
    lu.assertEquals(m[task].baseline, m[task .. "_majority"].value)
    for _, target in ipairs(task == "stance" and TARGETS or { false }) do
      local text = self:read("o/predictions/tweeteval/" .. (target and "stance/" .. target or task) .. ".txt")
      lu.assertEquals(lines_of(text), 23)
      for line in text:gmatch("[^\n]+") do
        local y = math.tointeger(tonumber(line))
        lu.assertTrue(y and y >= 0 and y < classes, line)
      end
    end
  end
  lu.assertAlmostEquals(m.mean.value, sum / 7, 1e-9)
  lu.assertEquals(m.sentiment_majority.value, 1 / 3)               -- macro recall of one answer
  self:goes_on("o", { "stages/predict-irony.json", "stages/baselines-irony.json", "stages/sentiment.json", "stages/predict-stance.json",
    "predictions/tweeteval/irony.txt" },
    { "predictions/tweeteval/irony.txt", "predictions/tweeteval/sentiment.txt", "predictions/tweeteval/stance/climate.txt",
      "predictions/stance.csv", "predictions/emoji_oof.csv", "model/irony/calibration.json" })
  local m2 = kooka.try(require("kooka.model").load(self.dir .. "/o/model/stance"))
  lu.assertEquals(m2.calibration.n, 200)
  lu.assertEquals({ #m2.config.mix.weights, #m2.config.mix.bias }, { 2, 3 })
  lu.assertStrContains(self:read "o/model/stance/card.md", "| mean F1 of against and favor | ")
end

function TestTweetEval:test_forward_and_backward_become_one_in_the_contests_layout()
  self:benchmark()
  local irony
  for _, way in ipairs { "forward", "backwards" } do
    local argv = { "tweeteval", "--smoke", "--data", "te", "--task", "irony", "--vocab", "150", "--out", way }
    if way == "backwards" then argv[#argv + 1] = "--backwards" end
    local status, _, err = self:run(table.unpack(argv))
    lu.assertEquals(status, 0, err)
    local text = self:read(way .. "/predictions/irony_oof.csv")
    lu.assertNotEquals(text, irony)
    irony = text
  end
  lu.assertTrue(self:json("backwards/model/irony/config.json").backwards)
  local status, out, err = helper.run({ "ensemble", "forward", "backwards", "--resamples", "20", "--out", "e" }, { cwd = self.dir })
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "NB-SVM")
  lu.assertEquals(lines_of(self:read "e/predictions/tweeteval/irony.txt"), 23)
  status, out, err = helper.run({ "predict", "forward/model/irony", "backwards/model/irony" }, { cwd = self.dir, input = "why not\n" })
  lu.assertEquals(status, 0, err)
  lu.assertEquals(lines_of(out), 1)
end

function TestTweetEval:test_one_task_alone_and_bad_files()
  self:benchmark()
  local status, out, err = self:run("tweeteval", "--smoke", "--data", "te", "--task", "emotion", "--out", "o", "--vocab", "150")
  lu.assertEquals(status, 0, err)
  lu.assertNil(out:find("%smean%s"))
  lu.assertFalse(sys.exists(self.dir .. "/o/predictions/tweeteval/irony.txt"))
  local function fails(message)
    local code, _, why = self:run("tweeteval", "--smoke", "--data", "te")
    lu.assertEquals(code, 1)
    lu.assertStrContains(why, message)
  end
  self:write("te/hate/val_labels.txt", { "0", "1" })
  fails("val_labels.txt has 2 lines but te/hate/val_text.txt has 40")
  local labels = {}
  for i = 1, 40 do labels[i] = i == 7 and "2" or "1" end
  self:write("te/hate/val_labels.txt", labels)
  fails("te/hate/val_labels.txt: line 7: '2', expected a class 0..1")
  local code, _, why = self:run("tweeteval", "--task", "irnoy")
  lu.assertEquals(code, 2)
  lu.assertStrContains(why, "one of all, emoji, emotion")
end

os.exit(lu.LuaUnit.run())
