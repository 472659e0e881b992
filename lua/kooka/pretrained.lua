--- pretrained: language models that others trained, as state of kooka.nn.language_model: fastai's AWD-LSTM and AWD-QRNN (v1,
-- v2, and 0.7), from torch.save files or safetensors, and our own; moved to another vocabulary as fastai does.
local core = require "kooka.core"
local check_options = require "kooka.options"
local tokenizer = require "kooka.text.tokenizer"

local pretrained = {}

local SPACE = "\u{2581}"     -- how SentencePiece writes a space

local function shape_text(t) return "(" .. table.concat(t:shape(), ",") .. ")" end

local function is_tensor(v) return type(v) == "userdata" and getmetatable(v).__name == "kooka.tensor" end

---- reading -----------------------------------------------------------------------------------------

local function read_weights(path)
  if path:lower():match "%.safetensors$" then return core.load_safetensors(path) end
  return core.load_torch(path, { unwrap = "model" })
end

-- Tensors by name, whatever else there may be.
local function check_named(weights, what)
  if type(weights) ~= "table" then return nil, ("%s: expected tensors by name, got a %s"):format(what, type(weights)), "format" end
  for name, t in pairs(weights) do
    if type(name) ~= "string" or not is_tensor(t) then
      return nil, ("%s: expected tensors by name, got %s = a %s"):format(what, tostring(name), type(t)), "format"
    end
  end
  return weights
end

