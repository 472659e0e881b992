--- backtranslate_spec: translations are kept as they come, go on after a failure, and are filtered; against servers on loopback.
local lu = require "luaunit"
local kooka = require "kooka"
local apertium = require "kooka.augment.apertium"
local augment = require "kooka.augment"
local backtranslate = require "kooka.augment.backtranslate"
local libretranslate = require "kooka.augment.libretranslate"
local loopback = require "loopback"
local masks = require "kooka.augment.masks"
local split = require "kooka.data.split"
local translations = require "kooka.augment.translations"
local sys = kooka.sys

require("kooka.progress").quiet = true

local dir = os.tmpname()
os.remove(dir)
assert(sys.mkdir_p(dir))

local children, stores = {}, 0

-- A server that speaks LibreTranslate: words are turned round; `plan` is Lua text that may answer first, it sees n (requests so far),
-- body and asked (texts so far).
local function serve(plan)
  local url, child = loopback.start(([[
    local n, asked = 0, 0
    return function(request)
      n = n + 1
      if request.path ~= "/translate" or request.method ~= "POST" then return { status = 404 } end
      local body = json.decode(request.body)
      asked = asked + #body.q
      %s
      local out = {}
      for i, text in ipairs(body.q) do
        out[i] = body.source == "es" and "en " .. text or "otro " .. text:gsub("^en ", "")
      end
      return { status = 200, body = json.encode { translatedText = json.array(out) } }
    end]]):format(plan or ""))
  children[#children + 1] = child
  return url
end

local function libre(url, more)
  local o = { url = url, tries = 3, first = .001, longest = .01, timeout = 5, batch = 10 }
  for k, v in pairs(more or {}) do o[k] = v end
  return assert(libretranslate.new(o))
end

local function new_path()
  stores = stores + 1
  return ("%s/%d.db"):format(dir, stores)
end

local function data(n)
  local texts, labels = {}, {}
  for i = 1, n do texts[i], labels[i] = ("texto número n%d con palabras"):format(i), i % 4 == 0 and 2 or 1 end
  return texts, labels, split.holdout(labels, { valid = .2 })
end

TestMasks = {}

function TestMasks.test_tokens_come_back_where_they_were()
  local h = masks.hide "@ana xxup hola el perro #lol 😂 come 3 veces http://t.co/a 😂"
  lu.assertEquals(h.body, "el perro xxq1q come 3 veces")
  lu.assertEquals({ h.head, h.tail }, { "@ana xxup hola", "http://t.co/a 😂" })
  lu.assertEquals(masks.show(h, "the dog Xxq1q eats 3 times"), "@ana xxup hola the dog #lol 😂 eats 3 times http://t.co/a 😂")
  lu.assertNil(masks.show(h, "the dog eats 3 times"))
  lu.assertNil(masks.show(h, "xxq1q xxq1q"))
  lu.assertNil(masks.show(h, "xxq1q xxq2q"))
  lu.assertEquals(masks.hide("😂 http://t.co/a").body, "")
end

TestLibre = {}

function TestLibre.test_every_training_row_is_translated_once_and_kept()
  local texts, labels, s = data(40)
  local url, path = serve(), new_path()
  local o = { texts = texts, translator = libre(url), cache = path }
  local out, counts = augment.backtranslate(s, labels, o)
  lu.assertEquals(counts.added, 32)
  for row, source in pairs(out.source) do
    lu.assertEquals(out.texts[row], "otro " .. texts[source])
    lu.assertEquals(out.method[row], "backtranslate-en")
  end
  local db <close> = assert(kooka.sqlite.open(path, { readonly = true }))
  lu.assertEquals(assert(db:rows "SELECT count(*) AS n FROM translations")[1].n, 64)
  o.translator = libre "http://127.0.0.1:1"                    -- nobody there: all comes from the cache
  lu.assertEquals(augment.backtranslate(s, labels, o).texts, out.texts)
end

function TestLibre.test_a_server_that_answers_500_loses_nothing_and_says_how_many_are_done()
  local texts, labels, s = data(40)
  local path, broken = new_path(), serve [[if n > 2 then return { status = 500, body = json.encode { error = "out of memory" } } end]]
  local o = { texts = texts, translator = libre(broken), cache = path }
  local out, message, code = augment.backtranslate(s, labels, o)
  lu.assertNil(out)
  lu.assertEquals(code, "net")
  lu.assertEquals(message, ("back-translation es -> en: 20 of 32 texts are translated and kept in %s; the same call goes on there; "
    .. "libretranslate: gave up after 3 tries: 500: out of memory"):format(path))
  o.translator = libre(serve [[if asked > 12 + 32 then return { status = 400 } end]])       -- only what was missing is asked for
  local counts
  out, counts = augment.backtranslate(s, labels, o)
  lu.assertEquals(counts.added, 32)
  lu.assertStrContains(out.texts[41], "otro texto")
end

function TestLibre.test_500_and_429_that_pass_are_waited_for()
  local texts, labels, s = data(20)
  local waits = {}
  local url = serve [[
    if n == 1 then return { status = 500 } end
    if n == 2 then return { status = 429, headers = { ["Retry-After"] = "7" } } end
    if n == 3 then return { status = 200, body = "<html>" } end]]
  local _, counts = augment.backtranslate(s, labels, { texts = texts, translator = libre(url, { on_wait = function(seconds, why)
    waits[#waits + 1] = why == "rate limit" and seconds or why
  end, sleep = function() end }) })
  lu.assertEquals(counts.added, 16)
  lu.assertEquals(waits, { "500", 7, "the answer is no JSON object" })
end

function TestLibre.test_a_batch_that_is_too_large_is_halved()
  local texts, labels, s = data(20)
  local _, counts = augment.backtranslate(s, labels, { texts = texts,
    translator = libre(serve [[if #body.q > 3 then return { status = 400, body = '{"error":"Batch size exceeds text limit"}' } end]]) })
  lu.assertEquals(counts.added, 16)
end

function TestLibre.test_the_key_is_sent_and_never_said()
  local texts, labels, s = data(20)
  local url = serve [[if n > 0 then return { status = 403, body = json.encode { error = "Invalid API key " .. tostring(body.api_key) } } end]]
  local out, message = augment.backtranslate(s, labels, { texts = texts, translator = libre(url, { key = "sec.ret-1" }) })
  lu.assertNil(out)
  lu.assertStrContains(message, "403: the server wants another API key: Invalid API key ***")
  lu.assertNotStrContains(message, "sec.ret-1")
  local none, why, code = libretranslate.new { url = "http://translate.example.org", key = "sec.ret-1" }
  lu.assertNil(none)
  lu.assertEquals(code, "argument")
  lu.assertStrContains(why, "only sent over https")
  lu.assertErrorMsgContains("url: expected", libretranslate.new, { url = "ftp://x" })
end

function TestLibre.test_answers_of_another_length_are_an_error()
  local texts, labels, s = data(20)
  local out, message, code = augment.backtranslate(s, labels, { texts = texts,
    translator = libre(serve [[if n > 0 then return { status = 200, body = '{"translatedText":["a"]}' } end]]) })
  lu.assertNil(out)
  lu.assertEquals(code, "format")
  lu.assertStrContains(message, "10 texts were sent, 1 came back")
  lu.assertStrContains(message, "0 of 16 texts are translated; with cache = PATH")
end

TestBack = {}

-- A translator in Lua.
local function translator(f, more)
  local t = { name = "test", batch = 5, calls = 0 }
  for k, v in pairs(more or {}) do t[k] = v end
  function t:translate(list, from, to)
    self.calls = self.calls + 1
    local out = {}
    for i, text in ipairs(list) do out[i] = f(text, from, to) end
    return out
  end
  return t
end

function TestBack.test_what_is_no_paraphrase_is_thrown_away_and_counted()
  local texts = { "uno dos tres cuatro", "el perro #lol come", "una frase que vuelve igual", "esta se queda sin nada", "la buena frase", "ladra",
    "afuera" }
  local labels = { 1, 2, 1, 2, 1, 2, 1 }
  local s = split.given({ 1, 2, 3, 4, 5, 6 }, { 7 })
  local t = translator(function(text, _, to)
    if to == "en" then return text end
    if text:find "^uno" then return ("palabra "):rep(30) end
    if text:find "xxq" then return (text:gsub("xxq1q", "")) end
    if text:find "igual" then return text:upper() .. "!" end
    if text:find "nada" then return "  " end
    if text == "ladra" then return "¡Afuera!" end
    return "otra " .. text
  end)
  local out, counts = augment.backtranslate(s, labels, { texts = texts, translator = t })
  lu.assertEquals({ table.unpack(out.texts, 8) }, { "otra la buena frase" })
  local said = tostring(counts)
  for _, why in ipairs { "1 torn", "1 without a protected token", "1 like its source", "1 empty", "1 like a held-out text" } do
    lu.assertStrContains(said, why)
  end
end

function TestBack.test_a_classifier_must_give_the_same_label()
  local texts, labels, s = data(20)
  local t = translator(function(text, _, to) return to == "en" and text or (text:find("n1") and "mal " or "bien ") .. text end)
  local function judge(list)
    local out = {}
    for i, text in ipairs(list) do out[i] = text:find "^mal" and 2 or 1 end
    return out
  end
  local out, counts = augment.backtranslate(s, labels, { texts = texts, translator = t, check = { labels = judge } })
  for _, text in ipairs(table.move(out.texts, 21, #out.texts, 1, {})) do lu.assertStrContains(text, "bien ") end
  lu.assertStrContains(tostring(counts), "of another label by the classifier")
  out = augment.backtranslate(s, labels, { texts = texts, translator = t, check = { labels = judge, against = "label" } })
  for row in pairs(out.source) do lu.assertEquals(out.labels[row], out.texts[row]:find "^mal" and 2 or 1) end
  local model = { predict = function(_, list)
    local probs = {}
    for i, text in ipairs(list) do probs[i] = text:find "^mal" and { .1, .9 } or { .9, .1 } end
    return probs
  end }
  local _, same = augment.backtranslate(s, labels, { texts = texts, translator = t, check = { model = model } })
  lu.assertEquals(tostring(same), tostring(counts))
  lu.assertErrorMsgContains("against is 'x'", augment.backtranslate, s, labels, { texts = texts, translator = t,
    check = { labels = judge, against = "x" } })
end

function TestBack.test_lines_stay_lines_and_the_same_line_is_asked_for_once()
  local t = translator(function(text) return text .. " ya" end)
  local b <close> = assert(backtranslate.new { translator = t })
  local out = assert(b:round_trip({ "-Hola.\n-Adiós.", "-Hola.\n😂\n-Nada." }, "en"))
  lu.assertEquals(out, { "-Hola. ya ya\n-Adiós. ya ya", "-Hola. ya ya\n😂\n-Nada. ya ya" })
  lu.assertEquals(t.calls, 2)
end

function TestBack.test_two_languages_give_two_texts()
  local texts, labels, s = data(20)
  local t = translator(function(text, from, to) return to == "es" and from .. " " .. text or text end)
  local _, counts = augment.backtranslate(s, labels, { texts = texts, translator = t, via = { "en", "ca" }, n = 2 })
  lu.assertEquals(counts.methods, { ["backtranslate-en"] = 16, ["backtranslate-ca"] = 16 })
end

function TestBack.test_ctrl_c_keeps_what_is_done()
  local path, said = new_path(), nil
  local code = ([[
    require("kooka.progress").quiet = true
    local kooka = require "kooka"
    local t, n = { name = "test", batch = 2 }, 0
    function t:translate(list)
      n = n + 1
      if n == 3 then kooka.sys.stop() end
      return list
    end
    local b = assert(require("kooka.augment.backtranslate").new { translator = t, cache = %q })
    b:round_trip({ "a uno", "a dos", "a tres", "a cuatro", "a cinco", "a seis", "a siete", "a ocho" }, "en")
  ]]):format(path)
  local child <close> = assert(sys.spawn({ assert(sys.exe()), "-e", code }, { stdout = "pipe", stderr = "stdout",
    env = { LUA_PATH = package.path, LUA_CPATH = package.cpath } }))
  said = child:read_all()
  lu.assertStrContains(said, ("back-translation es -> en: 6 of 8 texts are translated and kept in %s"):format(path))
  lu.assertStrContains(said, "interrupted")
  lu.assertNotEquals(child:wait(), 0)
  local t = translator(function(text) return text end)
  local b <close> = assert(backtranslate.new { translator = t, cache = path })
  assert(b:round_trip({ "a uno", "a dos", "a tres", "a cuatro", "a cinco", "a seis", "a siete", "a ocho" }, "en"))
  lu.assertEquals(t.calls, 1 + 2)                               -- the two that were missing, then eight back
end

TestFiles = {}

function TestFiles.test_paraphrases_from_csv_tsv_and_jsonl()
  local texts, labels, s = data(20)
  local rows = { csv = { "text,translation" }, tsv = { "text\ttranslation" }, jsonl = {} }
  for i, text in ipairs(texts) do
    if i ~= s.train[1] then
      table.insert(rows.csv, ('"%s",uno %s'):format(text, text))
      table.insert(rows.tsv, ("%s\tuno %s"):format(text, text))
      table.insert(rows.jsonl, kooka.json.encode { text = text, translation = "uno " .. text })
    end
  end
  for kind, lines in pairs(rows) do
    local path = ("%s/pairs.%s"):format(dir, kind)
    assert(sys.write_file(path, table.concat(lines, "\n") .. "\n"))
    local out, counts = augment.run(s, labels, { texts = texts, how = assert(translations.load(path)) })
    lu.assertEquals(counts.added, 15, kind)
    lu.assertStrContains(tostring(counts), "has nothing for 1 of 16 texts")
    for row, source in pairs(out.source) do lu.assertEquals(out.texts[row], "uno " .. texts[source]) end
  end
  local none, message = translations.load(dir .. "/pairs.csv", { target = "es" })
  lu.assertNil(none)
  lu.assertStrContains(message, 'no column "es"')
end

TestApertium = {}

-- A program that speaks apertium's command line.
local function stand_in(body)
  stores = stores + 1
  local path = ("%s/apertium%d"):format(dir, stores)
  assert(sys.write_file(path, "#!/bin/sh\nif [ \"$1\" = -l ]; then printf '  eng-spa\\n  spa-eng\\n'; exit 0; fi\n" .. body .. "\n"))
  assert(os.execute("chmod +x " .. path))
  return path
end

function TestApertium.test_the_child_program_gets_lines_and_gives_lines()
  local t = apertium.new { program = stand_in [[[ "$4" = spa-eng ] && exec sed 's/^/#the /']] }
  lu.assertEquals(assert(t:translate({ "uno\ndos", "año" }, "es", "en")), { "the uno dos", "the año" })
  local out, message = t:translate({ "x" }, "es", "fr")
  lu.assertNil(out)
  lu.assertStrContains(message, "no direction spa-fra; installed: eng-spa, spa-eng")
  out, message = apertium.new { program = stand_in "cat > /dev/null; echo one" }:translate({ "a", "b" }, "es", "en")
  lu.assertNil(out)
  lu.assertStrContains(message, "2 lines went in and 1 came back")
  out, message = apertium.new { program = stand_in "exit 3" }:translate({ "a" }, "es", "en")
  lu.assertNil(out)
  lu.assertStrContains(message, "spa-eng ended with status 3")
  out, message = apertium.new { program = dir .. "/nothing" }:translate({ "a" }, "es", "en")
  lu.assertNil(out)
  lu.assertStrContains(message, "apt-get install apertium apertium-eng-spa")
end

-- Apertium and its Spanish-English pair, or a skip.
local function real_apertium()
  local t = apertium.new()
  local known = t:directions()
  if not (known and known["spa-eng"] and known["eng-spa"]) then
    lu.skip("no program apertium with eng-spa (apt-get install apertium apertium-eng-spa)")
  end
  return t
end

function TestApertium.test_the_real_program_when_it_is_there()
  local t = real_apertium()
  lu.assertEquals(assert(t:translate({ "El perro grande come.", "", "La casa roja" }, "es", "en")),
    { "The big dog eats.", "", "The red house" })
end

function TestApertium.test_500_real_tweets_es_en_es()
  local t, path = real_apertium(), "../shared/data/haha2019/haha_2019_train.csv"
  if not sys.exists(path) then lu.skip("no " .. path) end
  local csv = assert(require("kooka.data.csv").read(path))
  local texts, labels, rows = {}, {}, {}
  for i = 1, 500 do texts[i], labels[i], rows[i] = csv.data.text[40 * i], tonumber(csv.data.is_humor[40 * i]) + 1, i end
  local held_out = table.remove(rows)
  local start = sys.now()
  local out, counts = augment.backtranslate(split.given(rows, { held_out }), labels, { texts = texts, translator = t })
  io.stderr:write(("# %d tweets es -> en -> es in %.1f s: %s\n"):format(#texts, sys.now() - start, tostring(counts)))
  lu.assertTrue(counts.added >= 400, counts.added)
  lu.assertEquals(#out.texts, 500 + counts.added)
end

local result = lu.LuaUnit.run()
for _, child in ipairs(children) do child:kill() end
os.exit(result)
