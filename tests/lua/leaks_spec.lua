--- leaks_spec: a text on both sides is found, also when it was dressed up; several on one side are not.
local lu = require "luaunit"
local leaks = require "kooka.data.leaks"
local split = require "kooka.data.split"
local csv = require "kooka.data.csv"

TestNormalise = {}

function TestNormalise.test_what_near_duplicates_share()
  local plain = leaks.normalise("Qué risa, ÁRBOL ñandú")
  lu.assertEquals(plain, "quérisaárbolñandú")
  for _, text in ipairs {
    "qué RISA árbol ÑANDÚ!!!", "RT @alguien: Qué risa, árbol ñandú https://t.co/abc", "¡Qué   risa…\nárbol «ñandú»! @otra",
    "<user> Qué risa, árbol ñandú <url>", "Qué risa, árbol ñandú pic.twitter.com/xyz",
  } do
    lu.assertEquals(leaks.normalise(text), plain)
  end
  lu.assertEquals(leaks.normalise("@a @b https://t.co/x !!"), "")
  lu.assertNotEquals(leaks.normalise("arte"), leaks.normalise("te"))
end

function TestNormalise.test_texts_of_which_nothing_is_left_do_not_become_one_group()
  local keys = leaks.keys {"@a", "@b", "Hola!", "hola"}
  lu.assertNotEquals(keys[1], keys[2])
  lu.assertEquals(keys[3], keys[4])
end

TestSimilar = {}

function TestSimilar.test_a_joke_told_again_in_other_words_is_found()
  local others = { "nada que ver con esto de aquí", "¿Qué le dice un bosque a otro bosque? ¡Y vos qué!", "le dice un" }
  local like = leaks.similar({
    "#chistes que le dijo un bosque a otro bosque : y vos que?",         -- shares un bosque a, bosque a otro, a otro bosque, y vos ...
    "Qué le dice un bosque a otro bosque y vos qué https://t.co/x", "hoy llueve mucho en la capital", "@a @b !!", "LE DICE UN",
  }, others, { share = .3 })
  lu.assertEquals(like, { 2, 2, false, false, 3 })
  -- Jaccard's index of the first: 3 common runs of 10 and 9
  lu.assertEquals(leaks.similar({ "que le dijo un bosque a otro bosque" }, { "un bosque a otro bosque ríe" }, { share = 3 / 7 }), { 1 })
  lu.assertEquals(leaks.similar({ "que le dijo un bosque a otro bosque" }, { "un bosque a otro bosque ríe" }, { share = .43 }), { false })
end

function TestSimilar.test_texts_of_which_nothing_is_left_are_like_none()
  lu.assertEquals(leaks.similar({ "@a", "" }, { "@b", "", "hola" }), { false, false })
end

TestFind = {}

local texts = {"uno", "dos", "tres", "UNO!!", "dos", "cuatro", "tres"}

function TestFind.test_exact_and_near_pairs_across_the_sides()
  local s = split.given({1, 2, 3, 7}, {4, 5, 6})
  lu.assertEquals(leaks.find(s, texts), {{train = 1, valid = 4, kind = "near"}, {train = 2, valid = 5, kind = "exact"}})
  lu.assertEquals(leaks.find(s, texts, {near = false}), {{train = 2, valid = 5, kind = "exact"}})
  lu.assertErrorMsgContains("2 of 3 held-out texts also stand in the training side: train row 1 = valid row 4 (near)",
    leaks.assert_none, s, texts)
end

function TestFind.test_the_same_text_twice_on_one_side_is_no_leak()
  local s = split.given({1, 3, 7, 4}, {2, 5, 6})
  lu.assertEquals(leaks.find(s, texts), {})
  lu.assertIs(leaks.assert_none(s, texts), s)
end

function TestFind.test_dropping_leaves_none()
  local s, dropped = leaks.drop(split.given({1, 2, 3, 7}, {4, 5, 6}), texts)
  lu.assertEquals(dropped, {1, 2})
  lu.assertEquals({table.unpack(s.train)}, {3, 7})
  leaks.assert_none(s, texts)
end

function TestFind.test_between_two_files()
  lu.assertEquals(leaks.between({"a", "b"}, {"c", "B"}), {{train = 2, valid = 2, kind = "near"}})
end

function TestFind.test_misuse_raises()
  lu.assertErrorMsgContains("expected a split", leaks.find, {1, 2}, texts)
  lu.assertErrorMsgContains("row 9 has no text", leaks.find, split.given({9}, {1}), texts)
end

TestRealFile = {}

function TestRealFile.test_grouping_by_key_leaves_no_leak_in_haha()
  local path = (os.getenv("KK_DATA") or "../shared/data") .. "/haha2019/haha_2019_train.csv"
  local f = io.open(path)
  if not f then lu.skip("no " .. path) end
  f:close()
  local t = assert(csv.read(path, {columns = {"text", "is_humor"}}))
  lu.assertTrue(#leaks.find(split.holdout(t.is_humor), t.text) > 0)
  leaks.assert_none(split.holdout(t.is_humor, {groups = leaks.keys(t.text)}), t.text)
end

os.exit(lu.LuaUnit.run())
