--- card: card.md, the model card that is written with each model (Mitchell et al. 2019): what it is, what it was made from, how well it
-- does and what it is not for. What nobody stated is said to be not stated.
local core = require "kooka.core"
local check_options = require "kooka.options"
local version = require "kooka.version"

local card = {}

local NOT_STATED = "not stated"

local FIELDS = { name = true, about = true, language = true, data = true, split = true, scores = true, use = true, limits = true,
  training = true, precision = true, date = true, authors = true, license = true, notes = true }
local DATA = { name = true, source = true, terms = true, texts = true, hash = true, about = true }

local TASKS = {
  classifier = "text classifier", language_model = "language model", regressor = "a score for each text",
  ordinal = "ordered classes of texts", multi_task = "a class and a score for each text",
}

local function said(v)
  if v == nil or v == "" or v == core.json.null then return NOT_STATED end
  if type(v) ~= "table" then return tostring(v) end
  local list = {}
  for i, item in ipairs(v) do list[i] = tostring(item) end
  return #list > 0 and table.concat(list, "; ") or NOT_STATED
end

local function cell(text) return (text:gsub("|", "\\|"):gsub("\n", " ")) end

local function number(v)
  if type(v) ~= "number" or v ~= v then return nil end
  return math.type(v) == "integer" and ("%d"):format(v) or math.abs(v) >= 1000 and ("%.1f"):format(v) or ("%.4f"):format(v)
end

