--- run: kooka run NAME|PATH: runs a recipe in a folder of its own.
local core = require "kooka.core"
local progress = require "kooka.progress"
local recipe = require "kooka.recipe"
local runs = require "kooka.runs"
local sys = core.sys

local run = {about = "run a recipe: collect, train, evaluate, report"}

run.usage = [[
usage: kooka run NAME|PATH [--option value ...] [--quick|--smoke|--paper] [--seed N] [--threads N] [--precision P]
                 [--out DIR] [--json] [--help]
       kooka run --resume DIR

  --quick        the recipe's smaller settings     --smoke    its smallest, for tests
  --paper        those of the paper that the recipe follows, where it names one (days on two cores)
  --seed N       default 1; same seed, same result whatever the threads
  --threads N    default: as many as the process may use
  --precision P  float32, bf16, bf16x3 or auto (default): how matrix products round their operands; auto takes
                 bfloat16 where the processor is faster with it; the last line says which it was
  --out DIR      folder of this run; default runs/<date>-<recipe>-...
  --resume DIR   goes on with an interrupted run, with the options of its first start
  --json         only the result, as JSON, on stdout
exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted (--resume goes on)
]]

local KNOWN = {quick = false, smoke = false, paper = false, json = false, help = false, seed = true, threads = true,
  out = true, precision = true, resume = true}

local PRECISIONS = {float32 = true, bf16 = true, bf16x3 = true, auto = true}

local function refuse(message)
  io.stderr:write("kooka run: ", message, "\n")
  return 2
end

local function whole_number(text, low, high)
  local n = math.tointeger(tonumber(text))
  return n and n >= low and n <= high and n or nil
end

-- Opens a new run or the one to go on with; run object, or nil and an exit status.
local function open_run(r, source, values, options, args)
  local seed = options.seed and whole_number(options.seed, 0, 0x7fffffffffffffff) or not options.seed and 1
  if not seed then
    return nil, refuse(("option --seed is %s, expected an integer of 0 or more"):format(options.seed))
  end
  local mode
  for _, name in ipairs(recipe.sets) do
    if options[name] and mode then return nil, refuse(("--%s and --%s exclude each other"):format(mode, name)) end
    mode = options[name] and name or mode
  end
  if mode == "paper" and not r.paper then return nil, refuse(("recipe %s follows no paper: no --paper"):format(r.name)) end
  local p, changed = recipe.settle(r, values, mode)
  local used, why = core.precision(options.precision or "auto")
  local opened, message = runs.open {recipe = r.name, params = p, changed = changed, seed = seed, argv = args,
    source = source, precision = used,
    out = options.out, quiet = options.json}
  if not opened then
    io.stderr:write("kooka run: ", message, "\n")
    return nil, 1
  end
  if options.precision then
    opened:say("precision %s%s", used, why and (" (%s)"):format(why:gsub("^precision: ", "")) or "")
  end
  return opened
end

-- A run that goes on needs the precision it had; an exit status when that is not to be had here.
local function same_precision(opened)
  local had = opened.config.precision or "float32"
  local used, why = core.precision(had)
  if used == had then return end
  opened:finish("interrupted", why)
  refuse(("%s was computed in %s: %s"):format(opened.dir, had, why))
  return 1
end

local function resume_run(r, values, options, args)
  for _, name in ipairs {"out", "seed", "precision", table.unpack(recipe.sets)} do
    if options[name] then
      return nil, refuse(("--resume keeps the options of the first start; leave --%s away"):format(name))
    end
  end
  local opened, message = runs.resume(options.resume, {argv = args, quiet = options.json})
  if not opened then
    io.stderr:write("kooka run: ", message, "\n")
    return nil, 1
  end
  for key, value in pairs(values) do
    if opened.params[key] ~= value then
      opened:finish("interrupted")
      return nil, refuse(("--resume keeps the options of the first start: %s was %s"):format(key,
        tostring(opened.params[key])))
    end
  end
  local status = same_precision(opened)
  if status then return nil, status end
  opened.params = recipe.strict(r, opened.params)
  return opened
end

-- What the world refused (a file, a network, an option that does not fit the data), or nil for a fault of a program:
-- raised by kooka.try, or on purpose without a place, error(message, 0). The frames are on_error's: 1 this function,
-- 2 on_error, 3 error, 4 its caller.
local function refusal(err)
  local raiser = debug.getinfo(4, "f")
  if raiser and raiser.func == require("kooka").try then return tostring((select(2, debug.getlocal(4, 2)))) end
  if type(err) == "string" and not err:find("^[^\n]-:%d+: ") then return err end
