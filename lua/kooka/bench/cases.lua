--- cases: what is measured, each through the modules that recipes use. A case is
-- { sizes = {defaults}, tiny = {for tests}, unit = "ms" | "MB/s", open = function(sizes) -> step, info }
-- step() does the work once. info: flops (of one step, each multiply-add is two), bytes (for MB/s), inner (steps a
-- sample), shared (further sizes for the peer: paths of files both sides read), children (the work is done by child
-- programs), activations (bytes a token that the forward pass must keep). bf16 = true: the peer can work in bfloat16, asked by
-- the size bf16 = 1; ours then runs in the precision that "auto" takes. peer = false: no other program does this.
local core = require "kooka.core"
local kooka = require "kooka"

local cases = {}

-- A lazily required module: the command line lists the cases without loading the library.
local function nn() return require "kooka.nn" end

local function adam(model) return require("kooka.learn.optim").adam(model:groups()) end

local function classes(n, count, stream) return core.randint(1, count, n, stream):keep() end

local function random(name) return core.random("bench " .. name, 1) end

-- forward, backward and back to zero gradients, as a training step does without its optimizer
local function trainer(params, loss_of)
  return function()
    local tape <close> = core.tape()
    tape:backward(loss_of())
    core.optim.zero_grad(params)
  end
end

