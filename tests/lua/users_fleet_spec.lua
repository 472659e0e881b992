--- users_fleet_spec: heads of all persons in one file; one person is added, refreshed or removed without touching the others.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local csv = require "kooka.data.csv"
local fleet = require "kooka.users.fleet"
local users = require "kooka.users"
local sys, json = kooka.sys, kooka.json

local stored = kooka.try(sys.realpath((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/checkpoints"))
local MODEL = stored .. "/lstm_classifier"

local function community(persons, rows, d)
  local s = kooka.random("users fleet", 5)
  local x = kooka.randn(persons * rows, d, s)
  local list, c = x:tolist(), { features = x:keep(), labels = {}, users = {}, offset = {} }
  for k = 1, persons do
    local taste = 2 * s:normal()
    for i = (k - 1) * rows + 1, k * rows do
      c.offset[i], c.users[i] = list[i][1], "p" .. k
      c.labels[i] = s:uniform() < 1 / (1 + math.exp(-list[i][1] - taste * list[i][2])) and 2 or 1
    end
  end
  return c
end

local function take(list, from, n) return table.move(list, from, from + n - 1, 1, {}) end

TestUsersFleet = {}

function TestUsersFleet:setUp() self.folder = helper.folder() end

function TestUsersFleet:fitted()
  local c = community(6, 40, 5)
  return c, users.fit { features = c.features, labels = c.labels, users = c.users, offset = c.offset, lambda = 2, lambda0 = 1 }
end

function TestUsersFleet:test_a_file_gives_the_same_predictions_as_the_fit()
  local c, r = self:fitted()
  local path = self.folder .. "/heads.safetensors"
  kooka.try(fleet.new(r, { model = "encoder 1" }):save(path))
  local fl = kooka.try(fleet.load(path))
  lu.assertEquals({ fl:size(), fl.model, fl.fit.method, fl.fit.width }, { 6, "encoder 1", "map", 5 })
  local want = users.predict(r, { features = c.features, users = c.users, offset = c.offset })
  local got = fl:predict { features = c.features, users = c.users, offset = c.offset }
  for i = 1, #want, 7 do lu.assertAlmostEquals(got[i], want[i], 1e-6) end
  lu.assertAlmostEquals(fl:predict_one("p2", c.features[41], c.offset[41]), want[41], 1e-6)
  lu.assertAlmostEquals(fl:predict_one("stranger", c.features[41], c.offset[41]), 1 / (1 + math.exp(-c.offset[41])), 1e-12)
end

function TestUsersFleet:test_refreshing_adding_and_removing_leave_the_others_bit_for_bit()
  local c, r = self:fitted()
  local fl = fleet.new(r)
  local before = fl.w:tolist()
  local x, y, o = c.features:narrow(1, 41, 40):contiguous():keep(), take(c.labels, 41, 40), take(c.offset, 41, 40)
  local kept = fl:add("p2", { features = x, labels = y, offset = o })
  lu.assertEquals({ kept.n, kept.use }, { 40, "head" })
  for k, row in ipairs(fl.w:tolist()) do
    for j, v in ipairs(row) do
      if k == 2 then lu.assertAlmostEquals(v, before[k][j], 1e-5) else lu.assertEquals(v, before[k][j]) end
    end
  end
  fl:add("new", { features = x, labels = y, offset = o })
  lu.assertEquals(fl:size(), 7)
  for j, v in ipairs(fl.w[7]:tolist()) do lu.assertAlmostEquals(v, before[2][j], 1e-5) end
  lu.assertEquals(fl:remove("p1").id, "p1")
  lu.assertNil(fl:remove("p1"))
  lu.assertNil(fl:person("p1"))
  lu.assertEquals(fl.w[2]:tolist(), before[3])
  lu.assertEquals(fl:person("new").n, 40)
  local one = fl:add("p3", { features = x:narrow(1, 1, 4), labels = { 2, 2, 2, 2 }, offset = take(o, 1, 4) })
  lu.assertEquals(one.use, "global")
  lu.assertStrContains(one.message, "p3: all 4 rows are of class 2")
end

function TestUsersFleet:test_a_head_that_is_not_shown_to_be_better_is_not_used_when_asked_so()
  local c, r = self:fitted()
  local fl = fleet.new(r)
  local x, stream, chance = c.features:narrow(1, 41, 40):contiguous():keep(), kooka.random("chance", 2), {}
  for i = 1, 40 do chance[i] = stream:uniform() < 1 / (1 + math.exp(-c.offset[40 + i])) and 2 or 1 end
  local function add(id, labels, use) return fl:add(id, { features = x, labels = labels, offset = take(c.offset, 41, 40), use = use }) end
  lu.assertEquals(add("as general", chance, "better").use, "global")
  for _, v in ipairs(fl.w[7]:tolist()) do lu.assertEquals(v, 0) end
  lu.assertEquals(add("as general", chance).use, "head")
  local own, list = {}, x:tolist()
  for i = 1, 40 do own[i] = list[i][2] - list[i][1] > 0 and 2 or 1 end
  lu.assertEquals(add("another taste", own, "better").use, "head")
  lu.assertEquals(add("another taste", own, "global").use, "global")
  lu.assertErrorMsgContains("use is always, expected head, better or global", add, "x", own, "always")
  lu.assertErrorMsgContains("fleet:add: x has no rows", add, "x", {})
  lu.assertErrorMsgContains("fleet:predict: 1 of 2 rows cannot be used, of 1 person; the first is row 2, of p2, who has 1: its feature 3 is nan",
    fl.predict, fl, { users = { "p1", "p2" }, features = { { 0, 0, 0, 0, 0 }, { 0, 0, 0 / 0, 0, 0 } }, offset = { 0, 0 } })
end

function TestUsersFleet:test_what_is_wrong_with_a_file_is_said()
  local c, r = self:fitted()
  local twice = setmetatable({ users = { 1, "1", 3, 4, 5, 6 } }, { __index = r })
  lu.assertErrorMsgContains("the id 1 is there twice (persons 1 and 2)", fleet.new, twice)
  local path = self.folder .. "/other.safetensors"
  kooka.try(kooka.save_safetensors(path, { w = kooka.zeros(2, 2) }))
  local fl, message, code = fleet.load(path)
  lu.assertNil(fl)
  lu.assertStrContains(message, "not a file of users' heads")
  lu.assertEquals(code, "format")
  kooka.try(kooka.save_safetensors(path, { w = kooka.zeros(2, 2), b = kooka.zeros(2), mean = kooka.zeros(2) }, { kooka_users = "9" }))
  lu.assertStrContains(select(2, fleet.load(path)), "version 9, this kooka reads 1")
  local p = users.fit { features = c.features, labels = c.labels, users = c.users, offset = c.offset, method = "prototypes", lambda = 1 }
  lu.assertErrorMsgContains("depend on all persons", fleet.new(p).add, fleet.new(p), "p1", { labels = { 1 }, offset = { 0 } })
end

local WORDS = { "the bird laughs", "rain falls", "grey streets today", "why not", "a loud bird", "wet rain on streets", "today the bird", "rain" }

function TestUsersFleet:table_of(path, people)
  local rows = {}
  for k, name in ipairs(people) do
    for i = 1, 24 do
      local word = WORDS[(i + k) % #WORDS + 1] .. " " .. i
      rows[#rows + 1] = { name, word, (word:find("bird") and 1 or 0) == (k % 2) and "1" or "0" }
    end
  end
  kooka.try(csv.write(path, { "user", "text", "label" }, rows))
end

function TestUsersFleet:test_the_command_adds_predicts_lists_and_removes()
  local data, heads, out = self.folder .. "/likes.csv", self.folder .. "/heads.safetensors", self.folder .. "/out.csv"
  self:table_of(data, { "ann", "bob", "cy" })
  local status, text, err = helper.run { "users", "add", heads, "--model", MODEL, "--class", "bird", "--data", data, "--all" }
  lu.assertEquals({ status, err }, { 0, "" })
  lu.assertStrContains(text, "3 persons added or refreshed from 72 rows; now 3 persons")
  local before = kooka.try(fleet.load(heads)).w:tolist()
  local more = self.folder .. "/more.csv"
  self:table_of(more, { "bob", "dan" })
  status, text = helper.run { "users", "add", heads, "--model", MODEL, "--class", "bird", "--data", more, "--json" }
  lu.assertEquals(status, 0)
  lu.assertEquals(json.decode(text).persons, 4)
  local after = kooka.try(fleet.load(heads))
  lu.assertEquals({ after.w[1]:tolist(), after.w[3]:tolist() }, { before[1], before[3] })
  status, text = helper.run { "users", "predict", heads, "--model", MODEL, "--class", "bird", "--data", data, "--out", out }
  lu.assertEquals(status, 0)
  lu.assertStrContains(text, "72 rows, 0 of persons without a head")
  lu.assertEquals(kooka.try(csv.read(out)).n, 72)
  status, text = helper.run { "users", "list", heads }
  lu.assertEquals(status, 0)
  lu.assertStrContains(text, "dan")
  status = helper.run { "users", "features", heads, "--out", out }
  lu.assertEquals(status, 0)
  lu.assertEquals(kooka.try(csv.read(out)).n, 4)
  status, text = helper.run { "users", "remove", heads, "ann", "--data", data }
  lu.assertEquals(status, 0)
  lu.assertStrContains(text, "the head of ann is removed; 24 rows taken out of")
  lu.assertEquals(kooka.try(csv.read(data)).n, 48)
  lu.assertNil(kooka.try(fleet.load(heads)):person("ann"))
end

function TestUsersFleet:test_the_command_plans_forecasts_and_compares()
  local data, heads, out = self.folder .. "/likes.csv", self.folder .. "/heads.safetensors", self.folder .. "/out.csv"
  self:table_of(data, { "ann", "bob", "cy", "dan" })
  local function run(...)
    local status, text, err = helper.run { "users", ... }
    lu.assertEquals({ status, err }, { 0, "" })
    return text
  end
  local text = run("expect", data)
  lu.assertStrContains(text, "Before training: 4 persons, a verdict is possible for 4")
  run("add", heads, "--model", MODEL, "--class", "bird", "--data", data, "--all")
  text = run("forecast", data, "--model", MODEL, "--class", "bird", "--more", "5")
  lu.assertStrContains(text, "5 more of the smaller class for a typical person: average precision")
  local got = json.decode(run("next", heads, "ann", "--model", MODEL, "--class", "bird", "--data", data, "--count", "3", "--json"))
  lu.assertEquals({ #got.next, got.labelled, got.candidates, got.head }, { 3, 24, 72, true })
  for _, one in ipairs(got.next) do
    lu.assertFalse(kooka.sys.read_file(data):find("ann," .. one.text .. ",", 1, true) ~= nil)
  end
  text = run("features", heads, "--model", MODEL, "--class", "bird", "--data", data, "--texts", data, "--out", out)
  local t, width = kooka.try(csv.read(out)), kooka.try(fleet.load(heads)).fit.width
  lu.assertStrContains(text, ("4 persons, %d numbers each"):format(1 + 2 * width + 96))
  lu.assertEquals(#t.columns, 2 + 2 * width + 96)
  run("predict", heads, "--model", MODEL, "--class", "bird", "--data", data, "--out", out)
  lu.assertAlmostEquals(tonumber(t.data.t30[2]), tonumber(kooka.try(csv.read(out)).prob[30]), 1e-5)      -- row 30 is bob's
  text = run("differ", "ann", "bob", "--model", MODEL, "--data", data, "--permutations", "99")
  lu.assertStrContains(text, "ann (24 texts) and bob (24): energy distance")
end

function TestUsersFleet:test_rows_that_are_there_twice_are_said()
  local data = self.folder .. "/twice.csv"
  self:table_of(data, { "ann" })
  local t = kooka.try(csv.read(data))
  local rows = {}
  for i = 1, t.n do rows[i] = { t.user[i], t.text[i], t.label[i] } end
  rows[25], rows[26] = rows[1], { "ann", t.text[2], t.label[2] == "1" and "0" or "1" }
  kooka.try(csv.write(data, { "user", "text", "label" }, rows))
  local status, text = helper.run { "users", "add", self.folder .. "/h", "--model", MODEL, "--class", "bird", "--data", data, "--all" }
  lu.assertEquals(status, 0)
  lu.assertStrContains(text, "1 persons added or refreshed from 24 rows")
  lu.assertStrContains(text, "2 rows are there twice for a person and were read once (1 of them have another label there: the first counts)")
end

function TestUsersFleet:test_the_command_says_what_is_wrong()
  local status, _, err = helper.run { "users", "add", "x" }
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "add wants --model FOLDER and --data FILE.csv")
  status, _, err = helper.run { "users", "list", self.folder .. "/none" }
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "none")
  local data = self.folder .. "/bad.csv"
  kooka.try(csv.write(data, { "user", "text", "label" }, { { "ann", "a", "7" } }))
  status, _, err = helper.run { "users", "add", self.folder .. "/h", "--model", MODEL, "--data", data }
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "row 1, column label: '7', expected 1 or 0")
  self:table_of(data, { "ann" })
  for _, case in ipairs {
    { 1, "row 1, column label", "expect", self.folder .. "/labels.csv" },
    { 2, "forecast wants --model FOLDER", "forecast", data },
    { 2, "--more wants a whole number from 1 on, got x", "forecast", data, "--model", MODEL, "--more", "x" },
    { 1, "only 1 of 1 persons have 3 rows of each class", "forecast", data, "--model", MODEL, "--class", "bird" },
    { 2, "next wants --model FOLDER and --data FILE.csv", "next", "h", "ann" },
    { 2, "differ wants", "differ", "ann", "bob" },
    { 1, "bob has 0 texts, 2 are the least", "differ", "ann", "bob", "--model", MODEL, "--data", data },
    { 2, "wants two persons", "differ", "ann" },
  } do
    kooka.try(csv.write(self.folder .. "/labels.csv", { "user", "label" }, { { "ann", "maybe" } }))
    status, _, err = helper.run { "users", table.unpack(case, 3) }
    lu.assertEquals({ status, case[3] }, { case[1], case[3] })
    lu.assertStrContains(err, case[2])
  end
end

os.exit(lu.LuaUnit.run())
