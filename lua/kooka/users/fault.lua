--- users.fault: what is wrong with rows that the solver refused, said with persons and counts.
local fault = {}

local function as_list(x) return type(x) == "userdata" and x:tolist() or x end

local function finite(v) return type(v) == "number" and v - v == 0 end

-- A number as it reads: the sign of nan means nothing.
local function shown(v) return v ~= v and "nan" or tostring(v) end

local function row_of(features, i)
  if type(features) ~= "userdata" then return features[i] end
  return features:narrow(1, i, 1):reshape(features:shape(2)):tolist()
end

-- Why row i cannot be used, or nil.
local function why(i, labels, offset, features)
  local y = labels and labels[i]
  if labels and y ~= 1 and y ~= 2 and type(y) ~= "boolean" then
    return ("its label is %s, expected 1 or 2"):format(shown(y))
  end
  if offset and not finite(offset[i]) then return ("its general logit is %s"):format(shown(offset[i])) end
  if not features then return nil end
  local row = row_of(features, i)
  if type(row) ~= "table" then return "it has no features" end
  for j, v in ipairs(row) do
    if not finite(v) then return ("its feature %d is %s"):format(j, shown(v)) end
  end
end

--- fault.rows{users =, labels = nil, offset = nil, features = nil} -> text or nil
-- "3 of 100 rows cannot be used, of 2 persons; the first is row 30, of ann, who has 25: its feature 2 is nan". Rows are
-- users' many. Slow: for when something was refused already.
function fault.rows(o)
  local users, labels, offset = as_list(o.users), as_list(o.labels), as_list(o.offset)
  local features = type(o.features) == "userdata" and o.features:ndim() ~= 2 and {} or o.features
  local bad, persons, known, total, first, reason = 0, 0, {}, {}, nil, nil
  for i, user in ipairs(users) do
    total[user] = (total[user] or 0) + 1
    local text = why(i, labels, offset, features)
    if text then
      bad, first, reason = bad + 1, first or i, reason or text
      if not known[user] then known[user], persons = true, persons + 1 end
    end
  end
  if not first then return nil end
  return ("%d of %d rows cannot be used, of %d %s; the first is row %d, of %s, who has %d: %s"):format(bad, #users, persons,
    persons == 1 and "person" or "persons", first, tostring(users[first]), total[users[first]], reason)
end

--- fault.guarded(who, o, f, ...) -> what f answers
-- Calls f; when it raises, the error names the persons of the rows of o that are at fault, and blames the caller of who.
function fault.guarded(who, o, f, ...)
  local got = table.pack(pcall(f, ...))
  if got[1] then return table.unpack(got, 2, got.n) end
  local message = got[2]
  if type(message) ~= "string" or message:find("interrupted", 1, true) then error(message, 0) end
  local said, text = pcall(fault.rows, o)
  if said and text then error(who .. ": " .. text, 3) end
  error((message:gsub("^%S+%.lua:%d+: ", "")), 3)
end

return fault
