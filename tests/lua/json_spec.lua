--- json_spec: kooka.json reads and writes JSON exactly and refuses what is not JSON.
local lu = require "luaunit"
local kooka = require "kooka"
local json = kooka.json

local function refuses(text, pattern, opts)
  local v, message, code = json.decode(text, opts)
  lu.assertNil(v)
  lu.assertEquals(code, "format")
  lu.assertStrContains(message, pattern)
end

TestJson = {}

function TestJson:test_64_bit_integers_stay_exact()
  for _, n in ipairs { math.maxinteger, math.mininteger, 1700000000000000001, 0, -1 } do
    local back = json.decode(json.encode { id = n }).id
    lu.assertEquals(math.type(back), "integer")
    lu.assertTrue(back == n)
  end
  refuses("[9223372036854775808]", "too big integer")
end

function TestJson:test_floats_come_back_as_the_same_float()
  for _, x in ipairs { 0.1, 1 / 3, 1e300, 5e-324, -0.0, 2.0, 123456789.125, 1e15, 1e17 } do
    local back = json.decode(json.encode { x }) [1]
    lu.assertEquals(math.type(back), "float")
    lu.assertEquals(("%a"):format(back), ("%a"):format(x))
  end
  lu.assertEquals(json.encode { 0.1, 2.0 }, "[0.1,2.0]")
end

function TestJson:test_equal_tables_give_equal_bytes_with_sorted_keys()
  local a, b = {}, {}
  for i = 1, 100 do a["k" .. i] = i end
  for i = 100, 1, -1 do b["k" .. i] = i end
  lu.assertEquals(json.encode(a), json.encode(b))
  lu.assertEquals(json.encode { b = 1, a = 2, ["a\0"] = 3, aa = 4 }, '{"a":2,"a\\u0000":3,"aa":4,"b":1}')
end

function TestJson:test_empty_lists_nulls_and_objects_survive_a_round_trip()
  local text = '{"a":[],"b":{},"c":null,"d":[null,{"e":[]}],"f":""}'
  lu.assertEquals(json.encode(json.decode(text)), text)
  lu.assertEquals(json.encode {}, "{}")
  lu.assertEquals(json.encode(json.array()), "[]")
  lu.assertTrue(json.decode("null") == json.null)
  lu.assertEquals(json.encode(json.null), "null")
  lu.assertEquals(tostring(json.null), "json.null")
end

function TestJson:test_nulls_can_be_dropped_from_objects_but_not_from_lists()
  local v = json.decode('{"a":null,"b":[1,null,3]}', { nulls = "drop" })
  lu.assertNil(v.a)
  lu.assertEquals(#v.b, 3)
  lu.assertTrue(v.b[2] == json.null)
end

function TestJson:test_text_is_escaped_and_read_back()
  local s = "é 😀 \"q\" \\ \b\f\n\r\t \1\31\127 \0 end /"
  lu.assertEquals(json.decode(json.encode { s })[1], s)
  lu.assertEquals(json.decode('"\\ud83d\\ude00"'), "😀")
  lu.assertEquals(json.encode("\1\n"), '"\\u0001\\n"')
end

function TestJson:test_pretty_text_is_indented_and_equal_when_read()
  lu.assertEquals(json.encode({ b = { 1, 2 }, a = json.array() }, { pretty = true }),
    '{\n  "a": [],\n  "b": [\n    1,\n    2\n  ]\n}')
end

function TestJson:test_bad_text_is_refused_with_line_and_column()
  refuses("", "line 1, column 1: empty")
  refuses("[1,\n 2", "line 2")
  refuses("[1,]", "line 1, column 4")
  refuses("[1] x", "line 1, column 5")
  refuses("{'a':1}", "line 1")
  refuses("[01]", "line 1")
  refuses("[NaN]", "line 1")
  refuses("[1e999]", "real number overflow")
  refuses('{"a":1,\n"a":2}', "line 2, column 3: duplicate object key")
  refuses("[1,", "tweets.js: line 1", { name = "tweets.js" })
end

function TestJson:test_bytes_that_are_not_utf8_are_refused_both_ways()
  for _, bad in ipairs { "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80" } do
    refuses('["' .. bad .. '"]', "line 1")
    lu.assertErrorMsgContains("value[1].t is not UTF-8 at byte 3", json.encode, { { t = "ab" .. bad } })
    lu.assertErrorMsgContains("is not UTF-8", json.encode, { [bad] = 1 })
  end
  refuses('"\\ud800"', "line 1")
end

function TestJson:test_depth_is_limited_to_512()
  lu.assertEquals(json.encode(json.decode(("["):rep(512) .. ("]"):rep(512))), ("["):rep(512) .. ("]"):rep(512))
  refuses(("["):rep(513) .. ("]"):rep(513), "column 513: nested deeper than 512 levels")
  refuses(("["):rep(1000000), "nested deeper")
  lu.assertEquals(json.decode('"' .. ("["):rep(1000) .. '"'), ("["):rep(1000))
  local t = {}
  t.t = t
  lu.assertErrorMsgContains("value.t.t.t.t ... is nested deeper", json.encode, t)
end

function TestJson:test_what_json_cannot_say_raises_with_the_place()
  lu.assertErrorMsgContains("value.users[3].prob is nan", json.encode, { users = { 1, 2, { prob = 0 / 0 } } })
  lu.assertErrorMsgContains("value[1] is infinite", json.encode, { math.huge })
  lu.assertErrorMsgContains("value.f is a function", json.encode, { f = print })
  lu.assertErrorMsgContains("neither a list nor", json.encode, { 1, nil, 3, x = 1 })
  lu.assertErrorMsgContains("has no option 'prety' (options: pretty)", json.encode, {}, { prety = true })
end

-- Encoding makes garbage of its own; here more than once as much as is alive, so a collection ends inside a call.
function TestJson:test_encoding_survives_the_collector()
  local rows = {}
  for i = 1, 300 do rows[i] = { id = tostring(i), nested = { { a = { b = i } }, {} }, text = ("é"):rep(i % 7) } end
  local once = json.encode(rows)
  local many = {}
  for i = 1, 20 do many[i] = rows end
  local all = "[" .. once .. ("," .. once):rep(19) .. "]"
  collectgarbage()
  for _ = 1, 10 do
    if json.encode(many) ~= all then lu.fail "the text changed" end
  end
  if json.encode(json.decode(all)) ~= all then lu.fail "the value changed" end
  lu.assertEquals(once:sub(1, 8), '[{"id":"')
end

function TestJson:test_recorded_answers_of_real_services_survive_a_round_trip()
  local folder = "../shared/data/api/x/pytwitter_testdata/apis/"
  local seen = 0
  for _, name in ipairs { "tweet/tweet_resp", "tweet/tweets_resp", "timeline/timeline_tweets",
    "searches/search_tweets_query", "user/user_liked_tweets_resp" } do
    local f = io.open(folder .. name .. ".json", "rb")
    if f then
      local value = assert(json.decode(f:read("a")))
      f:close()
      local text = json.encode(value, { pretty = true })
      lu.assertEquals(json.encode(json.decode(text), { pretty = true }), text)
      seen = seen + 1
    end
  end
  lu.skipIf(seen == 0, "no recorded answers below ../shared/data/api")
end

os.exit(lu.LuaUnit.run())
