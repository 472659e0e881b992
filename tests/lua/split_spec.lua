--- split_spec: splits are disjoint, complete, stratified, grouped and repeatable.
local lu = require "luaunit"
local split = require "kooka.data.split"
local leaks = require "kooka.data.leaks"
local csv = require "kooka.data.csv"

local function labels_of(counts)
  local out = {}
  for _, pair in ipairs(counts) do
    for _ = 1, pair[2] do out[#out + 1] = pair[1] end
  end
  return out
end

--- Every row of 1..n on exactly one side.
local function assert_partition(s, n)
  local seen = {}
  for _, rows in ipairs {s.train, s.valid} do
    for _, row in ipairs(rows) do
      lu.assertNil(seen[row])
      seen[row] = true
    end
  end
  for i = 1, n do lu.assertTrue(seen[i]) end
  lu.assertEquals(#s.train + #s.valid, n)
end

TestHoldout = {}

function TestHoldout.test_every_label_has_its_share()
  local y = labels_of {{"no", 960}, {"yes", 40}}
  local s = split.holdout(y, {valid = 0.2, seed = 3})
  assert_partition(s, 1000)
  local c = s:counts(y)
  lu.assertEquals(c.train, {no = 768, yes = 32})
  lu.assertEquals(c.valid, {no = 192, yes = 8})
end

function TestHoldout.test_a_rare_label_is_on_both_sides_when_it_has_two_rows()
  for seed = 1, 20 do
    local y = labels_of {{1, 50}, {2, 2}}
    local c = split.holdout(y, {valid = 0.2, seed = seed}):counts(y)
    lu.assertEquals(c.train[2], 1)
    lu.assertEquals(c.valid[2], 1)
  end
end

function TestHoldout.test_the_seed_alone_decides()
  local y = labels_of {{"a", 30}, {"b", 20}}
  local a, b = split.holdout(y, {seed = 5}), split.holdout(y, {seed = 5})
  lu.assertEquals({table.unpack(a.valid)}, {table.unpack(b.valid)})
  lu.assertNotEquals({table.unpack(split.holdout(y, {seed = 6}).valid)}, {table.unpack(a.valid)})
end

function TestHoldout.test_groups_stay_together()
  local y, groups = {}, {}
  for i = 1, 300 do
    y[i] = i % 3 == 0 and 2 or 1
    groups[i] = "g" .. i % 40
  end
  local s = split.holdout(y, {groups = groups, valid = 0.25})
  assert_partition(s, 300)
  local where = {}
  for _, row in ipairs(s.train) do where[groups[row]] = "train" end
  for _, row in ipairs(s.valid) do lu.assertNotEquals(where[groups[row]], "train") end
  lu.assertTrue(math.abs(#s.valid - 75) <= 8)
end

function TestHoldout.test_misuse_raises()
  lu.assertErrorMsgContains("no option 'vaild'", split.holdout, {1, 2}, {vaild = 0.1})
  lu.assertErrorMsgContains("share above 0 and below 1", split.holdout, {1, 2}, {valid = 1})
  lu.assertErrorMsgContains("3 labels but 2 groups", split.holdout, {1, 2, 1}, {groups = {1, 2}})
  lu.assertErrorMsgContains("expected 2 or more", split.holdout, {1})
end

TestKfold = {}

function TestKfold.test_every_row_is_held_out_once_and_labels_differ_by_at_most_one()
  local y = labels_of {{"no", 93}, {"yes", 12}, {"maybe", 7}}
  local held = {}
  for i, s in ipairs(split.kfold(y, {k = 5})) do
    assert_partition(s, #y)
    lu.assertEquals(s.fold, i)
    local c = s:counts(y).valid
    lu.assertTrue(c.no >= 18 and c.no <= 19)
    lu.assertTrue(c.yes >= 2 and c.yes <= 3)
    lu.assertTrue(c.maybe >= 1 and c.maybe <= 2)
    lu.assertTrue(#s.valid >= 21 and #s.valid <= 24)
    for _, row in ipairs(s.valid) do
      lu.assertNil(held[row])
      held[row] = true
    end
  end
  for row = 1, #y do lu.assertTrue(held[row]) end
end

function TestKfold.test_groups_stay_together_and_labels_stay_near_their_share()
  local y, groups = {}, {}
  for i = 1, 1000 do
    y[i] = i % 10 == 0 and "rare" or "common"
    groups[i] = i // 7
  end
  for _, s in ipairs(split.kfold(y, {k = 4, groups = groups})) do
    local where = {}
    for _, row in ipairs(s.train) do where[groups[row]] = true end
    for _, row in ipairs(s.valid) do lu.assertNil(where[groups[row]]) end
    local c = s:counts(y).valid
    lu.assertTrue(c.rare >= 23 and c.rare <= 27)
  end
end

function TestKfold.test_fewer_groups_than_folds_raise()
  lu.assertErrorMsgContains("2 groups for 5 folds", split.kfold, {1, 1, 2, 2}, {groups = {"a", "a", "b", "b"}})
end

TestUsers = {}

--- 20 persons with 100 rows each, 4 of them dislikes; person p saw texts p..p+99 of 120.
local function community()
  local y, users, texts = {}, {}, {}
  for p = 1, 20 do
    for k = 0, 99 do
      y[#y + 1] = k % 25 == p % 25 and "dislike" or "like"
      users[#users + 1] = "user" .. p
      texts[#texts + 1] = "text " .. p + k
    end
  end
  return y, users, texts
end

function TestUsers.test_each_person_has_the_rarer_label_on_both_sides()
  local y, users = community()
  local parts, general, short = split.users(y, users)
  assert_partition(general, #y)
  lu.assertEquals(short, {})
  for u, s in pairs(parts) do
    lu.assertEquals(#s.train + #s.valid, 100)
    for _, row in ipairs(s.train) do lu.assertEquals(users[row], u) end
    local c = s:counts(y)
    lu.assertTrue(c.train.dislike >= 1 and c.valid.dislike >= 1)
    lu.assertEquals(c.train.dislike + c.valid.dislike, 4)
  end
end

function TestUsers.test_adding_a_person_changes_nobody_else()
  local y, users = community()
  local before = split.users(y, users)
  for k = 1, 10 do y[#y + 1], users[#users + 1] = k % 2, "new" end
  local after = split.users(y, users)
  lu.assertEquals({table.unpack(after.user7.valid)}, {table.unpack(before.user7.valid)})
end

function TestUsers.test_a_held_out_text_is_held_out_for_all()
  local y, users, texts = community()
  local parts, general, short = split.users(y, users, {texts = texts})
  assert_partition(general, #y)
  leaks.assert_none(general, texts)
  lu.assertEquals(short, {})
  for _, s in pairs(parts) do
    local c = s:counts(y)
    lu.assertTrue(c.train.dislike >= 1 and c.valid.dislike >= 1)
  end
end

function TestUsers.test_persons_for_whom_it_cannot_be_done_are_named()
  local y, users = {"a", "a", "a", "b", "a", "a"}, {"one", "one", "one", "one", "same", "same"}
  local _, _, short = split.users(y, users)
  lu.assertEquals(short, {"one", "same"})
end

TestRoles = {}

function TestRoles.test_a_side_knows_what_it_is()
  local s = split.holdout {1, 1, 1, 2, 2, 2}
  lu.assertEquals(split.role(s.train), "train")
  lu.assertEquals(split.role(s.valid), "valid")
  lu.assertNil(split.role {1, 2})
  lu.assertTrue(split.is_split(s))
  lu.assertErrorMsgContains("not marked as a training side", s.with_train, s, {1, 2})
end

function TestRoles.test_a_given_split_is_checked()
  lu.assertEquals(#split.given({1, 2}, {3}).train, 2)
  lu.assertErrorMsgContains("row 2 stands in", split.given, {1, 2}, {2})
  lu.assertErrorMsgContains("no row number", split.given, {0}, {2})
end

TestRealPeople = {}

function TestRealPeople.test_votes_split_by_text_for_every_person()
  local path = (os.getenv("KK_DATA") or "../shared/data") .. "/humor_votes_es/votes.tsv"
  local f = io.open(path)
  if not f then lu.skip("no " .. path) end
  f:close()
  local t = assert(csv.read(path, {delimiter = "\t", escapes = true}))
  local y, users, texts = {}, {}, {}
  for i = 1, t.n do
    if t.vote[i]:find("^[x1-5]$") then
      y[#y + 1] = t.vote[i]:find("[3-5]") and 2 or 1
      users[#users + 1], texts[#texts + 1] = t.session[i], t.text[i]
    end
  end
  lu.assertEquals(#y, 24517)
  local keys = leaks.keys(texts)
  local parts, general = split.users(y, users, {texts = keys})
  assert_partition(general, #y)
  leaks.assert_none(general, texts)
  lu.assertTrue(math.abs(#general.valid / #y - 0.3) < 0.02)
  local large, short = 0, 0
  for _, s in pairs(parts) do
    local c = s:counts(y)
    local ones, twos = (c.train[1] or 0) + (c.valid[1] or 0), (c.train[2] or 0) + (c.valid[2] or 0)
    if ones + twos >= 50 and math.min(ones, twos) >= 2 then
      large = large + 1
      local rare = twos < ones and 2 or 1
      if not c.train[rare] or not c.valid[rare] then short = short + 1 end
    end
  end
  lu.assertTrue(large >= 80)
  lu.assertTrue(short <= 2)
end

TestJoin = {}

function TestJoin.test_rows_that_share_any_key_are_one_group()
  local users = {"a", "a", "b", "c", "d", "e"}
  local texts = {"1", "2", "2", "3", "4", "4"}
  local g, about = split.join(users, texts)
  lu.assertEquals(g, {1, 1, 1, 2, 3, 3})               -- a and b share text 2, d and e share text 4
  lu.assertEquals(about.groups, 3)
  lu.assertEquals(about.largest, 3)
  lu.assertEquals(split.join({"x", "y", "x"}), {1, 2, 1})
  lu.assertEquals(split.join({false, false, "u"}, {"p", "q", "p"}), {1, 2, 1})
  lu.assertErrorMsgContains("keys 2 have 1", split.join, {1, 2}, {1})
  lu.assertErrorMsgContains("row 2 has no key in list 2", split.join, {1, 2, 3}, {1, nil, 3})
end

function TestJoin.test_a_long_chain_is_one_group()
  local a, b = {}, {}
  for i = 1, 2000 do a[i], b[i] = (i + 1) // 2, i // 2 end
  local _, about = split.join(a, b)
  lu.assertEquals(about.groups, 1)
  lu.assertEquals(about.share, 1)
end

--- Users, texts with near duplicates: neither a user nor a text stands on both sides, and classes keep their shares.
function TestJoin.test_folds_by_user_and_near_duplicate_text_are_clean_and_fair()
  local stream, y, users, texts = require("kooka").random("split_spec", 2), {}, {}, {}
  for i = 1, 1200 do
    users[i] = "u" .. stream:below(400)
    y[i] = stream:uniform() < .3 and 2 or 1
    texts[i] = "Chiste numero " .. i
    if i % 60 == 0 then texts[i] = "RT @x: chiste NUMERO " .. (i - stream:below(50)) .. " !!" end
  end
  local keys = leaks.keys(texts)
  local groups, about = split.join(users, keys)
  lu.assertTrue(about.share < .1, about.text)
  local parts = split.kfold(y, {k = 5, seed = 4, groups = groups})
  local total = 0
  for _, s in ipairs(parts) do
    assert_partition(s, 1200)
    lu.assertEquals(#leaks.find(s, texts), 0)
    local side = {}
    for _, row in ipairs(s.train) do side[users[row]] = true end
    for _, row in ipairs(s.valid) do lu.assertNil(side[users[row]]) end
    local c = s:counts(y).valid
    lu.assertAlmostEquals(c[2] / (c[1] + c[2]), .3, .04)
    total = total + #s.valid
  end
  lu.assertEquals(total, 1200)
  local folds = split.folds(parts)
  for k, s in ipairs(parts) do
    for _, row in ipairs(s.valid) do lu.assertEquals(folds[row], k) end
  end
  -- users alone let a duplicate through: the test can fail
  local leaking = 0
  for _, s in ipairs(split.kfold(y, {k = 5, seed = 4, groups = users})) do leaking = leaking + #leaks.find(s, texts) end
  lu.assertTrue(leaking > 0)
end

function TestJoin.test_one_group_of_most_rows_is_refused()
  local y, groups = {}, {}
  for i = 1, 100 do y[i], groups[i] = i % 2 + 1, i <= 60 and "all" or i end
  lu.assertErrorMsgContains("one group holds 60 of 100 rows", split.kfold, y, {k = 5, groups = groups})
end

os.exit(lu.LuaUnit.run())
