--- generate: texts from a language model, a token at a time with the state carried: sampling with the usual filters, or beam search.
-- `generate.texts(m, o)` answers all at once, `generate.start(m, o)` a token after the other. m: a kooka.model of kind
-- "language_model", its folder, or a table {network = kooka.nn.language_model, tokenizer =}.
local core = require "kooka.core"
local check_options = require "kooka.options"
local rules = require "kooka.text.rules"

local generate = {}

local OPTIONS = {
  prompt = true, n = true, tokens = true, temperature = true, top_k = true, top_p = true, min_p = true, typical = true, penalty = true,
  window = true, no_unk = true, stop = true, seed = true, plain = true, clean = true, beams = true, length_penalty = true,
}

local RANGES = { n = { 1, 10000 }, tokens = { 1, 1000000 }, beams = { 1, 10000 }, window = { 0, 100000 } }

local function refuse(level, format, ...) error("generate: " .. format:format(...), level + 1) end

local function settled(o, level)
  check_options("generate", o, OPTIONS, level + 2)
  local s = { n = 1, tokens = 100, temperature = 1, top_k = 0, top_p = 1, min_p = 0, typical = 1, penalty = 1, window = 64, seed = 1,
    no_unk = true, stop = true, length_penalty = 1 }
  for k, v in pairs(o or {}) do s[k] = v end
  for name, r in pairs(RANGES) do
    local v = s[name]
    if v ~= nil and (math.type(v) ~= "integer" or v < r[1] or v > r[2]) then
      refuse(level + 1, "option %s is %s, expected an integer from %d to %d", name, tostring(v), r[1], r[2])
    end
  end
  if s.beams and s.n > s.beams then refuse(level + 1, "n is %d, but there are %d beams", s.n, s.beams) end
  return s
end

local function opened(m, level)
  if type(m) == "string" then
    local message
    m, message = require("kooka.model").load(m)
    if not m then error(message, 0) end
  end
  local network = m.network
  if not (network and network.encoder and m.tokenizer) or getmetatable(network).__name ~= "language_model" then
    refuse(level + 1, "expected a language model with its tokenizer, got %s",
      m.config and "a " .. (m.config.kind or "classifier") or "something else")
  end
  return network, m.tokenizer, m.config or {}
end

-- What the model says of its texts goes into the settings, where these say nothing: read from the end, cleaned before they were cut.
local function of_model(s, tok, config)
  local cleaned = config.cleaned
  if cleaned == nil then cleaned = tok.bos ~= nil end
  s.backwards = config.backwards or false
  if s.clean == nil then s.clean = cleaned end
  if s.plain == nil then s.plain = s.clean end
  return s
end

-- ---- states

local function release(state)
  for _, layer in ipairs(state or {}) do
    for _, t in pairs(layer) do t:release() end
  end
end

-- Rows `rows` (an index tensor) of a state.
local function rows_of(state, rows)
  local out = {}
  for i, layer in ipairs(state) do
    out[i] = {}
    for name, t in pairs(layer) do out[i][name] = t:index_select(rows, { dim = 1 }) end
  end
  return out
end

-- ---- text

local GLUED_LEFT, GLUED_RIGHT = "[,?!]", "[#@]"

