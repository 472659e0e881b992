-- lint.lua -- what a script can check of the project's style. Run it in the project's root: lua5.4 tests/lint.lua
--   layers      #include only what tests/layers.txt allows       banned    calls that the core does not make
--   help        every function of a binding has its text         docs      every public Lua function has its `---`
--   purpose     a file says on its first line what it is for     length    700 lines at most, 600 is noted
--   format      columns, trailing spaces, tabs, last newline     words     nothing left for later
--   luacheck    with .luacheckrc, when it is installed
-- Prints `file:line: what is wrong`; the last line reads `N passed, N failed, N skipped`, one test a file and check.

local passed, failed, skipped = 0, 0, 0
local problems               -- of the check that runs, in the file that is read

local function problem(path, line, ...)
  problems = problems + 1
  io.write(path, ":", line, ": ", string.format(...), "\n")
end

local function note(path, line, ...)
  io.write(path, ":", line, ": note: ", string.format(...), "\n")
end

-- Runs one check on one file and counts it.
local function run(check, path, text)
  problems = 0
  check(path, text)
  if problems == 0 then passed = passed + 1 else failed = failed + 1 end
end

local function read_file(path)
  local f = assert(io.open(path, "rb"))
  local text = f:read("a")
  f:close()
  return text
end

local function exists(path)
  local f = io.open(path)
  if f then f:close() end
  return f ~= nil
end

