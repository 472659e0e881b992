--- split: which rows train and which are held out. A side knows what it is, so that resampling a held-out side raises.
local core = require "kooka.core"
local check_options = require "kooka.options"

local split = {}

local Split = {__name = "kooka.split"}
Split.__index = Split
local Side = {__name = "kooka.split.side"}      -- side.role is "train" or "valid"; the list part holds row numbers

local roles = setmetatable({}, {__mode = "k"})   -- a list of rows -> its role and whether it was resampled

local function mark(rows, role, resampled)
  roles[rows] = {role = role, resampled = resampled or false}
  return setmetatable(rows, Side)
end

function Side.__tostring(rows)
  local r = roles[rows]
  return ("%s rows (%d%s)"):format(r.role, #rows, r.resampled and ", resampled" or "")
end

--- role(rows) -> "train" | "valid" | nil, resampled
-- What a list of rows is: a side of a split, or nothing in particular.
function split.role(rows)
  local r = roles[rows]
  if r then return r.role, r.resampled end
end

--- is_split(x) -> boolean
function split.is_split(x)
  return getmetatable(x) == Split
end

--- resampled(rows) -> rows marked as a training side that was resampled
-- For samplers; it refuses nothing, `kooka.data.oversample` does.
function split.resampled(rows)
  return mark(rows, "train", true)
end

local function as_list(x, what)
  if type(x) == "userdata" then return x:tolist() end
  if type(x) ~= "table" then error(("split: %s must be a list or a tensor, got %s"):format(what, type(x)), 3) end
  return x
end

local function make(train, valid, about)
  local s = {train = mark(train, "train"), valid = mark(valid, "valid")}
  for k, v in pairs(about or {}) do s[k] = v end
  return setmetatable(s, Split)
end

function Split:__tostring()
  return ("split (%d train, %d valid)"):format(#self.train, #self.valid)
end

--- s:counts(labels) -> {train = {[label] = n}, valid = {[label] = n}}
function Split:counts(labels)
  labels = as_list(labels, "labels")
  local out = {train = {}, valid = {}}
  for side, count in pairs(out) do
    for _, row in ipairs(self[side]) do
      local y = labels[row]
      if y == nil then error(("split: row %d has no label"):format(row), 2) end
      count[y] = (count[y] or 0) + 1
    end
  end
  return out
end

--- s:with_train(rows) -> split
-- The same held-out side with another training side, as from `split.resampled`.
function Split:with_train(rows)
  if split.role(rows) ~= "train" then error("split: these rows are not marked as a training side", 2) end
  local s = setmetatable({}, Split)
  for k, v in pairs(self) do s[k] = v end
  s.train = rows
  return s
end

--- given(train, valid) -> split
-- A split that somebody else decided: two lists of row numbers from 1. Raises when they share a row or repeat one.
function split.given(train, valid)
  local seen = {}
  for name, rows in pairs {train = train, valid = valid} do
    for i, row in ipairs(rows) do
      if math.type(row) ~= "integer" or row < 1 then error(("split: %s[%d] is no row number: %s"):format(name, i, tostring(row)), 2) end
      if seen[row] then error(("split: row %d stands in %s and in %s"):format(row, seen[row], name), 2) end
      seen[row] = name
    end
  end
  return make(table.move(train, 1, #train, 1, {}), table.move(valid, 1, #valid, 1, {}))
end

--- join(keys, keys, ...) -> groups, about
-- Groups for a split that must respect several keys at once: rows that share any key (a user, a near duplicate's key from
-- kooka.data.leaks.keys, a conversation) fall into one group, also over a chain of rows. Each argument is a list with one key
-- a row; false ties a row to nothing. The groups are numbers from 1 in order of appearance, for `groups =` of holdout and
-- kfold. about: {groups, largest (rows of the largest), share (of all rows), text}: joins of many keys can grow into one group
-- of nearly all rows, and then no split keeps them apart and stays fair: look at share.
function split.join(...)
  local lists = {...}
  if #lists == 0 then error("split.join: expected one list of keys or more", 2) end
  for k = 1, #lists do lists[k] = as_list(lists[k], "keys " .. k) end
  local n, parent = #lists[1], {}
  for k, list in ipairs(lists) do
    if #list ~= n then error(("split.join: keys 1 have %d rows but keys %d have %d"):format(n, k, #list), 2) end
  end
  for i = 1, n do parent[i] = i end
  local function root(i)
    while parent[i] ~= i do
      parent[i] = parent[parent[i]]
      i = parent[i]
    end
    return i
  end
  for k, list in ipairs(lists) do
    local first = {}
    for i = 1, n do
      local key = list[i]
      if key == nil then error(("split.join: row %d has no key in list %d (false ties it to nothing)"):format(i, k), 2) end
      if key ~= false then
        local j = first[key]
        if not j then
          first[key] = i
        else
          local a, b = root(i), root(j)
          parent[math.max(a, b)] = math.min(a, b)
        end
      end
    end
  end
  local groups, number, size, count, largest = {}, {}, {}, 0, 0
  for i = 1, n do
    local r = root(i)
    if not number[r] then
      count = count + 1
      number[r], size[r] = count, 0
    end
    groups[i] = number[r]
    size[r] = size[r] + 1
    largest = math.max(largest, size[r])
  end
  local share = n > 0 and largest / n or 0
  return groups, {groups = count, largest = largest, share = share,
    text = ("%d rows in %d groups; the largest has %d rows (%.1f %%)"):format(n, count, largest, 100 * share)}
end

--- Rows by group, in a random order with the larger groups first: {rows =, count = {[label] = n}}.
local function make_groups(labels, keys, stream)
  local order, groups, by_key = stream:shuffle(#labels), {}, {}
  for _, row in ipairs(order) do
    local key, g = keys and keys[row], nil
    if keys and key == nil then error(("split: row %d has no group"):format(row), 4) end
    if keys then g = by_key[key] end
    if not g then
      g = {rows = {}, count = {}, rank = #groups}
      groups[#groups + 1] = g
      if keys then by_key[key] = g end
    end
    g.rows[#g.rows + 1] = row
    g.count[labels[row]] = (g.count[labels[row]] or 0) + 1
  end
  if keys then
    table.sort(groups, function(a, b)
      if #a.rows ~= #b.rows then return #a.rows > #b.rows end
      return a.rank < b.rank
    end)
  end
  return groups
end

--- Deals groups to folds of the given shares. A group goes where it brings the counts of its labels nearest to their
-- share: the fold with the smallest rise of sum over labels of (count - share·total)² / (share·total). For single
-- rows that is the rounding of Sainte-Laguë: counts of a label differ by at most one between equal shares.
local function deal(groups, shares)
  local total, folds = {}, {}
  for _, g in ipairs(groups) do
    for y, n in pairs(g.count) do total[y] = (total[y] or 0) + n end
  end
  for k = 1, #shares do folds[k] = {rows = 0, count = {}, groups = {}} end
  for _, g in ipairs(groups) do
    local best, best_rise, best_fill
    for k, share in ipairs(shares) do
      local rise, count = 0, folds[k].count
      for y, n in pairs(g.count) do
        rise = rise + n * (2 * ((count[y] or 0) - share * total[y]) + n) / (share * total[y])
      end
      local fill = folds[k].rows / share
      if not best or rise < best_rise - 1e-12 or (rise < best_rise + 1e-12 and fill < best_fill) then
        best, best_rise, best_fill = k, rise, fill
      end
    end
    local fold = folds[best]
    fold.rows = fold.rows + #g.rows
    fold.groups[#fold.groups + 1] = g
    for y, n in pairs(g.count) do fold.count[y] = (fold.count[y] or 0) + n end
  end
  return folds, total
end

--- Labels as numbers 1, 2, ... in order of appearance: the order of strings in a table differs from run to run.
local function encode(labels)
  local codes, code, n = {}, {}, 0
  for i = 1, #labels do
    local y = labels[i]
    if not code[y] then
      n = n + 1
      code[y] = n
    end
    codes[i] = code[y]
  end
  return codes
end

local function sorted_labels(count)
  local out = {}
  for y in pairs(count) do out[#out + 1] = y end
  table.sort(out)
  return out
end

local function shift(from, to, at)
  local g = table.remove(from.groups, at)
  table.insert(to.groups, g)
  for y, n in pairs(g.count) do
    from.count[y] = from.count[y] - n
    to.count[y] = (to.count[y] or 0) + n
  end
  from.rows, to.rows = from.rows - #g.rows, to.rows + #g.rows
end

--- Gives a side that lacks a label the smallest group that holds it, unless that would take the other side's last one.
local function repair(folds, total)
  for _, y in ipairs(sorted_labels(total)) do
    for k, fold in ipairs(folds) do
      if (fold.count[y] or 0) == 0 then
        local other, best = folds[3 - k], nil
        for i, g in ipairs(other.groups) do
          local loses = false
          for z, n in pairs(g.count) do
            if n == other.count[z] then loses = true end
          end
          if g.count[y] and not loses and (not best or #g.rows <= #other.groups[best].rows) then best = i end
        end
        if best then shift(other, fold, best) end
      end
    end
  end
end

local function rows_of(folds, skip, only)
  local rows = {}
  for k, fold in ipairs(folds) do
    if k ~= skip and (not only or k == only) then
      for _, g in ipairs(fold.groups) do table.move(g.rows, 1, #g.rows, #rows + 1, rows) end
    end
  end
  table.sort(rows)
  return rows
end

local function check(labels, o, who, known)
  check_options("split." .. who, o, known, 4)
  if o.groups and #o.groups ~= #labels then
    error(("split.%s: %d labels but %d groups"):format(who, #labels, #o.groups), 3)
  end
  if #labels < 2 then error(("split.%s: %d rows, expected 2 or more"):format(who, #labels), 3) end
end

--- holdout(labels[, {valid = 0.2, seed = 1, groups =}]) -> split
-- A stratified hold-out: every label has its share on both sides, and at least one row on each where it has two.
-- `groups`: one key for each row (a text, a person); rows of one key stay together. The rows of each side are in
-- rising order; the same seed gives the same split.
function split.holdout(labels, options)
  local o = options or {}
  labels = as_list(labels, "labels")
  check(labels, o, "holdout", {valid = true, seed = true, groups = true})
  local share = o.valid or 0.2
  if not (share > 0 and share < 1) then error(("split.holdout: valid is %s, expected a share above 0 and below 1"):format(share), 2) end
  local groups = make_groups(encode(labels), o.groups, core.random("split.holdout", o.seed or 1))
  local folds, total = deal(groups, {1 - share, share})
  repair(folds, total)
  return make(rows_of(folds, nil, 1), rows_of(folds, nil, 2), {seed = o.seed or 1})
end

--- kfold(labels[, {k = 5, seed = 1, groups =}]) -> list of k splits
-- Stratified cross-validation; every row is held out exactly once. `groups` as in `holdout` (`join` for several keys); there
-- must be k of them, and none with more than half of the rows.
function split.kfold(labels, options)
  local o = options or {}
  labels = as_list(labels, "labels")
  check(labels, o, "kfold", {k = true, seed = true, groups = true})
  local k = o.k or 5
  if math.type(k) ~= "integer" or k < 2 then error(("split.kfold: k is %s, expected an integer of 2 or more"):format(tostring(k)), 2) end
  local groups = make_groups(encode(labels), o.groups, core.random("split.kfold", o.seed or 1))
  if #groups < k then error(("split.kfold: %d groups for %d folds"):format(#groups, k), 2) end
  if #groups[1].rows > #labels / 2 then
    error(("split.kfold: one group holds %d of %d rows: the fold that has it would be judged by the rest, and no other fold could "
      .. "learn without it"):format(#groups[1].rows, #labels), 2)
  end
  local shares, out = {}, {}
  for i = 1, k do shares[i] = 1 / k end
  local folds = deal(groups, shares)
  for i = 1, k do
    out[i] = make(rows_of(folds, i), rows_of(folds, nil, i), {fold = i, k = k, seed = o.seed or 1})
  end
  return out
end

--- folds(splits) -> list
-- The fold (1, 2, ...) in which each row is held out by the splits of `kfold`.
function split.folds(splits)
  local out = {}
  for k, s in ipairs(splits) do
    for _, row in ipairs(s.valid) do
      if out[row] then error(("split.folds: row %d is held out in fold %d and in fold %d"):format(row, out[row], k), 2) end
      out[row] = k
    end
  end
  return out
end

--- The rarest label of a count, by which a person is judged; nil when there is only one.
local function minority(count)
  local best
  for _, y in ipairs(sorted_labels(count)) do
    if not best or count[y] < count[best] then best = y end
  end
  local n = 0
  for _ in pairs(count) do n = n + 1 end
  return n > 1 and best or nil
end

local function count_by_user(labels, users)
  local count, names = {}, {}
  for i, u in ipairs(users) do
    if not count[u] then
      count[u] = {}
      names[#names + 1] = u
    end
    count[u][labels[i]] = (count[u][labels[i]] or 0) + 1
  end
  return count, names
end

--- Without shared texts every person is split alone, from a stream of their own: adding a person changes nobody else.
local function split_alone(labels, users, share, seed)
  local rows, names, parts = {}, {}, {}
  for i, u in ipairs(users) do
    if not rows[u] then
      rows[u] = {}
      names[#names + 1] = u
    end
    table.insert(rows[u], i)
  end
  for _, u in ipairs(names) do
    local mine = {}
    for j, row in ipairs(rows[u]) do mine[j] = labels[row] end
    local groups = make_groups(mine, nil, core.random("split.users:" .. tostring(u), seed))
    local folds, total = deal(groups, {1 - share, share})
    repair(folds, total)
    local sides = {rows_of(folds, nil, 1), rows_of(folds, nil, 2)}
    for _, side in ipairs(sides) do
      for j, at in ipairs(side) do side[j] = rows[u][at] end
    end
    parts[u] = sides
  end
  return parts
end

--- Moves texts between the sides so that every person who can has the minority label on both: only when no other person
-- loses it, and only while the held-out side stays within 5 % of all rows of its share.
local function repair_users(side, rows_of_text, labels, users, count, names, stream, share)
  local over, slack = -share * #labels, 0.05 * #labels      -- rows held out above the share
  for i = 1, #labels do over = over + (side[i] == "valid" and 1 or 0) end
  local have = {}                                   -- have[u][side]: rows of u's minority label there
  local rare = {}
  for _, u in ipairs(names) do
    rare[u] = minority(count[u])
    have[u] = {train = 0, valid = 0}
  end
  local mine = {}
  for i, u in ipairs(users) do
    if rare[u] ~= nil and labels[i] == rare[u] then
      have[u][side[i]] = have[u][side[i]] + 1
      mine[u] = mine[u] or {}
      table.insert(mine[u], i)
    end
  end
  local function try_move(i, to)
    local from, text = side[i], rows_of_text[i]
    local next_over = over + (to == "valid" and #text or -#text)
    if math.abs(next_over) > slack and math.abs(next_over) > math.abs(over) then return false end
    local lose = {}
    for _, j in ipairs(text) do
      local v = users[j]
      if rare[v] ~= nil and labels[j] == rare[v] then
        lose[v] = (lose[v] or 0) + 1
        if have[v][from] - lose[v] < 1 then return false end
      end
    end
    over = next_over
    for _, j in ipairs(text) do side[j] = to end
    for v, n in pairs(lose) do have[v][from], have[v][to] = have[v][from] - n, have[v][to] + n end
    return true
  end
  for _, u in ipairs(names) do
    for _, to in ipairs {"train", "valid"} do
      if mine[u] and #mine[u] >= 2 and have[u][to] == 0 then
        for _, at in ipairs(stream:shuffle(#mine[u])) do
          if try_move(mine[u][at], to) then break end
        end
      end
    end
  end
end

local function split_by_text(labels, users, texts, share, seed)
  local stream = core.random("split.users", seed)
  local groups = make_groups(labels, texts, stream)
  local folds = deal(groups, {1 - share, share})
  local side, rows_of_text, parts = {}, {}, {}
  for k, fold in ipairs(folds) do
    for _, g in ipairs(fold.groups) do
      for _, row in ipairs(g.rows) do side[row], rows_of_text[row] = k == 1 and "train" or "valid", g.rows end
    end
  end
  local count, names = count_by_user(labels, users)
  repair_users(side, rows_of_text, labels, users, count, names, stream, share)
  for i, u in ipairs(users) do
    parts[u] = parts[u] or {{}, {}}
    table.insert(parts[u][side[i] == "train" and 1 or 2], i)
  end
  return parts
end

--- users(labels, users[, {valid = 0.3, seed = 1, texts =}]) -> {[user] = split}, general, short
-- One split for each person, stratified, with at least one example of the person's rarer label on both sides where the
-- person has two. `general` is the union, for the model of everybody. `texts`: one key for each row; then a text is
-- held out for all persons or for none (the share may be off by 5 % of all rows), so no text that is evaluated ever
-- helped to fit the general model. `short` lists the persons (sorted) for whom the rarer label could not be put on
-- both sides.
function split.users(labels, users, options)
  local o = options or {}
  labels, users = as_list(labels, "labels"), as_list(users, "users")
  check(labels, {}, "users", {})
  check_options("split.users", o, {valid = true, seed = true, texts = true})
  if #users ~= #labels then error(("split.users: %d labels but %d users"):format(#labels, #users), 2) end
  if o.texts and #o.texts ~= #labels then error(("split.users: %d labels but %d texts"):format(#labels, #o.texts), 2) end
  labels = encode(labels)
  local share, seed = o.valid or 0.3, o.seed or 1
  if not (share > 0 and share < 1) then error(("split.users: valid is %s, expected a share above 0 and below 1"):format(share), 2) end
  local parts = o.texts and split_by_text(labels, users, o.texts, share, seed) or split_alone(labels, users, share, seed)
  local out, train, valid, short = {}, {}, {}, {}
  local count, names = count_by_user(labels, users)
  for _, u in ipairs(names) do
    local p, rare, seen = parts[u], minority(count[u]), {false, false}
    table.move(p[1], 1, #p[1], #train + 1, train)
    table.move(p[2], 1, #p[2], #valid + 1, valid)
    for k = 1, 2 do
      for _, row in ipairs(p[k]) do seen[k] = seen[k] or labels[row] == rare end
    end
    if rare == nil or not (seen[1] and seen[2]) then short[#short + 1] = u end
    out[u] = make(p[1], p[2], {user = u, seed = seed})
  end
  table.sort(train)
  table.sort(valid)
  table.sort(short, function(a, b) return tostring(a) < tostring(b) end)
  return out, make(train, valid, {seed = seed}), short
end

return split