end

local function on_error(err)
  if sys.stopped() and tostring(err):find("interrupted", 1, true) then return {interrupted = true} end
  if type(err) == "table" and err.interrupted then return err end
  local message = refusal(err)
  if message then return {message = message, trace = message} end
  local trace = debug.traceback(tostring(err), 2)
  return {message = tostring(err), trace = (trace:gsub("\n%s*%[C%]: in function 'xpcall'.*", ""))}
end

-- Runs the recipe and settles how it ended; answers the exit status.
local function perform(r, opened)
  if core.seed then core.seed(opened.seed) end
  local ok, err = xpcall(r.run, on_error, opened.params, opened)
  if ok and sys.stopped() then ok, err = false, {interrupted = true} end
  local status = ok and "done" or err.interrupted and "interrupted" or "failed"
  if status == "interrupted" then sys.stop_clear() end        -- what is written now must not be stopped by it
  local wrote, why = opened:finish(status, not ok and err.message or nil)
  if status == "interrupted" then
    io.stderr:write(("kooka run: interrupted; go on with: kooka run --resume %s\n"):format(opened.dir))
    return 130
  elseif status == "failed" then
    io.stderr:write("kooka run: ", err.trace, "\n",
      ("the run is kept; go on with: kooka run --resume %s\n"):format(opened.dir))
    if opened.differs then
      io.stderr:write(("%s changed since it began, and its finished stages are of the code before: kooka runs checkout %s\n")
        :format(opened.differs, opened.dir))
    end
    return 1
  elseif not wrote then
    io.stderr:write("kooka run: ", why, "\n")
    return 1
  end
  return 0
end

-- Which recipe: the word in front, or the one that the folder to resume names.
local function chosen(args)
  local name = args[1] and not args[1]:find("^%-") and args[1]
  if name then return name, {table.unpack(args, 2)} end
  for i, word in ipairs(args) do
    local dir = word:match("^%-%-resume=(.+)") or word == "--resume" and args[i + 1]
    if dir then
      local config, message = runs.read(dir)
      if not config then return nil, message end
      local source = config.source or ""
      return source:find("%.lua$") and source or config.recipe, args
    end
  end
  return nil, nil
end

--- run(args) -> exit status
function run.run(args)
  if args[1] == "--help" or args[1] == "-h" then
    io.write(run.usage, "recipes: ", table.concat(recipe.names(), ", "), "\n")
    return 0
  end
  local name, rest = chosen(args)
  if not name then
    if rest then
      io.stderr:write("kooka run: ", rest, "\n")
      return 1
    end
    return refuse("which recipe?\n" .. run.usage .. "recipes: " .. table.concat(recipe.names(), ", "))
  end
  local r, source, code = recipe.find(name)
  if not r then
    refuse(source)
    return code == "argument" and 2 or code == "io" and 2 or 1
  end
  local values, options = recipe.parse(r.params, rest, KNOWN)
  if not values then return refuse(options) end
  if options.help then
    io.write(r.name, ": ", r.about, "\n\n", run.usage, "\noptions of this recipe:\n", recipe.describe(r.params), "\n")
    return 0
  end
  local threads = options.threads and whole_number(options.threads, 1, 4096)
  if options.threads and not threads then
    return refuse(("option --threads is %s, expected an integer from 1 to 4096"):format(options.threads))
  end
  if threads then sys.threads(threads) end
  if options.precision and not PRECISIONS[options.precision] then
    return refuse(("option --precision is %s, expected float32, bf16, bf16x3 or auto"):format(options.precision))
  end
  progress.quiet = progress.quiet or options.json == true
  local opened, status
  if options.resume then opened, status = resume_run(r, values, options, args)
  else opened, status = open_run(r, source, values, options, args) end
  if not opened then return status end
  status = perform(r, opened)
  if options.json then
    local json = require("kooka").json
    io.write(json.encode({id = opened.id, dir = opened.dir, status = opened.config.status,
      seconds = opened.config.seconds,
      metrics = opened.metrics}, {pretty = true}), "\n")
  elseif status == 0 then
    progress.print(("run kept in %s (%s, %s)"):format(opened.dir, progress.duration(opened.config.seconds),
      opened.config.precision))
  end
  return status
end

return run
