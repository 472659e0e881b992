--- predict: kooka predict MODEL... < lines: a line in, its label and calibrated probability out.
local core = require "kooka.core"
local json = core.json
local model = require "kooka.model"
local progress = require "kooka.progress"
local arguments = require "kooka.arguments"
local sys = core.sys

local predict = { about = "label lines of text with a model" }

predict.usage = [[
usage: kooka predict MODEL [MODEL...] [options] < lines

Reads a text a line and writes a line for each, in order: label, tab, its probability (a regression model: the score;
an ordinal or multi-task model: label, probability, score). Probabilities are calibrated where the model's folder has a
calibration. A line is answered as soon as it came; where many are there, texts of like length go together. Several models:
the mean of what they say.
  --probs         the probabilities of all labels behind it, in the order of --header
  --header        a first line with the columns' names
  --json          an object a line instead: line, label, prob, probs, score
  --labels NAMES  names of the classes in order, a comma between them (default: the model's own, or 1, 2, ...)
  --raw           probabilities as the network gives them, not calibrated
  --int8          recurrent weights rounded to eight bits: faster, and nearly the same (m:quantize measures it); a
                  calibration stays the one of float32 weights
  --skip-bad      a line that is not UTF-8 is answered with - and named on stderr; without this option it ends the command
  --batch N       texts of a batch (64)
  --threads N     default: as many as the process may use
Progress is shown on stderr when the lines come from a file and the answers do not go to the terminal.
exit status: 0 done (also when the reader of the answers went away), 1 failed, 2 wrong usage, 130 interrupted
]]

local PARAMS = {
  probs = { default = false, help = "all probabilities" },
  header = { default = false, help = "a first line with names" },
  raw = { default = false, help = "not calibrated" },
  int8 = { default = false, help = "recurrent weights in eight bits" },
  skip_bad = { default = false, help = "go on behind a line that is not UTF-8" },
  labels = { type = "string", help = "names of the classes, a comma between them" },
  batch = { default = 64, min = 1, max = 4096, help = "texts of a batch" },
}

local KNOWN = { json = false, help = false, threads = true }

local BLOCK = 262144             -- bytes that are answered at once, at most

local function refuse(format, ...)
  io.stderr:write("kooka predict: ", format:format(...), "\n")
  return 2
end

local function failed(format, ...)
  io.stderr:write("kooka predict: ", format:format(...), "\n")
  return 1
end

-- ---- models

local function same_labels(a, b)
  if (a == nil) ~= (b == nil) or a and #a ~= #b then return false end
  for i, name in ipairs(a or {}) do
    if name ~= b[i] then return false end
  end
  return true
end

local function load_models(names, o)
  local models = {}
  for i, path in ipairs(names) do
    local m, message = model.load(path)
    if not m then return nil, failed("%s", message) end
    if m:kind() == "language_model" then return nil, refuse("%s is a language model: see kooka generate", path) end
    if o.int8 and not m.config.int8 then
      local ok, small = pcall(m.int8, m)
      if not ok then return nil, failed("%s: --int8: %s", path, (tostring(small):gsub("^[^\n]-%.lua:%d+: ", ""))) end
      m = small
    end
    if m.calibration and m.calibration.weights == "float32" and not o.raw then
      io.stderr:write(("kooka predict: %s: eight bits; the calibration is the one of float32 weights, not fitted again\n"):format(path))
    end
    local first = models[1]
    if first and m:kind() ~= first:kind() then
      return nil, refuse("%s is a %s, %s a %s: their answers have no mean", names[1], first:kind(), path, m:kind())
    end
    if first and not same_labels(first:labels(), m:labels()) then
      return nil, refuse("%s and %s have different labels: %s; %s", names[1], path, table.concat(first:labels(), ", "),
        table.concat(m:labels(), ", "))
    end
    models[i] = m
  end
  return models
end

-- Names of the classes: as asked for, or the model's.
local function labels_of(m, text)
  local own = m:labels()
  if not text then return own end
  if not own then return nil, refuse("--labels: the model answers a score, it has no classes") end
  local names = {}
  for name in (text .. ","):gmatch("%s*(.-)%s*,") do names[#names + 1] = name end
  if #names ~= #own then return nil, refuse("--labels has %d names, the model %d classes", #names, #own) end
  local place = {}
  for c, name in ipairs(names) do
    if name == "" then return nil, refuse("--labels: the name of class %d is empty", c) end
    if place[name] then return nil, refuse("--labels: classes %d and %d are both called %s", place[name], c, name) end
    place[name] = c
  end
  return names
end

-- ---- answers

-- Probabilities and score of each text: the mean over models.
local function ask(models, texts, o)
  local probs, scores
  for _, m in ipairs(models) do
    local answers = #texts == 1 and { m:predict_one(texts[1], { raw = o.raw }) }
      or m:predict(texts, { raw = o.raw, batch = o.batch, bar = false })
    for i, a in ipairs(answers) do
      local prob, score
      if type(a) == "number" then score = a elseif a.prob then prob, score = a.prob, a.score else prob = a end
      if prob then
        probs = probs or {}
        probs[i] = probs[i] or {}
        for c, p in ipairs(prob) do probs[i][c] = (probs[i][c] or 0) + p / #models end
      end
      if score then
        scores = scores or {}
        scores[i] = (scores[i] or 0) + score / #models
      end
    end
  end
  return probs, scores
end

local function best(row)
  local class = 1
  for c = 2, #row do
    if row[c] > row[class] then class = c end
  end
  return class
end

local function as_json(line, prob, score, labels)
  local answer = { line = line, score = score }
  if prob then
    local class, named = best(prob), {}
    for c, p in ipairs(prob) do named[labels[c]] = p end
    answer.label, answer.prob, answer.probs = labels[class], prob[class], named
  end
  return json.encode(answer)
end

local function as_columns(prob, score, labels, all)
  local out = {}
  if prob then
    local class = best(prob)
    out = { labels[class], ("%.6f"):format(prob[class]) }
  end
  if score then out[#out + 1] = ("%.6g"):format(score) end
  for _, p in ipairs(prob and all and prob or {}) do out[#out + 1] = ("%.6f"):format(p) end
  return table.concat(out, "\t")
end

local function header(m, labels, o)
  local kind, out = m:kind(), {}
  if labels then out = { "label", "prob" } end
  if kind ~= "classifier" then out[#out + 1] = "score" end
  for _, name in ipairs(labels and o.probs and labels or {}) do out[#out + 1] = name end
  return table.concat(out, "\t")
end

-- Writes and flushes; "closed" when nobody reads any more, or a message.
local function emit(lines)
  if #lines == 0 then return nil end
  local ok, message, number = io.stdout:write(table.concat(lines, "\n"), "\n")
  if ok then ok, message, number = io.stdout:flush() end
  if ok then return nil end
  return number == 32 and "closed" or "standard output: " .. tostring(message)      -- EPIPE
end

-- Answers `lines`, whose first is number `first`; "closed", a message that ends the command, or nil.
local function answer(models, lines, first, labels, o)
  local texts, places, out, stop = {}, {}, {}, nil
  for i, line in ipairs(lines) do
    local good, why = core.unicode.valid(line)
    if good then
      texts[#texts + 1], places[#places + 1] = line, i
    else
      why = ("line %d: %s"):format(first + i - 1, why)
      if not o.skip_bad then
        stop = why .. " (--skip-bad goes on behind it)"
        break
      end
      io.stderr:write("kooka predict: ", why, "\n")
      out[i] = o.json and json.encode { line = first + i - 1, error = why } or "-"
    end
  end
  if #texts > 0 then
    local probs, scores = ask(models, texts, o)
    for k, i in ipairs(places) do
      local prob, score = probs and probs[k], scores and scores[k]
      out[i] = o.json and as_json(first + i - 1, prob, score, labels) or as_columns(prob, score, labels, o.probs)
    end
  end
  return emit(out) or stop
end

-- ---- input

-- Lines as they come: each call answers a list of them, and the bytes they took; nil at the end. message, code when it cannot be read.
local function line_source()
  local rest, ended = "", false
  return function()
    while not ended do
      local bytes, message, code = sys.stdin_read(BLOCK)
      if not bytes and message then return nil, message, code end
      ended = bytes == nil
      rest = rest .. (bytes or "")
      local lines, at, size = {}, 1, #rest
      for line, after in rest:gmatch("([^\n]*)\n()") do lines[#lines + 1], at = line:gsub("\r$", ""), after end
      rest = rest:sub(at)
      if ended and rest ~= "" then lines[#lines + 1], rest = rest:gsub("\r$", ""), "" end
      if #lines > 0 then return lines, size - #rest end
    end
  end
end

local function answer_all(models, labels, o)
  local size = sys.stdin_size()
  local shown = size and not sys.isatty(1)
  local bar <close> = shown and progress.new { label = "predict", total = size, unit = "B" } or nil
  if o.header and not o.json then
    local trouble = emit { header(models[1], labels, o) }
    if trouble then return trouble == "closed" and 0 or failed("%s", trouble) end
  end
  local next_lines, done = line_source(), 0
  while true do
    local lines, taken = next_lines()
    if not lines then
      if taken then return failed("%s", taken) end
      return 0
    end
    local trouble = answer(models, lines, done + 1, labels, o)
    if trouble then return trouble == "closed" and 0 or failed("%s", trouble) end
    done = done + #lines
    if bar then bar:step(taken, ("%d lines"):format(done)) end
  end
end

--- run(args) -> exit status
function predict.run(args)
  local names, values, rest = arguments.read("predict", PARAMS, KNOWN, args)
  if not names then return refuse("%s", values) end
  if rest.help then
    io.write(predict.usage)
    return 0
  end
  if #names == 0 then return refuse("which model?\n%s", predict.usage) end
  local threads = rest.threads and arguments.whole(rest.threads, 1, 4096)
  if rest.threads and not threads then
    return refuse("option --threads is %s, expected an integer from 1 to 4096", rest.threads)
  end
  if threads then sys.threads(threads) end
  values.json = rest.json == true
  local models, status = load_models(names, values)
  if not models then return status end
  local labels
  labels, status = labels_of(models[1], values.labels)
  if status then return status end
  return answer_all(models, labels, values)
end

return predict
