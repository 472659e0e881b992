--- clean: rows that their neighbours speak against are taken away, or only those near the smallest class are kept.
local core = require "kooka.core"
local training = require "kooka.imbalance.training"
local smote = require "kooka.imbalance.smote"

local clean = {}

-- The classes from which rows may go: {[label] = true}.
local function targets(t, default)
  local from, out = t.options.from or default, {}
  if from == "all" or from == "larger" then
    local small = t:smallest()
    for _, y in ipairs(t.classes) do out[y] = from == "all" or y ~= small end
    return out
  end
  if type(from) ~= "table" then
    error(("%s: from is %s, expected \"larger\", \"all\" or a list of classes"):format(t.who, tostring(from)), 4)
  end
  for _, y in ipairs(from) do
    if not t.before[y] then error(("%s: from names class %s, which has no training row"):format(t.who, tostring(y)), 4) end
    out[y] = true
  end
  return out
end

local function clip(t, name, k, most)
  if k <= most then return k end
  t:note("of %s to choose from, %s is %d instead of %d", training.rows_text(most), name, most, k)
  return most
end

local function by_class(labels)
  local out = {}
  for i, y in ipairs(labels) do
    out[y] = out[y] or {}
    table.insert(out[y], i)
  end
  return out
end

---- which rows go; x holds the rows themselves, labels their classes ------------------------------

local function codes_of(t, labels)
  local number, code = {}, {}
  for c, y in ipairs(t.classes) do number[y] = c end
  for i, y in ipairs(labels) do code[i] = number[y] end
  return core.tensor(code, "int32"), number
end

local function in_links(t, x, rows, labels, from)
  local code = codes_of(t, labels)
  local link = core.sample.links((core.sample.near(x, rows, rows, 1, { others = true })), code):tolist()
  return function(i) return link[i] == 1 and from[labels[i]] end
end

