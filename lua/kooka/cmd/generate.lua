--- generate: kooka generate MODEL: texts from a language model.
local core = require "kooka.core"
local generator = require "kooka.generate"
local json = core.json
local model = require "kooka.model"
local arguments = require "kooka.arguments"
local sys = core.sys

local generate = { about = "write texts with a language model" }

generate.usage = [[
usage: kooka generate MODEL [--prompt TEXT] [--n N] [--tokens N] [options]

Writes texts that go on where the prompt ends, the first as it comes. The filters act in this order, each on what the one
before left: penalty, temperature, top-k, top-p, min-p, typical.
  --prompt TEXT         begin so (default: at the beginning of a text); a model that reads backwards: end so
  --n N                 texts (1)                    --tokens N     at most so many tokens each (100)
  --temperature X       below 1 bolder, above 1 wilder; 0: always the most probable token (1)
  --top-k N             the N most probable tokens; 0: all (0)
  --top-p X             the fewest most probable tokens that weigh X together (1)
  --min-p X             tokens of at least X times the most probable one's probability (0)
  --typical X           tokens of ordinary surprise that weigh X together (1)
  --penalty X           makes tokens of the last --window N (64) less likely (1: not)
  --beams N             beam search of that width instead of drawing; --length-penalty X (1) normalises by length
  --unk                 the unknown token may come    --endless      a text goes on where the next one would begin
  --marks               the text as the model sees it: xxup and the like, not capitals
  --seed N              the same seed, the same texts (1)
  --int8                recurrent weights rounded to eight bits
  --json                an object a text: text, finished, and logp and score of a beam
  --threads N           default: as many as the process may use
exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted
]]

local PARAMS = {
  prompt = { type = "string", help = "the beginning" },
  n = { default = 1, min = 1, max = 10000, help = "texts" },
  tokens = { default = 100, min = 1, max = 1000000, help = "tokens of a text at most" },
  temperature = { default = 1.0, min = 0, max = 1000, help = "divides the logits" },
  top_k = { default = 0, min = 0, max = 2147483646, help = "most probable tokens; 0: all" },
  top_p = { default = 1.0, min = 1e-9, max = 1, help = "nucleus" },
  min_p = { default = 0.0, min = 0, max = 1, help = "share of the most probable one's probability" },
  typical = { default = 1.0, min = 1e-9, max = 1, help = "locally typical" },
  penalty = { default = 1.0, min = .01, max = 100, help = "of repetition" },
  window = { default = 64, min = 0, max = 100000, help = "tokens that the penalty looks back" },
  beams = { type = "integer", min = 1, max = 10000, help = "beam search" },
  length_penalty = { default = 1.0, min = 0, max = 100, help = "exponent of the length in a beam's score" },
  unk = { default = false, help = "the unknown token may come" },
  endless = { default = false, help = "does not stop where a text ends" },
  marks = { default = false, help = "marks instead of capitals" },
  int8 = { default = false, help = "recurrent weights in eight bits" },
}

local KNOWN = { json = false, help = false, threads = true, seed = true }

local function refuse(format, ...)
  io.stderr:write("kooka generate: ", format:format(...), "\n")
  return 2
end

local function failed(format, ...)
  io.stderr:write("kooka generate: ", format:format(...), "\n")
  return 1
end

local function plain(err) return (tostring(err):gsub("^[^\n]-%.lua:%d+: ", ""):gsub("^generate: ", "")) end

-- Writes and flushes; an exit status when that does not work any more (nobody reading is no failure).
local function emit(...)
  local ok, message, number = io.stdout:write(...)
  if ok then ok, message, number = io.stdout:flush() end
  if ok then return nil end
  return number == 32 and 0 or failed("standard output: %s", tostring(message))
end

-- What will not change when more comes: cleaning's marks take three words at most, and a word may grow or be glued to.
local function settled(text)
  for _ = 1, 3 do text = text:match("^(.*)%s%S*$") or "" end
  return text
end

-- One text, written while it grows.
local function write_growing(m, o)
  local g <close> = generator.start(m, o)
  local written = ""
  while g:next() do
    local text = settled(g:text())
    if #text > #written and text:sub(1, #written) == written then
      local status = emit(text:sub(#written + 1))
      if status then return status end
      written = text
    end
  end
  return emit(g:text():sub(#written + 1), "\n") or 0
end

local function write_all(m, o, as_json)
  for i, t in ipairs(generator.texts(m, o)) do
    local line = as_json and json.encode { text = t.text, finished = t.finished, logp = t.logp, score = t.score }
      or (i > 1 and "\n" or "") .. t.text
    local status = emit(line, "\n")
    if status then return status end
  end
  return 0
end

local function loaded(path, int8)
  local m, message = model.load(path)
  if not m then return nil, failed("%s", message) end
  if m:kind() ~= "language_model" then return nil, refuse("%s is a %s: see kooka predict", path, m:kind()) end
  if int8 and not m.config.int8 then
    local ok, small = pcall(m.int8, m)
    if not ok then return nil, failed("%s: --int8: %s", path, plain(small)) end
    m = small
  end
  return m
end

--- run(args) -> exit status
function generate.run(args)
  local names, values, rest = arguments.read("generate", PARAMS, KNOWN, args)
  if not names then return refuse("%s", values) end
  if rest.help then
    io.write(generate.usage)
    return 0
  end
  if #names ~= 1 then return refuse("%s\n%s", #names == 0 and "which model?" or "one model, please", generate.usage) end
  local threads = rest.threads and arguments.whole(rest.threads, 1, 4096)
  if rest.threads and not threads then
    return refuse("option --threads is %s, expected an integer from 1 to 4096", rest.threads)
  end
  local seed = arguments.whole(rest.seed or "1", 0, 0x7fffffffffffffff)
  if not seed then return refuse("option --seed is %s, expected an integer of 0 or more", rest.seed) end
  if values.beams and values.n > values.beams then
    return refuse("--n is %d, but there are %d beams", values.n, values.beams)
  end
  local good, why = core.unicode.valid(values.prompt or "")
  if not good then return refuse("--prompt: %s", why) end
  if threads then sys.threads(threads) end
  local m, status = loaded(names[1], values.int8)
  if not m then return status end
  local o = { seed = seed, no_unk = not values.unk, stop = not values.endless }
  if values.marks then o.plain = false end          -- else as the model's texts were
  for _, name in ipairs { "prompt", "n", "tokens", "temperature", "top_k", "top_p", "min_p", "typical", "penalty", "window", "beams",
    "length_penalty" } do o[name] = values[name] end
  if o.n == 1 and not o.beams and not rest.json and not m.config.backwards then return write_growing(m, o) end
  return write_all(m, o, rest.json)
end

return generate
