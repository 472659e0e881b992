--- haha_spec: the recipe on a small generated contest: folds, funniness, an earlier run's language model, texts from the end.
local lu = require "luaunit"
local helper = require "cli_helper"
local csv = require "kooka.data.csv"
local kooka = require "kooka"
local sys = kooka.sys

local FUNNY = { "había", "una", "vez", "chiste", "loro", "suegra", "dice", "jajaja", "doctor", "borracho" }
local GRAVE = { "el", "gobierno", "anuncia", "hoy", "partido", "lluvia", "precio", "dólar", "noticia", "mañana" }

local function text_of(stream, funny, i)
  local words = {}
  for k = 1, 5 + stream:below(8) do
    local own = stream:uniform() < .75
    words[k] = ((funny == own) and FUNNY or GRAVE)[stream:below(10)]
  end
  return ("%s %d"):format(table.concat(words, " "), i)
end

-- n training rows, two fifths of them humour with 1 to 4 stars, and test rows.
local function contest(dir, n, tests)
  local stream, train, test = kooka.random("generated contest", 1), {}, {}
  for i = 1, n do
    local funny = i % 5 < 2
    train[i] = { "a" .. i, text_of(stream, funny, i), funny and 1 or 0, funny and stream:below(4) or "NULL", funny and 1 or 4, funny and 3 or 1,
      0, 0, funny and 1 or 0, 0 }
  end
  for i = 1, tests do test[i] = { "t" .. i, text_of(stream, i % 5 < 2, n + i) } end
  kooka.try(csv.write(dir .. "/haha_2019_train.csv", { "id", "text", "is_humor", "funniness_average", "votes_no", "votes_1",
    "votes_2", "votes_3", "votes_4", "votes_5" }, train))
  kooka.try(csv.write(dir .. "/haha_2019_test.csv", { "id", "text" }, test))
end

TestHaha = {}

function TestHaha:setUp()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  self.dir = helper.folder()
  contest(self.dir, 300, 40)
end

function TestHaha:tearDown()
  if self.dir then sys.remove_tree(self.dir) end
end

function TestHaha:run(out, ...)
  local status, said, err = helper.run({ "run", "haha", "--data", ".", "--smoke", "--rows", "0", "--vocab", "120", "--out", out, ... },
    { cwd = self.dir })
  lu.assertEquals(status, 0, err)
  return said, kooka.json.decode(assert(sys.read_file(self.dir .. "/" .. out .. "/metrics.json")))
end

function TestHaha:predictions(out, file)
  return kooka.try(csv.read(self.dir .. "/" .. out .. "/predictions/" .. file))
end

-- Every id once, decisions and probabilities in range, funniness never below 0.
function TestHaha:check(t, ids)
  local seen = {}
  for i, id in ipairs(t.id) do
    lu.assertNil(seen[id])
    seen[id] = true
    local p = tonumber(t.prob_humor[i])
    lu.assertTrue(p >= 0 and p <= 1 and tonumber(t.funniness_average[i]) >= 0)
    lu.assertTrue(t.is_humor[i] == "0" or t.is_humor[i] == "1")
  end
  lu.assertEquals(t.n, ids)
end

function TestHaha:test_folds_funniness_and_the_stack()
  local said, m = self:run("o", "--folds", "3", "--epochs", "3", "--lr", "0.02")
  self:check(self:predictions("o", "haha.csv"), 40)
  local oof = self:predictions("o", "haha_oof.csv")
  self:check(oof, 300)
  local folds = {}
  for _, k in ipairs(oof.fold) do folds[k] = true end
  lu.assertEquals(folds, { ["1"] = true, ["2"] = true, ["3"] = true })
  for _, name in ipairs { "f1_humor", "nbsvm_f1_humor", "characters_f1_humor", "cased_f1_humor", "neighbours_f1_humor", "stack_f1_humor",
    "funniness_rmse_all", "funniness_rmse_humor", "funniness_blend_rmse_all", "funniness_blend_rmse_humor" } do
    lu.assertTrue(m[name].low <= m[name].value and m[name].value <= m[name].high and m[name].baseline ~= nil, name)
  end
  lu.assertTrue(m.nbsvm_average_precision_humor.value > .8)      -- the words tell the kinds apart
  lu.assertTrue(m.cased_average_precision_humor.value > .8)
  lu.assertTrue(m.neighbours_average_precision_humor.value > .8)
  lu.assertTrue(m.stack_average_precision_humor.value > .8)
  lu.assertStrContains(said, "at a cut chosen on the other folds")
  lu.assertStrContains(said, "labels: shares of 300 texts' votes")
  -- what is written is what was scored: the stack's decisions, the blended funniness
  local truth, hits = kooka.try(csv.read(self.dir .. "/haha_2019_train.csv")), { tp = 0, fp = 0, fn = 0 }
  local label = {}
  for i, id in ipairs(truth.id) do label[id] = truth.is_humor[i] end
  for i, id in ipairs(oof.id) do
    if oof.is_humor[i] == "1" then
      hits[label[id] == "1" and "tp" or "fp"] = hits[label[id] == "1" and "tp" or "fp"] + 1
    elseif label[id] == "1" then
      hits.fn = hits.fn + 1
    end
  end
  lu.assertAlmostEquals(2 * hits.tp / (2 * hits.tp + hits.fp + hits.fn), m.stack_f1_humor.value, 1e-9)
  local funny, sse = {}, 0
  for i, id in ipairs(truth.id) do funny[id] = tonumber(truth.funniness_average[i]) or 0 end
  for i, id in ipairs(oof.id) do sse = sse + (tonumber(oof.funniness_average[i]) - funny[id]) ^ 2 / oof.n end
  lu.assertAlmostEquals(math.sqrt(sse), m.funniness_blend_rmse_all.value, 1e-3)
  -- the kept models answer what the majority says, and their cards have the scores of those answers
  local model = kooka.try(require("kooka.model").load(self.dir .. "/o/model/classifier-1"))
  lu.assertEquals(model.calibration.method, "platt")
  lu.assertAlmostEquals(model.card.scores.log_loss.value, model.calibration.log_loss.after.value, 1e-9)
  lu.assertTrue(model.calibration.log_loss.after.value < model.calibration.log_loss.before.value)
