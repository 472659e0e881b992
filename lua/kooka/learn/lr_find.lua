--- lr_find: the learning rate range test (Smith 2017): a short training at rates that grow, after which everything is as before.
local check = require "kooka.options"
local core = require "kooka.core"
local plot = require "kooka.plot"
local schedule = require "kooka.learn.schedule"
local suggest = require "kooka.learn.suggest"

local RATE, YES = { "number", min = 1e-30, max = 1e30 }, { "boolean" }
local OPTIONS = { low = RATE, high = RATE, steps = { "integer", min = 1 }, stop = YES, suggest = { "table" }, svg = { "string" }, show = YES,
  say = { "function" }, fit = { "table", needed = true } }
local NAMES = { "valley", "steep", "slide", "minimum" }

-- Copies of everything that training moves, and what puts them back.
local function snapshot(model)
  local kept, was = {}, model.training
  for name, t in pairs(model:state()) do kept[name] = t:clone():detach():keep() end
  local stream = core.op_stream()
  local seed, drawn = stream:state()
  return function()
    model:load_state(kept)
    stream:state(seed, drawn)
    model:train(was)
    for _, t in pairs(kept) do t:release() end
    local params = {}
    for i, p in ipairs(model:named_parameters()) do params[i] = p.tensor end
    core.optim.zero_grad(params)
  end
end

-- A source that goes through the other's epochs one behind another.
local function endless(source, steps)
  return { unit = source.unit, carries = source.carries, steps = function() return steps end, epoch = function()
    local epoch, step, next_item = 1, 0, source:epoch(1)
    return function()
      local k, batch = next_item()
      if not k then
        epoch = epoch + 1
        next_item = source:epoch(epoch)
        k, batch = next_item()
      end
      step = step + 1
      if k and step <= steps then return step, batch end
    end
  end }
end

-- Exponentially weighted mean, freed of its start (fastai's AvgSmoothLoss).
local function smoother(beta)
  local value, power = 0, 1
  return function(x)
    value, power = x + beta * (value - x), power * beta
    return value / (1 - power)
  end
end

-- What the suggestions look at: without the first tenth and the last five, up to the first nan (fastai 2.8's lr_find).
local function middle(rates, losses, steps)
  local x, y = {}, {}
  for i = steps // 10 + 1, #rates - 5 do
    if losses[i] ~= losses[i] then break end
    x[#x + 1], y[#y + 1] = rates[i], losses[i]
  end
  return x, y
end

local function draw(r, o)
  local x, y = {}, {}
  for i = 1, math.max(1, #r.rates - 5) do x[i], y[i] = math.log(r.rates[i], 10), r.losses[i] end
  local series = { { name = "loss", x = x, y = y } }
  for _, name in ipairs(r.names) do
    local lr, index = r[name], r.points[name]
    series[#series + 1] = { name = ("%s %.2e"):format(name, lr), x = { math.log(r.x[index], 10) }, y = { r.y[index] } }
  end
  local t = { series = series, xlabel = "log10 of the learning rate", ylabel = "smoothed loss", title = "learning rate range test" }
  if o.show ~= false then (o.say or print)(plot.line(t)) end
  if o.svg then
    local ok, message = plot.save(o.svg, plot.svg.line(t))
    if not ok then error(message, 0) end
  end
end

--- lr_find{fit={model=, train=, ...}, low=1e-7, high=10, steps=100, stop=true, suggest={"valley",...}, show=true, svg=nil, say=print}
-- -> {valley=, steep=, slide=, minimum=, rates=, losses=}
-- Trains with the options `fit` of learner.fit at rates from low to high in equal ratios, over `steps` steps and as many epochs
-- as that takes; losses are smoothed (beta .98, without the bias of the start). Ends early when the smoothed loss passes four
-- times its best (stop = false: never) or is no number. Then weights, buffers, gradients, the random stream and the mode are
-- what they were. suggest: which of the four (kooka.learn.suggest; default all); they see the losses without the first
-- tenth and the last five; one that lacks points is nil. show: the plot on the terminal; svg: a file for it. As fastai 2.8.
return function(o)
  check("lr_find", o, OPTIONS)
  local learner = require "kooka.learn.learner"
  local low, high, steps = o.low or 1e-7, o.high or 10, math.max(6, o.steps or 100)
  if low >= high then error(("lr_find: low is %g, expected less than high, %g"):format(low, high), 2) end
  for _, name in ipairs(o.suggest or {}) do
    if not suggest[name] then error(("lr_find: no suggestion '%s' (valley, steep, slide, minimum)"):format(tostring(name)), 2) end
  end
  local r, best, smooth = { rates = {}, losses = {}, names = {}, points = {} }, math.huge, smoother(.98)
  local options = {}
  for k, v in pairs(o.fit) do options[k] = v end
  for _, k in ipairs { "valid", "checkpoint", "log" } do options[k] = nil end
  options.epochs, options.accumulate, options.label, options.say = 1, 1, "lr_find", function() end
  options.train, options.lr = endless(o.fit.train, steps), high
  options.momentum = options.momentum or (options.moms or { .9 })[1]
  options.schedule = function(s) return schedule.exponential { lr = s.lr, from = low, momentum = s.momentum } end
  options.callbacks = { { after_backward = function(_, fit)
    local value = smooth(fit.loss)
    r.rates[#r.rates + 1], r.losses[#r.losses + 1] = fit.lr, value
    best = math.min(best, value)
    if value ~= value or math.abs(value) == math.huge or value > 4 * best and o.stop ~= false then error(r, 0) end
  end } }
  local _ <close> = setmetatable({}, { __close = snapshot(o.fit.model) })
  local ok, message = pcall(learner.fit, options)
  local diverged = type(message) == "string" and message:find("the gradient's norm", 1, true)
  if not ok and message ~= r and not diverged then error(message, 0) end
  r.x, r.y = middle(r.rates, r.losses, steps)
  for _, name in ipairs(o.suggest or NAMES) do
    if #r.x > (name == "slide" and 15 or 1) then
      r[name], r.points[name] = suggest[name](r.x, r.y)
      r.names[#r.names + 1] = name
    end
  end
  draw(r, o)
  return r
end
