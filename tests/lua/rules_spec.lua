--- rules_spec: each cleaning rule, the list as a whole, and real tweets.
local lu = require "luaunit"
local rules = require "kooka.text.rules"
local core = require "kooka.core"

local function one(name) return function(text) return rules.clean(text, { name }) end end

local function each(name, cases)
  local f = one(name)
  for text, want in pairs(cases) do lu.assertEquals(f(text), want) end
end

TestRules = {}

function TestRules:test_entities_also_escaped_twice_or_half_lost()
  each("entities", {
    ["a &amp; b &lt;3 &quot;x&quot;"] = "a & b <3 \"x\"",
    ["&amp;lt;3 &amp;amp;gt;"] = "<3 >",
    ["&#39;&#x1F923;&#128; &ntilde;&iquest;"] = "'🤣€ ñ¿",
    ["it#39;s quot;q quot"] = "it#39;s \"q quot",
    ["l #39;a"] = "l 'a",
    ["uno<br />dos<br>tres"] = "uno\ndos\ntres",
    ["R&B &nada; & &#xD800; &#99999999; &"] = "R&B &nada; & &#xD800; &#99999999; &",
  })
end

function TestRules:test_escapes_become_the_character()
  each("escapes", { ["a<U+1F923>b<U+00E9>"] = "a🤣bé", ["<U+0001F600>"] = "😀", ["<U+D800> <U+12> <U+1F923"] = "<U+D800> <U+12> <U+1F923" })
end

function TestRules:test_letters_in_dress_become_plain()
  each("fancy", { ["𝗛𝗼𝗹𝗮 ２０ Ⓐ ½"] = "Hola 20 A ½" })
end

function TestRules:test_control_characters_and_spaces()
  each("control", {
    ["a\r\nb\rc\u{2028}d\u{85}e"] = "a\nb\nc\nd\ne",
    ["a\tb\u{a0}c\u{3000}d\u{2009}e"] = "a b c d e",
    ["\u{feff}a\0b\u{200b}c\u{ad}d\u{202e}e\27f"] = "abcdef",
    ["👨‍👩‍👧❤️"] = "👨‍👩‍👧❤️",
  })
end

function TestRules:test_urls_even_cut_short_or_masked()
  each("urls", {
    ["mira https://t.co/aB3. ya"] = "mira  xxurl . ya",
    ["(http://a.es/x?y=1&z=2)"] = "( xxurl )",
    ["vía http… y https://t…"] = "vía  xxurl  y  xxurl ",
    ["palabrahttps://t.co/x"] = "palabra xxurl ",
    ["www.a.es pic.twitter.com/abc t.co/x http"] = " xxurl   xxurl   xxurl   xxurl ",
    ["<url> httpd http-equiv awww.x"] = " xxurl  httpd http-equiv awww.x",
    ["«https://a.es/ñandú»😂"] = "« xxurl »😂",
  })
end

function TestRules:test_users_but_not_mail_addresses()
  each("users", { ["@Ana_3: hola,@b"] = " xxuser : hola, xxuser ", ["a@b.es @ <user>"] = "a@b.es @  xxuser " })
end

function TestRules:test_hashtags_are_cut_into_words()
  each("hashtags", {
    ["#LosNiñosBonitos2 ya"] = "# Los Niños Bonitos 2 ya",
    ["#LOLSi #feliz_navidad #ÑoñoÉl"] = "# LOL Si # feliz navidad # Ñoño Él",
    ["# nada a#b"] = "# nada a#b",
  })
end

function TestRules:test_newlines_stand_alone_between_spaces()
  each("newlines", { ["uno.\n\n dos\ntres\n"] = "uno. xxnl dos xxnl tres", ["\n"] = "", ["a b"] = "a b" })
end

function TestRules:test_repeats_of_characters_as_people_count_them()
  each("char_repeats", {
    ["noooo nooo"] = "n xxrep 4 o  nooo",
    ["!!!!!!"] = " xxrep 6 ! ",
    ["😂😂😂😂"] = " xxrep 4 😂 ",
    ["❤️❤️❤️❤️❤️"] = " xxrep 5 ❤️ ",
    ["👍🏽👍🏽👍🏽👍🏽"] = " xxrep 4 👍🏽 ",
    ["👍🏽👍🏽👍👍"] = "👍🏽👍🏽👍👍",
    ["🇪🇸🇪🇸🇪🇸🇪🇸"] = " xxrep 4 🇪🇸 ",
    ["ñññññ    ...."] = " xxrep 5 ñ      xxrep 4 . ",
    [("a"):rep(5000)] = " xxrep 999 a ",
  })
end

function TestRules:test_repeats_of_words()
  each("word_repeats", {
    ["no no no no!"] = " xxwrep 4 no !",
    ["No, no, NO, no quiero"] = " xxwrep 4 No  quiero",
    ["no no no"] = "no no no",
    ["ja ja ja ja ja"] = " xxwrep 5 ja ",
    ["si sino si si si"] = "si sino si si si",
    ["él él él él"] = " xxwrep 4 él ",
  })
end

function TestRules:test_capitals_of_any_alphabet()
  each("caps", {
    ["ESTE AÑO É OK LOL!"] = "xxup este xxup año É OK xxup lol!",
    ["(ÁRBOL)"] = "( xxup árbol)",
    ["COVID19 iPHONE Hola"] = "xxup covid19 iPHONE Hola",
    ["ПРИВЕТ"] = "xxup привет",
  })
  each("maj", { ["Hola Él A mcD"] = "xxmaj hola xxmaj él A mcD" })
  each("lower", { ["Hola ÉL"] = "hola él" })
end