local function shouted(word)
  local out = {}
  for _, code in utf8.codes(word) do
    local c = utf8.char(code)
    out[#out + 1] = generate.upper(c)
  end
  return table.concat(out)
end

local uppers

--- generate.upper(character) -> character
-- Its capital, where lower case is one character of Latin, Greek or Cyrillic script; itself otherwise.
function generate.upper(c)
  if not uppers then
    uppers = {}
    for _, range in ipairs { { 0x41, 0x5A }, { 0xC0, 0x24F }, { 0x370, 0x52F } } do
      for code = range[1], range[2] do
        local capital = utf8.char(code)
        local small = core.unicode.lower(capital)
        if small and small ~= capital and utf8.len(small) == 1 then uppers[small] = uppers[small] or capital end
      end
    end
  end
  return uppers[c] or c
end

local function capitalised(word)
  local first = word:match("^" .. utf8.charpattern)
  return first and generate.upper(first) .. word:sub(#first + 1) or word
end

--- generate.plain(text) -> text
-- Undoes what cleaning (kooka.text.rules) marked: xxnl a line end, xxup and xxmaj capitals, xxrep 5 a -> aaaaa, xxwrep 3 ha -> ha ha
-- ha, and the spaces around , ? ! # @ and the Spanish opening marks. xxurl and xxuser stay: nobody knows what they were.
function generate.plain(text)
  local words, out, i = {}, {}, 1
  for word in text:gmatch("%S+") do words[#words + 1] = word end
  while words[i] do
    local word, count, what = words[i], math.tointeger(tonumber(words[i + 1])), words[i + 2]
    if word == "xxnl" then
      out[#out + 1] = "\n"
    elseif (word == "xxup" or word == "xxmaj") and words[i + 1] then
      i = i + 1
      out[#out + 1] = word == "xxup" and shouted(words[i]) or capitalised(words[i])
    elseif (word == "xxrep" or word == "xxwrep") and count and count >= 1 and count <= 1000 and what then
      out[#out + 1] = word == "xxrep" and what:rep(count) or what:rep(count, " ")
      i = i + 2
    else
      out[#out + 1] = word
    end
    i = i + 1
  end
  local joined = table.concat(out, " "):gsub(" ?\n ?", "\n")
  joined = joined:gsub(" (" .. GLUED_LEFT .. ")", "%1"):gsub("(" .. GLUED_RIGHT .. ") ", "%1")
  return (joined:gsub("¿ ", "¿"):gsub("¡ ", "¡"))
end

local function reversed(ids)
  local out = {}
  for i = #ids, 1, -1 do out[#out + 1] = ids[i] end
  return out
end

-- The text of ids, the first of which may be the mark at a text's side.
local function decoded(tok, ids, o)
  if not tok.bos and ids[1] == tok.eos then ids = table.move(ids, 2, #ids, 1, {}) end
  local text = tok:decode(o.backwards and reversed(ids) or ids)
  return o.plain and generate.plain(text) or text
end

-- ---- sampling

local Generation = {}
Generation.__index = Generation

-- The last `window` ids of each row before the next one, 0 where there are fewer; nil when nobody asks for them.
local function recent(rows, o)
  if o.penalty == 1 or o.window == 0 then return nil end
  local out, longest = {}, 1
  for _, ids in ipairs(rows) do longest = math.max(longest, math.min(#ids, o.window)) end
  for r, ids in ipairs(rows) do
    out[r] = {}
    for k = 1, longest do out[r][k] = ids[#ids - longest + k] or 0 end
  end
  return core.tensor(out, "int32")
end

local function banned(tok, o)
  local list = { tok.pad }
  if o.no_unk then list[#list + 1] = tok.unk end
  if not o.stop then
    list[#list + 1] = tok.bos
    list[#list + 1] = tok.eos
  end
  return list
end

local function prompt_ids(tok, o)
  local text, message = o.prompt or "", nil
  if o.clean then text, message = rules.clean(text) end
  if not text then error("generate: prompt: " .. message, 3) end
  local ids
  ids, message = tok:encode(text)
  if not ids then error("generate: prompt: " .. message, 3) end
  if o.backwards then ids = reversed(ids) end          -- such a model begins behind the end of a text, where the next one's xxbos stands
  local side = tok.bos or tok.eos
  if side and (tok.bos or ids[1] ~= side) then table.insert(ids, 1, side) end
  if #ids == 0 then error("generate: the tokenizer has no piece to begin with: give a prompt", 3) end
  return ids
end

--- generate.start(m, o) -> generation
-- Options as generate.texts, but beams. `g:next()` gives the next ids; the prompt is read once, then one token at a time.
function generate.start(m, o)
  local s = settled(o, 1)
  if s.beams then refuse(1, "beam search knows its texts at the end only: use generate.texts") end
  local network, tok, config = opened(m, 1)
  of_model(s, tok, config)
  local ids, ban = prompt_ids(tok, s), banned(tok, s)
  local g = setmetatable({ network = network, tok = tok, o = s, rows = {}, from = #ids + 1, finished = {}, left = s.n, made = 0,
    banned = #ban > 0 and core.tensor(ban, "int32"):keep() or nil, stream = core.random("generate", s.seed) }, Generation)
  for r = 1, s.n do g.rows[r] = table.move(ids, 1, #ids, 1, {}) end
  return g
end

-- Reads tokens x [T,B]; answers logits of the last step [B,V], and the new state. In a scope.
local function read(network, x, state)
  local T = x:shape(1)
  if T > 1 then
    local _
    _, state = network.encoder(x:narrow(1, 1, T - 1):contiguous(), state)
    x = x:narrow(1, T, 1):contiguous()
  end
  local logits, new = network(x, state)
  return logits:reshape(x:shape(2), -1), new
end

-- The first step: the prompt, once for all rows.
local function first_logits(g)
  local ids = g.rows[1]
  local logits, state = read(g.network, core.tensor(ids, "int32"):reshape(#ids, 1), nil)
  if g.o.n == 1 then return logits, state end
  local ones = core.ones(g.o.n):to("int32")
  return logits:index_select(ones, { dim = 1 }), rows_of(state, ones)
end

local function later_logits(g)
  local last = {}
  for r, ids in ipairs(g.rows) do last[r] = ids[#ids] end
  return read(g.network, core.tensor({ last }, "int32"), g.state)
end

local function evaluation(network)
  local was = network.training
  network:eval()
  return setmetatable({}, { __close = function() network:train(was) end })
end

--- g:next() -> list of n ids, or nil at the end
-- 0 for a row that has ended. Raises "interrupted" after Ctrl-C.
function Generation:next()
  if self.left == 0 or self.made >= self.o.tokens then return nil end
  local o, tok = self.o, self.tok
  local _ <close> = evaluation(self.network)
  local scope <close> = core.scope()
  local logits, state
  if self.state then logits, state = later_logits(self) else logits, state = first_logits(self) end
  local drawn = core.sample_next(logits, recent(self.rows, o), self.banned, { temperature = o.temperature, top_k = o.top_k,
    top_p = o.top_p, min_p = o.min_p, typical = o.typical, penalty = o.penalty, stream = self.stream }):tolist()
  local old = self.state
  self.state = self.network.encoder:carry(state)
  release(old)
  self.made = self.made + 1
  for r, id in ipairs(drawn) do
    if self.finished[r] then
      drawn[r] = 0
      table.insert(self.rows[r], tok.bos or tok.eos or 1)       -- fed on, never shown
    else
      table.insert(self.rows[r], id)
      if o.stop and (id == tok.bos or id == tok.eos) then
        self.finished[r], self.left, drawn[r] = #self.rows[r] - 1, self.left - 1, 0
      end
    end
  end
  return drawn
end

--- g:ids(row) -> list of ids that followed the prompt, without the mark that ended it
function Generation:ids(row)
  local all = self.rows[row]
  return table.move(all, self.from, self.finished[row] or #all, 1, {})
end

--- g:text([row = 1]) -> prompt and what followed, decoded
function Generation:text(row)
  local all = self.rows[row or 1]
  return decoded(self.tok, table.move(all, 1, self.finished[row or 1] or #all, 1, {}), self.o)
end

--- g:close()
-- Frees the state. Also `local g <close> = generate.start(...)`.
function Generation:close()
  release(self.state)
  self.state, self.left = nil, 0
  if self.banned then self.banned:release() end
  self.banned = nil
end
Generation.__close = Generation.close

-- ---- beam search

local function normalised(logp, length, alpha) return logp / ((5 + length) / 6) ^ alpha end

-- Log-probabilities of what follows each row [B,V]: after penalty and bans, renormalised.
local function log_probabilities(logits, rows, ban, o)
  local _, p = core.sample_next(logits, recent(rows, o), ban, { penalty = o.penalty })
  return p:log()
end

-- Extends the beams by their best tokens: the live ones that go on, the finished ones put into `done`.
local function extended(b, logp, o, tok)
  local V, scores = logp:shape(2), {}
  for r, beam in ipairs(b.live) do scores[r] = { beam.logp } end
  local all = (logp + core.tensor(scores)):reshape(-1)
  local values, places = core.topk(all, { k = math.min(2 * o.beams, all:shape(1)) })
  values, places = values:tolist(), places:tolist()
  local live = {}
  for i, place in ipairs(places) do
    local r, id = (place - 1) // V + 1, (place - 1) % V + 1
    if values[i] == -math.huge then break end
    local old = b.live[r]
    local beam = { logp = values[i], from = r, ids = table.move(old.ids, 1, #old.ids, 1, {}) }
    if o.stop and (id == tok.bos or id == tok.eos) then
      b.done[#b.done + 1] = { ids = beam.ids, score = normalised(beam.logp, #beam.ids + 1 - b.prompt, o.length_penalty),
        logp = beam.logp, finished = true }
    else
      table.insert(beam.ids, id)
      if #live < o.beams then live[#live + 1] = beam end
    end
  end
  return live
end

local function by_score(a, b)
  if a.score ~= b.score then return a.score > b.score end
  return #a.ids < #b.ids
end

-- Whether no live beam can end better than the n-th finished one: a score only falls, and is divided by most at the end.
local function decided(b, live, o)
  table.sort(b.done, by_score)
  while #b.done > o.beams do table.remove(b.done) end
  if #live == 0 then return true end
  if #b.done < o.n then return false end
  local best = math.max(normalised(live[1].logp, o.tokens, o.length_penalty),
    normalised(live[1].logp, #live[1].ids - b.prompt, o.length_penalty))
  return b.done[o.n].score >= best
end

local function beam_search(network, tok, o)
  local ids, ban = prompt_ids(tok, o), banned(tok, o)
  local _ <close> = evaluation(network)
  local b = { prompt = #ids, done = {}, live = { { ids = ids, logp = 0 } } }
  ban = #ban > 0 and core.tensor(ban, "int32"):keep() or nil
  local state
  for step = 1, o.tokens do
    local scope <close> = core.scope()
    local rows, last = {}, {}
    for r, beam in ipairs(b.live) do rows[r], last[r] = beam.ids, beam.ids[#beam.ids] end
    local x = step == 1 and core.tensor(ids, "int32"):reshape(#ids, 1) or core.tensor({ last }, "int32")
    local logits, new = read(network, x, state)
    local live = extended(b, log_probabilities(logits, rows, ban, o), o, tok)
    local from = {}
    for i, beam in ipairs(live) do from[i] = beam.from end
    local old = state
    state = #live > 0 and network.encoder:carry(rows_of(new, core.tensor(from, "int32"))) or nil
    release(old)
    b.live = live
    if decided(b, live, o) then break end
  end
  release(state)
  for _, beam in ipairs(b.live) do
    b.done[#b.done + 1] = { ids = beam.ids, logp = beam.logp,
      score = normalised(beam.logp, #beam.ids - b.prompt, o.length_penalty) }
  end
  table.sort(b.done, by_score)
  local out = {}
  for i = 1, math.min(o.n, #b.done) do
    local d = b.done[i]
    out[i] = { text = decoded(tok, d.ids, o), ids = table.move(d.ids, b.prompt + 1, #d.ids, 1, {}), logp = d.logp,
      score = d.score, finished = d.finished or false }
  end
  return out
end

--- generate.texts(m, o) -> list of {text=, ids=, finished=}
-- m: a language model with its tokenizer, or a model's folder. o: prompt = "" (cleaned where the model's texts were; clean says otherwise),
-- n = 1 texts, tokens = 100 at most. Filters, in the order they act, each on what the one before left (core.sample_next):
--   penalty = 1 (Keskar et al. 2019; over the last window = 64 tokens), no_unk = true (xxunk never comes; padding never does),
--   temperature = 1 (0: the most probable token), top_k = 0 (0: off), top_p = 1 (nucleus; Holtzman et al. 2020), min_p = 0
--   (Nguyen et al. 2024), typical = 1 (Meister et al. 2023).
-- stop = true: a text ends where the model begins the next one (xxbos) or ends this one (xxeos; of words: the mark of ends). seed = 1:
-- the same seed, the same texts; each text draws its own numbers. plain = clean: capitals and line ends instead of marks
-- (generate.plain). text holds the prompt as well.
-- beams = K: beam search instead of drawing: the n best of K by sum of log p / ((5 + length) / 6)^length_penalty (Wu et al. 2016; 1 by
-- default, 0: no normalisation); penalty, no_unk and stop act, the others do not; also logp and score in each answer.
-- A model with config.backwards reads from the end: prompt is how the texts end, and what comes stands before it (ids are in the order
-- they came). Raises for wrong options; a folder that cannot be read raises its message.
function generate.texts(m, o)
  local s = settled(o, 1)
  if s.beams then
    local network, tok, config = opened(m, 1)
    return beam_search(network, tok, of_model(s, tok, config))
  end
  local g <close> = generate.start(m, o)
  while g:next() do end
  local out = {}
  for r = 1, s.n do out[r] = { text = g:text(r), ids = g:ids(r), finished = g.finished[r] ~= nil } end
  return out
end

return generate
