--- augment: kooka augment FILE: writes the training rows of a table of texts and new ones made of them.
local augment = require "kooka.augment"
local arguments = require "kooka.arguments"
local core = require "kooka.core"
local csv = require "kooka.data.csv"
local labelled = require "kooka.data.labelled"
local split = require "kooka.data.split"
local thesaurus = require "kooka.augment.thesaurus"

local command = { about = "more training texts: EDA, back-translation" }

command.usage = [[
usage: kooka augment FILE --out FILE [options]

Reads a table of texts and labels (comma, tab or semicolon) and writes its training rows and new ones made of them, with the columns
of the file and three more: row (its number in FILE, from 1), source (the row it was made of) and method (original, eda-sr ...,
backtranslate-en, file). Rows that are held out never enter; a new text that reads like one of them is thrown away.
  --text C          column of the texts (default: found)
  --label C         column of the labels (default: found)
  --split C         column that says which rows train; the others are held out
  --train VALUES    what stands there for training rows, a comma between (default: train,training,dev_train,1)
                    Without --split the whole file is taken as training data, and that is said: then none of it may be used to judge.
  --how LIST        eda, backtranslate, file; a comma between (default: eda)
  --n N             new texts of each row by each method (default: 1)
  --to WHAT         instead of --n: largest (every class gets as many rows as the largest)
  --seed N          the same seed gives the same texts (1)
EDA (Wei & Zou 2019): replacement, insertion, swap and deletion of words
  --alpha X         share of the words that is changed (0.1)
  --synonyms LIST   where synonyms come from: a MyThes thesaurus (th_es_v2.dat), wordnet, wordnet:FOLDER or a model's folder (its
                    nearest embeddings); a comma between. Without it words are only swapped and deleted.
  --near X          cosine from which embeddings count as synonyms (0.5)
  --language L      stop words that are not replaced: es or en (default: both); es also finds plurals in a thesaurus
back-translation: every translation is kept at once, so the same call goes on after Ctrl-C or a failure
  --from L          language of the texts (es)
  --via LIST        languages in between, each gives one text of a row at most (en)
  --engine E        apertium (default), or the address of a LibreTranslate server, whose key is in LIBRETRANSLATE_API_KEY
  --cache FILE      where translations are kept (default: OUT.translations.db)
  --translations F  for the method file: a table with columns text and translation
  --agree MODEL     a classifier's folder: a back-translation must get the label that its source gets (trained without the held-out rows)
exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted
]]

local PARAMS = {
  text = { type = "string", help = "column of the texts" },
  label = { type = "string", help = "column of the labels" },
  split = { type = "string", help = "column that says which rows train" },
  train = { default = "train,training,dev_train,1", help = "values of training rows" },
  how = { default = "eda", help = "methods" },
  n = { default = 1, min = 1, max = 1000, help = "new texts of each row by each method" },
  to = { type = "string", help = "largest" },
  alpha = { default = .1, min = 0, max = 1, help = "share of the words that is changed" },
  synonyms = { type = "string", help = "thesauri" },
  near = { default = .5, min = -1, max = 1, help = "least cosine" },
  language = { type = "string", help = "es or en" },
  from = { default = "es", help = "language of the texts" },
  via = { default = "en", help = "languages in between" },
  engine = { default = "apertium", help = "translator" },
  cache = { type = "string", help = "where translations are kept" },
  translations = { type = "string", help = "file of translations" },
  agree = { type = "string", help = "folder of a classifier" },
}

local KNOWN = { help = false, out = true, seed = true }

local function refuse(format, ...)
  io.stderr:write("kooka augment: ", format:format(...), "\n")
  return 2
end

local function failed(message)
  io.stderr:write("kooka augment: ", tostring(message), "\n")
  return 1
end

