--- small_fits: the options of learner.fit for a small language model and a small classifier on generated texts.
local batches = require "kooka.data.batches"
local kooka = require "kooka"
local nn = require "kooka.nn"
local sources = require "kooka.learn.sources"
local tokenizer = require "kooka.text.tokenizer"

local small = {}

local WORDS = { "the", "bird", "laughs", "at", "every", "joke", "rain", "falls", "on", "grey", "streets", "today", "why", "not",
  "ever", "again" }

-- n texts of two kinds, told apart by their words.
local function texts_of(n)
  local stream, texts, labels = kooka.random("small texts", 5), {}, {}
  for i = 1, n do
    local words, kind = {}, i % 2
    for k = 1, 4 + stream:below(12) do
      words[k] = WORDS[stream:uniform() < .75 and kind * 8 + stream:below(8) or stream:below(16)]
    end
    texts[i], labels[i] = table.concat(words, " "), kind + 1
  end
  return texts, labels
end

local function corpus_of(dir, texts)
  local path = dir .. "/pieces.model"
  if not kooka.sys.exists(path) then kooka.try(tokenizer.train { texts = texts, vocab = 60, path = path }) end
  local tok = kooka.try(tokenizer.load(path))
  return tok, kooka.try(tok:encode_all(texts, { bos = true }))
end

local function quiet() end

--- language_model(dir [, seed = 1 [, cell = "lstm"]]) -> options of learner.fit
-- Every dropout acts, layers are wide enough that products and loops are cut into several pieces. dir keeps the tokenizer.
function small.language_model(dir, seed, cell)
  local texts = texts_of(260)
  local tok, corpus = corpus_of(dir, texts)
  return { model = nn.language_model { vocab = tok:size(), padding = tok.pad, cell = cell, embed = 48, hidden = 96, layers = 2,
      seed = seed or 1 },
    train = sources.lm(batches.lm(corpus, { batch = 12, length = 30, seed = seed or 1 })), lr = 5e-3, epochs = 2, clip = .25,
    decay = .01, label = "small language model", say = quiet }
end

--- classifier(dir [, seed = 1 [, cell = "lstm"]]) -> options of learner.fit
function small.classifier(dir, seed, cell)
  local texts, labels = texts_of(200)
  local tok, corpus = corpus_of(dir, texts)
  local targets = kooka.tensor(labels, "int32")
  return { model = nn.classifier { vocab = tok:size(), padding = tok.pad, cell = cell, embed = 40, hidden = 72, layers = 2, classes = 2,
      seed = seed or 1 },
    train = sources.classes(batches.buckets(corpus, { batch = 24, train = true, pad = tok.pad, seed = seed or 1 }), targets),
    valid = sources.classes(batches.buckets(corpus, { batch = 50, pad = tok.pad }), targets),
    lr = 5e-3, epochs = 3, clip = .25, decay = .01, label = "small classifier", say = quiet }
end

return small