function TestRules:test_spaces_around_signs_and_never_two()
  each("spaces", { ["a/b#c?d!e@f,g"] = "a / b # c ? d ! e @ f , g", ["¿qué? ¡no!"] = "¿ qué ? ¡ no !", ["a , b"] = "a , b" })
  each("squeeze", { ["  a  b   c "] = "a b c", ["   "] = "", [""] = "" })
end

function TestRules:test_goal_keeps_its_shout()
  lu.assertEquals(rules.clean("GOOOOOL!"), "xxup g xxrep 5 o l !")
end

function TestRules:test_the_usual_list_on_one_tweet()
  lu.assertEquals(rules.clean("<U+1F923>JAJAJA!!!! &amp;lt;3\r\n\nMira @juan_ https://t.co/abc. #Ñam"),
    "🤣 xxup jajaja xxrep 4 ! <3 xxnl mira xxuser xxurl . # ñam")
end

function TestRules:test_lists_are_cut_and_extended_without_touching_the_default()
  local n = #rules.default
  local list = rules.default:without("users", "lower"):before("newlines", "hashtags")
  lu.assertEquals(#rules.default, n)
  lu.assertEquals(rules.clean("@Ana #DosCosas", list), "@ Ana # Dos Cosas")
  local laugh = rules.new("laughter", "jajaja -> xxja", function(text) return (text:gsub("jaja[ja]*", "xxja")) end)
  list = rules.default:before("spaces", laugh)
  lu.assertEquals(rules.clean("JAJAJA #si", list), "xxup xxja # si")
  lu.assertEquals(rules.clean_all({ "jajaja", "no" }, list), { "xxja", "no" })
  lu.assertEquals(rules.clean("A", rules.default:replace("lower", laugh)), "A")
  lu.assertEquals(laugh("jajaja"), "xxja")
  lu.assertErrorMsgContains("no rule 'nope'", rules.clean, "a", { "nope" })
  lu.assertErrorMsgContains("no rule 'nope'", function() return rules.default:without("nope") end)
  lu.assertStrContains(tostring(rules.default), "xxurl")
end

function TestRules:test_explain_says_what_each_rule_did()
  local steps = rules.explain("HOLA  @ana")
  local did = {}
  for i, step in ipairs(steps) do did[i] = step.rule end
  lu.assertEquals(did, { "users", "caps", "squeeze" })
  lu.assertEquals(steps[1].before, "HOLA  @ana")
  lu.assertEquals(steps[#steps].after, "xxup hola xxuser")
  lu.assertStrContains(tostring(steps), "xxuser")
end

function TestRules:test_text_that_is_not_utf8_is_refused_by_number()
  local text, message, code = rules.clean("a\xffb")
  lu.assertNil(text)
  lu.assertEquals(code, "format")
  lu.assertStrContains(message, "byte 2")
  lu.assertStrContains(select(2, rules.clean_all { "a", "b", "\xc3" }), "text 3: text: byte 1")
  lu.assertErrorMsgContains("text 2 is table", rules.clean_all, { "a", {} })
end

function TestRules:test_same_answer_for_one_text_many_texts_and_any_threads()
  local texts, want = {}, {}
  for i = 1, 500 do
    texts[i] = ("Texto %d %s!!!! @u%d"):format(i, ("ÑA"):rep(i % 9), i)
    want[i] = rules.clean(texts[i])
  end
  local threads = core.sys.threads()
  for _, n in ipairs { 1, 2, 5 } do
    core.sys.threads(n)
    lu.assertEquals(rules.clean_all(texts), want)
  end
  core.sys.threads(threads)
  lu.assertEquals(rules.clean_all {}, {})
end

function TestRules:test_hostile_text_does_not_break_any_rule()
  local alphabet = { "&", "amp;", "#", "39;", "<U+", "1F923>", "<br", " />", "http", "s://", "…", "@", "a", "É", "\n", "\0", "\u{200d}",
    "❤️", "🇪", "🏽", "xxrep", " ", "4", "_", "\u{301}", "<user>", "!", "www.", "\r", "-" }
  math.randomseed(7)
  for _ = 1, 4000 do
    local parts = {}
    for i = 1, math.random(0, 24) do parts[i] = alphabet[math.random(#alphabet)] end
    local text = table.concat(parts)
    for _, rule in ipairs(rules.all) do lu.assertTrue(core.unicode.valid(rule(text))) end
    local clean = rules.clean(text)
    lu.assertFalse(clean:find("  ", 1, true) or clean:find("^ ") or clean:find(" $") or clean:find("[\n\r\0]") or false)
  end
end

local function real_tweets()
  local texts, bytes = {}, 0
  for _, name in ipairs { "tweeteval/irony/train_text.txt", "tweeteval/emoji/train_text.txt", "haha2019/haha_2019_train.csv" } do
    local f = io.open("../shared/data/" .. name, "rb")
    if not f then return nil end
    for line in f:lines() do
      texts[#texts + 1] = line
      bytes = bytes + #line
    end
    f:close()
  end
  return texts, bytes
end

function TestRules:test_cleaning_real_tweets_twice_changes_almost_none_and_marks_stand_alone()
  local texts, bytes = real_tweets()
  lu.skipIf(not texts, "no ../shared/data")
  local start = core.sys.now()
  local once = rules.clean_all(texts)
  print(("# %.1f MB in %.2f s on %d threads"):format(bytes / 1e6, core.sys.now() - start, core.sys.threads()))
  local twice, changed = rules.clean_all(once), 0
  for i, text in ipairs(once) do
    if text ~= twice[i] then changed = changed + 1 end
    for mark in text:gmatch("%S*xxu[rs][le]%S*") do lu.assertTrue(mark == "xxurl" or mark == "xxuser") end
  end
  lu.assertTrue(changed * 10000 <= #texts)
end

os.exit(lu.LuaUnit.run())
