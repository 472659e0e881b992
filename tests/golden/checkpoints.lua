-- checkpoints.lua -- makes the models in tests/golden/checkpoints/ that every later version must read, and what they answered.
--   sleep 60 | build/kooka tests/golden/checkpoints.lua DIR     (DIR: a folder that does not exist yet; the trainer of the
--   tokenizer ends when its standard input does)
-- Made once, by the version that config.json names; never made again: a new layout gets new folders beside the old ones.
-- The texts are made up. The tokenizer has no normalization table, which would be 240 KB of its 2.
local kooka = require "kooka"
local model = require "kooka.model"
local nn = require "kooka.nn"
local sys = kooka.sys

local out = assert(arg[1], "usage: kooka tests/golden/checkpoints.lua DIR")
assert(not sys.exists(out), out .. " is there already")
kooka.try(sys.mkdir_p(out))

local TEXTS = { "the bird laughs at every joke", "rain falls on grey streets today", "why not laugh again", "the rain joke ever" }

local function tokenizer()
  local input, path = out .. "/texts", out .. "/pieces.model"
  kooka.try(sys.write_file(input, table.concat(TEXTS, "\n") .. "\n"))
  kooka.try(require("kooka.core").spm.train_here(input, path, { "model_type", "bpe", "vocab_size", "40", "hard_vocab_limit", "false",
    "normalization_rule_name", "identity", "unk_id", "0", "unk_piece", "xxunk", "pad_id", "1", "pad_piece", "xxpad", "bos_id", "2",
    "bos_piece", "xxbos", "eos_id", "3", "eos_piece", "xxeos", "num_threads", "1" }, false))
  return kooka.try(require("kooka.text.tokenizer").load(path)), { input, path }
end

local tok, spare = tokenizer()

local function made(name, config, card)
  config.vocab, config.padding = tok:size(), tok.pad
  local m = model.new { network = nn[config.kind](config):eval(), tokenizer = tok, config = config, card = card }
  for _, p in ipairs(m.network:parameters()) do p:copy_((p * 2):detach()) end      -- answers far from even
  return m, out .. "/" .. name
end

local answers = {}

local classifier, path = made("lstm_classifier", { kind = "classifier", embed = 8, hidden = 12, layers = 2, head = 6, classes = 3,
  classes_names = { "rain", "bird", "other" }, seed = 3 }, { name = "a tiny classifier", data = "four sentences" })
classifier.calibration = { method = "temperature", temperature = 1.5, n = 4 }
kooka.try(classifier:save(path))
answers.lstm_classifier = { prob = classifier:predict(TEXTS, { bar = false }), raw = classifier:predict(TEXTS, { bar = false, raw = true }) }

local small = classifier:int8()
kooka.try(small:save(out .. "/int8_classifier"))
answers.int8_classifier = { prob = small:predict(TEXTS, { bar = false }) }

local lm
lm, path = made("qrnn_language_model", { kind = "language_model", cell = "qrnn", embed = 8, hidden = 12, layers = 2, seed = 4 })
kooka.try(lm:save(path))
local corpus = lm:encode(TEXTS)
local x, y = kooka.data.batches.lm(corpus, { batch = 1, length = corpus:tokens() - 1, shuffle = false }):get(1)
answers.qrnn_language_model = { nll = lm.network:loss { x = x, y = y }:item(),
  last = lm.network(x):narrow(1, x:shape(1), 1):reshape(-1):tolist(), greedy = lm:generate { temperature = 0, tokens = 12 }[1].ids }

for _, name in ipairs(spare) do os.remove(name) end
answers.texts = TEXTS
kooka.try(sys.write_file(out .. "/answers.json", kooka.json.encode(answers, { pretty = true }) .. "\n"))
