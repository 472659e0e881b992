--- users: kooka users: the heads of all persons of a model, kept in one file.
local arguments = require "kooka.arguments"
local core = require "kooka.core"
local csv = require "kooka.data.csv"
local tables = require "kooka.table"
local fleet = require "kooka.users.fleet"
local plan = require "kooka.users.plan"
local vectors = require "kooka.users.features"

local command = { about = "one head a person on a model: expect, add, predict, forecast, next, features, differ, remove, list" }

command.usage = [[
usage: kooka users expect FILE.csv     before anything is trained: what each person's rows (columns user, label: 1 or 0) can show
       kooka users add FLEET --model FOLDER --data FILE.csv [--method map] [--min 4] [--all]
                                        fits a head for each person of the file (columns user, text, label: 1 or 0) and puts it into
                                        FLEET, made if it is not there; others' heads stay as they are, bit for bit
       kooka users predict FLEET --model FOLDER --data FILE.csv --out FILE.csv
                                        columns user, text; out: user, prob, general
       kooka users forecast FILE.csv --model FOLDER [--more 12] [--user U]
                                        what 12 more labels of the smaller class would bring, by the learning curve of these rows
                                        (columns user, text, label), which must not have helped to train the model
       kooka users next FLEET USER --model FOLDER --data FILE.csv [--count 10]
                                        which texts of the file the person should label next: those that are uncertain for the head
                                        and far from what is known. Texts in rows of that person (column user, where there is one)
                                        are labelled already
       kooka users remove FLEET USER [--data FILE.csv]
                                        takes a person's head out, and his rows out of a table with a column user
       kooka users features FLEET --out FILE.csv [--model FOLDER] [--data FILE.csv] [--texts FILE.csv]
                                        a vector for each person, for search and clustering: bias, f1.. what the head adds to the
                                        general one; with --data (user, text) c1.. the mean of the model's states of his texts; with
                                        --texts (text) t1.. his probability of each of these texts
       kooka users differ USER USER --model FOLDER --data FILE.csv [--permutations 999]
                                        do two persons' texts (columns user, text) differ in the model's states? Energy distance, and
                                        how often a random exchange of texts between them gives as much
       kooka users list FLEET           who is in it
  --class    the model's class that is liked: a number or a name (2)
  --method   of a new fleet: map (default), ridge, intercept, firth, flic
  --min      rows a person must have (4); the others are named, not dropped silently
  --all      keep every head; without it a head is used only where it is shown to be better, out of fold, than the general one
  --seed     of forecast and differ (1)
  --json     the answer as JSON
exit status: 0 done, 1 failed, 2 wrong usage
]]

local VERBS = {
  add = { 1, 1, wants = "a file of heads", options = { model = true, class = true, data = true, method = true, min = true, all = false } },
  predict = { 1, 1, wants = "a file of heads", options = { model = true, class = true, data = true, out = true } },
  remove = { 2, 2, wants = "a file of heads and a person", options = { data = true } },
  expect = { 1, 1, wants = "a table of persons and labels" },
  forecast = { 1, 1, wants = "a table of persons, texts and labels", options = { model = true, class = true, method = true, more = true,
    user = true, seed = true } },
  next = { 2, 2, wants = "a file of heads and a person", options = { model = true, class = true, data = true, count = true } },
  features = { 1, 1, wants = "a file of heads", options = { model = true, class = true, data = true, texts = true, out = true } },
  differ = { 2, 2, wants = "two persons", options = { model = true, data = true, permutations = true, seed = true } },
  list = { 1, 1, wants = "a file of heads" },
}
local COMMON = { json = false, help = false }

local function refuse(message)
  io.stderr:write("kooka users: ", message, "\n")
  return 2
end

local function failed(message)
  io.stderr:write("kooka users: ", tostring(message), "\n")
  return 1
end

local function answer(o, value, text)
  print(o.json and core.json.encode(value, { pretty = true }) or text)
  return 0
end

local function logit(p)
  p = math.min(math.max(p, 1e-6), 1 - 1e-6)
  return math.log(p / (1 - p))
end

