--- model_folder_spec: stored models answer what they answered, later layouts are refused, cards invent nothing, calibrations travel.
local lu = require "luaunit"
local card = require "kooka.card"
local kooka = require "kooka"
local model = require "kooka.model"
local nn = require "kooka.nn"
local rules = require "kooka.text.rules"
local sys = kooka.sys

local stored = (arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/checkpoints/"
local answers = assert(kooka.json.decode(assert(sys.read_file(stored .. "answers.json"))))

local function close(got, want)
  lu.assertEquals(#got, #want)
  for i, row in ipairs(want) do
    for c, p in ipairs(row) do lu.assertAlmostEquals(got[i][c], p, 1e-5) end
  end
end

-- A copy of a stored folder that a test may spoil.
local function copy(name)
  local dir = os.tmpname() .. ".d"
  kooka.try(sys.mkdir_p(dir))
  for _, file in ipairs(kooka.try(sys.list(stored .. name))) do
    kooka.try(sys.write_file(dir .. "/" .. file, kooka.try(sys.read_file(stored .. name .. "/" .. file))))
  end
  return dir
end

local function edit(path, change)
  local value = kooka.json.decode(kooka.try(sys.read_file(path)))
  change(value)
  kooka.try(sys.write_file(path, kooka.json.encode(value)))
end

TestStored = {}

function TestStored:test_an_lstm_classifier_of_format_1()
  local m = kooka.try(model.load(stored .. "lstm_classifier"))
  close(m:predict(answers.texts), answers.lstm_classifier.prob)
  close(m:predict(answers.texts, { raw = true }), answers.lstm_classifier.raw)
  lu.assertEquals(m:labels(), { "rain", "bird", "other" })
  lu.assertEquals(m.card, { name = "a tiny classifier", data = "four sentences" })
end

function TestStored:test_an_int8_classifier_of_format_1()
  local m = kooka.try(model.load(stored .. "int8_classifier"))
  close(m:predict(answers.texts), answers.int8_classifier.prob)
end

function TestStored:test_a_qrnn_language_model_of_format_1()
  local m, want = kooka.try(model.load(stored .. "qrnn_language_model")), answers.qrnn_language_model
  local corpus = m:encode(answers.texts)
  local x, y = kooka.data.batches.lm(corpus, { batch = 1, length = corpus:tokens() - 1, shuffle = false }):get(1)
  lu.assertAlmostEquals(m.network:loss({ x = x, y = y }):item(), want.nll, 1e-5)
  close({ m.network(x):narrow(1, x:shape(1), 1):reshape(-1):tolist() }, { want.last })
  lu.assertEquals(m:generate({ temperature = 0, tokens = 12 })[1].ids, want.greedy)
end

TestFormats = {}

function TestFormats:setUp() self.dir = copy "lstm_classifier" end
function TestFormats:tearDown() sys.remove_tree(self.dir) end

function TestFormats:refused(message)
  local m, why, code = model.load(self.dir)
  lu.assertNil(m)
  lu.assertStrContains(why, message)
  lu.assertEquals(code, "format")
end

function TestFormats:config(change) edit(self.dir .. "/config.json", change) end

function TestFormats:test_a_folder_without_a_number_is_read()
  self:config(function(c) c.format, c.kind, c.kooka, c.card = nil, nil, nil, nil end)
  close(kooka.try(model.load(self.dir)):predict(answers.texts), answers.lstm_classifier.prob)
end

function TestFormats:test_a_later_format_is_refused_in_one_line()
  self:config(function(c) c.format = 2 end)
  self:refused("config.json: written by a later version (format 2; kooka " .. kooka.version.number .. " reads 1 to 1): update kooka")
  self:config(function(c) c.format = "new" end)
  self:refused("format is new, expected an integer")
end

function TestFormats:test_later_weights_and_calibrations_are_refused()
  edit(self.dir .. "/calibration.json", function(c) c.format = 7 end)
  self:refused("calibration.json: written by a later version (format 7;")
  edit(self.dir .. "/calibration.json", function(c) c.format, c.temperature = 1, -2 end)
  self:refused("temperature is -2, expected a number above 0")
  os.remove(self.dir .. "/calibration.json")
  local path = self.dir .. "/model.safetensors"
  kooka.try(kooka.save_safetensors(path, (kooka.load_safetensors(path)), { kooka_format = "3" }))
  self:refused("model.safetensors: written by a later version (format 3;")
end

function TestFormats:test_what_does_not_fit_is_named()
  self:config(function(c) c.hidden = 13 end)
  self:refused("encoder.layer1.weight_hh is (48,12) in the file, (52,13) in the model")
  self:config(function(c) c.hidden, c.kind = 12, "oracle" end)
  self:refused("kind is oracle, expected classifier, language_model")
  self:config(function(c) c.kind, c.vocab = "classifier", 20 end)
  self:refused("the tokenizer has 40 pieces, the model 20")
  self:config(function(c) c.vocab = 1e300 end)
  self:refused("vocab is 1e+300")
  self:config(function(c) c.vocab, c.cell = 40, "gru" end)
  self:refused("cell is 'gru', expected lstm or qrnn")
end

function TestFormats:test_what_is_no_config_is_refused()
  for _, text in ipairs { "", "[", "3", "null", '"x"' } do
    kooka.try(sys.write_file(self.dir .. "/config.json", text))
    self:refused("config.json: ")
  end
  local m, why, code = model.load(self.dir .. "/none")
  lu.assertEquals({ m, code }, { nil, "io" })
  lu.assertStrContains(why, "none: no such folder")
end

TestRoundTrip = {}

function TestRoundTrip:setUp() self.dir = copy "lstm_classifier" end
function TestRoundTrip:tearDown() sys.remove_tree(self.dir) end

local function saved_again(dir, name)
  local m = kooka.try(model.load(stored .. name))
  kooka.try(m:save(dir .. "/again"))
  return m, kooka.try(model.load(dir .. "/again"))
end

function TestRoundTrip:test_every_kind_is_saved_and_loaded()
  local m, back = saved_again(self.dir, "qrnn_language_model")
  lu.assertEquals(back:kind(), "language_model")
  lu.assertEquals(back:generate { tokens = 9, seed = 3 }, m:generate { tokens = 9, seed = 3 })
  m, back = saved_again(self.dir, "int8_classifier")
  lu.assertEquals(back:predict(answers.texts), m:predict(answers.texts))
  lu.assertEquals(back.config, m.config)
  lu.assertEquals(back.card, m.card)
  for _, kind in ipairs { "regressor", "ordinal", "multi_task" } do
    local config = { kind = kind, vocab = m.tokenizer:size(), padding = m.tokenizer.pad, embed = 8, hidden = 9, layers = 1, head = 4,
      classes = kind ~= "regressor" and 3 or nil, range = kind ~= "ordinal" and { 0, 5 } or nil }
    local other = model.new { network = nn[kind](config):eval(), tokenizer = m.tokenizer, config = config }
    kooka.try(other:save(self.dir .. "/again"))
    local a = other:predict(answers.texts)
    lu.assertEquals(kooka.try(model.load(self.dir .. "/again")):predict(answers.texts), a)
    if kind == "regressor" then lu.assertTrue(a[1] > 0 and a[1] < 5) else lu.assertEquals(#a[1].prob, 3) end
    lu.assertAlmostEquals(kind == "regressor" and other:predict_one(answers.texts[1]) - a[1]
      or other:predict_one(answers.texts[1]).score - a[1].score, 0, 1e-5)
  end
end

function TestRoundTrip:test_a_calibration_goes_with_the_model_and_leaves_with_it()
  local m = kooka.try(model.load(self.dir))
  local c = m:calibrate { texts = answers.texts, labels = { 2, 1, 3, 1 } }
  kooka.try(m:save(self.dir))
  local back = kooka.try(model.load(self.dir))
  lu.assertAlmostEquals(back.calibration.temperature, c.temperature, 1e-12)
  lu.assertEquals(back:predict(answers.texts), m:predict(answers.texts))
  lu.assertStrContains(kooka.try(sys.read_file(self.dir .. "/card.md")), "fitted on 4 held-out predictions")
  m.calibration = nil
  kooka.try(m:save(self.dir))
  lu.assertFalse(sys.exists(self.dir .. "/calibration.json"))
  back = kooka.try(model.load(self.dir))
  lu.assertEquals(back:predict(answers.texts), back:predict(answers.texts, { raw = true }))
end

function TestRoundTrip:test_predictions_come_in_the_order_given_one_or_many()
  local m, texts = kooka.try(model.load(self.dir)), {}
  for i = 1, 50 do texts[i] = ("rain "):rep(i * 7 % 13) .. answers.texts[i % 4 + 1] end
  local many = m:predict(texts, { batch = 7 })
  for i, text in ipairs(texts) do close({ m:predict_one(text) }, { many[i] }) end
  close({ m:predict_one("") }, m:predict { "" })
  lu.assertEquals(m:predict {}, {})
  local long = ("rain bird "):rep(1500)
  close({ m:predict_one(long, { raw = true }) }, m:predict({ long }, { raw = true }))
end

function TestRoundTrip:test_a_model_that_reads_backwards_gets_texts_so()
  local m = kooka.try(model.load(self.dir))
  local ahead = m:predict({ answers.texts[1] }, { raw = true })
  m.config.backwards = true
  local ids, reversed = kooka.try(m.tokenizer:encode(kooka.try(rules.clean(answers.texts[1])), { bos = true })), {}
  for i, id in ipairs(ids) do reversed[#ids + 1 - i] = id end
  local x, lens = kooka.tensor(reversed, "int32"):reshape(#ids, 1), kooka.tensor({ #ids }, "int32")
  local want = kooka.softmax(m.network:eval()(x, lens)):tolist()
  close(m:predict({ answers.texts[1] }, { raw = true }), want)
  close({ m:predict_one(answers.texts[1], { raw = true }) }, want)
  lu.assertNotAlmostEquals(ahead[1][1], want[1][1], 1e-4)
end

function TestRoundTrip:test_misuse_is_named()
  local m, lm = kooka.try(model.load(self.dir)), kooka.try(model.load(stored .. "qrnn_language_model"))
  lu.assertErrorMsgContains("this is a language model", lm.predict, lm, { "a" })
  lu.assertErrorMsgContains("this is a classifier", m.generate, m, {})
  lu.assertErrorMsgContains("has no option 'row'", m.predict, m, { "a" }, { row = true })
  lu.assertErrorMsgContains("not UTF-8", m.predict, m, { "a", "\xff" })
  lu.assertErrorMsgContains("not UTF-8", m.predict_one, m, "\xff")
  lu.assertErrorMsgContains("measures classifiers", lm.quantize, lm, { texts = { "a" } })
end

TestCard = {}

function TestCard:model(c)
  local m = kooka.try(model.load(stored .. "lstm_classifier"))
  m.card = c
  return m
end

function TestCard:test_what_nobody_stated_is_said_so()
  local text = card.text(self:model(nil))
  for _, line in ipairs { "| terms of use | not stated |", "## Split\nnot stated", "## Scores\nnot stated", "## Intended use\nnot stated",
    "## Limits\nnot stated", "| precision of the training | not stated |", "Training: not stated" } do
    lu.assertStrContains(text, line)
  end
end

function TestCard:test_what_is_known_is_there()
  local text = card.text(self:model { date = "2019-05-01" })
  local hash = sys.sha256_file(stored .. "lstm_classifier/tokenizer.model")
  for _, line in ipairs { "40 pieces, sha256 " .. hash, "| kind | classifier (text classifier) |", "| labels | rain; bird; other |",
    "| hidden | 12 |", "temperature 1.5000", "2019-05-01, kooka " .. kooka.version.number } do lu.assertStrContains(text, line) end
end

function TestCard:test_every_way_to_calibrate_has_its_line()
  for method, c in pairs { temperature = { temperature = 2 }, platt = { a = 1, b = 0 }, isotonic = {} } do
    local m = self:model {}
    c.method, c.n = method, 7
    m.calibration = c
    lu.assertStrContains(card.text(m):lower(), method)
    lu.assertStrContains(card.text(m), "fitted on 7 held-out predictions")
  end
end

function TestCard:test_what_was_stated_stands_there()
  local text = card.text(self:model {
    name = "laughs", about = "Tells jokes from rain.", language = "es", license = "MIT", data = { name = "HAHA", terms = "research",
      texts = 30000, hash = "abc", source = "the contest" },
    split = "five folds, duplicates together", use = "ranking", limits = "Spanish tweets of 2018 | only",
    scores = { f1 = { value = .8123, low = .8, high = .82, level = .95, method = "wilson", n = 6000, baseline = .39 },
      accuracy = { note = "not defined: no rows" } },
    training = { epochs = 5 }, precision = "bf16" })
  for _, line in ipairs { "# laughs", "Tells jokes", "| terms of use | research |", "| texts | 30000 |", "five folds",
    "| f1 | 0.8123 | 0.8000 to 0.8200 (95 %) | 0.3900 | 6000 | wilson |", "| accuracy | not defined: no rows | not stated |",
    "Spanish tweets of 2018 | only", "| epochs | 5 |", "| precision of the training | bf16 |" } do lu.assertStrContains(text, line) end
end

function TestCard:test_a_field_that_no_card_has_is_refused_before_anything_is_written()
  local m, dir = self:model { terms = "x" }, os.tmpname() .. ".none"
  lu.assertErrorMsgContains("card has no option 'terms'", m.save, m, dir)
  lu.assertFalse(sys.exists(dir))
end

-- ---- what is no model's folder

TestMistaken = {}

local function said(path)
  local m, message = model.load(path)
  lu.assertNil(m)
  return message
end

function TestMistaken:test_a_run_s_folder_names_the_models_in_it()
  local run, inner = os.tmpname() .. ".d", copy "lstm_classifier"
  kooka.try(sys.mkdir_p(run .. "/model/a"))
  kooka.try(sys.write_file(run .. "/config.json", '{"recipe": "x"}'))
  for _, file in ipairs { "config.json", "model.safetensors" } do
    kooka.try(sys.write_file(run .. "/model/a/" .. file, kooka.try(sys.read_file(inner .. "/" .. file))))
  end
  lu.assertStrContains(said(run), run .. "/model/a")
  lu.assertStrContains(said(run .. "/model"), run .. "/model/a")
  sys.remove_tree(run)
  sys.remove_tree(inner)
end

function TestMistaken:test_nothing_a_file_and_another_folder_are_told_apart()
  local dir = os.tmpname() .. ".d"
  lu.assertStrContains(said(dir), "no such folder")
  kooka.try(sys.mkdir_p(dir))
  lu.assertStrContains(said(dir), "no model's folder")
  kooka.try(sys.write_file(dir .. "/file", "x"))
  lu.assertStrContains(said(dir .. "/file"), "a file; expected a model's folder")
  sys.remove_tree(dir)
end

os.exit(lu.LuaUnit.run())