end

function TestHaha:test_texts_with_votes_from_outside_train_but_none_like_the_contests()
  local dir, rows = self.dir, {}
  local train = kooka.try(csv.read(dir .. "/haha_2019_train.csv"))
  for i = 1, 20 do rows[i] = { ("loro doctor suegra borracho chiste una vez %d %d"):format(1000 + i, i), 0, 2, 1, 0, 0, 0 } end
  rows[21] = { train.text[7]:upper() .. "!!", 0, 3, 0, 0, 0, 0 }
  rows[22] = { "nadie votó esto", 0, 0, 0, 0, 0, 0 }
  kooka.try(csv.write(dir .. "/votes.csv", { "text", "votes_no", "votes_1", "votes_2", "votes_3", "votes_4", "votes_5" }, rows))
  local said = self:run("with", "--votes", "votes.csv")
  lu.assertStrContains(said, "votes: votes.csv: 21 texts with votes")
  lu.assertStrContains(said, "votes: 20 texts train beside each fold's own; 1 that resemble")
  lu.assertStrContains(said, "labels: shares of 320 texts' votes")
  self:run("without")
  lu.assertNotEquals(self:predictions("with", "haha.csv").prob_humor, self:predictions("without", "haha.csv").prob_humor)
  said = self:run("majority", "--labels", "majority", "--votes", "votes.csv")
  lu.assertNil(said:find("labels: shares", 1, true))
  self:check(self:predictions("majority", "haha.csv"), 40)
end

function TestHaha:test_a_training_file_without_votes_says_what_to_do()
  local dir = self.dir
  local t = kooka.try(csv.read(dir .. "/haha_2019_train.csv"))
  local rows = {}
  for i = 1, t.n do rows[i] = { t.id[i], t.text[i], t.is_humor[i], t.funniness_average[i] } end
  kooka.try(csv.write(dir .. "/haha_2019_train.csv", { "id", "text", "is_humor", "funniness_average" }, rows))
  local status, _, err = helper.run({ "run", "haha", "--data", ".", "--smoke", "--out", "o" }, { cwd = dir })
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "no column votes_no; --labels majority does without votes")
end

function TestHaha:test_an_earlier_language_model_more_texts_and_texts_from_the_end()
  local dir = self.dir
  kooka.try(sys.write_file(dir .. "/more.txt", ("una suegra dice un chiste\nel dólar hoy\n"):rep(3) .. "t x\n"))
  local said = self:run("first", "--texts", "more.txt")
  lu.assertStrContains(said, "more.txt: 7")
  lu.assertStrContains(said, "7 read, 3 left without repeats")
  said = self:run("second", "--start", "first/model/language-model", "--lm-epochs", "0")
  lu.assertStrContains(said, "start: the language model of first/model/language-model (lstm, embedding 16, hidden 24 x 2,")
  local a, b = sys.read_file(dir .. "/first/language-model.safetensors"), sys.read_file(dir .. "/second/start.safetensors")
  lu.assertTrue(a ~= nil and a == b)
  lu.assertEquals(self:predictions("first", "haha.csv").prob_humor, self:predictions("second", "haha.csv").prob_humor)
  self:run("again", "--start", "first/model/language-model", "--lm-epochs", "1")
  lu.assertNotEquals(self:predictions("again", "haha.csv").prob_humor, self:predictions("first", "haha.csv").prob_humor)
  self:run("third", "--backwards")
  lu.assertNotEquals(self:predictions("third", "haha.csv").prob_humor, self:predictions("first", "haha.csv").prob_humor)
  local status, _, err = helper.run({ "run", "haha", "--data", ".", "--smoke", "--out", "fourth", "--backwards",
    "--start", "first/model/language-model" }, { cwd = dir })
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "it reads texts forward; leave out --backwards")
end

os.exit(lu.LuaUnit.run())