-- Each different text once, and which of them stands in each row.
local function distinct(texts)
  local at, once, rows = {}, {}, {}
  for i, text in ipairs(texts) do
    if not at[text] then
      once[#once + 1] = text
      at[text] = #once
    end
    rows[i] = at[text]
  end
  return once, rows
end

local function read_states(model, texts)
  local once, rows = distinct(texts)
  return model:states(once):index_select(core.tensor(rows, "int32"))
end

-- States of texts and the logits of a class against the rest; each different text is read once.
local function read_texts(model, texts, class)
  local once, rows = distinct(texts)
  local general, offset = {}, {}
  for i, p in ipairs(model:predict(once, { bar = false })) do general[i] = logit(p[class]) end
  for i, row in ipairs(rows) do offset[i] = general[row] end
  return model:states(once):index_select(core.tensor(rows, "int32")), offset
end

local YES = { ["1"] = 2, ["true"] = 2, yes = 2, like = 2, liked = 2, ["0"] = 1, ["false"] = 1, no = 1, dislike = 1, disliked = 1 }

local function labels_of(t, path)
  local labels = {}
  for i = 1, t.n do
    labels[i] = YES[t.label[i]:lower()]
    if not labels[i] then return nil, ("%s: row %d, column label: '%s', expected 1 or 0"):format(path, i, t.label[i]) end
  end
  return labels
end

local function load_model(o)
  local m, message = require("kooka.model").load(o.model)
  if not m then return nil, message end
  if m:kind() ~= "classifier" then return nil, o.model .. ": a " .. m:kind() .. ", expected a classifier" end
  local names, class = m:labels(), tonumber(o.class or "2")
  for k, name in ipairs(names) do
    if name == o.class then class = k end
  end
  if not names[class] then return nil, ("--class is %s, the model has %s"):format(o.class, table.concat(names, ", ")) end
  o.class = class
  return m
end

-- Rows of persons with enough of them, none twice; the others by name; how many were there twice, and how many of these with
-- another label.
local function enough(t, min)
  local count, rows, few, seen, twice, torn = {}, {}, {}, {}, 0, 0
  for _, u in ipairs(t.user) do count[u] = (count[u] or 0) + 1 end
  for i, u in ipairs(t.user) do
    local key = u .. "\0" .. t.text[i]
    if seen[key] then
      twice = twice + 1
      torn = torn + (seen[key] ~= t.label[i] and 1 or 0)
    elseif count[u] >= min then rows[#rows + 1] = i end
    seen[key] = seen[key] or t.label[i]
  end
  for u, n in pairs(count) do
    if n < min then few[#few + 1] = ("%s (%d)"):format(u, n) end
  end
  table.sort(few)
  return rows, few, twice, torn
end

local function select(list, rows)
  local out = {}
  for i, row in ipairs(rows) do out[i] = list[row] end
  return out
end

local function by_person(users)
  local rows, order = {}, {}
  for i, u in ipairs(users) do
    if not rows[u] then
      rows[u] = {}
      order[#order + 1] = u
    end
    table.insert(rows[u], i)
  end
  return order, rows
end

local function new_fleet(q, o)
  local users = require "kooka.users"
  local r = users.fit { features = o.method ~= "intercept" and q.features or nil, labels = q.labels, users = q.users, offset = q.offset,
    method = o.method, folds = "minority" }
  return fleet.new(r, { model = o.model, report = not o.all and users.report(r) or nil })
end

local function add(words, o)
  if not o.model or not o.data then return refuse("add wants --model FOLDER and --data FILE.csv") end
  local min = math.tointeger(tonumber(o.min or "4"))
  if not min or min < 2 then return refuse("--min wants a number from 2 on, got " .. tostring(o.min)) end
  o.method = o.method or "map"
  if not ({ map = true, ridge = true, intercept = true, firth = true, flic = true })[o.method] then
    return refuse("--method is " .. o.method .. ", expected map, ridge, intercept, firth or flic")
  end
  local t, message = csv.read(o.data, { columns = { "user", "text", "label" } })
  if not t then return failed(message) end
  local all
  all, message = labels_of(t, o.data)
  if not all then return failed(message) end
  local rows, few, twice, torn = enough(t, min)
  if #rows == 0 then return failed(("%s: nobody has %d rows or more"):format(o.data, min)) end
  local m
  m, message = load_model(o)
  if not m then return failed(message) end
  local q = { labels = select(all, rows), users = select(t.user, rows) }
  q.features, q.offset = read_texts(m, select(t.text, rows), o.class)
  local order, of = by_person(q.users)
  local fl
  if core.sys.stat(words[1]) then
    fl, message = fleet.load(words[1])
    if not fl then return failed(message) end
    if fl.fit.width > 0 and fl.fit.width ~= q.features:shape(2) then
      return failed(("%s: heads of %d features, the model gives %d"):format(words[1], fl.fit.width, q.features:shape(2)))
    end
    if not ({ map = true, ridge = true, intercept = true, firth = true, flic = true })[fl.fit.method] then
      return failed(("%s: heads by %s are fitted together: make the file anew"):format(words[1], fl.fit.method))
    end
    for _, id in ipairs(order) do
      fl:add(id, { features = q.features:index_select(core.tensor(of[id], "int32")), labels = select(q.labels, of[id]),
        offset = select(q.offset, of[id]), use = o.all and "head" or "better" })
    end
  else
    fl = new_fleet(q, o)
  end
  local ok
  ok, message = fl:save(words[1])
  if not ok then return failed(message) end
  local heads = 0
  for _, p in ipairs(fl.people) do heads = heads + (p.use == "head" and 1 or 0) end
  local text = ("%s: %d persons added or refreshed from %d rows; now %d persons, %d with a head of their own"):format(words[1], #order, #rows,
    fl:size(), heads)
  if twice > 0 then
    text = text .. ("\n%d rows are there twice for a person and were read once%s"):format(twice,
      torn > 0 and (" (%d of them have another label there: the first counts)"):format(torn) or "")
  end
  if #few > 0 then text = text .. ("\nfewer than %d rows: %s"):format(min, table.concat(few, ", ")) end
  return answer(o, { persons = fl:size(), changed = order, heads = heads, too_few = core.json.array(few), twice = twice, torn = torn },
    text)
end

local function predict(words, o)
  if not o.model or not o.data or not o.out then return refuse("predict wants --model FOLDER, --data FILE.csv and --out FILE.csv") end
  local fl, message = fleet.load(words[1])
  if not fl then return failed(message) end
  local t
  t, message = csv.read(o.data, { columns = { "user", "text" } })
  if not t then return failed(message) end
  local m
  m, message = load_model(o)
  if not m then return failed(message) end
  local x, offset = read_texts(m, t.text, o.class)
  local prob = fl:predict { users = t.user, features = x, offset = offset }
  local rows, strangers = {}, 0
  for i = 1, t.n do
    rows[i] = { t.user[i], ("%.6f"):format(prob[i]), ("%.6f"):format(1 / (1 + math.exp(-offset[i]))) }
    if not fl:person(t.user[i]) then strangers = strangers + 1 end
  end
  local ok
  ok, message = csv.write(o.out, { "user", "prob", "general" }, rows)
  if not ok then return failed(message) end
  return answer(o, { rows = t.n, without_head = strangers }, ("%s: %d rows, %d of persons without a head"):format(o.out, t.n, strangers))
end

-- The table without a person's rows, written aside and renamed; how many there were.
local function without(path, user)
  local t, message = csv.read(path)
  if not t then return nil, message end
  local columns = t.columns
  if not t.data.user then return nil, path .. ": there is no column user" end
  local rows, gone = {}, 0
  for i = 1, t.n do
    if t.data.user[i] == user then gone = gone + 1
    else
      local row = {}
      for k, name in ipairs(columns) do row[k] = t.data[name][i] end
      rows[#rows + 1] = row
    end
  end
  if gone == 0 then return 0 end
  local ok
  ok, message = csv.write(path, columns, rows)
  if not ok then return nil, message end
  return gone
end

local function remove(words, o)
  local fl, message = fleet.load(words[1])
  if not fl then return failed(message) end
  local known, rows, gone = fl:person(words[2]) ~= nil, 0, nil
  if o.data then
    rows, message = without(o.data, words[2])
    if not rows then return failed(message) end
  end
  if known and fl:size() == 1 then
    local ok
    ok, message = core.sys.remove(words[1])
    if not ok then return failed(message) end
  elseif known then
    gone = fl:remove(words[2])
    local ok
    ok, message = fl:save(words[1])
    if not ok then return failed(message) end
  end
  if not known and rows == 0 then return failed(("%s: nobody is called %s there"):format(words[1], words[2])) end
  return answer(o, { removed = gone and gone.id or words[2], head = known, rows = rows },
    ("%s: the head of %s is %s%s"):format(words[1], words[2], known and "removed" or "not there",
      o.data and ("; %d rows taken out of %s"):format(rows, o.data) or ""))
end

-- ---- before, and what to do next

local function expect(words, o)
  local t, message = csv.read(words[1], { columns = { "user", "label" } })
  if not t then return failed(message) end
  local labels
  labels, message = labels_of(t, words[1])
  if not labels then return failed(message) end
  local e = plan.expect { labels = labels, users = t.user }
  if o.json then return answer(o, { persons = core.json.array(e.rows), counts = e.counts }) end
  local columns, rows = { "person", "rows", "few", "which", "no few in 30 %", "recall, half found", "folds", "verdict" }, {}
  for i, r in ipairs(e.rows) do
    rows[i] = { r.user, r.n, r.minority_n, r.minority_class == 2 and "likes" or "the others", ("%.3f"):format(r.p_none),
      r.recall_width and ("%.2f wide"):format(r.recall_width) or "-", r.leave_one_out and "leave one out" or r.folds or "-",
      r.message or "possible" }
  end
  print(tables.text { columns = columns, rows = rows })
  print(e.text)
  return 0
end

-- A whole number of an option, or nil, message.
local function whole(o, name, default, least)
  local n = arguments.whole(o[name] or tostring(default), least, 1 << 31)
  if n then return n end
  return nil, ("--%s wants a whole number from %d on, got %s"):format(name, least, o[name])
end

local function forecast(words, o)
  if not o.model then return refuse("forecast wants --model FOLDER") end
  local more, message = whole(o, "more", 12, 1)
  if not more then return refuse(message) end
  local seed
  seed, message = whole(o, "seed", 1, 0)
  if not seed then return refuse(message) end
  local t
  t, message = csv.read(words[1], { columns = { "user", "text", "label" } })
  if not t then return failed(message) end
  local labels
  labels, message = labels_of(t, words[1])
  if not labels then return failed(message) end
  local m
  m, message = load_model(o)
  if not m then return failed(message) end
  local x, offset = read_texts(m, t.text, o.class)
  local f = plan.forecast { features = x, offset = offset, labels = labels, users = t.user, more = more, user = o.user, method = o.method,
    seed = seed }
  return answer(o, { now = f.now, later = f.later, slope = f.slope, more = more, persons = f.persons, points = core.json.array(f.points) },
    f.text)
end

local function next_ones(words, o)
  if not o.model or not o.data then return refuse("next wants --model FOLDER and --data FILE.csv") end
  local count, message = whole(o, "count", 10, 1)
  if not count then return refuse(message) end
  local fl
  fl, message = fleet.load(words[1])
  if not fl then return failed(message) end
  local t
  t, message = csv.read(o.data)
  if not t then return failed(message) end
  local texts, users = t.data.text, t.data.user
  if not texts then return failed(o.data .. ": there is no column text") end
  local known, seen, pool = {}, {}, {}
  for i = 1, t.n do
    if users and users[i] == words[2] and not seen[texts[i]] then known[#known + 1], seen[texts[i]] = texts[i], true end
  end
  for i = 1, t.n do
    if not seen[texts[i]] then pool[#pool + 1], seen[texts[i]] = texts[i], true end
  end
  if #pool == 0 then return failed(("%s: %s has labelled all %d texts"):format(o.data, words[2], #known)) end
  local m
  m, message = load_model(o)
  if not m then return failed(message) end
  local x, offset = read_texts(m, pool, o.class)
  local who = {}
  for i = 1, #pool do who[i] = words[2] end
  local chosen = plan.next { prob = fl:predict { users = who, features = x, offset = offset }, features = x, count = count,
    labelled = #known > 0 and m:states(known) or nil }
  local rows = {}
  for i, c in ipairs(chosen) do
    c.text = pool[c.row]
    rows[i] = { i, ("%.3f"):format(c.prob), c.distance and ("%.3f"):format(c.distance) or "-", c.text }
  end
  local note = ("%d texts, %d of them labelled by %s%s"):format(#pool + #known, #known, words[2],
    fl:person(words[2]) and "" or ", who has no head here: the general one was asked")
  return answer(o, { next = core.json.array(chosen), candidates = #pool, labelled = #known, head = fl:person(words[2]) ~= nil },
    tables.text { columns = { "", "P", "distance", "text" }, rows = rows } .. "\n" .. note)
end

-- ---- vectors of persons

local function numbered(columns, letter, n)
  for j = 1, n do columns[#columns + 1] = letter .. j end
end

-- Appends the numbers of a row, or as many empty cells.
local function append(row, values, n)
  local at = #row
  for j = 1, n do row[at + j] = values and values[j] or "" end
end

-- {[person] = list of numbers}, how many numbers: the mean of the states of the texts of each person of the file | nil, message.
local function centroids(m, path)
  local t, message = csv.read(path, { columns = { "user", "text" } })
  if not t then return nil, message end
  local x = read_states(m, t.text)
  local v = vectors.vectors { features = x, users = t.user }
  local out, rows = {}, v.centroid:tolist()
  for k, name in ipairs(v.names) do out[name] = rows[k] end
  return out, x:shape(2)
end

-- {[person] = list of probabilities} of the texts of a file, how many texts | nil, message.
local function tastes(fl, m, path, class)
  local t, message = csv.read(path, { columns = { "text" } })
  if not t then return nil, message end
  local x, offset = read_texts(m, t.text, class)
  local out = {}
  for _, p in ipairs(fl.people) do
    local who = {}
    for i = 1, t.n do who[i] = p.id end
    out[p.id] = fl:predict { users = who, features = x, offset = offset }
  end
  return out, t.n
end

local function features(words, o)
  if not o.out then return refuse("features wants --out FILE.csv") end
  if (o.data or o.texts) and not o.model then return refuse("features wants --model FOLDER beside --data and --texts") end
  local fl, message = fleet.load(words[1])
  if not fl then return failed(message) end
  local m, centre, wide, taste, many
  if o.model then
    m, message = load_model(o)
    if not m then return failed(message) end
  end
  if o.data then
    centre, wide = centroids(m, o.data)
    if not centre then return failed(wide) end
  end
  if o.texts then
    taste, many = tastes(fl, m, o.texts, o.class)
    if not taste then return failed(many) end
  end
  local columns, rows, textless = { "user", "bias" }, {}, 0
  numbered(columns, "f", fl.fit.width)
  numbered(columns, "c", wide or 0)
  numbered(columns, "t", many or 0)
  local w, b = fl.w:tolist(), fl.b:tolist()
  for k, p in ipairs(fl.people) do
    local row = { p.id, b[k] }
    append(row, w[k], fl.fit.width)
    append(row, centre and centre[p.id], wide or 0)
    append(row, taste and taste[p.id], many or 0)
    textless = textless + (centre and not centre[p.id] and 1 or 0)
    rows[k] = row
  end
  local ok
  ok, message = csv.write(o.out, columns, rows)
  if not ok then return failed(message) end
  local text = ("%s: %d persons, %d numbers each"):format(o.out, #rows, #columns - 1)
  if textless > 0 then text = text .. ("; %d have no text in %s"):format(textless, o.data) end
  return answer(o, { persons = #rows, width = #columns - 1, without_text = textless }, text)
end

local function differ(words, o)
  if not o.model or not o.data then return refuse("differ wants --model FOLDER and --data FILE.csv") end
  local turns, message = whole(o, "permutations", 999, 19)
  if not turns then return refuse(message) end
  local seed
  seed, message = whole(o, "seed", 1, 0)
  if not seed then return refuse(message) end
  local t
  t, message = csv.read(o.data, { columns = { "user", "text" } })
  if not t then return failed(message) end
  local _, of = by_person(t.user)
  local x = {}
  for k, name in ipairs(words) do
    if not of[name] or #of[name] < 2 then
      return failed(("%s: %s has %d texts, 2 are the least"):format(o.data, name, of[name] and #of[name] or 0))
    end
    x[k] = select(t.text, of[name])
  end
  local m
  m, message = load_model(o)
  if not m then return failed(message) end
  local r = vectors.differ { a = read_states(m, x[1]), b = read_states(m, x[2]), permutations = turns, seed = seed }
  return answer(o, r, ("%s (%d texts) and %s (%d): energy distance %.4f, p = %.4f (%d permutations): %s"):format(words[1], r.n_a, words[2],
    r.n_b, r.value, r.p, turns, r.p < .05 and "their texts differ" or "no difference is shown"))
end

local function list(words, o)
  local fl, message = fleet.load(words[1])
  if not fl then return failed(message) end
  if o.json then return answer(o, { fit = fl.fit, model = fl.model, users = core.json.array(fl.people) }) end
  local rows = {}
  for k, p in ipairs(fl.people) do
    rows[k] = { p.id, p.n, p.minority_n, p.minority_class == 2 and "likes" or "the others", p.use, os.date("!%Y-%m-%d", p.at) }
  end
  print(("%s: %d persons, method %s%s, %d features%s"):format(words[1], #rows, fl.fit.method,
    fl.fit.lambda and (", lambda %g"):format(fl.fit.lambda) or "", fl.fit.width, fl.model and ", model " .. fl.model or ""))
  print(tables.text { columns = { "person", "rows", "few", "which", "used", "fitted" }, rows = rows })
  return 0
end

local ACTIONS = { expect = expect, add = add, predict = predict, forecast = forecast, next = next_ones, features = features,
  differ = differ, remove = remove, list = list }

--- run(args) -> exit status
function command.run(args)
  local verb, words, o = arguments.verb(args, { verbs = VERBS, common = COMMON, default = "list", usage = command.usage })
  if not verb then return refuse(words) end
  if o.help then
    io.write(command.usage)
    return 0
  end
  local ok, status = pcall(ACTIONS[verb], words, o)
  if ok then return status end
  return failed((tostring(status):gsub("^%S+%.lua:%d+: ", "")))
end

return command
