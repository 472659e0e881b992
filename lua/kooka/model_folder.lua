--- model_folder: a model on disk: model.safetensors (weights), tokenizer.model (SentencePiece) or words.txt (kooka.text.words),
-- config.json, card.md and, where it was calibrated, calibration.json. What is promised of these files: docs/formats.md.
local core = require "kooka.core"
local calibrate = require "kooka.eval.calibrate"
local card = require "kooka.card"
local nn = require "kooka.nn"
local settings = require "kooka.nn.settings"
local tokenizer = require "kooka.text.tokenizer"
local version = require "kooka.version"
local words = require "kooka.text.words"

local folder = {}

--- folder.format: the number of the layout that this version writes; it reads all from 1 to this one.
folder.format = 1

-- What config.kind may say: each is a constructor of kooka.nn by the same name.
local KINDS = { classifier = true, language_model = true, regressor = true, ordinal = true, multi_task = true }

-- Entries of config.json that are about the file, not about the network.
local ABOUT = { format = true, kooka = true, card = true }

local function unreadable(path, format, ...) return nil, path .. ": " .. format:format(...), "format" end

-- nil, message, code when `found` is a layout from the future or no number; a file without one is of layout 1.
local function readable(path, found)
  if found == nil then return true end
  if math.type(found) ~= "integer" or found < 1 then
    return unreadable(path, "format is %s, expected an integer from 1", tostring(found))
  elseif found > folder.format then
    return unreadable(path, "written by a later version (format %d; kooka %s reads 1 to %d): update kooka to read it", found,
      version.number, folder.format)
  end
  return true
end

local function read_json(path)
  local text, message, code = core.sys.read_file(path)
  if not text then return nil, message, code end
  local value
  value, message = core.json.decode(text)
  if value == nil then return unreadable(path, "%s", message) end
  if type(value) ~= "table" then return unreadable(path, "expected an object") end
  return value
end

-- The message of an error without the place in our sources where it was raised.
local function plain(err) return (tostring(err):gsub("^[^\n]-%.lua:%d+: ", "")) end