local function list_of(text)
  local out = {}
  for word in (text or ""):gmatch("%s*([^,]+)") do out[#out + 1] = (word:gsub("%s+$", "")) end
  return out
end

local function index_of(list, name)
  for i, value in ipairs(list) do
    if value == name then return i end
  end
end

-- ---- the file

-- The table and its texts and labels by row, every row in: a held-out one may lack a label | nil, message.
local function read(path, o)
  local t, message = labelled.rows(path)
  if not t then return nil, message end
  local d
  d, message = labelled.read(path, { text = o.text, label = o.label, skip_bad = true })
  if not d then return nil, message end
  t.at_text, t.at_label = index_of(t.columns, d.text_column), index_of(t.columns, d.label_column)
  t.texts, t.labels = {}, {}
  for i, row in ipairs(t.rows) do
    t.texts[i], t.labels[i] = row[t.at_text], row[t.at_label]
  end
  return t
end

-- Training rows and held-out rows by the column --split | nil, message.
local function sides(t, o)
  local train, valid, at = {}, {}, o.split and index_of(t.columns, o.split)
  if o.split and not at then
    return nil, ("%s: there is no column %q; the file has %s"):format(t.path, o.split, table.concat(t.columns, ", "))
  end
  local is_train, seen, other = {}, {}, {}
  for _, value in ipairs(list_of(o.train)) do is_train[value] = true end
  for i, row in ipairs(t.rows) do
    local value = at and row[at]
    if not at or is_train[value] then
      train[#train + 1] = i
    else
      valid[#valid + 1] = i
      if not seen[value] then
        seen[value] = true
        other[#other + 1] = value
      end
    end
  end
  if #train == 0 then
    return nil, ("%s: column %s never holds %s (it holds %s): --train says what training rows have"):format(t.path, o.split,
      table.concat(list_of(o.train), " or "), table.concat(other, ", ", 1, math.min(5, #other)))
  end
  for _, i in ipairs(train) do
    for what, value in pairs { text = t.texts[i], label = t.labels[i] } do
      if not value:find("%S") then return nil, ("%s: line %d: a training row without a %s"):format(t.path, t.lines[i], what) end
    end
  end
  for i, text in ipairs(t.texts) do
    local good, why = core.unicode.valid(text)
    if not good then return nil, ("%s: line %d: %s"):format(t.path, t.lines[i], why) end
  end
  return split.given(train, valid)
end

-- ---- the methods

local function one_source(name, o)
  if name == "wordnet" or name:find("^wordnet:") then
    return thesaurus.wordnet { path = name:match("^wordnet:(.+)$") }
  elseif core.sys.exists(name .. "/config.json") then
    local model, message = require("kooka.model").load(name)
    if not model then return nil, message end
    return thesaurus.embeddings(model, { threshold = o.near, texts = o.train_texts })
  end
  local t, message = thesaurus.mythes(name)
  if not t then return nil, message end
  return o.language == "es" and thesaurus.spanish(t) or t
end

local function synonyms_of(o)
  local all = {}
  for i, name in ipairs(list_of(o.synonyms)) do
    local t, message = one_source(name, o)
    if not t then return nil, message end
    all[i] = t
  end
  if #all == 0 then return false end
  return #all == 1 and all[1] or thesaurus.join(all)
end

local make = {}

--- make.eda(o) -> augmenter | nil, message
function make.eda(o)
  local synonyms, message = synonyms_of(o)
  if synonyms == nil then return nil, message end
  return require("kooka.augment.eda").new { synonyms = synonyms or nil, alpha = o.alpha, stopwords = o.language }
end

local function agreement(o)
  if not o.agree then return nil end
  local model, message = require("kooka.model").load(o.agree)
  if not model then return false, message end
  return { model = model }
end

--- make.backtranslate(o) -> augmenter | nil, message
function make.backtranslate(o)
  local check, message = agreement(o)
  if check == false then return nil, message end
  local translator
  if o.engine == "apertium" then
    translator = require("kooka.augment.apertium").new()
  else
    translator, message = require("kooka.augment.libretranslate").new { url = o.engine, on_wait = function(seconds, why)
      if seconds >= 5 then io.stderr:write(("kooka augment: %s: waiting %.0f s\n"):format(why, seconds)) end
    end }
    if not translator then return nil, message end
  end
  return require("kooka.augment.backtranslate").new { translator = translator, from = o.from, via = list_of(o.via),
    cache = o.cache or o.out .. ".translations.db", check = check }
end

--- make.file(o) -> augmenter | nil, message
function make.file(o)
  local check, message = agreement(o)
  if check == false then return nil, message end
  return require("kooka.augment.translations").load(o.translations, { check = check })
end

local function methods_of(o)
  local how = {}
  for i, name in ipairs(list_of(o.how)) do
    local method, message = make[name](o)
    if not method then return nil, message end
    how[i] = method
  end
  return how
end

-- What is wrong with the options, or nil.
local function fault(names, o)
  if #names ~= 1 then return "which file? one FILE is wanted" end
  if not o.seed then return "option --seed wants a whole number" end
  if not o.out then return "where to? --out FILE is wanted" end
  if core.sys.realpath(o.out) and core.sys.realpath(o.out) == core.sys.realpath(names[1]) then return "--out is the file that is read" end
  if o.to and o.to ~= "largest" then return ("option --to is %s, expected largest"):format(o.to) end
  if o.language and o.language ~= "es" and o.language ~= "en" then return ("option --language is %s, expected es or en"):format(o.language) end
  local list = list_of(o.how)
  if #list == 0 then return "option --how is empty" end
  for _, name in ipairs(list) do
    if not make[name] then return ("option --how: %s, expected eda, backtranslate or file"):format(name) end
    if name == "file" and not o.translations then return "the method file wants --translations FILE" end
  end
  if o.engine ~= "apertium" and not o.engine:find("^https?://") then
    return ("option --engine is %s, expected apertium or an address"):format(o.engine)
  end
end

-- ---- the answer

local function write(path, t, out)
  local columns, rows = table.move(t.columns, 1, #t.columns, 1, {}), {}
  for _, name in ipairs { "row", "source", "method" } do
    while index_of(columns, name) do name = "augment_" .. name end
    columns[#columns + 1] = name
  end
  for k, row in ipairs(out.split.train) do
    local source = out.rows[k]
    local fields = table.move(t.rows[source], 1, #t.columns, 1, {})
    fields[t.at_text] = out.texts[row]
    local n = #t.columns
    fields[n + 1], fields[n + 2], fields[n + 3] = row, source, out.method[row] or "original"
    rows[k] = fields
  end
  return csv.write(path, columns, rows)
end

--- run(args) -> exit status
function command.run(args)
  local names, o, rest = arguments.read("augment", PARAMS, KNOWN, args)
  if not names then return refuse("%s", o) end
  if rest.help then
    io.write(command.usage)
    return 0
  end
  o.out, o.seed = rest.out, arguments.whole(rest.seed or "1", 0, 1 << 53)
  local wrong = fault(names, o)
  if wrong then return refuse("%s\n%s", wrong, command.usage) end
  local t, message = read(names[1], o)
  if not t then return failed(message) end
  local s
  s, message = sides(t, o)
  if not s then return failed(message) end
  if o.split then
    io.stderr:write(("%d training rows, %d rows are held out (column %s)\n"):format(#s.train, #s.valid, o.split))
  else
    io.stderr:write(("no --split: all %d rows are taken as training data; none of them may be used to judge\n"):format(#s.train))
  end
  o.train_texts = {}
  for i, row in ipairs(s.train) do o.train_texts[i] = t.texts[row] end
  local how
  how, message = methods_of(o)
  if not how then return failed(message) end
  local out, counts = augment.run(s, t.labels, { texts = t.texts, how = how, n = not o.to and o.n or nil, to = o.to, seed = o.seed })
  if not out then return failed(counts) end
  local ok
  ok, message = write(o.out, t, out)
  if not ok then return failed(message) end
  io.write(tostring(counts), "\n")
  return 0
end

return command
