--- ops: kooka bench op: any op of the library, timed alone on random inputs whose shapes come from its signature.
local core = require "kooka.core"
local results = require "kooka.bench.results"
local samples = require "kooka.bench.samples"
local sys = core.sys

local ops = {}

-- What random numbers alone cannot know: optional inputs that an op is mostly used with, inputs above zero, and what
-- an index input points into.
local WITH = { lstm = "b", qrnn = "b", linear = "b", linear_cross_entropy = "b", cross_entropy = "target" }
local POSITIVE = { log = true, sqrt = true, pow = true, bce = true }
local BOUND = { embedding = "V", cross_entropy = "C", linear_cross_entropy = "V" }
local LENGTHS_OF = { attention = "S" }          -- lengths count steps T elsewhere

-- Signatures of ops behind a binding of their own, whose help does not show it.
local SIGNATURES = { cat = "x[?]* -> y[?]", matmul = "a[...,M,K] b[...,K,N] -> y[...,M,N]" }

-- Multiply-adds of one forward pass: from the sizes by letter and the rows that "..." stood for.
local MULTIPLY_ADDS = {
  matmul = function(z, rows) return rows * z.M * z.K * z.N end,
  linear = function(z, rows) return rows * z.D * z.H end,
  lstm = function(z) return (z.tokens or z.T * z.B) * 4 * z.H * (z.D + z.H) end,
  linear_cross_entropy = function(z, rows) return rows * z.D * z.V end,
  attention = function(z) return z.B * z.H * z.T * z.S * (z.D + z.E) end,
  qrnn = function(z) return (z.tokens or z.T * z.B) * z.G * z.K end,
  lstm_cell = function(z) return z.B * 4 * z.H * (z.D + z.H) end,
}
MULTIPLY_ADDS.matmul_nt, MULTIPLY_ADDS.matmul_tn = MULTIPLY_ADDS.matmul, MULTIPLY_ADDS.matmul

