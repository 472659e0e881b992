--- augment_spec: new texts come of training rows only, are counted, and are the same for the same seed.
local lu = require "luaunit"
local core = require "kooka.core"
local augment = require "kooka.augment"
local eda = require "kooka.augment.eda"
local mythes = require "kooka.augment.mythes"
local split = require "kooka.data.split"
local thesaurus = require "kooka.augment.thesaurus"
local wordnet = require "kooka.augment.wordnet"
local words = require "kooka.augment.words"

local SYNONYMS = thesaurus.given { perro = { "can", "chucho" }, grande = { "enorme", "inmenso" }, come = { "devora" }, casa = { "hogar" },
  rojo = { "colorado" }, coche = { "auto", "carro" } }

local dir = os.tmpname()
os.remove(dir)
assert(core.sys.mkdir_p(dir))

local function write(name, text)
  local path = dir .. "/" .. name
  assert(core.sys.write_file(path, text))
  return path
end

local function lopsided()
  local texts, labels = {}, {}
  for i = 1, 40 do
    texts[i] = ("El perro grande come en la casa #n%d con un coche rojo"):format(i)
    labels[i] = i % 5 == 0 and 2 or 1
  end
  return texts, labels, split.holdout(labels, { valid = .25 })
end

TestWords = {}

function TestWords.test_a_text_comes_back_as_it_was_and_marks_are_protected()
  local text = "¡Hola, Perro!  xxup jajaja xxrep 4 a fin\n@juan #lol http://a.b/c 😂 genial😂 :) -Mamá 12 ¿por qué?"
  local items = words.split(text)
  lu.assertEquals(words.join(items), text)
  local free = {}
  for _, item in ipairs(items) do free[#free + 1] = item.word end
  lu.assertEquals(free, { "Hola", "Perro", "fin", "Mamá", "por", "qué" })
  lu.assertErrorMsgContains("UTF-8", words.split, "a \xFF")
end

function TestWords.test_capitals_follow_the_replaced_word()
  lu.assertEquals(words.like("ñandú", "Perro"), "Ñandú")
  lu.assertEquals(words.like("ñandú", "PERRO"), "ÑANDÚ")
  lu.assertEquals(words.like("ñandú", "perro"), "ñandú")
  lu.assertEquals(words.like("el", "A"), "El")
end

TestEda = {}

local function stream(i) return core.random("eda test", i) end

local function bag(text)
  local list = {}
  for word in text:gmatch("%S+") do list[#list + 1] = word end
  table.sort(list)
  return list
end

function TestEda.test_replacement_takes_synonyms_only_and_every_place_of_the_word()
  local e = eda.new { synonyms = SYNONYMS, alpha = .1 }
  local seen = {}
  for i = 1, 60 do
    local made = e:one("Perro, el perro duerme", "replace", stream(i))
    seen[made] = true
  end
  lu.assertEquals(seen, { ["Can, el can duerme"] = true, ["Chucho, el chucho duerme"] = true })
  lu.assertNil(e:one("nada de eso", "replace", stream(1)))
end

function TestEda.test_the_number_of_edits_is_the_papers()
  local text = "perro grande come casa rojo coche perro grande come casa rojo coche uno dos tres cuatro cinco seis siete ocho"  -- 20 words
  for alpha, n in pairs { [.05] = 1, [.1] = 2, [.29] = 5 } do
    local e = eda.new { synonyms = SYNONYMS, alpha = alpha }
    for i = 1, 20 do
      local _, spaces = e:one(text, "insert", stream(i)):gsub(" ", "")
      lu.assertEquals(spaces, 19 + n)
      local changed, old = {}, bag(text)
      for k, word in ipairs(bag(e:one(text, "swap", stream(i)))) do lu.assertEquals(word, old[k]) end
      local made = e:one(text, "replace", stream(i))
      local k = 0
      for word in made:gmatch("%S+") do
        k = k + 1
        local was = select(k, text:match(("(%S+) "):rep(19) .. "(%S+)"))
        if word ~= was then changed[was] = true end
      end
      local count = 0
      for _ in pairs(changed) do count = count + 1 end
      lu.assertEquals(count, n)
    end
  end
end

function TestEda.test_deletion_has_its_rate_and_never_takes_all()
  local e = eda.new { alpha = { delete = .2, swap = .1 }, operations = { "delete", "swap" } }
  local text, kept, made = ("palabra "):rep(30) .. "fin", 0, 0
  for i = 1, 400 do
    local out = e:one(text, "delete", stream(i))
    if out then
      made = made + 1
      kept = kept + #bag(out)
    end
  end
  lu.assertTrue(made > 390)
  lu.assertAlmostEquals(kept / made / 31, .8, .02)
  local always = eda.new { alpha = { delete = 1, swap = 0 } }
  for i = 1, 20 do lu.assertEquals(#bag(always:one("uno dos tres", "delete", stream(i))), 1) end
  lu.assertNil(always:one("uno", "delete", stream(1)))
end

function TestEda.test_protected_tokens_stay_in_their_order_whatever_happens()
  local e = eda.new { synonyms = SYNONYMS, alpha = .5 }
  local text = "@juan el perro xxup grande come xxrep 4 a #casa rojo 😂 http://t.co/a coche casa"
  for i = 1, 100 do
    for _, operation in ipairs { "replace", "insert", "swap", "delete" } do
      local made = e:one(text, operation, stream(i))
      if made then
        local left = {}
        for _, item in ipairs(words.split(made)) do
          if not item.word then left[#left + 1] = item.text end
        end
        lu.assertEquals(table.concat(left, " "), "@juan xxup grande xxrep 4 a #casa 😂 http://t.co/a", operation)
        lu.assertStrContains(made, "xxup grande")
        lu.assertStrContains(made, "xxrep 4 a")
      end
    end
  end
end

function TestEda.test_stop_words_are_not_replaced()
  local synonyms = thesaurus.given { el = { "ese" }, perro = { "can" } }
  for i = 1, 20 do
    lu.assertEquals(eda.new { synonyms = synonyms, alpha = 1 }:one("el perro", "replace", stream(i)), "el can")
    lu.assertEquals(eda.new { synonyms = synonyms, alpha = 1, stopwords = { perro = true } }:one("el perro", "replace", stream(i)), "ese perro")
  end
end

function TestEda.test_options_are_checked_and_the_advice_is_the_papers()
  lu.assertErrorMsgContains("eda: alpha of replace is 2, expected 0 to 1", eda.new, { alpha = 2 })
  lu.assertErrorMsgContains("replace needs synonyms", eda.new, { operations = { "replace" } })
  lu.assertErrorMsgContains("operation 'drop'", eda.new, { operations = { "drop" } })
  lu.assertErrorMsgContains("no stop words for 'fr'", eda.new, { stopwords = "fr" })
  lu.assertEquals({ eda.advice(500) }, { 16, .05 })
  lu.assertEquals({ eda.advice(1500) }, { 8, .05 })
  lu.assertEquals({ eda.advice(5000) }, { 4, .1 })
end

TestRun = {}

function TestRun.test_n_texts_of_each_training_row_and_none_of_a_held_out_one()
  local texts, labels, s = lopsided()
  local said
  local out, counts = augment.eda(s, labels, { texts = texts, synonyms = SYNONYMS, n = 3, say = function(t) said = t end })
  lu.assertEquals(#out.split.train, 4 * #s.train)
  lu.assertIs(out.split.valid, s.valid)
  lu.assertEquals(counts.before, { 24, 6 })
  lu.assertEquals(counts.after, { 96, 24 })
  lu.assertStrContains(said, "1: 24 -> 96, 2: 6 -> 24 (90 rows added)")
  local train = {}
  for _, row in ipairs(s.train) do train[row] = true end
  for i, row in ipairs(out.split.train) do
    lu.assertTrue(train[out.rows[i]])
    lu.assertEquals(out.labels[row], labels[out.rows[i]])
    if row > #texts then
      lu.assertEquals(out.source[row], out.rows[i])
      lu.assertStrContains(out.method[row], "eda-")
      lu.assertStrContains(out.texts[row], texts[out.source[row]]:match("#n%d+"))     -- made of the row that it names
    else
      lu.assertEquals(out.rows[i], row)
    end
  end
  lu.assertEquals(table.move(out.texts, 1, #texts, 1, {}), texts)
  local by_method = 0
  for _, k in pairs(counts.methods) do by_method = by_method + k end
  lu.assertEquals(by_method, 90)
end

function TestRun.test_to_the_largest_class_and_to_given_counts()
  local texts, labels, s = lopsided()
  local out, counts = augment.eda(s, labels, { texts = texts, synonyms = SYNONYMS, to = "largest" })
  lu.assertEquals(out.split:counts(out.labels).train, { 24, 24 })
  lu.assertEquals(counts.added, 18)
  out = augment.run(s, labels, { texts = texts, to = { [2] = 17 }, how = { eda.new { synonyms = SYNONYMS }, augment.by("shout", function(t)
    return t .. " ya"
  end) } })
  lu.assertEquals(out.split:counts(out.labels).train, { 24, 17 })
  local by = {}
  for _, method in pairs(out.method) do by[method:sub(1, 3)] = (by[method:sub(1, 3)] or 0) + 1 end
  lu.assertEquals(by, { eda = 6, sho = 5 })
end

function TestRun.test_what_one_method_cannot_make_the_others_do_and_a_shortfall_is_said()
  local texts, labels, s = lopsided()
  local none = augment.by("nothing", function() return nil end)
  local out = augment.run(s, labels, { texts = texts, to = "largest", how = { none, eda.new { synonyms = SYNONYMS } } })
  lu.assertEquals(out.split:counts(out.labels).train, { 24, 24 })
  local more
  local _, counts = augment.run(s, labels, { texts = texts, to = "largest", how = none })
  lu.assertEquals(counts.added, 0)
  lu.assertStrContains(tostring(counts), "class 2 is 18 rows short: its 6 texts give no more new ones")
  _, more = augment.run(s, labels, { texts = texts, n = 2, how = augment.by("once", function(t) return t .. " y ya" end) })
  lu.assertEquals(more.added, 30)
  lu.assertStrContains(tostring(more), "once: 30 rows have 30 new texts fewer than asked for")
end

function TestRun.test_a_new_text_like_a_held_out_one_is_thrown_away_and_counted()
  local texts, labels, s = lopsided()
  local victim = texts[s.valid[1]]
  local out, counts = augment.run(s, labels, { texts = texts, how = augment.by("leak", function(_, stream_)
    return stream_:uniform() < .5 and victim:upper() .. "!!" or nil
  end) })
  lu.assertEquals(counts.added, 0)
  lu.assertStrContains(tostring(counts), "like a held-out text")
  lu.assertEquals(#out.split.train, #s.train)
  local _, same = augment.run(s, labels, { texts = texts, how = augment.by("same", function(t) return t .. " !" end) })
  lu.assertEquals(same.added, 0)
  lu.assertStrContains(tostring(same), "like a text that is there")
end

function TestRun.test_the_same_seed_gives_the_same_and_a_row_does_not_depend_on_the_others()
  local texts, labels, s = lopsided()
  local o = { texts = texts, synonyms = SYNONYMS, n = 2, seed = 7 }
  local a, b = augment.eda(s, labels, o), augment.eda(s, labels, o)
  lu.assertEquals(a.texts, b.texts)
  o.seed = 8
  lu.assertNotEquals(augment.eda(s, labels, o).texts, a.texts)
  local fewer = split.given({ table.unpack(s.train, 1, 5) }, { table.unpack(s.valid) })
  o.seed = 7
  local c = augment.eda(fewer, labels, o)
  for row, source in pairs(c.source) do
    local found = false
    for other, its in pairs(a.source) do found = found or its == source and a.texts[other] == c.texts[row] end
    lu.assertTrue(found)
  end
end

function TestRun.test_misuse_raises()
  local texts, labels, s = lopsided()
  lu.assertErrorMsgContains("expected a split, got table", augment.eda, s.train, labels, { texts = texts })
  lu.assertErrorMsgContains("texts: expected the list of texts", augment.eda, s, labels, {})
  lu.assertErrorMsgContains("give n or to, not both", augment.eda, s, labels, { texts = texts, n = 1, to = "largest" })
  lu.assertErrorMsgContains("this only adds", augment.eda, s, labels, { texts = texts, to = { [1] = 3 } })
  lu.assertErrorMsgContains("class 9, which has no training row", augment.eda, s, labels, { texts = texts, to = { [9] = 3 } })
  local out = augment.eda(s, labels, { texts = texts, synonyms = SYNONYMS })
  lu.assertErrorMsgContains("resampled already", augment.eda, out.split, out.labels, { texts = out.texts })
  lu.assertErrorMsgContains("is no augmenter", augment.run, s, labels, { texts = texts, how = { 1 } })
  lu.assertErrorMsgContains("no option 'm'", augment.run, s, labels, { texts = texts, m = 1 })
end

TestThesauri = {}

function TestThesauri.test_mythes_in_latin1_and_utf8()
  local path = write("th_es.dat", "ISO8859-1\nni\xF1o|2\n-|chico|ni\xF1a peque\xF1a|Chaval\n(n)|beb\xE9 (generic term)|viejo (antonym)|chico\nsol|1\n-|astro\n")
  local t = assert(mythes.load(path))
  lu.assertEquals(t:of("niño"), { "chico", "Chaval", "bebé" })
  lu.assertEquals(assert(mythes.load(path, { single = false })):of("niño"), { "chico", "niña pequeña", "Chaval", "bebé" })
  lu.assertEquals(t:of("luna"), {})
  lu.assertStrContains(tostring(t), "2 words")
  lu.assertEquals(assert(mythes.load(write("utf8.dat", "UTF-8\r\naño|1\r\n-|ejercicio\r\n"))):of("año"), { "ejercicio" })
end

function TestThesauri.test_broken_thesauri_name_the_line()
  local function fails(text, want)
    local t, message, code = mythes.load(write("bad.dat", text))
    lu.assertNil(t)
    lu.assertStrContains(message, want)
    lu.assertEquals(code, "format")
  end
  fails("KOI8-R\na|1\n-|b\n", "line 1: encoding 'KOI8-R'")
  fails("UTF-8\na|1\n-|b\nhello\n", "line 4: expected word|meanings")
  fails("UTF-8\na|2\n-|b\n", "ends within 'a', 1 meanings are missing")
  fails("UTF-8\na|2\n-|b\nx\n", "line 4: expected a meaning of 'a'")
  lu.assertEquals(select(3, mythes.load(dir .. "/none.dat")), "io")
end

function TestThesauri.test_the_spanish_thesaurus_of_the_shared_data()
  local path = "../shared/data/synonyms/es/th_es_v2.dat"
  if not core.sys.exists(path) then lu.skip("no " .. path) end
  local t = assert(mythes.load(path))
  lu.assertStrContains(tostring(t), "21846 words")
  lu.assertEquals(t:of("perro"), { "can", "chucho", "gozque" })
  lu.assertEquals(t:of("perros"), {})
  lu.assertEquals(thesaurus.spanish(t):of("perros"), { "canes", "chuchos", "gozques" })
end

-- A tiny database in WordNet's format, offsets counted.
local function tiny_wordnet(name)
  local folder = dir .. "/" .. name
  assert(core.sys.mkdir_p(folder))
  local head = "  1 This is a header line of a dictionary made for a test.\n"
  local data, index = { noun = head, verb = head, adj = head, adv = head }, { noun = {}, verb = {}, adj = {}, adv = {} }
  local function synset(part, letter, list)
    local at = #data[part]
    local parts = {}
    for _, word in ipairs(list) do
      parts[#parts + 1] = word .. " 0"
      local key = word:lower():gsub("%(%l+%)", "")
      index[part][key] = index[part][key] or {}
      table.insert(index[part][key], ("%08d"):format(at))
    end
    data[part] = data[part] .. ("%08d 03 %s %02x %s 000 | made up\n"):format(at, letter, #list, table.concat(parts, " "))
  end
  synset("noun", "n", { "dog", "hound", "domestic_dog" })
  synset("noun", "n", { "frank", "dog", "Wiener" })
  synset("noun", "n", { "goose", "honker" })
  synset("verb", "v", { "run", "sprint" })
  synset("verb", "v", { "dog", "chase" })
  synset("adj", "a", { "glad(p)", "happy" })
  for part, entries in pairs(index) do
    local lines = {}
    for word, offsets in pairs(entries) do
      lines[#lines + 1] = ("%s %s %d 0 %d 0 %s  "):format(word, part:sub(1, 1), #offsets, #offsets, table.concat(offsets, " "))
    end
    table.sort(lines)
    write(name .. "/index." .. part, head .. table.concat(lines, "\n") .. "\n")
    write(name .. "/data." .. part, data[part])
  end
  write(name .. "/noun.exc", "geese goose\n")
  write(name .. "/verb.exc", "ran run\n")
  return folder
end

function TestThesauri.test_wordnet_files_are_read_in_place_with_base_forms()
  local w <close> = assert(wordnet.open { path = tiny_wordnet "wn" })
  lu.assertEquals(w:of("dog"), { "hound", "frank", "Wiener", "chase" })
  lu.assertEquals(w:of("Dogs"), { "hound", "frank", "Wiener", "chase" })
  lu.assertEquals(w:of("dog", { "verb" }), { "chase" })
  lu.assertEquals(w:of("geese"), { "honker" })
  lu.assertEquals(w:of("ran"), { "sprint" })
  lu.assertEquals(w:of("happiest"), {})
  lu.assertEquals(w:of("happy"), { "glad" })
  lu.assertEquals(w:of("aaa"), {})
  lu.assertEquals(w:of("zzz"), {})
  local all <close> = assert(wordnet.open { path = w.path, single = false })
  lu.assertEquals(all:of("dog", { "noun" }), { "hound", "domestic dog", "frank", "Wiener" })
end

function TestThesauri.test_wordnet_failures_name_what_is_wrong()
  local none, message, code = wordnet.open { path = dir .. "/nowhere" }
  lu.assertNil(none)
  lu.assertStrContains(message, "index.noun")
  lu.assertEquals(code, "io")
  local folder = tiny_wordnet "broken"
  assert(core.sys.write_file(folder .. "/data.noun", "x\n"))
  local w <close> = assert(wordnet.open { path = folder })
  lu.assertErrorMsgContains("data.noun has no synset at", w.of, w, "dog")
end

-- The single-word synonyms that the program wn prints for the noun senses of a word.
local function by_wn(word, option)
  local child <close> = core.sys.spawn({ "wn", word, option }, { stdout = "pipe" })
  if not child then return nil end
  local text = child:read_all()
  local seen = {}
  for line in text:gmatch("Sense %d+\n([^\n]+)") do
    for synonym in (line .. ","):gmatch("%s*(.-)%s*%f[,],") do
      synonym = synonym:gsub("%(.*$", ""):gsub("%s*$", "")
      if not synonym:find(" ") and synonym:lower() ~= word then seen[synonym:lower()] = true end
    end
  end
  local list = {}
  for synonym in pairs(seen) do list[#list + 1] = synonym end
  table.sort(list)
  return list
end

function TestThesauri.test_wordnet_says_what_the_program_wn_says()
  local w <close> = wordnet.open()
  if not w then lu.skip("no WordNet database (apt-get install wordnet-base)") end
  if not by_wn("dog", "-synsn") then lu.skip("no program wn (apt-get install wordnet)") end
  for _, word in ipairs { "dog", "car", "child", "house", "joke", "laugh", "friend", "money", "water", "zymurgy" } do
    local ours = {}
    for i, synonym in ipairs(w:of(word, { "noun" })) do ours[i] = synonym:lower() end
    table.sort(ours)
    lu.assertEquals(ours, by_wn(word, "-synsn"), word)
  end
end

TestEmbeddings = {}

-- A model whose words lie in two groups around opposite directions.
local function two_groups()
  local list = { "perro", "gato", "loro", "uno", "dos", "tres", "xxup", "42", "a" }
  local tokenizer = assert(require("kooka.text.words").train { texts = { table.concat(list, " ") } })
  local rows, noise = {}, core.random("groups", 1)
  for id = 1, tokenizer:size() do
    local word = tokenizer:piece(id)
    local group = word:find("^%a+o$") and word ~= "uno" and 1 or -1
    rows[id] = { 3 * group + .1 * noise:normal() + 5, .1 * noise:normal(), .3 * noise:normal() }
  end
  return { network = { embedding = core.tensor(rows):keep() }, tokenizer = tokenizer }
end

function TestEmbeddings.test_neighbours_are_whole_words_by_their_cosine()
  local t = thesaurus.embeddings(two_groups(), { k = 5, threshold = .5 })
  local list = t:of("perro")
  table.sort(list)
  lu.assertEquals(list, { "gato", "loro" })
  list = t:of("tres")
  table.sort(list)
  lu.assertEquals(list, { "dos", "uno" })
  lu.assertEquals({ #t:of("xxup"), #t:of("42"), #t:of("a"), #t:of("nada") }, { 0, 0, 0, 0 })
  local near = t:near("perro")
  lu.assertTrue(near[1].cosine >= near[2].cosine and near[2].cosine >= .5)
  lu.assertEquals(#thesaurus.embeddings(two_groups(), { k = 1 }):of("perro"), 1)
end

function TestEmbeddings.test_cosines_are_those_of_the_centred_rows()
  local m = two_groups()
  local t = thesaurus.embeddings(m, { k = 5, threshold = -1 })
  local mean, n, rows = { 0, 0, 0 }, 0, {}
  for _, word in ipairs(t.words) do
    rows[word] = m.network.embedding[m.tokenizer:id(word)]:tolist()
    n = n + 1
    for d = 1, 3 do mean[d] = mean[d] + rows[word][d] end
  end
  lu.assertEquals(n, 6)
  local function cosine(a, b)
    local dot, aa, bb = 0, 0, 0
    for d = 1, 3 do
      local x, y = rows[a][d] - mean[d] / n, rows[b][d] - mean[d] / n
      dot, aa, bb = dot + x * y, aa + x * x, bb + y * y
    end
    return dot / math.sqrt(aa * bb)
  end
  local near = t:near("gato")
  lu.assertEquals(#near, 5)
  for _, other in ipairs(near) do lu.assertAlmostEquals(other.cosine, cosine("gato", other.word), 1e-5) end
end

function TestEmbeddings.test_a_language_models_pieces_and_eda_with_them()
  local tokenizer = require "kooka.text.tokenizer"
  local texts = {}
  for i = 1, 40 do texts[i] = ("perro gato casa coche rojo verde come bebe %d"):format(i) end
  local tok = assert(tokenizer.train { texts = texts, vocab = 90, path = dir .. "/pieces.model" })
  local network = require("kooka.nn").language_model { vocab = tok:size(), embed = 8, hidden = 8, layers = 1 }
  local model = require("kooka.model").new { network = network, tokenizer = tok, config = { kind = "language_model", vocab = tok:size() } }
  local t = thesaurus.embeddings(model, { k = 2, threshold = -1 })
  lu.assertEquals(#t:of("perro"), 2)
  for _, word in ipairs(t:of("perro")) do lu.assertNotNil(tok:id("\u{2581}" .. word)) end
  local seen = thesaurus.embeddings(model, { k = 5, threshold = -1, texts = { "El perro y el gato.", "¡GATO! rojo" } })
  table.sort(seen.words)
  lu.assertEquals(seen.words, { "gato", "perro", "rojo" })
  lu.assertEquals(thesaurus.embeddings(model, { texts = { "perro gato rojo", "gato rojo" }, min_count = 2 }):of("perro"), {})
  local made = eda.new { synonyms = t, alpha = .3 }:many({ "un perro come" }, { 4 }, { stream(1) })[1]
  lu.assertEquals(#made, 4)
  lu.assertErrorMsgContains("threshold is 2", thesaurus.embeddings, model, { threshold = 2 })
  lu.assertErrorMsgContains("expected a model with an embedding table", thesaurus.embeddings, {})
end

function TestThesauri.test_joined_thesauri()
  local a, b = thesaurus.given { x = { "y" } }, thesaurus.given { x = { "z", "y" }, w = { "v" } }
  lu.assertEquals(thesaurus.join { a, b }:of("x"), { "y", "z" })
  lu.assertEquals(thesaurus.join({ a, b }, { first = true }):of("x"), { "y" })
  lu.assertEquals(thesaurus.join({ a, b }, { first = true }):of("w"), { "v" })
  local spanish = thesaurus.spanish(thesaurus.given { ["camión"] = { "autobús", "coche" }, ["camion"] = { "camión", "jardín", "voz", "pared" } })
  lu.assertEquals(spanish:of("camiones"), { "jardines", "voces", "paredes" })
  lu.assertErrorMsgContains("number 1 is no thesaurus", thesaurus.join, { 3 })
end

os.exit(lu.LuaUnit.run())
