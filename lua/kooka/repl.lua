--- repl: the session at a terminal: reads a line, runs it, prints what it gives.
local core = require "kooka.core"
local pretty = require "kooka.pretty"
local sys = core.sys

local repl = {}

local KEYWORDS = {"and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil",
  "not", "or", "repeat", "return", "then", "true", "until", "while"}

-- ---- completion

-- The table that value[name] looks into after value itself; never a function.
local function index_of(value)
  local mt = debug.getmetatable(value)
  local index = type(mt) == "table" and rawget(mt, "__index")
  return type(index) == "table" and index or nil
end

-- value[name] without calling anything.
local function peek(value, name)
  for _ = 1, 20 do
    if type(value) == "table" then
      local field = rawget(value, name)
      if field ~= nil then return field end
      if rawequal(value, package.loaded.kooka) then
        return rawget(core, name) or package.loaded["kooka." .. name]
      end
    end
    value = index_of(value)
    if value == nil then return nil end
  end
  return nil
end

local function add_names(found, value, prefix, only_functions)
  if type(value) ~= "table" then return end
  for name, field in next, value do
    if type(name) == "string" and name:find("^[%a_][%w_]*$") and name:sub(1, #prefix) == prefix
      and (prefix:find("^_") or not name:find("^_")) and (not only_functions or type(field) == "function") then
      found[name] = true
    end
  end
end

-- Names that follow value and a dot or a colon.
local function fields(value, prefix, only_functions)
  local found = {}
  local is_library = rawequal(value, package.loaded.kooka)
  if is_library then add_names(found, core, prefix, only_functions) end
  if is_library and not only_functions then
    for _, module in ipairs(core.module_names and core.module_names() or {}) do
      local name = module:match("^kooka%.([%w_]+)")
      if name:sub(1, #prefix) == prefix then found[name] = true end
    end
  end
  for _ = 1, 20 do
    if value == nil then break end
    add_names(found, value, prefix, only_functions)
    value = index_of(value)
  end
  return found
end

local function inside_string(line)
  local quote
  local i = 1
  while i <= #line do
    local c = line:sub(i, i)
    if quote and c == "\\" then
      i = i + 1
    elseif c == quote then
      quote = nil
    elseif not quote and (c == '"' or c == "'") then
      quote = c
    end
    i = i + 1
  end
  return quote ~= nil
end

--- repl.complete(line, word) -> list or nil
-- What `word` at the end of `line` may become: globals and keywords, fields after a dot, methods after a
-- colon. Follows tables and __index tables and calls nothing; names that begin with _ only when asked for.
-- nil inside a string: file names.
function repl.complete(line, word)
  if inside_string(line) then return nil end
  local before
  before, word = word:match("^(.-)([%w_.:]*)$")      -- a/b: readline gives both, for the sake of file names
  local path, mark, prefix = word:match("^(.-)([.:])([%w_]*)$")
  local found
  if not path then
    found = fields(_G, word, false)
    for _, keyword in ipairs(KEYWORDS) do
      if word ~= "" and keyword:sub(1, #word) == word then found[keyword] = true end
    end
  else
    local value = _G
    for part in path:gmatch("[^.:]+") do value = peek(value, part) end
    if value == nil or path == "" then return {} end
    found = fields(value, prefix, mark == ":")
    before = before .. path .. mark
  end
  local names = {}
  for name in next, found do names[#names + 1] = before .. name end
  table.sort(names)
  return names
end

-- ---- reading

local function history_path()
  local home = os.getenv("HOME")
  local state = os.getenv("XDG_STATE_HOME")
  if not state or state == "" then state = home and home .. "/.local/state" end
  return state and state .. "/kooka/history"
end

-- A function that reads one line after a prompt: line, or nil at the end, or nil, "interrupted".
local function open_input()
  local edit = core.readline
  if not (sys.isatty(0) and sys.isatty(1) and os.getenv("TERM") ~= "dumb" and edit.open()) then
    return function(prompt)
      io.write(prompt)
      io.flush()
      local ok, line = pcall(io.read, "L")
      if sys.stopped() then
        pcall(sys.stop_clear)          -- the hook of the Ctrl-C may fire in here
        sys.stop_clear()
        io.write("\n")
        return nil, "interrupted"
      end
      if ok and line then return (line:gsub("\r?\n$", "")) end
      return nil
    end, function() end
  end
  local path = history_path()
  if path then edit.load_history(path) end
  local last
  local function read(prompt)
    local line, why = edit.read(prompt, repl.complete)
    if line and line:find("%S") and line ~= last then
      edit.add_history(line)
      last = line
    end
    return line, why
  end
  return read, function()
    if not path then return end
    sys.mkdir_p(path:match("^(.*)/"))
    edit.save_history(path)
  end
end

--- repl.compile(text) -> function or nil, message, incomplete
-- An expression gives its values, also with a `=` before it; `incomplete` is true when more lines are wanted.
function repl.compile(text)
  text = text:gsub("^%s*=", "", 1)
  local chunk = load("return " .. text, "=(session)", "t")
  if chunk then return chunk end
  local message
  chunk, message = load(text, "=(session)", "t")
  if chunk then return chunk end
  return nil, message, message:find("<eof>", 1, true) ~= nil
end

-- A whole statement or expression, over several lines when it needs them.
local function read_chunk(read)
  local text, why = read("> ")
  if not text then return nil, why end
  while true do
    local chunk, message, incomplete = repl.compile(text)
    if chunk or not incomplete then return text, chunk, message end
    local more
    more, why = read(">> ")
    if not more then return nil, why end
    text = text .. "\n" .. more
  end
end

-- ---- running

--- repl.trim(trace) -> string
-- A traceback without the frames of the session itself.
function repl.trim(trace)
  local lines = {}
  for line in trace:gmatch("[^\n]+") do
    if line:find("in function 'xpcall'", 1, true) then break end
    lines[#lines + 1] = line
  end
  if lines[#lines] and lines[#lines]:find("(session):", 1, true) and lines[#lines]:find("in main chunk", 1, true) then
    lines[#lines] = nil
  end
  if lines[#lines] and lines[#lines]:find("in function <(session)", 1, true) then lines[#lines] = nil end
  if lines[#lines] == "stack traceback:" then lines[#lines] = nil end
  return table.concat(lines, "\n")
end

local function on_error(err)
  if sys.stopped() and tostring(err):find("interrupted", 1, true) then return "interrupted" end
  local mt = getmetatable(err)
  if type(err) == "table" and not (type(mt) == "table" and mt.__tostring) then err = pretty.value(err) end
  return repl.trim(debug.traceback(tostring(err), 2))
end

local function show(results)
  local out = {}
  for i = 1, results.n do
    local ok, text = pcall(pretty.value, results[i])
    out[i] = ok and text or ("(%s that cannot be shown: %s)"):format(type(results[i]), tostring(text))
  end
  print(table.concat(out, "\t"))
end

local warned = false
local function note_local(text)
  if warned or not text:find("^%s*local%s") or text:find("\n") then return end
  warned = true
  print("(a local lives only in its own line here; leave `local` away to keep it)")
end

--- repl.execute(text, chunk)
-- Runs one compiled piece and prints its results or its error.
function repl.execute(text, chunk)
  local results = table.pack(xpcall(chunk, on_error))
  if sys.stopped() then sys.stop_clear() end
  if not results[1] then
    io.stdout:flush()
    io.stderr:write(results[2], "\n")
    return
  end
  note_local(text)
  if results.n < 2 then return end
  if results[2] ~= nil then _G._ = results[2] end
  if not text:find(";%s*$") then show(table.pack(table.unpack(results, 2, results.n))) end
end

--- repl.run()
-- The session, until the end of input.
function repl.run()
  local read, close = open_input()
  _G.help = require("kooka.help").show
  if sys.isatty(0) then
    print(require("kooka.version").line() .. ". help() tells more, Ctrl-D ends.")
  end
  while not (core.terminating and core.terminating()) do
    local text, chunk, message = read_chunk(read)
    if not text and chunk ~= "interrupted" then break end
    if chunk and text then
      repl.execute(text, chunk)
    elseif text then
      io.stdout:flush()
      io.stderr:write(message, "\n")
    end
  end
  close()
  if sys.isatty(0) then print() end
end

return repl