-- Folders of models inside `dir`, in order: those with a config.json and weights.
local function models_in(dir)
  local out = {}
  for _, name in ipairs(core.sys.list(dir) or {}) do
    local at = dir .. "/" .. name
    if core.sys.exists(at .. "/config.json") and core.sys.exists(at .. "/model.safetensors") then out[#out + 1] = at end
  end
  table.sort(out)
  return out
end

-- Why `dir` is no model's folder, when that is plain to see: not there, a run's, or one of several models; else nil.
local function mistaken(dir)
  local facts = core.sys.stat(dir)
  if not facts then return nil, dir .. ": no such folder", "io" end
  if facts.type ~= "folder" then return nil, dir .. ": a file; expected a model's folder", "io" end
  if core.sys.exists(dir .. "/model.safetensors") then return nil end
  local list = models_in(dir .. "/model")
  if #list == 0 then list = models_in(dir) end
  if #list > 0 then
    return nil, ("%s: no model's folder, but there are some in it: %s"):format(dir, table.concat(list, " ")), "format"
  elseif not core.sys.exists(dir .. "/config.json") then
    return nil, dir .. ": no model's folder (config.json and model.safetensors are not there)", "format"
  end
end

local function read_config(path)
  local config, message, code = read_json(path)
  if not config then return nil, message, code end
  local ok
  ok, message, code = readable(path, config.format)
  if not ok then return nil, message, code end
  config.kind = config.kind or "classifier"
  if not KINDS[config.kind] then
    return unreadable(path, "kind is %s, expected classifier, language_model, regressor, ordinal or multi_task", tostring(config.kind))
  end
  local vocab = config.vocab
  if math.type(vocab) ~= "integer" or vocab < 1 or vocab > 10000000 then
    return unreadable(path, "vocab is %s, expected the number of pieces", tostring(vocab))
  end
  local own, about = {}, {}
  for k, v in pairs(config) do
    if ABOUT[k] then about[k] = v elseif v ~= core.json.null then own[k] = v end
  end
  return own, about
end

local function read_network(dir, config)
  local made, network = pcall(function()
    local n = nn[config.kind](settings.part(config.kind, config))      -- what a later version said besides is passed over
    return config.int8 and nn.quantize(n) or n
  end)
  if not made then return unreadable(dir .. "/config.json", "%s", plain(network)) end
  local path = dir .. "/model.safetensors"
  local state, metadata, code = core.load_safetensors(path)
  if not state then return nil, metadata, code end
  local format = metadata and metadata.kooka_format
  local ok, message
  ok, message, code = readable(path, format and (math.tointeger(tonumber(format)) or format))
  if not ok then return nil, message, code end
  ok, message = pcall(network.load_state, network, state)
  if not ok then return unreadable(path, "%s", plain(message)) end
  return network:eval()
end

local function read_calibration(dir)
  local path = dir .. "/calibration.json"
  if not core.sys.exists(path) then return false end
  local calibration, message, code = read_json(path)
  if not calibration then return nil, message, code end
  local ok
  ok, message, code = readable(path, calibration.format)
  if not ok then return nil, message, code end
  ok, message = calibrate.check(calibration)
  if not ok then return unreadable(path, "%s", message) end
  calibration.format = nil
  return calibration
end

-- words.txt or tokenizer.model, as config.tokens says.
local function read_tokenizer(dir, config)
  if config.tokens == nil or config.tokens == "pieces" then return tokenizer.load(dir .. "/tokenizer.model") end
  if config.tokens == "words" then return words.load(dir .. "/" .. words.file) end
  return unreadable(dir .. "/config.json", "tokens is %s, expected pieces or words", tostring(config.tokens))
end

--- folder.load(dir) -> {network, tokenizer, config, card, calibration} | nil, message, code
-- kooka.model makes a model of it. A folder of a later layout, of another shape, or that is no model is refused, and says why.
function folder.load(dir)
  local _, message, code = mistaken(dir)
  if message then return nil, message, code end
  local config, about
  config, about, code = read_config(dir .. "/config.json")
  if not config then return nil, about, code end
  local tok
  tok, message, code = read_tokenizer(dir, config)
  if not tok then return nil, message, code end
  if tok:size() > config.vocab then
    return unreadable(dir, "the tokenizer has %d pieces, the model %d", tok:size(), config.vocab)
  end
  local network, calibration
  network, message, code = read_network(dir, config)
  if not network then return nil, message, code end
  calibration, message, code = read_calibration(dir)
  if calibration == nil then return nil, message, code end
  return { network = network, tokenizer = tok, config = config, card = about.card, calibration = calibration or nil }
end

-- The config as it is written: with the layout's number, the kind, who wrote it, and the card.
local function written_config(m)
  local config = {}
  for k, v in pairs(m.config) do config[k] = v end
  config.format, config.kind, config.kooka, config.card = folder.format, m.config.kind or "classifier", version.number, m.card
  config.tokens = m.tokenizer.file == words.file and "words" or nil
  return config
end

local function write_json(path, value) return core.sys.write_file(path, core.json.encode(value, { pretty = true }) .. "\n") end

-- The list of pieces or words; one of the other kind that an earlier model left goes.
local function write_tokenizer(dir, tok)
  local name = tok.file or "tokenizer.model"
  local other = dir .. "/" .. (name == words.file and "tokenizer.model" or words.file)
  local ok, message, code
  if tok.file then
    ok, message, code = tok:save(dir .. "/" .. name)
  else
    ok, message, code = core.sys.read_file(tok.path)
    if ok then ok, message, code = core.sys.write_file(dir .. "/" .. name, ok) end
  end
  if ok and core.sys.exists(other) then ok, message, code = core.sys.remove(other) end
  return ok, message, code
end

local function write_calibration(dir, calibration)
  local path = dir .. "/calibration.json"
  if not calibration then
    if core.sys.exists(path) then return core.sys.remove(path) end     -- one of an earlier model would be wrong for this one
    return true
  end
  local value = { format = folder.format }
  for k, v in pairs(calibration) do value[k] = v end
  return write_json(path, value)
end

--- folder.save(m, dir) -> true | nil, message, code
-- Writes what folder.load reads, and card.md (kooka.card). Each file is written aside and renamed; config.json comes last of what is
-- needed to read the model.
function folder.save(m, dir)
  local kind = m.config.kind or "classifier"
  local model_card = card.text(m)
  local ok, message, code = core.sys.mkdir_p(dir)
  if ok then
    ok, message, code = m.network:save(dir .. "/model.safetensors",
      { format = "kooka", kooka_format = tostring(folder.format), kooka = version.number, kind = kind })
  end
  if ok then ok, message, code = write_tokenizer(dir, m.tokenizer) end
  if ok then ok, message, code = write_calibration(dir, m.calibration) end
  if ok then ok, message, code = write_json(dir .. "/config.json", written_config(m)) end
  if ok then ok, message, code = core.sys.write_file(dir .. "/card.md", model_card) end
  return ok, message, code
end

return folder
