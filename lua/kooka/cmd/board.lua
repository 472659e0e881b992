--- board: kooka board: a sealed hold-out, scored only here, every look counted.
local core = require "kooka.core"
local arguments = require "kooka.arguments"
local board = require "kooka.board"
local csv = require "kooka.data.csv"
local tables = require "kooka.table"
local sys = core.sys

local command = { about = "a sealed hold-out of one's own: scores, counted looks, paired verdicts" }

command.usage = [[
usage: kooka board new NAME --labels FILE.csv [--metric M] [--positive CLASS] [--label COL] [--id COL] [--text COL] [--ladder]
                                        seals the labels: columns id, one of labels, and (best) text
       kooka board score NAME PREDICTIONS.csv [--name ENTRY]
                                        one look: columns id and the label's name, label, prediction, prob or prob_...
       kooka board show NAME            entries with intervals, compared row by row with the best; looks, and what they still mean
       kooka board [list]               boards in ./boards (or $KOOKA_BOARDS)
       kooka board verify NAME FILE.csv are these the labels that were sealed?
       kooka board holds FILE.csv [--text COL]
                                        which texts of a training file belong to a sealed hold-out?
       kooka board rm NAME [--yes]      removes one; asks before
  --root DIR  where the boards are    --json  the answer as JSON
  --metric    two classes: f1 (default), accuracy, precision, recall, f1_macro, mcc, balanced_accuracy, log_loss, brier, roc_auc,
              average_precision; more: f1_macro (default), accuracy; numbers: rmse, mae
  --ladder    tell a score only when it improves on the best by more than a step, the standard error of the paired
              difference (Blum and Hardt 2015); for boards that many looks, or a search, will ask
What sealing is: labels are kept as salted hashes of (id, label), so no grep, no glob and no recipe reads them by accident. It is no
lock; keep the original file elsewhere. Write the commitment down: it proves later that labels were not changed.
When looks are used up: the best of k equally good entries stands e_k sd too high by chance (e_k: the expected largest of k normal
draws; sd: from the paired differences). When that reaches a standard error of the best score, or ten entries differ by no more
than chance would make them, the board says that another look no longer means anything. A new hold-out starts afresh.
exit status: 0 done, 1 failed or found, 2 wrong usage
]]

local VERBS = {
  list = { 0, 0, wants = "no word" },
  new = { 1, 1, wants = "a name", options = { labels = true, metric = true, positive = true, label = true, id = true, text = true,
    ladder = false } },
  score = { 2, 2, wants = "a board and a file of predictions", options = { name = true } },
  show = { 1, 1, wants = "a board" }, verify = { 2, 2, wants = "a board and a file of labels" },
  holds = { 1, 1, wants = "a file of texts", options = { text = true } },
  rm = { 1, 1, wants = "a board", options = { yes = false } },
}
local COMMON = { root = true, json = false, help = false }

local function refuse(message)
  io.stderr:write("kooka board: ", message, "\n")
  return 2
end

local function failed(message)
  io.stderr:write("kooka board: ", message, "\n")
  return 1
end

local function print_json(value)
  io.write(core.json.encode(value, { pretty = true }), "\n")
  return 0
end

local function date(t)
  return os.date("!%Y-%m-%d %H:%M", math.floor(t))
end

local function new(words, o)
  if not o.labels then return refuse("new wants --labels FILE.csv") end
  local info, path, code = board.new { name = words[1], labels = o.labels, metric = o.metric, positive = o.positive, label = o.label,
    id = o.id, text = o.text, ladder = o.ladder, root = o.root }
  if not info then
    if code == "argument" then return refuse(path) end
    return failed(path)
  end
  if o.json then
    info.salt, info.path = nil, path
    return print_json(info)
  end
  local what = info.task == "regression" and "numbers" or table.concat(info.classes, ", ")
  print(("%s: %d rows of %s sealed (%s), scored by %s%s"):format(path, info.n, info.label, what, info.metric,
    info.task == "binary" and (" of %s"):format(info.classes[2]) or ""))
  print(("commitment %s"):format(info.commitment))
  if not info.texts then print "without a column of texts: training on them cannot be noticed (--text COL)" end
  print(("now put %s where no training reads it"):format(o.labels))
  return 0
end

local function opened(name, o)
  local b, message = board.open(name, o.root)
  if not b then return nil, failed(message) end
  return b
end

local function score(words, o)
  local b <close>, status = opened(words[1], o)
  if not b then return status end
  local r, message = b:score(words[2], { name = o.name })
  if not r then return failed(message) end
  if o.json then return print_json(r) end
  print(r.text)
  return 0
end