cases.lstm = {
  about = "LSTM layer, forward + backward", unit = "ms", bf16 = true, sizes = { T = 70, B = 64, D = 400, H = 1152 }, tiny = { T = 3, B = 2, D = 5, H = 4 },
  open = function(z)
    local layer = nn().lstm { inputs = z.D, hidden = z.H }
    local x = core.randn(z.T, z.B, z.D, random "lstm"):keep():param()
    local params = layer:parameters()
    params[#params + 1] = x
    return trainer(params, function() return (layer(x)):sum() end),
      { flops = 3 * 2 * z.T * z.B * 4 * z.H * (z.D + z.H) }
  end,
}

local function widths(z)
  local flops = 0
  for i = 1, z.L do
    local d, h = i == 1 and z.E or z.H, i == z.L and z.E or z.H
    flops = flops + 4 * h * (d + h)
  end
  return flops
end

-- Floats a token: the embedded word, and gates, cell and output of each layer.
local function activations(z)
  local n = z.E
  for i = 1, z.L do n = n + 6 * (i == z.L and z.E or z.H) end
  return 4 * n
end

cases.lm = {
  about = "AWD-LSTM language model: a training step", unit = "ms", bf16 = true, sizes = { V = 8000, E = 200, H = 512, L = 3, T = 70, B = 64 },
  tiny = { V = 40, E = 4, H = 6, L = 2, T = 3, B = 2 },
  open = function(z)
    local model = nn().language_model { vocab = z.V, embed = z.E, hidden = z.H, layers = z.L }
    local opt, s, state = adam(model), random "lm", nil
    local batch = { x = core.randint(1, z.V, z.T, z.B, s):keep(), y = core.randint(1, z.V, z.T, z.B, s):keep() }
    return function()
      local tape <close> = core.tape()
      local loss, _, new = model:loss(batch, state)
      tape:backward(loss)
      opt:step(1e-3, .9, .1)
      state = new
    end, { flops = 3 * 2 * z.T * z.B * (widths(z) + z.E * z.V), activations = activations(z) }
  end,
}

cases.qrnn = {
  about = "AWD-QRNN language model: a training step", unit = "ms", bf16 = true, sizes = { V = 30000, E = 400, H = 2304, L = 3, T = 70, B = 64 },
  tiny = { V = 40, E = 4, H = 6, L = 2, T = 3, B = 2 },
  open = function(z)
    local model = nn().language_model { vocab = z.V, embed = z.E, hidden = z.H, layers = z.L, cell = "qrnn" }
    local opt, s, state = adam(model), random "qrnn", nil
    local batch = { x = core.randint(1, z.V, z.T, z.B, s):keep(), y = core.randint(1, z.V, z.T, z.B, s):keep() }
    local weights = z.E * z.V
    for _, cell in ipairs(model.encoder.cells) do weights = weights + cell.weight:numel() end
    return function()
      local tape <close> = core.tape()
      local loss, _, new = model:loss(batch, state)
      tape:backward(loss)
      opt:step(1e-3, .9, .1)
      state = new
    end, { flops = 3 * 2 * z.T * z.B * weights }
  end,
}

-- Lengths from 5 to 60 with a mean of 25: a quadratic ramp, so that both sides have the same without a generator.
local function tweet_lengths(z)
  local lens, sum = {}, 0
  for i = 1, z.B do
    local u = z.B == 1 and .5 or (z.B - i) / (z.B - 1)
    lens[i] = math.floor(z.low + (z.high - z.low) * u ^ z.curve + .5)
    sum = sum + lens[i]
  end
  return lens, sum
end

cases.classifier = {
  about = "classifier on tweets: a training step", unit = "ms", bf16 = true,
  sizes = { V = 30000, E = 400, H = 1152, L = 3, B = 64, low = 5, high = 60, curve = 1.75 },
  tiny = { V = 40, E = 4, H = 6, L = 2, B = 4, low = 1, high = 3, curve = 1 },
  open = function(z)
    local model = nn().classifier { vocab = z.V, embed = z.E, hidden = z.H, layers = z.L }
    local opt, s = adam(model), random "classifier"
    local lens, tokens = tweet_lengths(z)
    local batch = { x = core.randint(1, z.V, lens[1], z.B, s):keep(), y = classes(z.B, 2, s),
      lens = core.tensor(lens, "int32"):keep() }
    return function()
      local tape <close> = core.tape()
      tape:backward((model:loss(batch)))
      opt:step(1e-3, .9, .1)
    end, { flops = 3 * 2 * tokens * widths(z) }
  end,
}

local function message(about, bf16, prepared)
  return {
    about = about, unit = "ms", bf16 = bf16,
    sizes = { V = 30000, E = 400, H = 1152, L = 3, T = 30 }, tiny = { V = 40, E = 4, H = 6, L = 2, T = 3 },
    open = function(z)
      local model = prepared(nn().classifier { vocab = z.V, embed = z.E, hidden = z.H, layers = z.L }:eval())
      local ids, lens = core.randint(1, z.V, z.T, 1, random "message"):keep(), core.tensor({ z.T }, "int32"):keep()
      return function()
        local scope <close> = core.scope()
        core.softmax(model(ids, lens)):tolist()
      end, { flops = 2 * z.T * widths(z), inner = 5 }
    end,
  }
end

cases.message = message("one message through a classifier, no gradient", true, function(model) return model end)
cases.message_int8 = message("the same with recurrent weights of eight bits; the peer's are float32", nil,
  function(model) return nn().quantize(model) end)

cases.linear_ce = {
  about = "linear + cross-entropy, forward + backward", unit = "ms", bf16 = true, sizes = { N = 4480, D = 400, V = 30000 },
  tiny = { N = 6, D = 4, V = 9 },
  open = function(z)
    local s = random "linear_ce"
    local layer = nn().linear { inputs = z.D, outputs = z.V }
    local x, y = core.randn(z.N, z.D, s):keep():param(), classes(z.N, z.V, s)
    local params = layer:parameters()
    params[#params + 1] = x
    return trainer(params, function() return (core.linear_cross_entropy(x, layer.weight, layer.bias, y)) end),
      { flops = 3 * 2 * z.N * z.D * z.V }
  end,
}

cases.embedding = {
  about = "embedding, forward + backward", unit = "ms", sizes = { N = 4480, V = 30000, D = 400 }, tiny = { N = 6, V = 9, D = 4 },
  open = function(z)
    local s = random "embedding"
    local table, ids = core.randn(z.V, z.D, s):keep():param(), classes(z.N, z.V, s)
    return trainer({ table }, function() return core.embedding(ids, table):sum() end), { inner = 5 }
  end,
}

cases.matmul = {
  about = "matrix product", unit = "ms", sizes = { M = 1024, K = 1024, N = 1024 }, tiny = { M = 5, K = 4, N = 3 },
  open = function(z)
    local s = random "matmul"
    local a, b = core.randn(z.M, z.K, s):keep(), core.randn(z.K, z.N, s):keep()
    local flops = 2 * z.M * z.K * z.N
    return function()
      local scope <close> = core.scope()
      core.matmul(a, b)
    end, { flops = flops, inner = math.min(20, math.max(1, math.floor(1e10 / flops))) }
  end,
}

cases.adam = {
  about = "clip + Adam step", unit = "ms", sizes = { N = 12000000 }, tiny = { N = 100 },
  open = function(z)
    local s = random "adam"
    local p = core.randn(z.N, s):keep():param()
    local opt = require("kooka.learn.optim").adam { { p } }
    do
      local tape <close> = core.tape()
      tape:backward((p * p):sum())
    end
    return function() opt:step(1e-3, .9, .1) end, { inner = 5 }
  end,
}

---- text ------------------------------------------------------------------------------------------

-- Generated messages with labels; the first `count` of them also in a file, one a line, for the peer.
local function messages(count)
  local folder, out, labels, size = "build/bench", {}, {}, 0
  local each = math.max(10, math.ceil(count / 40))
  local community = require("kooka.community").generate { users = 40, messages = each, shown = 1, seed = 1 }
  for i, post in ipairs(community.posts) do
    if i > count then break end
    out[i] = (post.text:gsub("%s+", " "))
    labels[i] = post.funny + 1
    size = size + #out[i]
  end
  kooka.try(core.sys.mkdir_p(folder))
  kooka.try(core.sys.write_file(folder .. "/texts.txt", table.concat(out, "\n") .. "\n"))
  kooka.try(core.sys.write_file(folder .. "/labels.txt", table.concat(labels, "\n") .. "\n"))
  return out, labels, size, { texts = folder .. "/texts.txt", labels = folder .. "/labels.txt" }
end

cases.tokenizer = {
  about = "SentencePiece BPE, encode", unit = "MB/s", sizes = { texts = 20000, vocab = 4000 }, tiny = { texts = 400, vocab = 200 },
  open = function(z)
    local texts, _, bytes, files = messages(z.texts)
    local path = "build/bench/pieces.model"
    local tokenizer = require "kooka.text.tokenizer"
    local tok = kooka.try(tokenizer.train { texts = texts, path = path, vocab = z.vocab, sentences = 5000 })
    return function() kooka.try(tok:encode_all(texts)) end,
      { bytes = bytes, shared = { file = files.texts, model = path } }
  end,
}

cases.rules = {
  about = "cleaning rules", unit = "MB/s", sizes = { texts = 20000 }, tiny = { texts = 400 },
  open = function(z)
    local texts, _, bytes, files = messages(z.texts)
    local rules = require "kooka.text.rules"
    return function() kooka.try(rules.clean_all(texts)) end, { bytes = bytes, shared = { file = files.texts } }
  end,
}

cases.nbsvm = {
  about = "NB-SVM on 1- and 2-grams, fit", unit = "ms", sizes = { texts = 20000 }, tiny = { texts = 400 },
  open = function(z)
    local texts, labels, _, files = messages(z.texts)
    return function()
      kooka.try(require("kooka.baseline.nbsvm").fit { texts = texts, labels = labels })
    end, { shared = { file = files.texts, labels = files.labels } }
  end,
}

---- scores and people -----------------------------------------------------------------------------

cases.bootstrap = {
  about = "metrics of a test set with bootstrap intervals", unit = "ms", sizes = { N = 6000, resamples = 1000 },
  tiny = { N = 40, resamples = 20 },
  open = function(z)
    local s = random "bootstrap"
    local prob, label = {}, {}
    for i = 1, z.N do
      label[i] = s:uniform() < .3 and 2 or 1
      prob[i] = math.min(math.max(.5 + .2 * (label[i] == 2 and 1 or -1) + .3 * s:normal(), .001), .999)
    end
    return function() require("kooka.eval").binary(prob, label, { resamples = z.resamples }) end, {}
  end,
}

-- Repeated stratified cross-validation of one logistic head, and every metric of it with its bootstrap.
cases.cv_head = {
  about = "one head, repeated stratified CV, bootstrapped metrics", unit = "ms",
  sizes = { N = 2000, D = 100, folds = 5, rounds = 5, resamples = 1000 }, tiny = { N = 40, D = 3, folds = 2, rounds = 1, resamples = 20 },
  open = function(z)
    local s, labels = random "cv_head", {}
    local x = core.randn(z.N, z.D, s):keep()
    for i, v in ipairs(x:narrow(2, 1, 1):reshape(z.N):tolist()) do labels[i] = v + s:normal() > 1.8 and 2 or 1 end
    local split, repeats = require "kooka.data.split", require "kooka.eval.repeats"
    local function take(rows) return core.index_select(x, core.tensor(rows, "int32")) end
    return function()
      local prob, pred = {}, {}
      for r = 1, z.rounds do
        prob[r], pred[r] = {}, {}
        for _, fold in ipairs(split.kfold(labels, { k = z.folds, seed = r })) do
          local scope <close> = core.scope()
          local y = {}
          for i, row in ipairs(fold.train) do y[i] = labels[row] end
          local w, b = core.logistic.path(take(fold.train), y, { l2 = 1e-2 })
          for i, p in ipairs(core.logistic.prob(take(fold.valid), w, b)[1]) do
            prob[r][fold.valid[i]], pred[r][fold.valid[i]] = p, p > .5 and 2 or 1
          end
        end
      end
      repeats.compare { prob = { prob }, pred = { pred }, label = labels, resamples = z.resamples }
    end, {}
  end,
}

cases.heads = {
  about = "a head a person, 5 folds", unit = "ms", sizes = { users = 1000, rows = 100, D = 400 },
  tiny = { users = 3, rows = 12, D = 4 },
  open = function(z)
    local s = random "heads"
    local n, people, labels = z.users * z.rows, {}, {}
    local some = math.min(n, 100000)
    local part, parts = core.randn(some, z.D, s):keep(), {}
    for i = 1, n // some do parts[i] = part end
    local features = #parts > 1 and core.cat(parts, { dim = 1 }):keep() or part
    local first = features:narrow(2, 1, 1):reshape(n):tolist()
    for i = 1, n do
      people[i] = (i - 1) // z.rows + 1
      labels[i] = first[i] + s:normal() > 0 and 2 or 1
    end
    local offset = {}
    for i = 1, n do offset[i] = 0 end
    -- fit = 1: heads on all rows and no folds; ridge = 1: in closed form
    return function()
      local folds
      if z.fit == 1 then folds = false end
      require("kooka.users").fit { features = features, labels = labels, users = people, offset = offset,
        lambda = 30, lambda0 = 1, folds = folds, method = z.ridge == 1 and "ridge" or "map" }
    end, {}
  end,
}

-- Rows with a twentieth of a second class, which lies `apart` away from the first in every column.
local function minority(z)
  local s, labels, all = random "minority", {}, {}
  local x = core.randn(z.N, z.D, s):keep()
  for i = 1, z.N do
    all[i], labels[i] = i, i % 20 == 0 and 2 or 1
    if labels[i] == 2 then x:select(1, i):copy_(x:select(1, i) + z.apart) end
  end
  return x, labels, require("kooka.data.split").given(all, {})
end

local function resampler(about, name)
  return {
    about = about, unit = "ms", sizes = { N = 100000, D = 400, apart = .2 }, tiny = { N = 200, D = 4, apart = .2 },
    open = function(z)
      local x, labels, side = minority(z)
      local resample = require("kooka.imbalance")[name]
      return function()
        local scope <close> = core.scope()
        resample(side, labels, { x = x, say = false })
      end, {}
    end,
  }
end

cases.smote = resampler("SMOTE, 5 % minority", "smote")
cases.borderline_smote = resampler("Borderline-SMOTE, 5 % minority", "borderline_smote")
cases.adasyn = resampler("ADASYN, 5 % minority", "adasyn")

cases.startup = {
  about = "kooka -e \"print(1)\"", unit = "ms", peer = false, sizes = {}, tiny = {},
  open = function()
    local exe = kooka.try(core.sys.exe())
    return function()
      local child <close> = assert(core.sys.spawn({ exe, "-e", "print(1)" }, { stdin = "null", stdout = "pipe" }))
      assert(child:read_all() ~= "" and child:wait() == 0, "kooka -e print(1) failed")
    end, { inner = 5, children = true }
  end,
}

--- cases.rows: what `kooka bench` runs: {name=, case=, sizes over the defaults, repeats at most}, and further rows of the
-- same work: bf16 (the peer in bfloat16), installed (the peer as pip installs it), memory (highest resident memory), tokens
-- (ours alone with T times ten), across (ours of the bf16 row against PyTorch in float32). Targets stand in
-- kooka.bench.targets under the row's name.
cases.rows = {
  { name = "startup", case = "startup" },
  { name = "matmul 1024", case = "matmul" },
  { name = "matmul 4480x400x4608", case = "matmul", sizes = { M = 4480, K = 400, N = 4608 } },
  { name = "embedding 4480 of 30000x400", case = "embedding" },
  { name = "adam 12M", case = "adam" },
  { name = "linear+ce", case = "linear_ce", bf16 = true, memory = true },
  { name = "lstm 400->1152", case = "lstm", bf16 = true },
  { name = "lstm 1152->1152", case = "lstm", sizes = { D = 1152 }, bf16 = true },
  { name = "lstm 1152->400", case = "lstm", sizes = { D = 1152, H = 400 }, bf16 = true },
  { name = "lm small", case = "lm", bf16 = true },
  { name = "lm full", case = "lm", sizes = { V = 30000, E = 400, H = 1152 }, bf16 = true, installed = true, memory = true,
    across = true },
  { name = "qrnn lm", case = "qrnn", bf16 = true },
  { name = "lm tokens x10", case = "lm", sizes = { B = 8 }, tokens = true },
  { name = "classifier padded", case = "classifier", sizes = { low = 40, high = 40 }, bf16 = true },
  { name = "classifier tweets", case = "classifier", bf16 = true, installed = true },
  { name = "one message", case = "message", bf16 = true },
  { name = "one message int8", case = "message_int8" },
  { name = "sentencepiece encode", case = "tokenizer" },
  { name = "rules", case = "rules" },
  { name = "nbsvm fit", case = "nbsvm" },
  { name = "bootstrap 1000", case = "bootstrap" },
  { name = "cv head", case = "cv_head", repeats = 3 },
  { name = "heads 1000x100x400", case = "heads", repeats = 3 },
  { name = "smote 100000x400", case = "smote", repeats = 5, installed = true },
  { name = "borderline-smote 100000x400", case = "borderline_smote", repeats = 3 },
  { name = "adasyn 100000x400", case = "adasyn", repeats = 3 },
  { name = "heads 10000, logistic", case = "heads", sizes = { users = 10000, fit = 1, ridge = 0 }, repeats = 3 },
  { name = "heads 10000, ridge", case = "heads", sizes = { users = 10000, fit = 1, ridge = 1 }, repeats = 3 },
}

local function with(entry, name, more)
  local e = { name = name, case = entry.case, repeats = entry.repeats, memory = entry.memory, sizes = {} }
  for k, v in pairs(entry.sizes or {}) do e.sizes[k] = v end
  for k, v in pairs(more) do e[k] = v end
  return e
end

--- cases.suite: cases.rows with their further rows, as entries of their own: {name, case, sizes, repeats, memory, tokens,
-- peer = "installed" or nil}, or {name, from = {ours =, peer = names of lines}}.
cases.suite = {}
for _, r in ipairs(cases.rows) do
  local list = cases.suite
  list[#list + 1] = with(r, r.name, { tokens = r.tokens })
  if r.bf16 then
    local e = with(r, r.name .. " bf16", {})
    e.sizes.bf16 = 1
    list[#list + 1] = e
  end
  if r.across then
    list[#list + 1] = { name = r.name .. " bf16 : float32", from = { ours = r.name .. " bf16", peer = r.name } }
  end
  if r.installed then list[#list + 1] = with(r, r.name .. " as installed", { peer = "installed", memory = false }) end
end

return cases
