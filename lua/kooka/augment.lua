--- augment: more training texts out of those that are there: EDA, back-translation, and any function of yours.
-- Only of a training side: no held-out text is read into a new one, and a new text that reads like a held-out one is thrown away.
--
-- In the loss instead of in the texts: kooka.nn.mixup (wordMixup, sentMixup, manifold mixup).
local core = require "kooka.core"
local check_options = require "kooka.options"
local leaks = require "kooka.data.leaks"
local split = require "kooka.data.split"

local augment = {}

local ROUNDS = 4            -- times that methods with a random stream are asked for what is still missing

-- ---- counts

local Counts = {}
Counts.__index = Counts
Counts.__name = "kooka.augment.counts"

--- tostring(counts): "1: 309 -> 309, 2: 171 -> 309 (138 rows added)", what was thrown away, and the notes.
function Counts:__tostring()
  local parts = {}
  for i, y in ipairs(self.labels) do parts[i] = ("%s: %d -> %d"):format(tostring(y), self.before[y], self.after[y]) end
  local text = ("%s (%d rows added)"):format(table.concat(parts, ", "), self.added)
  local dropped = {}
  for _, why in ipairs(self.dropped) do dropped[#dropped + 1] = ("%d %s"):format(why.n, why.why) end
  if #dropped > 0 then text = text .. "; thrown away: " .. table.concat(dropped, ", ") end
  for _, note in ipairs(self.notes) do text = text .. "; " .. note end
  return text
end

local function drop(counts, why, n)
  for _, entry in ipairs(counts.dropped) do
    if entry.why == why then
      entry.n = entry.n + (n or 1)
      return
    end
  end
  table.insert(counts.dropped, { why = why, n = n or 1 })
end

-- ---- what is asked for

local function key_of(text)
  local key = leaks.normalise(text)
  return key ~= "" and key or "\0" .. text
end

local function check_side(what, labels, texts)
  if not split.is_split(what) then error(("augment: expected a split, got %s"):format(type(what)), 3) end
  local role, resampled = split.role(what.train)
  if role ~= "train" then error("augment: the split's rows are not marked as a training side", 3) end
  if resampled then error("augment: this training side was resampled already: augment first", 3) end
  if type(texts) ~= "table" then error("augment: texts: expected the list of texts that the split's rows number", 3) end
  for _, side in ipairs { "train", "valid" } do
    for _, row in ipairs(what[side]) do
      if type(texts[row]) ~= "string" then error(("augment: %s row %d has no text"):format(side, row), 3) end
      if side == "train" and labels[row] == nil then error(("augment: row %d has no label"):format(row), 3) end
    end
  end
end

local function check_how(how)
  if type(how) ~= "table" then error("augment: how: expected an augmenter or a list of them", 3) end
  if how.many then how = { how } end
  if #how == 0 then error("augment: how: no augmenter was given", 3) end
  for i, method in ipairs(how) do
    if type(method) ~= "table" or not method.many then error(("augment: how: number %d is no augmenter"):format(i), 3) end
  end
  return how
end

local function is_count(v) return math.type(v) == "integer" and v >= 0 end

-- Rows of each class, the classes in order, and how many rows each class shall get (nil: as `n` says).
local function plan(rows, labels, o)
  local by_label, names = {}, {}
  for _, row in ipairs(rows) do
    local y = labels[row]
    if not by_label[y] then
      by_label[y] = {}
      names[#names + 1] = y
    end
    table.insert(by_label[y], row)
  end
  table.sort(names, function(a, b)
    if type(a) == type(b) and type(a) ~= "boolean" then return a < b end
    return tostring(a) < tostring(b)
  end)
  if o.to == nil then return by_label, names end
  local goal, most = {}, 0
  for _, y in ipairs(names) do most = math.max(most, #by_label[y]) end
  if type(o.to) == "table" then
    for y in pairs(o.to) do
      if not by_label[y] then error(("augment: to names class %s, which has no training row"):format(tostring(y)), 3) end
    end
  elseif o.to ~= "largest" then
    error(("augment: to is %s, expected \"largest\" or a table {[label] = rows}"):format(tostring(o.to)), 3)
  end
  for _, y in ipairs(names) do
    goal[y] = o.to == "largest" and most or o.to[y] or #by_label[y]
    if not is_count(goal[y]) or goal[y] < #by_label[y] then
      error(("augment: class %s has %d rows, %s were asked for: this only adds"):format(tostring(y), #by_label[y], tostring(goal[y])), 3)
    end
  end
  return by_label, names, goal
end

-- ---- making

-- Asks one method for wants[row] texts of each row and keeps what is new, at most limit[label] of a class. Answers how
-- many each row got.
local function ask(state, method, wants, limit, round)
  local rows, texts, numbers, streams = {}, {}, {}, {}
  for _, row in ipairs(state.rows) do
    if (wants[row] or 0) > 0 then
      local i = #rows + 1
      rows[i], texts[i], numbers[i] = row, state.texts[row], wants[row]
      streams[i] = core.random(("augment:%s:%d:%d"):format(method.name, round, row), state.seed)
    end
  end
  local got = {}
  if #rows == 0 then return got end
  local lists, message, code = method:many(texts, numbers, streams, { labels = state.labels, rows = rows, counts = state.counts })
  if not lists then return nil, message, code end
  local longest = 0
  for i in ipairs(rows) do longest = math.max(longest, #lists[i]) end
  for j = 1, longest do
    for i, row in ipairs(rows) do
      local made, y = lists[i][j], state.labels[row]
      if made and (got[row] or 0) < wants[row] and (not limit or limit[y] > 0) then
        local key = key_of(made.text)
        if state.held_out[key] then
          drop(state.counts, "like a held-out text")
        elseif state.known[key] then
          drop(state.counts, "like a text that is there")
        else
          state.known[key] = true
          got[row] = (got[row] or 0) + 1
          if limit then limit[y] = limit[y] - 1 end
          table.insert(state.made, { text = made.text, method = made.method, row = row })
        end
      end
    end
  end
  return got
end

-- n new texts of every row by every method.
local function make_each(state, how, n)
  for _, method in ipairs(how) do
    local wants = {}
    for _, row in ipairs(state.rows) do
      wants[row] = type(n) == "table" and (n[state.labels[row]] or 0) or n
    end
    for round = 1, method.fixed and 1 or ROUNDS do
      local got, message, code = ask(state, method, wants, nil, round)
      if not got then return nil, message, code end
      local any = false
      for row, k in pairs(got) do
        wants[row], any = wants[row] - k, true
      end
      if not any then break end
    end
    local short, missing = 0, 0
    for _, k in pairs(wants) do
      if k > 0 then short, missing = short + 1, missing + k end
    end
    if missing > 0 then
      table.insert(state.counts.notes, ("%s: %d rows have %d new texts fewer than asked for"):format(method.name, short, missing))
    end
  end
  return true
end

-- Texts until each class has what `goal` says: the methods share what is missing; what one cannot make the others do.
local function make_to(state, how, by_label, names, goal)
  local missing = {}
  for _, y in ipairs(names) do missing[y] = goal[y] - #by_label[y] end
  for round = 1, ROUNDS do
    local progress = false
    for m, method in ipairs(how) do
      if round == 1 or not method.fixed then
        local wants, limit = {}, {}
        for _, y in ipairs(names) do
          local left = #how - m + 1
          limit[y] = round == 1 and -(-missing[y] // left) or missing[y]
          local rows = core.random(("augment:order:%s:%d"):format(tostring(y), round), state.seed)
            :shuffle(table.move(by_label[y], 1, #by_label[y], 1, {}))
          for i, row in ipairs(rows) do
            wants[row] = limit[y] // #rows + (i <= limit[y] % #rows and 1 or 0)
            if round > 2 and limit[y] > 0 then wants[row] = wants[row] + 2 end        -- some rows have no more to give
          end
        end
        local before = #state.made
        local got, message, code = ask(state, method, wants, limit, round)
        if not got then return nil, message, code end
        for i = before + 1, #state.made do
          local y = state.labels[state.made[i].row]
          missing[y], progress = missing[y] - 1, true
        end
      end
    end
    if not progress and round > 2 then break end
  end
  for _, y in ipairs(names) do
    if missing[y] > 0 then
      table.insert(state.counts.notes, ("class %s is %d rows short: its %d texts give no more new ones"):format(tostring(y), missing[y],
        #by_label[y]))
    end
  end
  return true
end

local OPTIONS = { texts = true, how = true, n = true, to = true, seed = true, say = true }

--- augment.run(split, labels, {texts=, how=, n=1, to=nil, seed=1, say=nil}) -> resampled, counts | nil, message, code
-- texts: by row; how: an augmenter (kooka.augment.eda, kooka.augment.backtranslate, augment.by) or a list. n: new texts
-- of each training row by each method, or {[label] = n}; or instead to = "largest" (every class gets as many rows as
-- the largest) or {[label] = rows}: the methods share what is missing. A new text that reads like one that is there
-- (kooka.data.leaks.normalise), in either side, is thrown away and counted. resampled: {split (its held-out side is the
-- same object), texts and labels (those given, the new ones behind them: rows of the new split), rows (of the training
-- side, in order: the source row), source and method ({[new row] = row it was made of | its method})}. counts: before,
-- after, added, methods, dropped, notes; tostring(counts) says all of it. The same seed gives the same texts, and what
-- a row gives does not depend on the others. nil, message, code: a method that meets the world failed (a translation
-- server).
function augment.run(what, labels, o)
  check_options("augment", o or {}, OPTIONS)
  if type(labels) == "userdata" then labels = labels:tolist() end
  check_side(what, labels, o and o.texts)
  local how = check_how(o.how)
  if o.n ~= nil and o.to ~= nil then error("augment: give n or to, not both", 2) end
  local n = o.n == nil and 1 or o.n
  if not is_count(n) and type(n) ~= "table" then error(("augment: n is %s, expected a whole number or {[label] = n}"):format(tostring(n)), 2) end
  local by_label, names, goal = plan(what.train, labels, o)
  local counts = setmetatable({ before = {}, after = {}, labels = names, added = 0, methods = {}, dropped = {}, notes = {} }, Counts)
  local state = { rows = what.train, texts = o.texts, labels = labels, seed = o.seed or 1, counts = counts, made = {}, known = {},
    held_out = {} }
  for _, row in ipairs(what.valid) do state.held_out[key_of(o.texts[row])] = true end
  for _, row in ipairs(what.train) do state.known[key_of(o.texts[row])] = true end
  local ok, message, code
  if goal then ok, message, code = make_to(state, how, by_label, names, goal) else ok, message, code = make_each(state, how, n) end
  if not ok then return nil, message, code end
  return augment.assemble(what, o.texts, state, by_label, counts, o.say)
end

--- augment.assemble(split, texts, state, by_label, counts, say) -> resampled, counts
-- Puts what was made behind what was there. Part of augment.run.
function augment.assemble(what, texts, state, by_label, counts, say)
  local total = #texts
  local out = { texts = table.move(texts, 1, total, 1, {}), labels = {}, rows = {}, source = {}, method = {} }
  for i = 1, total do out.labels[i] = state.labels[i] end
  local train = table.move(what.train, 1, #what.train, 1, {})
  table.move(train, 1, #train, 1, out.rows)
  for _, y in ipairs(counts.labels) do counts.before[y], counts.after[y] = #by_label[y], #by_label[y] end
  for k, made in ipairs(state.made) do
    local row, y = total + k, state.labels[made.row]
    out.texts[row], out.labels[row], out.source[row], out.method[row] = made.text, y, made.row, made.method
    train[#train + 1], out.rows[#out.rows + 1] = row, made.row
    counts.after[y] = counts.after[y] + 1
    counts.methods[made.method] = (counts.methods[made.method] or 0) + 1
  end
  counts.added = #state.made
  out.split = what:with_train(split.resampled(train))
  if say then say(tostring(counts)) end
  return out, counts
end

-- ---- one method at a time

local function one_method(make, own)
  return function(what, labels, o)
    local run, mine = {}, {}
    for k, v in pairs(o or {}) do
      if OPTIONS[k] and k ~= "how" then run[k] = v else mine[k] = v end
    end
    local method, message, code = make(mine)
    if not method then return nil, message, code end
    run.how = method
    local out, counts, why = augment.run(what, labels, run)
    if own and method.close then method:close() end
    return out, counts, why
  end
end

--- augment.eda(split, labels, {texts=, synonyms=, alpha=.1, n=1, to=, seed=1, ...}) -> resampled, counts
-- augment.run with the one method kooka.augment.eda, whose options they are beside those of augment.run.
augment.eda = one_method(function(o) return require("kooka.augment.eda").new(o) end)

--- augment.backtranslate(split, labels, {texts=, translator=, from=, via=, cache=, ...}) -> resampled, counts | nil, message, code
-- augment.run with the one method kooka.augment.backtranslate, whose options they are beside those of augment.run.
augment.backtranslate = one_method(function(o) return require("kooka.augment.backtranslate").new(o) end, true)

local By = {}
By.__index = By
By.__name = "kooka.augmenter"

--- b:many(texts, wants, streams) -> list of lists of {text=, method=}
function By:many(texts, wants, streams)
  local out = {}
  for i, text in ipairs(texts) do
    out[i] = {}
    for _ = 1, wants[i] do
      local made = self.f(text, streams[i])
      if made ~= nil and type(made) ~= "string" then error(("augment: %s answered a %s, expected a text or nil"):format(self.name, type(made)), 2) end
      if made then table.insert(out[i], { text = made, method = self.name }) end
    end
  end
  return out
end

--- augment.by(name, f) -> augmenter
-- A method of your own: f(text, stream) -> another text or nil. Draw randomness from the stream only.
function augment.by(name, f)
  if type(name) ~= "string" or type(f) ~= "function" then error("augment.by: expected a name and a function", 2) end
  return setmetatable({ name = name, f = f }, By)
end

return augment