-- "x[T,B,D] h[B,H]? lens:n[B]?" -> list of {name, type, dims = list of texts, optional, constant, variadic, text}
local function terms(text)
  local out = {}
  for word in text:gmatch("%S+") do
    local name, kind, dims, marks = word:match("^([%w_]+):?(%a?)%[(.-)%]([?!*]*)$")
    if name then
      local t = { name = name, type = kind ~= "" and kind or "f", dims = {}, text = word, optional = marks:find("?", 1, true) ~= nil,
        constant = marks:find("!", 1, true) ~= nil, variadic = marks:find("*", 1, true) ~= nil }
      for size in dims:gmatch("[^,]+") do t.dims[#t.dims + 1] = size end
      out[#out + 1] = t
    end
  end
  return out
end

-- What the op's help text says: {name, inputs, options = list of names, differentiable, sig}
local function described(name)
  local doc = core.doc(core[name])
  local sig = doc:match("^[%w_]+: ([^\n]*)") or SIGNATURES[name]
  local op = { name = name, sig = sig, inputs = terms(sig:match("^(.-)%->")), options = {},
    differentiable = doc:find("\nDifferentiable.", 1, true) ~= nil or SIGNATURES[name] ~= nil }
  for line in doc:gmatch("\n  ([%w_]+)[ :][^\n]*") do op.options[#op.options + 1] = line end
  return op
end

local function contains(list, word)
  for _, w in ipairs(list) do
    if w == word then return true end
  end
  return false
end

-- The inputs that are made: those that must be, and the optional ones of `with`.
local function wanted_inputs(op, with)
  local out, known = {}, {}
  for _, t in ipairs(op.inputs) do
    known[#known + 1] = t.name
    if not t.optional or contains(with, t.name) then out[#out + 1] = t end
  end
  for _, name in ipairs(with) do
    if not contains(known, name) then
      return nil, ("%s has no input %s (%s)"):format(op.name, name, op.sig)
    end
  end
  return out
end

-- The keys that the inputs need, in order of appearance: letters, shape (of "..." and "&"), names of inputs of any
-- shape, largest (what an index input is drawn up to).
local function needed(op, inputs)
  local out, seen = {}, {}
  local function need(key, of)
    if not seen[key] then out[#out + 1] = { key = key, of = of } end
    seen[key] = true
  end
  for _, t in ipairs(inputs) do
    for _, size in ipairs(t.dims) do
      local letter = size:match("^%d*(%u)$")
      if letter then
        need(letter, t.text)
      elseif size == "?" then
        need(t.name, t.text)
      elseif size == "..." or size == "&" then
        need("shape", t.text)
      end
    end
    if t.type == "i" and not BOUND[op.name] then need("largest", t.text .. ", drawn from 1 to it") end
  end
  return out
end

local function example(key) return (key:find("^%u$") or key == "largest") and key .. "=8" or key .. "=64,8" end

local function number_list(text)
  local out = {}
  for word in (text .. ","):gmatch("(.-),") do
    local n = math.tointeger(tonumber(word))
    if not n or n < 0 then return nil end
    out[#out + 1] = n
  end
  return out
end

-- KEY=VALUE words -> table by key, or nil, message
local function pairs_of(op, words)
  local given = {}
  for _, word in ipairs(words) do
    local key, value = word:match("^([%w_]+)=(.+)$")
    if not key then return nil, ("%s: expected KEY=VALUE"):format(word) end
    if given[key] then return nil, ("%s is given twice for %s"):format(key, op.name) end
    given[key] = value
  end
  return given
end

local function option_value(text)
  if text == "true" or text == "false" then return text == "true" end
  return tonumber(text) or text
end

-- Splits what was given into sizes and options; refuses what is missing, unknown or no number.
local function settle(op, given)
  local with = {}
  for name in (given.with or WITH[op.name] or ""):gmatch("[^,]+") do with[#with + 1] = name end
  local inputs, message = wanted_inputs(op, with)
  if not inputs then return nil, message end
  local need, missing, known, sizes, options = needed(op, inputs), {}, {}, {}, {}
  for _, n in ipairs(need) do
    local text = given[n.key]
    known[#known + 1] = n.key
    if not text then
      missing[#missing + 1] = ("%s (for %s)"):format(example(n.key), n.of)
    else
      local list = number_list(text)
      local scalar = n.key:find("^%u$") or n.key == "largest"
      if not list or scalar and (#list ~= 1 or list[1] < 1) then
        return nil, ("%s=%s: %s wants %s"):format(n.key, text, op.name, scalar and "one integer above 0" or "integers with commas between")
      end
      sizes[n.key] = scalar and list[1] or list
    end
  end
  for key, text in pairs(given) do
    if contains(op.options, key) then
      options[key] = option_value(text)
    elseif key ~= "with" and not contains(known, key) then
      local all = table.move(op.options, 1, #op.options, #known + 1, known)
      all[#all + 1] = "with"
      return nil, ("%s has no %s; its keys: %s. It is %s"):format(op.name, key, table.concat(all, ", "), op.sig)
    end
  end
  if #missing > 0 then
    return nil, ("%s is %s\nmissing: %s"):format(op.name, op.sig, table.concat(missing, ", "))
  end
  return { op = op, inputs = inputs, sizes = sizes, options = options }
end

--- entry(words) -> {name=, op=, ...} for measure, or nil, message
-- words: the op, then KEY=VALUE. Keys: the letters of the op's signature; shape for "..." and "&"; an input's name for one of
-- any shape; largest: what an index input is drawn up to; with: names of optional inputs; and the op's options.
function ops.entry(words)
  local name = words[1]
  if not name or not contains(core.ops(), name) then
    return nil, "op wants the name of an op and its sizes, as in: kooka bench op linear shape=64 D=400 H=1152"
      .. (name and ("\n%s is none%s"):format(name, require("kooka.nearest").hint(name, core.ops())) or "")
  end
  local op = described(name)
  local given, message = pairs_of(op, table.move(words, 2, #words, 1, {}))
  if not given then return nil, message end
  local plan
  plan, message = settle(op, given)
  if not plan then return nil, message end
  plan.name = table.concat(words, " ")
  return plan
end

local function product(list)
  local n = 1
  for _, k in ipairs(list) do n = n * k end
  return n
end

local function shape_of(term, sizes)
  local out = {}
  for _, size in ipairs(term.dims) do
    local times, letter = size:match("^(%d*)(%u)$")
    if letter then
      out[#out + 1] = (tonumber(times) or 1) * sizes[letter]
    else
      for _, n in ipairs(sizes[size == "?" and term.name or "shape"]) do out[#out + 1] = n end
    end
  end
  return out
end

-- Numbers that fall from T to about half of it: lengths of rows.
local function lengths(n, most)
  local out, sum = {}, 0
  for i = 1, n do
    out[i] = math.max(1, most - (i - 1) * most // (2 * n))
    sum = sum + out[i]
  end
  return core.tensor(out, "int32"), sum
end

local function make(plan, term, stream)
  local shape, z, name = shape_of(term, plan.sizes), plan.sizes, plan.op.name
  local n = #shape
  if term.type == "i" then
    shape[n + 1] = stream
    return core.randint(1, z[BOUND[name] or "largest"], table.unpack(shape)):keep()
  elseif term.type == "n" then
    local t
    t, z.tokens = lengths(product(shape), z[LENGTHS_OF[name] or "T"] or 1)
    return t:keep()
  end
  local t
  if POSITIVE[name] then
    t = stream:fill_uniform(core.zeros(table.unpack(shape)), .1, .9)
  else
    shape[n + 1] = stream
    t = core.randn(table.unpack(shape))
  end
  if term.type == "b" then
    local scope <close> = core.scope()
    return core.gt(t, 0):keep()
  end
  t:keep()
  return term.constant and t or t:param()
end

-- The arguments of the call, its float parameters, the bytes of its inputs.
local function arguments(plan)
  local stream, args, params, bytes, at = core.random("bench op", 1), {}, {}, 0, 0
  for _, term in ipairs(plan.op.inputs) do
    local used = contains(plan.inputs, term)
    for _ = 1, term.variadic and 2 or 1 do
      at = at + 1
      if used then
        local t = make(plan, term, stream)
        args[at], bytes = t, bytes + 4 * product(t:shape())
        if (term.type == "f" or term.type == "a") and not term.constant then params[#params + 1] = t end
      end
    end
  end
  args.n = at
  if next(plan.options) then
    at = at + 1
    args[at], args.n = plan.options, at
  end
  return args, params, bytes
end

-- Enough steps for a sample of 5 ms.
local function times(step)
  local from = sys.now()
  step()
  return math.max(1, math.min(10000, math.ceil(.005 / math.max(sys.now() - from, 1e-7))))
end

local function sampled(step, o)
  local n = times(step)
  local clock = o.cpu and os.clock or sys.now
  local side = samples.side(function()
    local from = clock()
    for _ = 1, n do step() end
    return (clock() - from) / n
  end, o.repeats)
  while not side:done() do
    side:sample(o.patience)
    if sys.stopped() then error("interrupted", 0) end
  end
  return assert(side:result())
end

local function note(flops, bytes, result)
  if flops then return ("%.1f GFLOP/s"):format(flops / result.median / 1e9) end
  return ("%.2f GB/s"):format(bytes / result.median / 1e9)
end

--- measure(entry, {repeats=, patience=, cpu=}) -> list of records
-- Forward alone, and forward with backward of the sum of its first result where the op has a gradient. Rates: GFLOP/s for
-- products, else bytes of inputs and first result, each once (three times with backward), over the time.
function ops.measure(plan, o)
  local op, call = plan.op, core[plan.op.name]
  local args, params, bytes = arguments(plan)
  local float
  local function forward()
    local scope <close> = core.scope()
    call(table.unpack(args, 1, args.n))
  end
  do
    local scope <close> = core.scope()
    local y = call(table.unpack(args, 1, args.n))
    bytes, float = bytes + 4 * product(y:shape()), y:dtype() == "float32"
  end
  local adds = MULTIPLY_ADDS[op.name]
  local flops = adds and 2 * adds(plan.sizes, product(plan.sizes.shape or {}))
  local list = {}
  local function put(what, step, factor)
    local result = sampled(step, o)
    local f = flops and flops * factor
    local r = results.record(plan.name .. " " .. what, { unit = "ms" }, { flops = f }, result, nil,
      { sizes = plan.sizes, note = note(f, bytes * factor, result) })
    r.short = op.name .. " " .. what
    list[#list + 1] = r
  end
  put("forward", forward, 1)
  if op.differentiable and float and #params > 0 then
    put("forward+backward", function()
      local tape <close> = core.tape()
      local y = call(table.unpack(args, 1, args.n))
      tape:backward(#y:shape() > 0 and y:sum() or y)
      core.optim.zero_grad(params)
    end, 3)
  end
  return list
end

return ops
