--- checkpoint: where a fit stands, in a file from which it goes on to the same bits: weights, the optimizer's moments, carried
-- states, partial sums, the random stream and whatever the callbacks keep.
-- The file is written aside, synced to the disk and renamed; the one before stays beside it as PATH.previous, and
-- PATH.sums holds the SHA-256 of both, so that a damaged file is known as one and the one before is used.
local core = require "kooka.core"
local sys = core.sys

local checkpoint = {}

---- numbers that JSON lacks -------------------------------------------------------------------------

local function encodable(v)
  if type(v) == "number" and (v ~= v or v == math.huge or v == -math.huge) then return { ["not finite"] = tostring(v) } end
  if type(v) ~= "table" then return v end
  local out = {}
  for k, x in pairs(v) do out[k] = encodable(x) end
  return out
end

local function decoded(v)
  if type(v) ~= "table" then return v end
  local special = v["not finite"]
  if special then return special:find("nan") and 0 / 0 or special:sub(1, 1) == "-" and -math.huge or math.huge end
  for k, x in pairs(v) do v[k] = decoded(x) end
  return v
end

local function encode(v) return core.json.encode(encodable(v)) end
local function list_text(list) return #list == 0 and "[]" or encode(list) end

---- states: tables of tables of tensors, under names that say where each one belongs -----------------

local function flatten(state, prefix, out)
  for k, v in pairs(state or {}) do
    local name = prefix .. (math.type(k) == "integer" and "#" .. k or k)
    if type(v) == "table" then flatten(v, name .. ".", out) else out[name] = v end
  end
  return out
end

local function unflatten(tensors)
  local state = {}
  for name, t in pairs(tensors) do
    local at, keys = state, {}
    for part in name:gmatch("[^.]+") do keys[#keys + 1] = part:match("^#(.+)$") and math.tointeger(part:sub(2)) or part end
    for i = 1, #keys - 1 do
      at[keys[i]] = at[keys[i]] or {}
      at = at[keys[i]]
    end
    at[keys[#keys]] = t
  end
  return state
end

---- files -------------------------------------------------------------------------------------------

-- The set of SHA-256 that were written down, or nil.
local function sums_of(path)
  local text = sys.read_file(path .. ".sums", 1 << 20)
  local list = text and core.json.decode(text)
  if type(list) ~= "table" or type(list.sha256) ~= "table" then return nil end
  local set = {}
  for _, sum in ipairs(list.sha256) do set[sum] = true end
  return set
end

-- What is wrong with the file (nil: it is whole), and its SHA-256.
local function damage(path, sums)
  if not sums then return nil end                 -- from before there were sums: its header alone speaks for it
  local sum, message = sys.sha256_file(path)
  if not sum then return message end
  return not sums[sum] and "its contents are not those that were written" or nil, sum
end

local function must(ok, message)
  if not ok then error(message, 0) end
  return ok
end

-- What stands under a path, as far as this process has written or checked it: path -> SHA-256.
local standing = {}

-- path -> path.previous, path.new -> path. At any moment one of them is whole, and its sum is in path.sums.
local function commit(path)
  local new, old = must(sys.sha256_file(path .. ".new")), nil
  if sys.exists(path) then old = standing[path] or must(sys.sha256_file(path)) end
  must(sys.write_file(path .. ".sums", core.json.encode { sha256 = { new, old } } .. "\n"))
  if old then must(sys.rename(path, path .. ".previous")) end
  must(sys.rename(path .. ".new", path))
  standing[path] = new
end

--- checkpoint.save(path, {model=, opt=, at=, carried=nil})
-- at: a plain table (strings, finite or infinite numbers, lists) with epoch and history; carried: tables of tensors.
-- Raises when it cannot be written; the one before is then as it was.
function checkpoint.save(path, o)
  local all = {}
  for name, t in pairs(o.model:state()) do all["model." .. name] = t end
  local moments, count = o.opt:state()
  for name, t in pairs(moments) do all["optimizer." .. name] = t end
  for name, t in pairs(flatten(o.carried, "", {})) do all["carried." .. name] = t end
  local seed, drawn = core.op_stream():state()
  local ok, message = core.save_safetensors(path .. ".new", all, {
    epoch = tostring(o.at.epoch), count = tostring(count), stream_seed = tostring(seed), stream_count = tostring(drawn),
    history = list_text(o.at.history), precision = core.precision(), at = encode(o.at.rest or {}),
  })
  if ok then ok, message = pcall(commit, path) end
  if not ok then
    sys.remove(path .. ".new")
    local at, past = message:find(path .. ".new", 1, true)
    error(at and message:sub(1, at - 1) .. path .. message:sub(past + 1) or message, 0)
  end
end

--- checkpoint.finish(path)
-- The fit is over: the one before is not needed any more.
function checkpoint.finish(path)
  for _, ending in ipairs { ".previous", ".new" } do
    if sys.exists(path .. ending) then sys.remove(path .. ending) end
  end
end

-- The newest whole file: tensors, metadata. Says which one was passed over, and puts the good one in its place.
local function newest(path, say)
  local sums, wrong = sums_of(path), nil
  for _, candidate in ipairs { path, path .. ".previous" } do
    if sys.exists(candidate) then
      local why, sum = damage(candidate, sums)
      local all, meta
      if not why then
        all, meta = core.load_safetensors(candidate)
        if not all then why = meta end
      end
      if not why then
        if candidate ~= path then must(sys.rename(candidate, path)) end
        standing[path] = sum
        if wrong then say(("%s; going on from the one before it"):format(wrong)) end
        return all, meta
      end
      why = why:find(candidate, 1, true) and why or candidate .. ": " .. why
      wrong = (wrong and wrong .. "; " or "checkpoint ") .. why
    end
  end
  if wrong then                                   -- there, but not readable: starting anew would hide that
    error(("%s; no whole one is left: remove %s* and this fit begins anew"):format(wrong, path), 0)
  end
  return nil
end

local function integer(text) return math.tointeger(tonumber(text)) end

--- checkpoint.load(path, {model=, opt=, say=print}) -> {epoch=, history=, rest=, carried=} | nil
-- nil: there is none. A damaged one is passed over for the one before, in a line that names it; raises when neither is
-- whole, when it was computed in another precision, or does not fit the model.
function checkpoint.load(path, o)
  local all, meta = newest(path, o.say or print)
  if not all then return nil end
  if not (integer(meta.epoch) and integer(meta.count) and meta.history) then
    error(path .. " is not the checkpoint of a fit: its metadata lack epoch, count or history", 0)
  end
  if meta.precision and meta.precision ~= core.precision() then
    error(("%s was computed in %s, this fit uses %s: it cannot go on to the same bits"):format(path, meta.precision,
      core.precision()), 0)
  end
  local parts = { model = {}, optimizer = {}, carried = {} }
  for name, t in pairs(all) do
    local part, rest = name:match("^(%w+)%.(.*)")
    if not parts[part] then error(("%s is not the checkpoint of a fit: it holds a tensor '%s'"):format(path, name), 0) end
    parts[part][rest] = t
  end
  o.model:load_state(parts.model)
  o.opt:load_state(parts.optimizer, integer(meta.count))
  core.op_stream():state(integer(meta.stream_seed), integer(meta.stream_count))
  return { epoch = integer(meta.epoch), history = decoded(core.json.decode(meta.history)),
    rest = decoded(meta.at and core.json.decode(meta.at) or {}), carried = next(parts.carried) and unflatten(parts.carried) or nil }
end

return checkpoint
