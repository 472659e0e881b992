--- apertium: a translator that runs the program apertium (rules, no network): Debian's apertium and apertium-eng-spa, or any other pair.
local core = require "kooka.core"
local check_options = require "kooka.options"

local apertium = {}

local Apertium = {}
Apertium.__index = Apertium
Apertium.__name = "kooka.translator"

-- Apertium's modes name languages by ISO 639-3.
local CODES = { es = "spa", en = "eng", ca = "cat", pt = "por", fr = "fra", it = "ita", de = "deu", gl = "glg", eu = "eus", ro = "ron",
  oc = "oci", an = "arg", ast = "ast", eo = "epo", cy = "cym", br = "bre", is = "isl", sv = "swe", da = "dan", nb = "nob", nn = "nno",
  nl = "nld", af = "afr", bg = "bul", mk = "mkd", sr = "hbs", sl = "slv", ru = "rus", uk = "ukr", be = "bel", kk = "kaz", tt = "tat" }

local function run(program, arguments, input)
  local argv = { program }
  table.move(arguments, 1, #arguments, 2, argv)
  local child <close>, message, code = core.sys.spawn(argv, { stdin = input and "pipe" or "null", stdout = "pipe", stderr = "null",
    own_group = true, env = { LC_ALL = "C.UTF-8" } })
  if not child then return nil, message, code end
  local written, unwritten, lost = true, nil, nil
  if input then
    written, unwritten, lost = child:write(input)      -- a child that ended early says why by its status
    child:close_stdin()
  end
  local text, why, kind = child:read_all()
  if not text then return nil, why, kind end
  local status, problem, name = child:wait()
  if not status then return nil, problem, name end
  if not written and status == 0 then return nil, unwritten, lost end
  return text, status
end

function Apertium.__tostring() return "translator apertium" end

--- t:directions() -> {["spa-eng"] = true, ...} | nil, message, code
-- What is installed.
function Apertium:directions()
  if self.known then return self.known end
  local text, status, code = run(self.program, { "-l" })
  if not text then
    return nil, ("apertium: cannot run '%s' (%s); Debian: apt-get install apertium apertium-eng-spa"):format(self.program, status), code
  end
  self.known = {}
  for direction in text:gmatch("%S+") do self.known[direction] = true end
  return self.known
end

--- t:direction(from, to) -> name | nil, message, code
-- from, to: "es" or "spa". Says which directions there are when this one is missing.
function Apertium:direction(from, to)
  local known, message, code = self:directions()
  if not known then return nil, message, code end
  local name = ("%s-%s"):format(CODES[from] or from, CODES[to] or to)
  if known[name] then return name end
  local list = {}
  for direction in pairs(known) do list[#list + 1] = direction end
  table.sort(list)
  return nil, ("apertium: no direction %s; installed: %s"):format(name, #list > 0 and table.concat(list, ", ") or "none"), "io"
end

--- t:translate(lines, from, to) -> list of lines | nil, message, code
-- One child program for all lines. Unknown words come through as they are; marks of words that the generator did not
-- find are taken off. Ctrl-C ends the child and raises "interrupted".
function Apertium:translate(lines, from, to)
  local direction, message, code = self:direction(from, to)
  if not direction then return nil, message, code end
  local input, dots = {}, {}
  for i, line in ipairs(lines) do              -- apertium adds a full stop to each line and takes one off again
    line = line:gsub("%c+", " "):gsub("\u{2028}", " "):gsub("\u{2029}", " ")
    input[i], dots[i] = line:match("^(.-)%s*(%.*)%s*$")
  end
  local text, status, kind = run(self.program, { "-u", "-f", "line", direction }, table.concat(input, "\n") .. "\n")
  if not text then return nil, "apertium: " .. status, kind end
  if status ~= 0 then return nil, ("apertium: %s ended with status %d"):format(direction, status), "io" end
  local out = {}
  for line in text:gmatch("([^\n]*)\n") do
    line = line:gsub("[#@*]([%a\x80-\xFF])", "%1"):gsub("%s+", " "):match("^%s*(.-)%s*$")
    out[#out + 1] = line .. (dots[#out + 1] or "")
  end
  if #out ~= #lines then
    return nil, ("apertium: %d lines went in and %d came back"):format(#lines, #out), "format"
  end
  return out
end

--- apertium.new([{program = "apertium", batch = 100}]) -> translator
-- batch: lines that go through one child program; a start costs about .2 s.
function apertium.new(options)
  local o = options or {}
  check_options("apertium", o, { program = true, batch = true })
  return setmetatable({ name = "apertium", program = o.program or "apertium", batch = o.batch or 100 }, Apertium)
end

return apertium
