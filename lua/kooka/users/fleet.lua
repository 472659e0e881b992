--- users.fleet: the heads of all persons of one model in one safetensors file; one person is added, refreshed or removed without
-- touching the others, and a message is scored in microseconds.
--
-- File (docs: this text): tensors w [U,D], b [U] (what is added to the general head), mean [D] (of the features when
-- the heads were fitted);
-- metadata: kooka_users = "1", users (JSON: a list of {id, n, minority_n, minority_class, use, at}), fit (JSON: method,
-- lambda, lambda0, scale, width), model (what the features came from). Each change writes the file aside and renames
-- it; the rows of other persons are copied bit
-- for bit. A version with a larger number is refused.
local core = require "kooka.core"
local check_options = require "kooka.options"
local fault = require "kooka.users.fault"
local fit = require "kooka.users.fit"
local report = require "kooka.users.report"
local solver = core.users

local fleet = {}

local Fleet = {}
Fleet.__index = Fleet

local VERSION <const> = 1
local REFRESH = { intercept = true, map = true, ridge = true, firth = true, flic = true }

local function as_list(x) return type(x) == "userdata" and x:tolist() or x end

local function index(people)
  local at = {}
  for k, p in ipairs(people) do at[p.id] = k end
  return at
end

local function stats(id, n, positives, use)
  return { id = id, n = n, minority_n = math.min(positives, n - positives), minority_class = positives * 2 <= n and 2 or 1, use = use,
    at = math.floor(os.time()) }
end

--- fleet.new(result, {model=nil, report=nil}) -> fleet
-- From users.fit. model: a text that names the encoder and the general head (kept, and compared by whoever loads the
-- file). report: of
-- users.report; a person whose head is not shown to be better then gets a head of zeros (use = "global"). Ids become
-- texts. Raises when two
-- ids are the same text.
function fleet.new(result, o)
  o = o or {}
  check_options("users.fleet.new", o, { model = true, report = true })
  local nuser, w = #result.users, result.heads.w
  local people, seen, b, use = {}, {}, {}, {}
  for k, name in ipairs(result.users) do
    local id = tostring(name)
    if seen[id] then error(("users.fleet: the id %s is there twice (persons %d and %d)"):format(id, seen[id], k), 2) end
    seen[id] = k
    local u, head = result.per[k], not o.report or o.report.rows[k].use == "head"
    if u.one_class then head = false end
    use[k], b[k] = head and 1 or 0, head and result.heads.b[k] or 0
    people[k] = stats(id, u.n, u.positives, head and "head" or "global")
  end
  local scope <close> = core.scope()
  local width = w and w:shape(2) or 0
  local weights = w and (w * core.tensor(use):reshape(nuser, 1)) or core.zeros(nuser, 1)
  return setmetatable({ people = people, index = index(people), w = weights:keep(), b = core.tensor(b):keep(),
    mean = core.tensor(result.mean or { 0 }):keep(), model = o.model,
    fit = { method = result.method, lambda = result.lambda ~= math.huge and result.lambda or nil, lambda0 = result.lambda0,
      scale = result.scale or 1, width = width } }, Fleet)
end

--- fl:save(path) -> true | nil, message, code
function Fleet:save(path)
  local meta = { kooka_users = tostring(VERSION), users = core.json.encode(core.json.array(self.people)), fit = core.json.encode(self.fit),
    model = self.model }
  return core.save_safetensors(path, { w = self.w, b = self.b, mean = self.mean }, meta)
end

