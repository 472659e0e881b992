-- curves.lua -- do training curves in bfloat16 equal float32's? An AWD-LSTM on the words of the Penn Treebank, the same
-- seeds in each precision: validation loss after each epoch, and the difference beside the spread that the seed alone
-- makes. A learned result, not a rounding error: a precision is fit for `auto` when the difference is within that noise.
--
--   KOOKA_KERNEL16=avx512_bf16 build/kooka tests/bench/curves.lua [../shared/data/lm/ptb [tokens [epochs [seeds [precisions]]]]]
local core = require "kooka.core"
local kooka = require "kooka"
local learner, sources = require "kooka.learn.learner", require "kooka.learn.sources"

local data, tokens = arg[1] or "../shared/data/lm/ptb", tonumber(arg[2] or 300000)
local epochs, seeds = tonumber(arg[3] or 3), tonumber(arg[4] or 3)

local ids, size = {}, 0
local function id(word)
  if not ids[word] then
    size = size + 1
    ids[word] = size
  end
  return ids[word]
end

-- A line is a document; words keep the treebank's own <unk>. Validation words that training lacks become <unk>.
local function read(file, limit, grow)
  local docs, n = {}, 0
  for line in kooka.try(core.sys.read_file(data .. "/" .. file)):gmatch("[^\n]+") do
    local doc = {}
    for word in line:gmatch("%S+") do doc[#doc + 1] = grow and id(word) or ids[word] or id "<unk>" end
    doc[#doc + 1] = id "<eos>"
    docs[#docs + 1], n = doc, n + #doc
    if n >= limit then break end
  end
  return docs
end

local function corpus(docs)
  local c = core.corpus.new(size)
  for _, doc in ipairs(docs) do c:add(doc) end
  return c
end

local train, valid = read("ptb.train.txt", tokens, true), read("ptb.valid.txt", math.huge, false)
local batches = require "kooka.data.batches"

local function curve(precision, seed)
  core.seed(seed)
  local model = require("kooka.nn").language_model { vocab = size, embed = 128, hidden = 256, layers = 3 }
  local stream = batches.lm(corpus(train), { batch = 32, length = 35, seed = seed, shuffle = true })
  local history = learner.fit {
    model = model, train = sources.lm(stream), valid = sources.lm(batches.lm(corpus(valid), { batch = 32, length = 35 })),
    epochs = epochs, lr = 5e-3, clip = .25, precision = precision, say = function() end,
    label = ("%s, seed %d"):format(precision, seed),
  }
  local losses = {}
  for i, h in ipairs(history) do losses[i] = h.valid_loss end
  return losses, history[#history].items_per_second
end

local function mean_sd(list)
  local mean, square = 0, 0
  for _, x in ipairs(list) do mean = mean + x / #list end
  for _, x in ipairs(list) do square = square + (x - mean) ^ 2 end
  return mean, math.sqrt(square / math.max(#list - 1, 1))
end

local wanted = {}
for p in (arg[5] or "float32,bf16,bf16x3"):gmatch "[^,]+" do
  if core.precision(p) == p then wanted[#wanted + 1] = p end
end
core.precision "float32"
local all = {}
print(("Penn Treebank, %d tokens, %d words, AWD-LSTM 128/256 x 3, kernels %s and %s"):format(tokens, size, core.kernel()))
for seed = 1, seeds do
  for _, p in ipairs(wanted) do
    all[p] = all[p] or {}
    local losses, speed = curve(p, seed)
    all[p][seed] = losses
    local text = {}
    for i, x in ipairs(losses) do text[i] = ("%.4f"):format(x) end
    print(("seed %d  %-8s valid loss %s  (%.0f tokens/s)"):format(seed, p, table.concat(text, "  "), speed))
  end
end
for epoch = 1, epochs do
  local base = {}
  for seed = 1, seeds do base[seed] = all.float32[seed][epoch] end
  local mean, sd = mean_sd(base)
  print(("epoch %d  float32 %.4f, between seeds sd %.4f"):format(epoch, mean, sd))
  for _, p in ipairs(wanted) do
    local differences = {}
    for seed = 1, seeds do differences[seed] = all[p][seed][epoch] - base[seed] end
    local d, spread = mean_sd(differences)
    if p ~= "float32" then print(("         %-8s minus float32 %+.4f, sd %.4f"):format(p, d, spread)) end
  end
end