local function against(t, x, rows, labels, from)
  local code, number = codes_of(t, labels)
  local vote = t.options.vote or "all"
  if vote ~= "all" and vote ~= "most" then error(("%s: vote is %s, expected all or most"):format(t.who, tostring(vote)), 4) end
  local k = clip(t, "k", t:whole_number(t.who == "enn" and "k" or "k_clean", 3, 1), #labels - 1)
  local goes, groups = {}, by_class(labels)
  for _, y in ipairs(t.classes) do
    local mine = from[y] and groups[y] or {}
    if #mine > 0 then
      local query = mine
      if rows then
        query = {}
        for i, at in ipairs(mine) do query[i] = rows[at] end
      end
      local near = core.sample.near(x, query, rows, k, { others = true })
      local own = core.full({ #mine }, number[y], "int32")
      local seen = vote == "all" and core.sample.foreign(near, own, code):tolist() or core.sample.most(near, code, #t.classes):tolist()
      for i, at in ipairs(mine) do goes[at] = vote == "all" and seen[i] > 0 or vote == "most" and seen[i] ~= number[y] end
    end
  end
  return function(i) return goes[i] end
end

local function keep_rest(t, rule, from)
  local labels, keep = {}, {}
  for i, row in ipairs(t.rows) do labels[i] = t.labels[row] end
  local goes = rule(t, t.x, t.rows, labels, from)
  for i = 1, #t.rows do
    if not goes(i) then keep[#keep + 1] = i end
  end
  return t:kept(keep)
end

--- tomek(split, labels, {x =, from = "larger", say = print, classes =}) -> resampled, counts
-- Tomek links (Tomek, Two modifications of CNN, IEEE Transactions on Systems, Man, and Cybernetics 6, 1976): two rows of two
-- classes that are each other's nearest. The rows of links that are of the classes `from` go: "larger", all but the smallest class;
-- "all"; or a list of classes.
function clean.tomek(what, labels, options)
  local t = training.open("tomek", what, labels, options, { from = true }, true)
  return keep_rest(t, in_links, targets(t, "larger"))
end

--- enn(split, labels, {x =, k = 3, vote = "all", from = "larger", say = print, classes =}) -> resampled, counts
-- Edited nearest neighbours (Wilson, Asymptotic properties of nearest neighbor rules using edited data, IEEE Transactions on
-- Systems, Man, and Cybernetics 2, 1972): a row of the classes `from` goes when one of its k nearest training rows is of
-- another class (vote = "all"), or when most are of one other class ("most"; of classes with as many the first counts).
function clean.enn(what, labels, options)
  local t = training.open("enn", what, labels, options, { k = true, vote = true, from = true }, true)
  return keep_rest(t, against, targets(t, "larger"))
end

---- SMOTE, then cleaning ---------------------------------------------------------------------------

local COMBINED = { to = true, k = true, k_clean = true, vote = true, from = true, shrinkage = true, components = true }

local function combined(who, rule, what, labels, options)
  local t = training.open(who, what, labels, options, COMBINED, "copied")
  local a, from = smote.rows(t), targets(t, "all")
  local goes = rule(t, a.x, nil, a.labels, from)
  local rows, kept, at, parents, first = {}, {}, {}, {}, #t.rows
  for i, y in ipairs(a.labels) do
    if not goes(i) then
      at[#at + 1], rows[#rows + 1], kept[#kept + 1] = i, a.rows[i], y
      if i > first then parents[#parents + 1] = i - first end
    end
  end
  local x = core.sample.room(#at, t.d)
  core.sample.copy(x, 1, a.x, at)
  local p = a.parents and #parents > 0 and core.index_select(a.parents, core.tensor(parents, "int32")) or nil
  return t:answer { rows = rows, labels = kept, x = x, parents = p, removed = #a.labels - #at }
end

--- smote_enn(split, labels, {x =, to =, k = 5, k_clean = 3, vote = "all", from = "all", ...}) -> resampled, counts
-- SMOTE, then edited nearest neighbours over all rows, also those made (Batista, Prati and Monard, SIGKDD Explorations 6, 2004).
function clean.smote_enn(what, labels, options)
  return combined("smote_enn", against, what, labels, options)
end

--- smote_tomek(split, labels, {x =, to =, k = 5, from = "all", ...}) -> resampled, counts
-- SMOTE, then both rows of each Tomek link go, also those made (Batista, Bazzan and Monard, WOB 2003).
function clean.smote_tomek(what, labels, options)
  return combined("smote_tomek", in_links, what, labels, options)
end

---- NearMiss ---------------------------------------------------------------------------------------

-- Positions in `mine` in the order of their sums, the first `n` of them.
local function first_by(sums, n, farthest)
  local turn = {}
  for i = 1, #sums do turn[i] = i end
  table.sort(turn, function(a, b)
    if sums[a] ~= sums[b] then
      if farthest then return sums[a] > sums[b] end
      return sums[a] < sums[b]
    end
    return a < b
  end)
  return table.move(turn, 1, math.min(n, #turn), 1, {})
end

-- Rows of the class that are among the k nearest of some row of the smallest class, as rising positions in `mine`.
local function shortlist(t, small, mine, k)
  local near, seen, out = core.sample.near(t.x, small, mine, clip(t, "k_first", k, #mine)):tolist(), {}, {}
  for _, list in ipairs(near) do
    for _, at in ipairs(list) do seen[at] = true end
  end
  for at = 1, #mine do
    if seen[at] then out[#out + 1] = at end
  end
  return out
end

local function near_miss_class(t, version, small, positions, n, k, k_first)
  local mine, list = t:source(positions), nil
  if version == 3 then
    list = shortlist(t, small, mine, k_first)
    for i, at in ipairs(list) do mine[i] = t.rows[positions[at]] end
    for i = #list + 1, #mine do mine[i] = nil end
  end
  local _, sums = core.sample.near(t.x, mine, small, k, { sums = true, far = version == 2 })
  local chosen = first_by(sums, n, version == 3)
  for i, at in ipairs(chosen) do chosen[i] = positions[list and list[at] or at] end
  return chosen
end

--- near_miss(split, labels, {x =, version = 1, to =, k = 3, k_first = 3, say = print, classes =}) -> resampled, counts
-- NearMiss (Mani and Zhang, ICML workshop on learning from imbalanced data sets, 2003): of each larger class those rows stay
-- whose k nearest rows of the smallest class are nearest on average (version 1), whose k farthest are nearest (2), or, among
-- the k_first nearest rows of the class to each row of the smallest, whose k nearest are farthest (3; there may be fewer
-- than wanted, and a note says so). Equal sums go by the order of the training side.
function clean.near_miss(what, labels, options)
  local t = training.open("near_miss", what, labels, options, { to = true, version = true, k = true, k_first = true }, true)
  local version = t.options.version or 1
  if version ~= 1 and version ~= 2 and version ~= 3 then
    error(("near_miss: version is %s, expected 1, 2 or 3"):format(tostring(version)), 2)
  end
  local want, least, keep = t:wanted(false), t:smallest(), {}
  local small = t:source(t.by_class[least])
  local k, k_first = t:whole_number("k", 3, 1), t:whole_number("k_first", 3, 1)
  if k > #small then
    t:note("class %s has %s: k is %d instead of %d", tostring(least), training.rows_text(#small), #small, k)
    k = #small
  end
  for _, y in ipairs(t.classes) do
    local mine = t.by_class[y]
    local chosen, to = mine, t.options.to
    if y ~= least and (want[y] < #mine or version == 3 and (type(to) ~= "table" or to[y])) then
      chosen = near_miss_class(t, version, small, mine, want[y], k, k_first)
    end
    if #chosen < want[y] then t:note("class %s: only %s of the %d wanted are near enough", tostring(y), training.rows_text(#chosen), want[y]) end
    table.move(chosen, 1, #chosen, #keep + 1, keep)
  end
  table.sort(keep)
  return t:kept(keep)
end

return clean