--- fleet.load(path) -> fleet | nil, message, code
function fleet.load(path)
  local t, meta, code = core.load_safetensors(path)
  if not t then return nil, meta, code end
  local version = meta and tonumber(meta.kooka_users or "")
  if not version or not t.w or not t.b or not t.mean then
    return nil, path .. ": not a file of users' heads (kooka users add, or kooka.users.fleet, makes one)", "format"
  end
  if version > VERSION then
    return nil, ("%s: version %d, this kooka reads %d: a later one wrote it"):format(path, version, VERSION), "format"
  end
  local people, fitted = core.json.decode(meta.users or ""), core.json.decode(meta.fit or "")
  if not people or not fitted or #people ~= t.b:shape(1) or #people ~= t.w:shape(1) then
    return nil, ("%s: %d heads, but %s names"):format(path, t.b:shape(1), people and #people or "no"), "format"
  end
  local at = index(people)
  for k, p in ipairs(people) do
    if at[p.id] ~= k then return nil, ("%s: the id %s is there twice"):format(path, tostring(p.id)), "format" end
  end
  return setmetatable({ people = people, index = at, w = t.w:keep(), b = t.b:keep(), mean = t.mean:keep(), model = meta.model,
    fit = fitted }, Fleet)
end

--- fl:size() -> persons
function Fleet:size() return #self.people end

--- fl:person(id) -> {id=, n=, minority_n=, minority_class=, use=, at=} or nil
function Fleet:person(id) return self.people[self.index[tostring(id)]] end

--- fl:predict{users=, features=, offset=} -> list of P(class 2)
-- Pairs of (person, message): ids, features [N,D] (not needed by intercepts), general logits. Somebody unknown gets
-- the general head.
function Fleet:predict(o)
  check_options("fleet:predict", o, { users = true, features = true, offset = true })
  if not o.users or not o.offset then error("fleet:predict: expected users and offset, one of each a row", 2) end
  if self.fit.width > 0 and not o.features then error("fleet:predict: these heads need features", 2) end
  local ids = {}
  for i, id in ipairs(as_list(o.users)) do ids[i] = self.index[tostring(id)] or 0 end
  local logits = fault.guarded("fleet:predict", o, solver.apply, { features = self.fit.width > 0 and o.features or nil, users = ids,
    offset = o.offset, w = self.w, b = self.b })
  for i, v in ipairs(logits) do logits[i] = 1 / (1 + math.exp(-v)) end
  return logits
end

--- fl:predict_one(id, x, logit) -> P(class 2)
-- One pair with the least ado: x a float32 tensor [D], logit the general head's.
function Fleet:predict_one(id, x, logit)
  local k = self.index[id]
  if not k then return 1 / (1 + math.exp(-logit)) end
  if self.fit.width == 0 then return 1 / (1 + math.exp(-logit - self.b[k]:item())) end
  return solver.one(self.w, self.b, k, x, logit)
end

-- Rows order[1], order[2], ... of w and b; a row 0 is made of zeros.
local function rearranged(self, order)
  local scope <close> = core.scope()
  local rows = core.tensor(order, "int32")
  return self.w:index_select(rows):keep(), self.b:index_select(rows):keep()
end

local USES <const> = { head = true, better = true, global = true }

--- fl:add(id, {features=, labels=, offset=, use="head"}) -> what is kept of the person
-- Fits one person's head with the fleet's method and strengths on the scale of the fleet's features, and puts it in
-- the place of an older one or behind the last. use: "head", it is used; "better", only where it is shown to be better than
-- the general one, out of fold (users.report); "global", never. Where it is not used, and where the rows are of one
-- class, it is zeros: the general head. Heads by "prototypes" and "components" need all persons: raises.
function Fleet:add(id, o)
  check_options("fleet:add", o, { features = true, labels = true, offset = true, use = true })
  id = tostring(id)
  local use = o.use or "head"
  if not USES[use] then error(("fleet:add: use is %s, expected head, better or global"):format(tostring(use)), 2) end
  if not REFRESH[self.fit.method] then
    error(("fleet:add: heads by '%s' depend on all persons: fit them together"):format(self.fit.method), 2)
  end
  local labels, who = as_list(o.labels or {}), {}
  if #labels == 0 then error(("fleet:add: %s has no rows"):format(id), 2) end
  for i = 1, #labels do who[i] = id end
  local wide = self.fit.width > 0
  local r = fit.fit { features = wide and o.features or nil, labels = labels, users = who, offset = o.offset, method = self.fit.method,
    lambda = self.fit.lambda, lambda0 = self.fit.lambda0, mean = wide and self.mean or nil, scale = wide and self.fit.scale or nil,
    folds = "minority" }
  local u = r.per[1]
  local head = not u.one_class and (use == "head" or use == "better" and report.report(r).rows[1].use == "head")
  local person = stats(id, u.n, u.positives, head and "head" or "global")
  local k = self.index[id]
  local scope <close> = core.scope()
  local w = wide and r.heads.w or core.zeros(1, 1)
  local b = core.tensor { r.heads.b[1] }
  if not head then w, b = core.zeros(1, self.w:shape(2)), core.zeros(1) end
  local order = {}
  for i = 1, #self.people do order[i] = i end
  if not k then
    k = #self.people + 1
  end
  order[k] = #self.people + 1
  local all = { w = core.cat({ self.w, w }, { dim = 1 }), b = core.cat({ self.b, b }, { dim = 1 }) }
  self.w, self.b = rearranged(all, order)
  self.people[k], self.index[id] = person, k
  person.message = u.message
  return person
end

--- fl:remove(id) -> what was kept of the person, or nil
-- The head and all that is known of the person leave the fleet; write it with fl:save. What else is kept of him
-- (tables of likes, features)
-- `kooka users remove --data` takes out of the files named there.
function Fleet:remove(id)
  local k = self.index[tostring(id)]
  if not k then return nil end
  if #self.people == 1 then error("fleet:remove: this is the last person: delete the file", 2) end
  local order = {}
  for i = 1, #self.people do
    if i ~= k then order[#order + 1] = i end
  end
  self.w, self.b = rearranged(self, order)
  local gone = table.remove(self.people, k)
  self.index = index(self.people)
  return gone
end

return fleet