local function show(words, o)
  local b <close>, status = opened(words[1], o)
  if not b then return status end
  local r = b:show()
  if o.json then
    r.entries = core.json.array(r.entries)
    return print_json(r)
  end
  local info = r.info
  print(("%s: %d rows of %s, %s%s%s; sealed %s, commitment %s"):format(info.name, info.n, info.label, info.metric,
    info.task == "binary" and " of " .. info.classes[2] or "", info.ladder and ", a Ladder" or "", date(info.sealed_at),
    info.commitment:sub(1, 16)))
  local rows = {}
  for i, e in ipairs(r.entries) do
    local against = e.number == r.best and "the best" or e.against and e.against.value and ("%+.4f%s %s"):format(e.against.value,
      e.against.low and (" [%.4f, %.4f]"):format(e.against.low, e.against.high) or "", e.against.verdict) or "no step better"
    rows[i] = { e.number, e.entry, date(e.at), e.value and tables.metric({ value = e.value, low = e.low, high = e.high }, 4) or "not told",
      against, e.looks, e.run or "" }
  end
  if #rows > 0 then
    print(tables.text { columns = { "look", "entry", "when", { title = info.metric, align = "right" }, { title = "against the best",
      align = "left" }, "looks", "run" }, rows = rows })
  end
  print(("%d look%s%s"):format(r.looks, r.looks == 1 and "" or "s", r.unfinished > 0 and
    (", %d of them counted and never scored"):format(r.unfinished) or ""))
  if #rows > 0 then print(r.judgement.text) end
  return 0
end

local function list(_, o)
  local rows, all = {}, {}
  for _, name in ipairs(board.names(o.root)) do
    local b <close>, message = board.open(name, o.root)
    if b then
      local r = b:show()
      local best = r.entries[1]
      all[#all + 1] = { name = name, rows = r.info.n, metric = r.info.metric, looks = r.looks, spent = r.judgement.spent, best = best }
      rows[#rows + 1] = { name, r.info.n, r.info.metric, r.looks, best and best.entry or "", best and best.value or "",
        #r.entries > 0 and r.judgement.spent and "used up" or "" }
    else
      all[#all + 1] = { name = name, message = message }
      rows[#rows + 1] = { name, "", "", "", message }
    end
  end
  if o.json then return print_json(core.json.array(all)) end
  if #rows == 0 then
    print(("no boards in %s"):format(o.root or board.root()))
    return 0
  end
  print(tables.text { columns = { "board", "rows", "metric", "looks", "best", "score", "" }, rows = rows })
  return 0
end

local function verify(words, o)
  local b <close>, status = opened(words[1], o)
  if not b then return status end
  local ok, message = b:verify(words[2])
  if o.json then
    print_json { same = ok == true, message = message, commitment = b.info.commitment }
    return ok and 0 or 1
  end
  if not ok then return failed(message) end
  print(("%s: the labels that were sealed; commitment %s"):format(words[2], b.info.commitment))
  return 0
end

local function holds(words, o)
  local column = o.text or "text"
  local t, message = csv.read(words[1], { columns = { column } })
  if not t then return failed(message) end
  local found
  found, message = board.holds(t.data[column], o.root)
  if not found then return failed(message) end
  local status = #found > 0 and 1 or 0
  if o.json then
    print_json(core.json.array(found))
    return status
  end
  if #found == 0 then print(("none of %d texts belongs to a sealed hold-out in %s"):format(t.n, o.root or board.root())) end
  for i = 1, math.min(20, #found) do print(("row %d is %s of %s"):format(found[i].row, found[i].id, found[i].board)) end
  if #found > 20 then print(("... %d more"):format(#found - 20)) end
  return status
end

local function remove(words, o)
  local b <close>, status = opened(words[1], o)
  if not b then return status end
  if not o.yes then
    io.stderr:write(("remove %s and its looks? [y/N] "):format(b.path))
    local answer = (io.read("l") or ""):lower()
    if answer ~= "y" and answer ~= "yes" then
      io.stderr:write("\n")
      return failed("nothing was removed")
    end
  end
  local path = b.path
  b:close()
  local ok, message = sys.remove(path)
  if not ok then return failed(message) end
  print("removed " .. path)
  return 0
end

local RUN = { list = list, new = new, score = score, show = show, verify = verify, holds = holds, rm = remove }

--- board(args) -> exit status
function command.run(args)
  local verb, words, o = arguments.verb(args, { verbs = VERBS, common = COMMON, default = "list", usage = command.usage })
  if not verb then return refuse(words) end
  if o.help then
    io.write(command.usage)
    return 0
  end
  return RUN[verb](words, o)
end

return command
