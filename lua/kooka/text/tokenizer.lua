--- kooka.text.tokenizer: text to sub-word ids and back, with SentencePiece.
-- Ids count from 1. A model trained here begins with xxunk (1), xxpad (2), xxbos (3), xxeos (4), which no
-- text can produce, and the marks of kooka.text.rules (xxfld, xxmaj, xxup, xxrep, xxwrep, xxnl, xxurl,
-- xxuser), each one piece. Clean texts first; the tokenizer does not.
local core = require "kooka.core"
local check_options = require "kooka.options"
local sys = core.sys

local tokenizer = {}

--- tokenizer.marks: the marks that cleaning rules leave, each a piece of its own.
tokenizer.marks = { "xxfld", "xxmaj", "xxup", "xxrep", "xxwrep", "xxnl", "xxurl", "xxuser" }

local SPACE = "\u{2581}"   -- how SentencePiece writes a space

local Tokenizer = {}
Tokenizer.__index = Tokenizer
Tokenizer.__name = "kooka.tokenizer"

function Tokenizer.__tostring(tok)
  return ("tokenizer %s: %d pieces"):format(tok.path or "(in memory)", tok:size())
end

local function wrap(model, path)
  local tok = setmetatable({ model = model, path = path }, Tokenizer)
  for _, name in ipairs { "unk", "bos", "eos", "pad" } do
    tok[name] = model:special(name) or model:id("xx" .. name) or model:id(SPACE .. "xx" .. name)
  end
  return tok
end

--- load(path) -> tokenizer | nil, message, code
-- A SentencePiece model file, ours or any other. tok.unk, tok.pad, tok.bos, tok.eos are ids, nil when the
-- model has none.
function tokenizer.load(path)
  local model, message, code = core.spm.load(path)
  if not model then return nil, message, code end
  return wrap(model, path)
end

local function affix(tok, opts, name)
  if not (opts and opts[name]) then return nil end
  return tok[name] or error(("encode: the model has no %s piece"):format(name), 3)
end

local encode_opts = { bos = true, eos = true, alpha = true, seed = true }