local function sorted_keys(t)
  local keys = {}
  for k in pairs(t) do
    if type(k) == "string" then keys[#keys + 1] = k end
  end
  table.sort(keys)
  return keys
end

local function thousands(n)
  local text, count = ("%d"):format(n), 1
  while count > 0 do text, count = text:gsub("^(%d+)(%d%d%d)", "%1,%2") end
  return text
end

-- ---- sections: each adds lines to `out`

local function table_rows(out, rows)
  out[#out + 1] = "| | |"
  out[#out + 1] = "|---|---|"
  for _, row in ipairs(rows) do out[#out + 1] = ("| %s | %s |"):format(row[1], cell(row[2])) end
end

local function data_section(out, data)
  out[#out + 1] = "\n## Data"
  local list = type(data) == "table" and (data[1] and data or { data }) or { { name = data } }
  for _, d in ipairs(list) do
    if type(d) ~= "table" then d = { name = d } end
    table_rows(out, { { "data", said(d.name) }, { "source", said(d.source) }, { "terms of use", said(d.terms) },
      { "texts", d.texts and (number(d.texts) or said(d.texts)) or NOT_STATED }, { "sha256", said(d.hash) } })
    if d.about then out[#out + 1] = "\n" .. said(d.about) end
  end
end

-- Why there is no value; the core's notes say "not defined" themselves.
local function undefined(note)
  if note and not note:find "^not defined" then return "not defined: " .. note end
  return said(note)
end

local function score_row(name, m)
  if type(m) == "number" then m = { value = m } end
  local interval = number(m.low) and number(m.high) and ("%s to %s%s"):format(number(m.low), number(m.high),
    m.level and (" (%g %%)"):format(100 * m.level) or "") or NOT_STATED
  return ("| %s | %s | %s | %s | %s | %s |"):format(cell(name), number(m.value) or undefined(m.note),
    interval, number(m.baseline) or NOT_STATED, number(m.n) or NOT_STATED, cell(said(m.method)))
end

local function score_section(out, scores)
  out[#out + 1] = "\n## Scores"
  if type(scores) ~= "table" or next(scores) == nil then
    out[#out + 1] = NOT_STATED
    return
  end
  out[#out + 1] = "| score | value | interval | baseline | n | method |"
  out[#out + 1] = "|---|---|---|---|---|---|"
  for _, m in ipairs(scores) do out[#out + 1] = score_row(said(m.name), m) end
  for _, name in ipairs(sorted_keys(scores)) do
    local m = scores[name]
    if type(m) == "number" or type(m) == "table" and (m.value or m.note) then out[#out + 1] = score_row(name, m) end
  end
end

local function calibration_section(out, calibration)
  if not calibration then return end
  out[#out + 1] = "\n## Calibration"
  local how = calibration.method == "temperature" and ("temperature %.4f (Guo et al. 2017)"):format(calibration.temperature)
    or calibration.method == "platt" and ("Platt's method, a = %.4f, b = %.4f"):format(calibration.a, calibration.b)
    or said(calibration.method)
  out[#out + 1] = ("%s, fitted on %s held-out predictions%s."):format(how, number(calibration.n) or "a number (not stated) of",
    calibration.weights and (" of the model with %s weights, not fitted again for these"):format(calibration.weights) or "")
  local loss = calibration.log_loss
  if type(loss) ~= "table" then return end
  out[#out + 1] = "\n| log-loss | value | interval | baseline | n | method |"
  out[#out + 1] = "|---|---|---|---|---|---|"
  for _, name in ipairs { "before", "after", "difference" } do
    if type(loss[name]) == "table" then out[#out + 1] = score_row(name, loss[name]) end
  end
end

local function value_text(v)
  if type(v) ~= "table" then return tostring(v) end
  return core.json.encode(v)
end

local function parameter_section(out, m, training)
  out[#out + 1] = "\n## Parameters"
  local rows = {}
  for _, name in ipairs(sorted_keys(m.config)) do rows[#rows + 1] = { name, value_text(m.config[name]) } end
  table_rows(out, rows)
  out[#out + 1] = "\nTraining: " .. (type(training) == "table" and not training[1] and "" or said(training))
  if type(training) == "table" and not training[1] then
    local own = {}
    for _, name in ipairs(sorted_keys(training)) do own[#own + 1] = { name, value_text(training[name]) } end
    out[#out] = "\n### Training"
    table_rows(out, own)
  end
end

-- float32 weights are parameters, each counted once; those of eight bits are buffers.
local function weights_text(network)
  local bytes = 0
  for _, t in pairs(network:state()) do bytes = bytes + (t:dtype() == "uint8" and t:numel() or 0) end
  return thousands(network:count()) .. " float32" .. (bytes > 0 and (", %s int8"):format(thousands(bytes)) or "")
end

--- card.text(m) -> Markdown
-- Of a kooka.model. m.card, all of it optional: name, about, language, authors, license, data = a string, {name=, source=, terms=, texts=,
-- hash=, about=} or a list of those, split, scores = {name = metric of kooka.eval} or a list of metrics with a name, use, limits,
-- training (a text or a table of settings), precision (of the training), date, notes. Raises for another field. The rest is known: kind,
-- number and type of the weights, parameters, labels, calibration, version, the tokenizer's size and hash, the date of writing.
function card.text(m)
  local c = m.card or {}
  check_options("card", c, FIELDS)
  if type(c.data) == "table" and not c.data[1] then check_options("card: data", c.data, DATA) end
  local config, tok = m.config, m.tokenizer
  local kind = config.kind or "classifier"
  local hash = tok and tok.path and core.sys.sha256_file(tok.path)
  local out = { "# " .. said(c.name or TASKS[kind]), "" }
  if c.about then out[#out + 1] = said(c.about) .. "\n" end
  table_rows(out, {
    { "kind", ("%s (%s)"):format(kind, TASKS[kind] or "?") },
    { "labels", config.classes_names and said(config.classes_names) or kind == "language_model" and "none" or NOT_STATED },
    { "language", said(c.language) }, { "authors", said(c.authors) }, { "license", said(c.license) },
    { "weights", weights_text(m.network) },
    { "precision of the training", said(c.precision) },
    { "tokenizer", tok and ("%d %s, sha256 %s"):format(tok:size(), tok.file and "words" or "pieces", hash or NOT_STATED) or NOT_STATED },
    { "written", said(c.date or os.date("!%Y-%m-%d")) .. ", kooka " .. version.number },
  })
  data_section(out, c.data)
  out[#out + 1] = "\n## Split\n" .. said(c.split)
  score_section(out, c.scores)
  calibration_section(out, m.calibration)
  out[#out + 1] = "\n## Intended use\n" .. said(c.use)
  out[#out + 1] = "\n## Limits\n" .. said(c.limits)
  parameter_section(out, m, c.training)
  if c.notes then out[#out + 1] = "\n## Notes\n" .. said(c.notes) end
  return table.concat(out, "\n") .. "\n"
end

return card