-- Every text file of the given folders, sorted.
local function find(folders)
  local list = {}
  local pipe = assert(io.popen("find " .. folders .. [[ -type f \( -name '*.[ch]' -o -name '*.cc' -o -name '*.lua' -o -name '*.sh' \
    -o -name '*.md' -o -name '*.txt' -o -name '*.mk' -o -name '*.rockspec' -o -name Makefile \) 2>/dev/null | LC_ALL=C sort]]))
  for path in pipe:lines() do list[#list + 1] = path end
  pipe:close()
  return list
end

-- for _, line, number in each_line(text)
local function each_line(text)
  local number = 0
  return function(_, position)
    if position > #text then return nil end
    local line, after = text:match("^([^\n]*)()", position)
    number = number + 1
    return after + 1, line, number
  end, nil, 1
end

-- C source with the inside of comments and string literals blanked, line by line the same.
local function code_only(text)
  local out, i = {}, 1
  local function blank(to)
    out[#out + 1] = text:sub(i, to):gsub("[^\n]", " ")
    i = to + 1
  end
  while i <= #text do
    local at = text:find("[/\"']", i)
    if not at then break end
    out[#out + 1] = text:sub(i, at - 1)
    i = at
    local two = text:sub(i, i + 1)
    if two == "/*" then
      blank(select(2, text:find("*/", i + 2, true)) or #text)
    elseif two == "//" then
      blank((text:find("\n", i, true) or #text + 1) - 1)
    elseif two:sub(1, 1) == "/" then
      out[#out + 1], i = "/", i + 1
    else
      local quote, to = two:sub(1, 1), i + 1
      while to <= #text and text:sub(to, to) ~= quote do to = to + (text:sub(to, to) == "\\" and 2 or 1) end
      blank(to)
    end
  end
  out[#out + 1] = text:sub(i)
  return table.concat(out)
end

---- layers -----------------------------------------------------------------------------------------

-- Headers of C, POSIX and the systems we build on: every layer may use them.
local system = {}
for name in ([[assert ctype errno fenv float inttypes limits locale math setjmp signal stdalign stdarg stdatomic stdbool
  stddef stdint stdio stdlib string strings time wchar wctype dirent dlfcn fcntl ftw glob langinfo netdb poll pthread pwd regex
  sched spawn sys/file sys/ioctl sys/mman sys/param sys/resource sys/select sys/socket sys/stat sys/statvfs sys/syscall
  sys/sysctl sys/time sys/types sys/un sys/utsname sys/wait termios unistd arpa/inet netinet/in netinet/tcp immintrin
  x86intrin cpuid arm_neon]]):gmatch("%S+") do
  system[name .. ".h"] = true
end

local function read_layers(path)
  local layers = {}
  for _, line in each_line(read_file(path)) do
    local folder, rest = line:match("^([%w.]+)%s*(.-)%s*$")
    if folder then
      local may = {}
      for word in rest:gmatch("%S+") do may[word] = true end
      layers[folder] = may
    end
  end
  return layers
end

local layers = read_layers("tests/layers.txt")

local function check_layers(path, text)
  local folder = path:match("^runtime/([^/]+)")
  local may = layers[folder]
  if not may then
    problem(path, 1, "folder runtime/%s is not in tests/layers.txt", folder)
    return
  end
  for _, line, number in each_line(text) do
    local open, header = line:match('^%s*#%s*include%s*([<"])([^>"]+)[>"]')
    if header then
      local target = header:match("^([^/]+)/")
      local cxx = path:match("%.cc$") and header:match("^[%a_]+$")       -- <string>, <mutex>, ...
      local inside = open == '"' and target and layers[target]
      if inside then
        if target ~= folder and not may[target .. "/"] and not may[header] then
          problem(path, number, "%s/ may not include %s (tests/layers.txt)", folder, header)
        end
      elseif open == '"' and exists(("runtime/%s/%s"):format(folder, header)) then
        problem(path, number, "write \"%s/%s\": headers are named from runtime/", folder, header)
      elseif not may["<" .. header .. ">"] and not system[header] and not cxx then
        problem(path, number, "%s/ may not include <%s> (tests/layers.txt)", folder, header)
      end
    end
  end
end

---- banned functions -------------------------------------------------------------------------------

local banned = {
  ["use kk_alloc and kk_free"] = "malloc calloc realloc free aligned_alloc posix_memalign memalign strdup strndup asprintf vasprintf getline",
  ["return a kk_status"] = "exit abort quick_exit assert",
  ["write with a size: snprintf, memcpy, kk_buf"] = "strcpy strcat sprintf vsprintf stpcpy gets strncat",
  ["parse with strtol, strtod and check"] = "atoi atol atoll atof scanf sscanf fscanf",
  ["use strtok_r or a pointer"] = "strtok",
  ["use tensor/random.h"] = "rand srand random srandom drand48 lrand48",
  ["the core prints nothing"] = "printf vprintf puts putchar perror",
  ["it changes how numbers are read"] = "setlocale",
  ["start programs without a shell"] = "system popen",
}
local may_call = {                       -- path pattern -> functions
  ["^runtime/base/mem%.c$"] = "aligned_alloc free malloc realloc",
  ["^runtime/cli/"] = "printf puts putchar perror setlocale exit",
  ["^runtime/lua/bind_readline%.c$"] = "strdup malloc free",    -- readline frees what its completer answers
  ["^runtime/text/nbsvm%.c$"] = "srand",                         -- LIBLINEAR draws from rand()
  ["^runtime/tools/"] = "printf puts putchar perror malloc free realloc exit",
}
local ban = {}
for why, names in pairs(banned) do
  for name in names:gmatch("%S+") do ban[name] = why end
end

local function check_banned(path, text)
  local allowed = {}
  for pattern, names in pairs(may_call) do
    if path:match(pattern) then
      for name in names:gmatch("%S+") do allowed[name] = true end
    end
  end
  for _, line, number in each_line(code_only(text)) do
    for before, name in line:gmatch("(.?.?)%f[%w_]([%a_][%w_]*)%s*%f[(]%(") do
      local member = before:match("%.$") or before == "->" or before == "::"
      if ban[name] and not allowed[name] and not member then problem(path, number, "%s(): %s", name, ban[name]) end
    end
    if line:match("fprintf%s*%(%s*std") and not path:match("^runtime/cli/") and not path:match("^runtime/tools/") then
      problem(path, number, "fprintf to a standard stream: the core prints nothing")
    end
  end
end

---- help texts of bindings -------------------------------------------------------------------------

-- Line number of a position, for messages.
local function line_at(text, position)
  return select(2, text:sub(1, position):gsub("\n", "\n")) + (text:sub(position, position) == "\n" and 0 or 1)
end

local function check_help(path, text)
  for start, body in text:gmatch("kk_reg%s+[%w_]+%[%]%s*=%s*{()(.-)\n?%s*};") do
    for at, name, rest in body:gmatch('(){%s*"([^"]+)"%s*,%s*[%w_]+%s*([^\n]*)') do
      local number = line_at(text, start + at - 1)
      if not name:match("^__") then
        local doc = rest:match('^,%s*\n?%s*"([^"\\]*)') or body:sub(at):match('^{%s*"[^"]+"%s*,%s*[%w_]+%s*,%s*"([^"\\]*)')
        local constant = rest:match("^,%s*([%a_][%w_]*)")
        if not doc and (not constant or constant == "NULL") then
          problem(path, number, "function %s has no help text", name)
        elseif doc and not doc:find(name, 1, true) then
          problem(path, number, "the help text of %s does not begin with its signature", name)
        end
      end
    end
  end
end

---- public Lua functions ---------------------------------------------------------------------------

local function check_docs(path, text)
  local lines = {}
  for _, line in each_line(text) do lines[#lines + 1] = line end
  local returned = text:match("\nreturn ([%a_][%w_]*)%s*$")
  for i, line in ipairs(lines) do
    local name = line:match("^function [%w_.]+[.:]([%w_]+)%s*%(") or line:match("^[%w_.]+%.([%w_]+)%s*=%s*function%s*%(")
      or (returned and line:match("^local function (" .. returned .. ")%s*%("))
    if name and not name:match("^_") then
      local first = i                        -- the comment directly above, from its `---` line
      while lines[first - 1] and lines[first - 1]:match("^%-%-") do first = first - 1 end
      while first < i and not lines[first]:match("^%-%-%-[^-]") do first = first + 1 end
      if first == i then
        problem(path, i, "public function %s has no `---` comment directly above", name)
      elseif name ~= returned and not lines[first]:find(name, 1, true) and not lines[first]:match("%w+%b()") then
        problem(path, first, "the comment of %s does not begin with its signature", name)
      end
    end
  end
end

---- files ------------------------------------------------------------------------------------------

local function check_purpose(path, text)
  local first = text:match("^([^\n]*)")
  if first:match("^#!") then first = text:match("^[^\n]*\n([^\n]*)") end
  local good
  if path:match("%.lua$") then
    good = first:match("^%-%-")
  elseif path:match("%.sh$") then
    good = first:match("^#%s*%w")
  else                                       -- a .c file may leave that to its header
    good = first:match("^/[*/]") or path:match("%.cc?$") and exists((path:gsub("%.cc?$", ".h")))
  end
  if not good then problem(path, 1, "the first line does not say what the file is for") end
end

local function check_length(path, text)
  local count = select(2, text:gsub("\n", "\n"))
  if count > 700 then
    problem(path, count, "%d lines: split it (600 is the aim)", count)
  elseif count > 600 then
    note(path, count, "%d lines: about 600 is the aim", count)
  end
end

local function check_format(path, text)
  local is_code = not path:match("^tests/golden/") and (path:match("%.[ch]$") or path:match("%.cc$") or path:match("%.lua$"))
  for _, line, number in each_line(text) do
    if line:match("%s$") then problem(path, number, line:match("\r$") and "carriage return" or "trailing space") end
    if line:find("\t", 1, true) and is_code then problem(path, number, "tab") end
    -- A long text in quotes may stand on one line.
    local columns = utf8.len(line) or #line
    if is_code and columns > 120 and not line:match("[\"'][^\"']*%s[^\"']*%s[^\"']*[\"']") then
      local say = columns > 140 and problem or note
      say(path, number, "%d columns, 120 is the limit", columns)
    end
  end
  if #text > 0 and text:sub(-1) ~= "\n" then problem(path, line_at(text, #text), "no newline at the end") end
end

local later = { "TO" .. "DO", "FIX" .. "ME", "X" .. "XX", "HA" .. "CK" }
local function check_words(path, text)
  for _, line, number in each_line(text) do
    for _, word in ipairs(later) do
      if line:match("%f[%w_]" .. word .. "%f[^%w_]") then problem(path, number, "%s: do it, or leave it out", word) end
    end
  end
end

---- main -------------------------------------------------------------------------------------------

for _, path in ipairs(find("runtime")) do
  local text = read_file(path)
  if path:match("%.[ch]$") or path:match("%.cc$") then
    run(check_layers, path, text)
    run(check_banned, path, text)
    run(check_purpose, path, text)
    if path:match("^runtime/lua/") then run(check_help, path, text) end
  end
end
for _, path in ipairs(find("lua recipes")) do
  local text = read_file(path)
  if path:match("%.lua$") then
    run(check_docs, path, text)
    run(check_purpose, path, text)
  end
end
for _, path in ipairs(find("runtime lua recipes tests vendor rockspec Makefile README.md")) do
  local text = read_file(path)
  run(check_format, path, text)
  run(check_words, path, text)
  if not path:match("%.md$") then run(check_length, path, text) end
end

local pipe = assert(io.popen("command -v luacheck"))
local luacheck = pipe:read("a")
pipe:close()
if luacheck == "" then
  io.write("luacheck: not installed, skipped\n")
  skipped = skipped + 1
else
  local files = {}
  for _, path in ipairs(find("lua recipes tests rockspec")) do
    if path:match("%.lua$") or path:match("%.rockspec$") then files[#files + 1] = path end
  end
  io.stdout:flush()
  if os.execute("luacheck --quiet --no-color --codes --formatter plain " .. table.concat(files, " ")) then
    passed = passed + 1
  else
    failed = failed + 1
  end
end

io.write(("%d passed, %d failed, %d skipped\n"):format(passed, failed, skipped))
os.exit(failed == 0 and 0 or 1)
