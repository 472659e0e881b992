--- predict_spec: kooka predict answers each line as it comes, names what is wrong and ends cleanly; kooka generate writes
-- what the library does.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local model = require "kooka.model"
local nn = require "kooka.nn"
local sys = kooka.sys
local json = kooka.json

local stored = kooka.try(sys.realpath((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/checkpoints"))
local CLASSIFIER, INT8, LANGUAGE = stored .. "/lstm_classifier", stored .. "/int8_classifier", stored .. "/qrnn_language_model"

local function lines_of(text)
  local list = {}
  for line in text:gmatch("([^\n]*)\n") do list[#list + 1] = line end
  return list
end

local function predict(input, ...) return helper.run({ "predict", ... }, { input = input }) end

local TEXTS = { "the bird laughs", "rain falls on grey streets today", "", "why not" }
local INPUT = table.concat(TEXTS, "\n") .. "\n"

TestPredict = {}

function TestPredict:test_names_of_classes_are_said_once_each()
  local status, _, err = predict(INPUT, CLASSIFIER, "--labels", "a,b,a")
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "--labels: classes 1 and 3 are both called a")
  status, _, err = predict(INPUT, CLASSIFIER, "--labels", "a,,b")
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "--labels: the name of class 2 is empty")
end

function TestPredict:test_a_label_and_its_calibrated_probability_for_each_line()
  local status, out, err = predict(INPUT, CLASSIFIER)
  lu.assertEquals({ status, err }, { 0, "" })
  local m = kooka.try(model.load(CLASSIFIER))
  local want, got = m:predict(TEXTS), lines_of(out)
  lu.assertEquals(#got, #TEXTS)
  for i, row in ipairs(want) do
    local label, p = got[i]:match("^(%a+)\t([%d.]+)$")
    local most = math.max(table.unpack(row))
    lu.assertAlmostEquals(tonumber(p), most, 2e-6)
    lu.assertAlmostEquals(row[({ rain = 1, bird = 2, other = 3 })[label]], most, 1e-12)
  end
end

function TestPredict:test_all_probabilities_names_and_plain_ones()
  local _, out = predict(INPUT, CLASSIFIER, "--probs", "--header", "--raw", "--labels", "wet,wing,rest")
  local got, want = lines_of(out), kooka.try(model.load(CLASSIFIER)):predict(TEXTS, { raw = true })
  lu.assertEquals(got[1], "label\tprob\twet\twing\trest")
  for i, row in ipairs(want) do
    local a, b, c = got[i + 1]:match("^%a+\t[%d.]+\t([%d.]+)\t([%d.]+)\t([%d.]+)$")
    for k, v in ipairs { a, b, c } do lu.assertAlmostEquals(tonumber(v), row[k], 2e-6) end
  end
end

function TestPredict:test_json()
  local _, out = predict("the bird\nrain", CLASSIFIER, "--json")          -- no line end behind the last
  local got = lines_of(out)
  lu.assertEquals(#got, 2)
  local second = json.decode(got[2])
  lu.assertEquals(second.line, 2)
  lu.assertAlmostEquals(second.probs.rain + second.probs.bird + second.probs.other, 1, 1e-6)
  lu.assertEquals(second.prob, second.probs[second.label])
end

function TestPredict:test_several_models_give_the_mean()
  local a, b = kooka.try(model.load(CLASSIFIER)), kooka.try(model.load(INT8))
  b.calibration = nil
  local dir = helper.folder()
  for i, p in ipairs(b.network:named_parameters()) do
    if p.name:find("linear2") then p.tensor:copy_((p.tensor * (4 + i % 2)):detach()) end
  end
  kooka.try(b:save(dir .. "/m"))
  local _, out = predict(INPUT, CLASSIFIER, dir .. "/m", "--json")
  local pa, pb = a:predict(TEXTS), b:predict(TEXTS)
  for i, line in ipairs(lines_of(out)) do
    lu.assertAlmostEquals(json.decode(line).probs.bird, (pa[i][2] + pb[i][2]) / 2, 2e-6)
  end
  sys.remove_tree(dir)
end

function TestPredict:test_int8()
  local _, small, said = predict(INPUT, CLASSIFIER, "--int8", "--json")
  lu.assertStrContains(said, "the calibration is the one of float32 weights, not fitted again")
  lu.assertEquals(select(3, predict(INPUT, CLASSIFIER, "--int8", "--raw")), "")
  local want = kooka.try(model.load(INT8)):predict(TEXTS)
  for i, line in ipairs(lines_of(small)) do lu.assertAlmostEquals(json.decode(line).probs.rain, want[i][1], 1e-5) end
end

function TestPredict:test_scores_and_both()
  local dir, tok = helper.folder(), kooka.try(model.load(CLASSIFIER)).tokenizer
  for _, kind in ipairs { "regressor", "multi_task" } do
    local config = { kind = kind, vocab = tok:size(), padding = tok.pad, embed = 8, hidden = 9, layers = 1, head = 4, range = { 0, 5 } }
    kooka.try(model.new({ network = nn[kind](config):eval(), tokenizer = tok, config = config }):save(dir .. "/" .. kind))
  end
  local status, out = predict("a bird\nrain\n", dir .. "/regressor", "--header")
  lu.assertEquals(status, 0)
  lu.assertStrMatches(out, "score\n[%d.]+\n[%d.]+\n")
  out = select(2, predict("a bird\n", dir .. "/multi_task", "--header", "--probs"))
  lu.assertStrMatches(out, "label\tprob\tscore\t1\t2\n[12]\t[%d.]+\t[%d.]+\t[%d.]+\t[%d.]+\n")
  local two, _, err = predict("", dir .. "/regressor", CLASSIFIER)
  lu.assertEquals(two, 2)
  lu.assertStrContains(err, "their answers have no mean")
  sys.remove_tree(dir)
end

function TestPredict:test_many_lines_come_back_in_order()
  local texts, m = {}, kooka.try(model.load(CLASSIFIER))
  for i = 1, 700 do texts[i] = ("rain bird "):rep(i * 37 % 11) .. TEXTS[i % 2 + 1] end
  local _, out = predict(table.concat(texts, "\r\n") .. "\r\n", CLASSIFIER, "--json", "--batch", "16")
  local want = m:predict(texts)
  local got = lines_of(out)
  lu.assertEquals(#got, 700)
  for i, line in ipairs(got) do
    local a = json.decode(line)
    lu.assertEquals(a.line, i)
    lu.assertAlmostEquals(a.probs.other, want[i][3], 1e-5)
  end
end

function TestPredict:test_a_line_is_answered_before_the_next_one_comes()
  local child <close> = helper.start({ "predict", CLASSIFIER }, { stdin = "pipe" })
  for _ = 1, 3 do
    child:write("the bird laughs\n")
    lu.assertStrMatches(child:read_line(), "bird\t0%.%d+")      -- would wait for ever if it were kept back
  end
  child:write("the bi")
  child:write("rd laughs\nra")
  lu.assertStrMatches(child:read_line(), "bird\t0%.%d+")
  child:close_stdin()
  lu.assertStrMatches(child:read_line(), "%a+\t0%.%d+")
  lu.assertNil(child:read_line())
  lu.assertEquals(child:wait(), 0)
end

function TestPredict:test_ctrl_c_ends_it_with_130()
  local child <close> = helper.start({ "predict", CLASSIFIER }, { stdin = "pipe" })
  child:write("rain\n")
  lu.assertStrMatches(child:read_line(), "%a+\t0%.%d+")
  child:kill("int")
  lu.assertEquals(child:read_all(), "kooka: interrupted\n")
  lu.assertEquals(child:wait(), 130)
end

function TestPredict:test_a_reader_that_goes_away_is_no_failure()
  local said, status = os.tmpname(), os.tmpname()
  local child <close> = kooka.try(sys.spawn({ "sh", "-c",
    'yes "the bird" | head -60000 | { "$1" predict "$2" 2>"$3"; echo $? >"$4"; } | head -1', "sh", helper.kooka, CLASSIFIER, said, status },
    { stdout = "pipe", stdin = "null" }))
  lu.assertStrMatches(child:read_all(), "bird\t[%d.]+\n")
  child:wait()
  lu.assertEquals({ sys.read_file(status), sys.read_file(said) }, { "0\n", "" })
  os.remove(said)
  os.remove(status)
end

function TestPredict:test_a_line_that_is_not_utf8_is_named()
  local status, out, err = predict("rain\n\xff\xfe\nbird\n", CLASSIFIER)
  lu.assertEquals(status, 1)
  lu.assertEquals(#lines_of(out), 1)
  lu.assertStrContains(err, "kooka predict: line 2: ")
  lu.assertStrContains(err, "--skip-bad")
  status, out, err = predict("rain\n\xff\xfe\nbird\n", CLASSIFIER, "--skip-bad")
  lu.assertEquals(status, 0)
  lu.assertEquals(lines_of(out)[2], "-")
  lu.assertEquals(#lines_of(out), 3)
  lu.assertStrContains(err, "line 2: ")
  out = select(2, predict("\xff\n", CLASSIFIER, "--skip-bad", "--json"))
  lu.assertStrContains(json.decode(out).error, "line 1: ")
end

function TestPredict:test_wrong_usage_is_2_and_says_what_is_right()
  local function refused(message, status, ...)
    local got, out, err = predict("", ...)
    lu.assertEquals({ got, out }, { status, "" })
    lu.assertStrContains(err, message)
    lu.assertStrContains(err, "kooka predict: ")
    lu.assertNil(err:find("traceback", 1, true))
  end
  refused("unknown option --prbs; did you mean --probs?", 2, CLASSIFIER, "--prbs")
  refused("which model?", 2)
  refused("see kooka generate", 2, LANGUAGE)
  refused("no such folder", 1, stored .. "/none")
  refused("--labels has 2 names, the model 3 classes", 2, CLASSIFIER, "--labels", "a,b")
  refused("option --batch is 0, expected an integer from 1 to 4096", 2, CLASSIFIER, "--batch", "0")
  refused("option --threads is x", 2, CLASSIFIER, "--threads", "x")
  local status, out = predict("", "--help")
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "usage: kooka predict MODEL")
end

function TestPredict:test_nothing_in_nothing_out()
  local status, out, err = predict("", CLASSIFIER)
  lu.assertEquals({ status, out, err }, { 0, "", "" })
end

TestGenerate = {}

local function generate(...) return helper.run { "generate", ... } end

function TestGenerate:test_what_the_library_writes()
  local m = kooka.try(model.load(LANGUAGE))
  local want = m:generate { tokens = 30, seed = 6, prompt = "the bird", top_p = .9, temperature = .8 }
  local status, out, err = generate(LANGUAGE, "--tokens", "30", "--seed", "6", "--prompt", "the bird", "--top-p", ".9",
    "--temperature=.8")
  lu.assertEquals({ status, out, err }, { 0, want[1].text .. "\n", "" })          -- as it grew, the same as at the end
  out = select(2, generate(LANGUAGE, "--n", "3", "--json", "--tokens", "9", "--typical", ".9", "--min-p", ".01", "--top-k", "20",
    "--penalty", "1.2"))
  want = m:generate { n = 3, tokens = 9, typical = .9, min_p = .01, top_k = 20, penalty = 1.2 }
  for i, line in ipairs(lines_of(out)) do lu.assertEquals(json.decode(line).text, want[i].text) end
  out = select(2, generate(LANGUAGE, "--beams", "3", "--n", "2", "--tokens", "6", "--json"))
  want = m:generate { beams = 3, n = 2, tokens = 6 }
  lu.assertAlmostEquals(json.decode(lines_of(out)[2]).score, want[2].score, 1e-6)
end

function TestGenerate:test_a_seed_is_a_text()
  local _, first = generate(LANGUAGE, "--tokens", "20", "--seed", "3")
  local _, again = generate(LANGUAGE, "--tokens", "20", "--seed", "3", "--threads", "1")
  local _, other = generate(LANGUAGE, "--tokens", "20", "--seed", "4")
  lu.assertEquals(again, first)
  lu.assertNotEquals(other, first)
end

function TestGenerate:test_wrong_usage()
  local function refused(message, status, ...)
    local got, out, err = generate(...)
    lu.assertEquals({ got, out }, { status, "" })
    lu.assertStrContains(err, message)
  end
  refused("unknown option --temprature; did you mean --temperature?", 2, LANGUAGE, "--temprature", "1")
  refused("see kooka predict", 2, CLASSIFIER)
  refused("which model?", 2)
  refused("one model, please", 2, LANGUAGE, LANGUAGE)
  refused("--n is 5, but there are 2 beams", 2, LANGUAGE, "--n", "5", "--beams", "2")
  refused("option --seed is -1", 2, LANGUAGE, "--seed", "-1")
  refused("option --top-p is 0", 2, LANGUAGE, "--top-p", "0")
  refused("the model has no LSTM layer", 1, LANGUAGE, "--int8")
  refused("no such folder", 1, stored .. "/none")
  refused("not UTF-8", 2, LANGUAGE, "--prompt", "\xff")
  local status, out = generate("-h")
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "usage: kooka generate MODEL")
end

function TestGenerate:test_ctrl_c_ends_it_with_130()
  local child <close> = helper.start { "generate", LANGUAGE, "--tokens", "1000000", "--endless" }
  sys.sleep(.3)
  child:kill("int")
  lu.assertStrContains(child:read_all(), "kooka: interrupted\n")
  lu.assertEquals(child:wait(), 130)
end

os.exit(lu.LuaUnit.run())