--- tok:encode(text, [{bos = false, eos = false, alpha =, seed = 1}]) -> list of ids | nil, message, "format"
-- bos, eos: put that id around. alpha: cut at random (see kooka.core.spm sample), the same for the same seed.
function Tokenizer:encode(text, opts)
  check_options("encode", opts, encode_opts)
  local bos, eos = affix(self, opts, "bos"), affix(self, opts, "eos")
  local ids, message, code
  if opts and opts.alpha then
    ids, message, code = self.model:sample(text, opts.alpha, opts.seed)
  else
    ids, message, code = self.model:encode(text)
  end
  if not ids then return nil, message, code end
  if bos then table.insert(ids, 1, bos) end
  if eos then ids[#ids + 1] = eos end
  return ids
end

local encode_all_opts = { bos = true, eos = true }

--- tok:encode_all(texts, [{bos = false, eos = false}]) -> corpus | nil, message, "format"
-- Every text one document, on all threads. The message names the text that is not UTF-8.
function Tokenizer:encode_all(texts, opts)
  check_options("encode_all", opts, encode_all_opts)
  return self.model:encode_all(texts, affix(self, opts, "bos"), affix(self, opts, "eos"))
end

--- tok:decode(ids) -> text
-- xxpad, xxbos and xxeos vanish; the other marks stay words.
function Tokenizer:decode(ids) return self.model:decode(ids) end

--- tok:pieces(text) -> list of strings | nil, message, "format"
-- The pieces themselves; a piece that begins a word begins with U+2581.
function Tokenizer:pieces(text)
  local ids, message, code = self.model:encode(text)
  if not ids then return nil, message, code end
  for i, id in ipairs(ids) do ids[i] = (self.model:piece(id)) end
  return ids
end

--- tok:id(piece) -> id or nil
-- Also for marks by their plain name: tok:id("xxup").
function Tokenizer:id(piece) return self.model:id(piece) or self.model:id(SPACE .. piece) end

--- tok:piece(id) -> piece, score
function Tokenizer:piece(id) return self.model:piece(id) end

--- tok:size() -> number of pieces
function Tokenizer:size() return self.model:size() end

-- ---- training

local train_opts = {
  texts = false, file = false, path = false, vocab = 8000, type = "bpe", coverage = .9995, max_piece = 16,
  byte_fallback = false, marks = false, sentences = 0, threads = 4, verbose = false,
}

local function check_number(opts, name, min, max, integer)
  local v = opts[name]
  if type(v) ~= "number" or v < min or v > max or (integer and math.type(v) ~= "integer") then
    error(("tokenizer.train: option %s is %s, expected %s %g..%g"):format(name, tostring(v),
      integer and "an integer in" or "a number in", min, max), 4)
  end
end

local function checked(given)
  if type(given) ~= "table" then error("tokenizer.train: expected a table of options", 3) end
  local opts = {}
  check_options("tokenizer.train", given, train_opts, 4)
  for name, default in pairs(train_opts) do
    opts[name] = given[name]
    if opts[name] == nil then opts[name] = default end
  end
  if type(opts.path) ~= "string" then error("tokenizer.train: option path names the model file to write", 3) end
  if (type(opts.texts) == "table") == (type(opts.file) == "string") then
    error("tokenizer.train: give either texts (a list of strings) or file (one text a line)", 3)
  end
  if opts.type ~= "bpe" and opts.type ~= "unigram" then
    error(("tokenizer.train: option type is %s, expected \"bpe\" or \"unigram\""):format(tostring(opts.type)), 3)
  end
  check_number(opts, "vocab", 16, 1000000, true)
  check_number(opts, "coverage", .9, 1)
  check_number(opts, "max_piece", 1, 512, true)
  check_number(opts, "sentences", 0, 1 << 30, true)
  check_number(opts, "threads", 1, 1024, true)
  return opts
end

-- Writes one text a line; a line end inside a text becomes a space. Empty texts are left out.
local function write_lines(texts, path)
  local f, message = io.open(path, "wb")
  if not f then return nil, message, "io" end
  local any = false
  for i, text in ipairs(texts) do
    if type(text) ~= "string" then
      f:close()
      os.remove(path)
      error(("tokenizer.train: text %d is a %s, expected a string"):format(i, type(text)), 3)
    end
    local good, why, code = core.unicode.valid(text)
    any = any or text:find("%S")
    if good then good, why, code = f:write((text:gsub("[\r\n]+", " ")), "\n") end
    if not good then
      f:close()
      os.remove(path)
      return nil, ("text %d: %s"):format(i, why), type(code) == "string" and code or "io"
    end
  end
  if not f:close() then return nil, path .. ": cannot write", "io" end
  if not any then
    os.remove(path)
    error("tokenizer.train: there is no text to learn from", 3)
  end
  return true
end

-- The settings in the words of spm_train.
local function settings(opts)
  local symbols = {}
  for i, mark in ipairs(opts.marks or tokenizer.marks) do symbols[i] = SPACE .. mark end
  local args = {
    "model_type", opts.type, "vocab_size", tostring(opts.vocab), "hard_vocab_limit", "false",
    "character_coverage", ("%.6f"):format(opts.coverage), "max_sentencepiece_length", tostring(opts.max_piece),
    "byte_fallback", opts.byte_fallback and "true" or "false", "max_sentence_length", "16777216",
    "num_threads", tostring(opts.threads), "normalization_rule_name", "nmt_nfkc",
    "unk_id", "0", "unk_piece", "xxunk", "pad_id", "1", "pad_piece", "xxpad", "bos_id", "2", "bos_piece", "xxbos",
    "eos_id", "3", "eos_piece", "xxeos", "user_defined_symbols", table.concat(symbols, ","),
  }
  if opts.sentences > 0 then
    table.move({ "input_sentence_size", tostring(opts.sentences), "shuffle_input_sentence", "true" }, 1, 4, #args + 1, args)
  end
  return args
end

local function quoted(list)
  local out = {}
  for i, word in ipairs(list) do out[i] = ("%q"):format(word) end
  return "{" .. table.concat(out, ",") .. "}"
end

-- The last thing a trainer that ended by itself said, without its source line.
local function last_words(lines)
  for i = #lines, 1, -1 do
    local line = lines[i]
    if line:find("%S") and not line:find("Program terminated", 1, true) then
      return (line:gsub("^%S+%.cc%(%d+%)%s*", ""):gsub("^LOG%(%u+%)%s*", ""))
    end
  end
  return "no message"
end

-- A value whose scope ends with f().
local function closing(f) return setmetatable({}, { __close = f }) end

-- Runs the trainer in a process of its own: it may abort, ignores Ctrl-C, and writes to stderr.
local function run_child(input, opts)
  local code = ([[local ok, message = require("kooka.core").spm.train_here(%q, %q, %s, %s)
if not ok then io.stderr:write("\1", message, "\n") os.exit(1) end]]):format(input, opts.path, quoted(settings(opts)),
    tostring(not not opts.verbose))
  local exe, no_exe, exe_code = sys.exe()
  if not exe then return nil, no_exe, exe_code end
  local pid
  local _ <close> = closing(function() if pid then os.remove(("%s.tmp-%d"):format(opts.path, pid)) end end)
  local child <close>, message, why = sys.spawn({ exe, "-e", code }, {
    stdin = "pipe", stdout = "pipe", stderr = "stdout",
    env = { LUA_PATH_5_4 = package.path, LUA_CPATH_5_4 = package.cpath, LUA_INIT = false, LUA_INIT_5_4 = false },
  })
  if not child then return nil, message, why end
  pid = child:pid()
  local lines, said = {}, nil
  while true do
    local line, err, err_code = child:read_line()
    if not line then
      if err then return nil, err, err_code end
      break
    end
    said = said or line:match("^\1(.*)")
    if opts.verbose then io.stderr:write(line, "\n") end
    lines[#lines + 1] = line
    if #lines > 200 then table.remove(lines, 1) end
  end
  local status, err, err_code = child:wait()
  if status == 0 then return true end
  if not status then return nil, err, err_code end
  if status == 130 then error("tokenizer.train: interrupted", 0) end
  return nil, ("tokenizer.train: %s"):format(said or ("the trainer ended with %d: %s"):format(status, last_words(lines))), "format"
end

--- train{texts = list | file = path, path =, vocab = 8000, type = "bpe", ...} -> tokenizer | nil, message, code
-- Learns sub-words from cleaned texts (a list, or a file with one text a line) and writes the model to path.
-- type: "bpe" or "unigram". vocab: pieces at most (fewer when the texts have fewer). coverage = 0.9995: share of
-- the characters that get pieces, the rest is xxunk, or bytes with byte_fallback = true. max_piece = 16:
-- characters of a piece at most. sentences = 0: learn from that many random texts, 0 = all. marks: other marks than
-- tokenizer.marks. threads = 4: fixed, because the unigram trainer's sums depend on it. verbose: the trainer's own log.
-- The same texts and options give the same model. Runs in a child process: sys.exe() must take -e CODE, as kooka
-- and lua do.
function tokenizer.train(given)
  local opts = checked(given)
  local input = opts.file
  if opts.texts then
    input = ("%s.texts-%d"):format(opts.path, sys.pid())
    local ok, message, code = write_lines(opts.texts, input)
    if not ok then return nil, message, code end
  else
    local f, message = io.open(input, "rb")
    if not f then return nil, "tokenizer.train: " .. message, "io" end
    f:close()
  end
  local _ <close> = closing(function() if opts.texts then os.remove(input) end end)
  local ok, message, code = run_child(input, opts)
  if not ok then return nil, message, code end
  return tokenizer.load(opts.path)
end

return tokenizer