-- A list of words from a file (a pickle, a JSON list, one word a line, a SentencePiece model), a list, or a tokenizer.
local function read_words(from)
  if type(from) == "table" and from.piece then
    local list = {}
    for i = 1, from:size() do list[i] = (from:piece(i)) end
    return list
  end
  if type(from) ~= "string" then return from end
  local list, message, code
  if from:match "%.model$" then
    list, message, code = tokenizer.load(from)
    if list then return read_words(list) end
  elseif from:match "%.json$" or from:match "%.txt$" then
    local text
    text, message, code = core.sys.read_file(from)
    if text and from:match "%.json$" then
      list, message, code = core.json.decode(text)
    elseif text then
      list = {}
      for line in text:gmatch "([^\n]*)\n?" do list[#list + 1] = line end
      if list[#list] == "" then list[#list] = nil end
    end
  else
    list, message, code = core.load_torch(from)
  end
  if list == nil then return nil, message, code end
  return list
end

local function check_words(list, what)
  if type(list) ~= "table" or #list == 0 then return nil, what .. ": expected a list of words", "format" end
  for i, word in ipairs(list) do
    if type(word) ~= "string" then return nil, ("%s: word %d is a %s, expected a string"):format(what, i, type(word)), "format" end
  end
  return list
end

---- fastai's names --------------------------------------------------------------------------------------

-- Names under which a layer keeps each weight, the one that counts first: "_raw" is what weight drop left untouched.
local LSTM = {
  weight_ih = { "module.weight_ih_l0", "weight_ih_l0", "module.weight_ih_l0_raw" },
  weight_hh = { "weight_hh_l0_raw", "module.weight_hh_l0_raw", "module.weight_hh_l0", "weight_hh_l0" },
  bias_ih = { "module.bias_ih_l0", "bias_ih_l0" },
  bias_hh = { "module.bias_hh_l0", "bias_hh_l0" },
}
local QRNN = {
  weight = { "layers.0.linear.weight_raw", "layers.0.linear.module.weight_raw", "layers.0.linear.module.weight",
    "layers.0.linear.weight" },
  bias = { "layers.0.linear.module.bias", "layers.0.linear.bias" },
}

-- The first of a layer's names that is there; all of them count as understood.
local function pick(weights, prefix, names, used)
  local found
  for _, name in ipairs(names) do
    used[prefix .. name] = true
    found = found or weights[prefix .. name]
  end
  return found
end

-- What stands before "encoder.weight" of the network whose layers are "rnns".
local function find_prefix(weights)
  local candidates = {}
  for name in pairs(weights) do
    local prefix = name:match "^(.-)encoder%.weight$"
    if prefix then candidates[#candidates + 1] = prefix end
  end
  table.sort(candidates)
  for _, prefix in ipairs(candidates) do
    for name in pairs(weights) do
      if name:sub(1, #prefix + 7) == prefix .. "rnns.0." then return prefix end
    end
  end
end

-- Collects what is wrong, to say all of it at once.
local function checker()
  local wrong = {}
  local function expect(name, t, ...)
    local want = table.concat({ ... }, ",")
    if not t then
      wrong[#wrong + 1] = ("%s is missing, expected (%s)"):format(name, want)
    elseif table.concat(t:shape(), ",") ~= want then
      wrong[#wrong + 1] = ("%s is %s, expected (%s)"):format(name, shape_text(t), want)
    else
      return true
    end
  end
  return wrong, expect
end

local function lstm_layer(weights, prefix, inputs, hidden, used, expect)
  local w = {}
  for name, names in pairs(LSTM) do w[name] = pick(weights, prefix, names, used) end
  local good = expect(prefix .. "weight_ih_l0", w.weight_ih, 4 * hidden, inputs)
  good = expect(prefix .. "weight_hh_l0", w.weight_hh, 4 * hidden, hidden) and good
  if w.bias_ih or w.bias_hh then
    good = expect(prefix .. "bias_ih_l0", w.bias_ih, 4 * hidden) and good
    good = expect(prefix .. "bias_hh_l0", w.bias_hh, 4 * hidden) and good
  end
  if not good then return {} end
  return { weight_ih = w.weight_ih, weight_hh = w.weight_hh, bias = w.bias_ih or core.zeros(4 * hidden),
    bias_hh = w.bias_hh or core.zeros(4 * hidden) }
end

local function qrnn_layer(weights, prefix, inputs, hidden, used, expect, window)
  local weight, bias = pick(weights, prefix, QRNN.weight, used), pick(weights, prefix, QRNN.bias, used)
  local good = expect(prefix .. "layers.0.linear.weight", weight, 3 * hidden, window * inputs)
  if bias then good = expect(prefix .. "layers.0.linear.bias", bias, 3 * hidden) and good end
  if not good then return {} end
  return { weight = weight, bias = bias or core.zeros(3 * hidden) }
end

local function count_layers(weights, prefix)
  local n = 0
  for name in pairs(weights) do
    local i = name:sub(1, #prefix) == prefix and name:sub(#prefix + 1):match "^rnns%.(%d+)%."
    if i and #i < 3 then n = math.max(n, math.tointeger(i) + 1) end
  end
  return n
end

-- Units of a layer that is not the last, as its weights say.
local function hidden_units(weights, prefix, cell, embed, layers)
  if layers == 1 then return embed end
  local first = prefix .. "rnns.0."
  local w = cell == "lstm" and pick(weights, first, LSTM.weight_hh, {}) or pick(weights, first, QRNN.weight, {})
  local rows = w and #w:shape() == 2 and w:shape(1)
  return rows and rows // (cell == "lstm" and 4 or 3)
end

local ALIASES = { "encoder_dp.emb.weight", "encoder_with_dropout.embed.weight" }

local function take_decoder(weights, prefix, state, used, wrong, expect)
  local head = prefix:match "^(.*)0%.$"
  if not head then return false end
  local embedding = state["encoder.embedding"]
  local bias, tied = weights[head .. "1.decoder.bias"], weights[head .. "1.decoder.weight"]
  used[head .. "1.decoder.bias"], used[head .. "1.decoder.weight"] = true, true
  if not bias and not tied then return false end
  if tied and expect(head .. "1.decoder.weight", tied, table.unpack(embedding:shape()))
    and (tied - embedding):abs():max():item() ~= 0 then
    wrong[#wrong + 1] = head .. "1.decoder.weight differs from the embedding, expected tied weights"
  end
  if bias and expect(head .. "1.decoder.bias", bias, embedding:shape(1)) then state.bias = bias end
  state.bias = state.bias or core.zeros(embedding:shape(1))
  return true
end

local function left_over(weights, used)
  local list = {}
  for name in pairs(weights) do
    if not used[name] then list[#list + 1] = name end
  end
  table.sort(list)
  return list
end

local function failed(what, wrong) return nil, ("%s: %s"):format(what, table.concat(wrong, "; ")), "format" end

local function from_fastai(weights, prefix, what)
  local wrong, expect = checker()
  local used, state = { [prefix .. "encoder.weight"] = true }, {}
  local embedding = weights[prefix .. "encoder.weight"]
  if #embedding:shape() ~= 2 then return failed(what, { prefix .. "encoder.weight is " .. shape_text(embedding) .. ", expected (V,E)" }) end
  local vocab, embed = table.unpack(embedding:shape())
  local layers = count_layers(weights, prefix)
  local cell = pick(weights, prefix .. "rnns.0.", QRNN.weight, {}) and "qrnn" or "lstm"
  for name in pairs(weights) do
    if name:match "_l0_reverse" or name:match "rnns%.%d+%.layers%.1%." then
      return failed(what, { name .. ": a network that reads in both directions at once, which kooka.nn.awd_lstm does not" })
    end
  end
  local hidden = hidden_units(weights, prefix, cell, embed, layers)
  if not hidden then return failed(what, { prefix .. "rnns.0 has no recurrent weights" }) end
  state["encoder.embedding"] = embedding
  for i = 1, layers do
    local at, inputs = ("%srnns.%d."):format(prefix, i - 1), i == 1 and embed or hidden
    local units = i == layers and embed or hidden
    local make = cell == "lstm" and lstm_layer or qrnn_layer
    for name, t in pairs(make(weights, at, inputs, units, used, expect, i == 1 and 2 or 1)) do
      state[("encoder.layer%d.%s"):format(i, name)] = t
    end
  end
  for _, name in ipairs(ALIASES) do
    local t = weights[prefix .. name]
    used[prefix .. name] = true
    if t then expect(prefix .. name, t, vocab, embed) end
  end
  local decoder = take_decoder(weights, prefix, state, used, wrong, expect)
  if #wrong > 0 then
    table.sort(wrong)
    return failed(what, wrong)
  end
  return state, { format = "fastai", cell = cell, vocab = vocab, embed = embed, hidden = hidden, layers = layers, decoder = decoder,
    ignored = left_over(weights, used) }
end

-- Our own names: kooka.nn.language_model's, or a classifier's, of which the encoder is taken.
local function from_kooka(weights, what)
  local wrong, expect = checker()
  local state, used = {}, {}
  local function take(name)
    used[name] = true
    state[name] = weights[name]
    return weights[name]
  end
  local embedding = take "encoder.embedding"
  if #embedding:shape() ~= 2 then return failed(what, { "encoder.embedding is " .. shape_text(embedding) .. ", expected (V,E)" }) end
  local vocab, embed = table.unpack(embedding:shape())
  local cell, layers = weights["encoder.layer1.weight"] and "qrnn" or "lstm", 0
  while weights[("encoder.layer%d.bias"):format(layers + 1)] do layers = layers + 1 end
  if layers == 0 then return failed(what, { "encoder.layer1.bias is missing" }) end
  local gates = cell == "lstm" and 4 or 3
  local hidden = layers == 1 and embed or weights["encoder.layer1.bias"]:numel() // gates
  for i = 1, layers do
    local at, inputs = ("encoder.layer%d."):format(i), i == 1 and embed or hidden
    local units = i == layers and embed or hidden
    expect(at .. "bias", take(at .. "bias"), gates * units)
    if weights[at .. "bias_hh"] then expect(at .. "bias_hh", take(at .. "bias_hh"), gates * units) end
    if cell == "lstm" then
      expect(at .. "weight_ih", take(at .. "weight_ih"), gates * units, inputs)
      expect(at .. "weight_hh", take(at .. "weight_hh"), gates * units, units)
      if weights[at .. "bias_hh"] then expect(at .. "bias_hh", take(at .. "bias_hh"), gates * units) end
    else
      expect(at .. "weight", take(at .. "weight"), gates * units, (i == 1 and 2 or 1) * inputs)
    end
  end
  if weights.bias then expect("bias", take "bias", vocab) end
  if #wrong > 0 then return failed(what, wrong) end
  return state, { format = "kooka", cell = cell, vocab = vocab, embed = embed, hidden = hidden, layers = layers,
    decoder = weights.bias ~= nil, ignored = left_over(weights, used) }
end

---- vocabulary --------------------------------------------------------------------------------------------

local function exact(word) return word end

-- fastai's words begin with no mark and are cut at spaces: the piece "▁the" is the word "the", a piece inside of a word is
-- nobody. Punctuation stands by itself in both.
local function word_of_piece(piece)
  if piece:sub(1, #SPACE) == SPACE then return piece:sub(#SPACE + 1) end
  if not piece:find "[%w\x80-\xff]" or piece:match "^xx%l+$" then return piece end
  return nil
end

local OLD_NAMES = { xxunk = { "_unk_", "<unk>" }, xxpad = { "_pad_", "<pad>" }, xxbos = { "_bos_", "<s>", "xbos" },
  xxeos = { "_eos_", "</s>" }, xxup = { "t_up" }, xxrep = { "tk_rep" }, xxwrep = { "tk_wrep" } }

-- word -> what it is called in the old list. pieces: the new words are pieces of SentencePiece.
local function matcher(old, pieces)
  if not pieces then return exact end
  local words, is = true, {}
  for _, w in ipairs(old) do
    is[w] = true
    if w:sub(1, #SPACE) == SPACE then words = false end
  end
  return function(piece)
    local word = piece
    if words then word = word_of_piece(piece) end
    if word and is[word] then return word end
    word = piece:gsub("^" .. SPACE, "")
    if word:match "^xx%l+$" and is[word] then return word end
    for _, name in ipairs(OLD_NAMES[word] or {}) do
      if is[name] then return name end
    end
  end
end

--- pretrained.remap(state, old, new[, {pieces=false}]) -> state, report
-- state: of a language model whose embedding has a row a word of the list old; the result has a row a word of the list new, and
-- the decoder's bias too. A word that old lacks gets the mean row and the mean bias (Howard & Ruder 2018, section 3.2; fastai's
-- match_embeds). A word twice in old: its last row counts. pieces: the new words are SentencePiece's, "▁the" is the word
-- "the" where the old words have no such marks. report: {words, found, missing, share, examples (of missing ones, 10)}.
-- Raises when old has more words than the embedding has rows.
function pretrained.remap(state, old, new, opts)
  check_options("pretrained.remap", opts, { pieces = true })
  local embedding, bias = state["encoder.embedding"], state.bias
  local rows = embedding:shape(1)
  if #old > rows then
    error(("pretrained.remap: the vocabulary has %d words, the embedding (%d,%d) has %d rows"):format(#old, rows, embedding:shape(2),
      rows), 2)
  end
  local at, match = {}, matcher(old, opts and opts.pieces)
  for i, w in ipairs(old) do at[w] = i end
  local ids, report = {}, { words = #new, found = 0, missing = 0, examples = {} }
  for i, w in ipairs(new) do
    local id = at[match(w) or false]
    ids[i] = id or rows + 1
    if id then
      report.found = report.found + 1
    else
      report.missing = report.missing + 1
      if #report.examples < 10 then table.insert(report.examples, w) end
    end
  end
  report.share = report.found / #new
  local out = {}
  for name, t in pairs(state) do out[name] = t end
  local scope <close> = core.scope()
  ids = core.tensor(ids, "int32")
  out["encoder.embedding"] = core.index_select(core.cat(embedding, embedding:mean { dim = 1, keepdim = true }), ids):keep()
  if bias then
    out.bias = core.index_select(core.cat(bias, bias:mean { dim = 1, keepdim = true }), ids):keep()
  end
  return out, report
end

---- the way in ----------------------------------------------------------------------------------------------

-- state for layers with one bias: the sum.
local function one_bias(state, mine)
  local out = {}
  for name, t in pairs(state) do out[name] = t end
  for name, t in pairs(state) do
    local first = name:match "^(.*%.bias)_hh$"
    if first and not mine[name] then out[name], out[first] = nil, state[first] + t end
  end
  return out
end

-- Copies state into a network that has an encoder; answers what differs.
local function load_into(network, state, what)
  local mine, wrong = network:state(), {}
  state = one_bias(state, mine)
  for name, t in pairs(mine) do
    local from = state[name]
    if from and shape_text(from) ~= shape_text(t) then
      wrong[#wrong + 1] = ("%s is %s in the file, %s in the model"):format(name, shape_text(from), shape_text(t))
    elseif not from and name:match "^encoder%." and not name:match "bias_hh$" then     -- without the second bias: zeros
      wrong[#wrong + 1] = ("%s %s is missing in the file"):format(name, shape_text(t))
    end
  end
  for name, t in pairs(state) do
    if not mine[name] and name:match "^encoder%." then wrong[#wrong + 1] = ("%s %s is not in the model"):format(name, shape_text(t)) end
  end
  table.sort(wrong)
  if #wrong > 0 then return failed(what, wrong) end
  network:load_state(state, { partial = true })
  return true
end

local OPTIONS = { weights = true, itos = true, tokenizer = true, vocab = true, model = true, backward = true }

local function new_words(o)
  if o.tokenizer then
    local tok = o.tokenizer
    if type(tok) == "string" then
      local message, code
      tok, message, code = tokenizer.load(tok)
      if not tok then return nil, message, code end
    end
    return read_words(tok)
  end
  return check_words(o.vocab, "vocab")
end

local function moved(o, state, info)
  local what = type(o.itos) == "string" and o.itos or "itos"
  local old, message, code = read_words(o.itos)
  if old then old, message, code = check_words(old, what) end
  if not old then return nil, message, code end
  if #old > info.vocab then
    return nil, ("%s has %d words, the embedding of %s (%d,%d) has %d rows"):format(what, #old, info.name, info.vocab, info.embed,
      info.vocab), "format"
  end
  info.itos = old
  if not (o.tokenizer or o.vocab) then return state end
  local new
  new, message, code = new_words(o)
  if not new then return nil, message, code end
  state, info.words = pretrained.remap(state, old, new, { pieces = o.tokenizer ~= nil })
  info.vocab = #new
  return state
end

--- pretrained.load{weights=, itos=, tokenizer= or vocab=, model=, backward=} -> state, info | nil, message, code
-- weights: a file of torch.save (zip or legacy; alone or with its optimizer), a .safetensors file, or a table of tensors by name:
-- a language model, an encoder (save_encoder) or a classifier of fastai (AWD-LSTM, AWD-QRNN), or of ours. state: tensors by the
-- names of kooka.nn.language_model; without decoder (info.decoder is false) it has no bias.
-- itos: the model's words (a pickled list, .json, .txt with one a line, a SentencePiece .model, or a list). With tokenizer (an
-- object or its path) or vocab (a list of words) the state is moved to that vocabulary (pretrained.remap); info.words says how
-- many were found. model: a network with an encoder (language model, classifier) to copy the state into; the answer names each
-- tensor of another shape. info: {format, cell, vocab, embed, hidden, layers, decoder, backward, ignored (names), itos, words,
-- options (for kooka.nn.language_model)}. backward: the model reads from the end; default: does the file's name have "bwd"?
function pretrained.load(o)
  check_options("pretrained.load", o, OPTIONS)
  if type(o) ~= "table" or o.weights == nil then error("pretrained.load: option weights names a file, or is a table of tensors", 2) end
  if (o.tokenizer or o.vocab) and not o.itos then error("pretrained.load: a vocabulary to move to needs itos, the model's own words", 2) end
  if o.tokenizer and o.vocab then error("pretrained.load: give either tokenizer or vocab", 2) end
  local scope <close> = core.scope()
  local what = type(o.weights) == "string" and o.weights or "weights"
  local weights, message, code = o.weights, nil, nil
  if type(weights) == "string" then weights, message, code = read_weights(weights) end
  if weights == nil then return nil, message, code end
  weights, message, code = check_named(weights, what)
  if not weights then return nil, message, code end
  local prefix = find_prefix(weights)
  local state, info
  if prefix then
    state, info, code = from_fastai(weights, prefix, what)
  elseif weights["encoder.embedding"] then
    state, info, code = from_kooka(weights, what)
  else
    return nil, what .. ": neither a language model of fastai (0.encoder.weight, 0.rnns.0...) nor of kooka (encoder.embedding)", "format"
  end
  if not state then return nil, info, code end
  info.name, info.backward = what, o.backward
  if o.backward == nil then info.backward = what:match "[^/]*$":lower():find("bwd", 1, true) ~= nil end
  if o.itos then
    state, message, code = moved(o, state, info)
    if not state then return nil, message, code end
  end
  if o.model then
    local ok
    ok, message, code = load_into(o.model, state, what)
    if not ok then return nil, message, code end
  end
  for _, t in pairs(state) do t:keep() end
  info.options = { vocab = info.vocab, cell = info.cell, embed = info.embed, hidden = info.hidden, layers = info.layers,
    biases = info.cell == "lstm" and (state["encoder.layer1.bias_hh"] and 2 or 1) or nil }
  return state, info
end

--- pretrained.say(info) -> list of lines
-- What was read, for people.
function pretrained.say(info)
  local lines = { ("%s: %s %s, %d layers of %d, embedding (%d,%d)%s%s"):format(info.name, info.format, info.cell, info.layers,
    info.hidden, info.vocab, info.embed, info.decoder and "" or ", without decoder", info.backward and ", backward" or "") }
  local words = info.words
  if words then
    lines[2] = ("vocabulary: %d of %d words found (%.1f %%)%s"):format(words.found, words.words, 100 * words.share,
      words.missing > 0 and (", %d begin at the mean: %s"):format(words.missing, table.concat(words.examples, " ")) or "")
  end
  if #info.ignored > 0 then lines[#lines + 1] = "not used: " .. table.concat(info.ignored, ", ") end
  return lines
end

return pretrained
