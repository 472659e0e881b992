--- learner: fits a model to a source of batches: schedule, clipping, a bar with the time left, a table row an epoch,
-- a checkpoint an epoch, and a clean stop.
local core = require "kooka.core"
local optim = require "kooka.learn.optim"
local schedule = require "kooka.learn.schedule"
local tables = require "kooka.table"
local progress = require "kooka.progress"

local learner = {}

-- A carried state that was used up goes at once: handles weigh nothing to Lua's collector, so it would let megabytes a step pile up.
local function release(state)
  for _, v in pairs(state or {}) do
    if type(v) == "table" then release(v) else v:release() end
  end
end

-- Ctrl-C ends a loop between two steps, with the terminal and the model's mode as they were before it.
local function check_stop(bar, model, was)
  if not core.sys.stopped() then return end
  bar:close()
  model:train(was)
  error("interrupted", 0)
end

--- learner.validate(model, source) -> {loss=, accuracy=, nll=, n=}
-- Mean unsmoothed -log p and share of top-1 hits, in evaluation mode; the mode is put back.
function learner.validate(model, source, label)
  local was = model.training
  model:eval()
  local nll, n, hits, state = 0, 0, 0, nil
  local bar = progress.new { label = label or "validate", total = (source:steps()), unit = "step" }
  for _, batch in source:epoch(1) do
    local scope <close> = core.scope()
    local _, stats, new = model:loss(batch, state)
    local s = stats:tolist()
    nll, n, hits = nll + s[1], n + s[2], hits + s[3]
    release(state)
    state = source.carries and new or nil
    bar:step()
    check_stop(bar, model, was)
  end
  release(state)
  bar:close()
  model:train(was)
  return { loss = nll / n, accuracy = hits / n, nll = nll, n = n }
end

-- Sets the precision until the end of the block; nil leaves it as it is. Says why where it is not the one wanted.
local function hold_precision(want, say)
  local before = core.precision()
  if want then
    local used, why = core.precision(want)
    if why and want ~= "auto" then (say or print)(("precision %s instead of %s: %s"):format(used, want, why)) end
  end
  return setmetatable({}, { __close = function() core.precision(before) end })
end

local function columns(perplexity)
  local list = { { "epoch", align = "right" }, { "train loss", align = "right" }, { "valid loss", align = "right" } }
  if perplexity then list[#list + 1] = { "perplexity", align = "right" } end
  list[#list + 1] = { "accuracy", align = "right" }
  list[#list + 1] = { "items/s", align = "right" }
  list[#list + 1] = { "time", align = "right" }
  return list
end

-- A checkpoint is one safetensors file: weights, moments, and where the run stood.
local function save_checkpoint(path, model, opt, epoch, history)
  local all = {}
  for name, t in pairs(model:state()) do all["model." .. name] = t end
  local moments, count = opt:state()
  for name, t in pairs(moments) do all["optimizer." .. name] = t end
  local seed, drawn = core.op_stream():state()
  return core.save_safetensors(path, all, {
    epoch = tostring(epoch), count = tostring(count), stream_seed = tostring(seed), stream_count = tostring(drawn),
    history = core.json.encode(core.json.array(history)), precision = core.precision(),
  })
end

local function load_checkpoint(path, model, opt)
  if not core.sys.exists(path) then return nil end
  local all, meta = core.load_safetensors(path)
  if not all then error(meta, 0) end               -- there, but not readable: going on without it would hide that
  if meta.precision and meta.precision ~= core.precision() then
    error(("%s was computed in %s, this fit uses %s: it cannot go on to the same bits"):format(path, meta.precision,
      core.precision()), 0)
  end
  local weights, moments = {}, {}
  for name, t in pairs(all) do
    local m = name:match("^model%.(.*)")
    if m then weights[m] = t else moments[name:match("^optimizer%.(.*)")] = t end
  end
  model:load_state(weights)
  opt:load_state(moments, math.tointeger(tonumber(meta.count)))
  core.op_stream():state(math.tointeger(tonumber(meta.stream_seed)), math.tointeger(tonumber(meta.stream_count)))
  return math.tointeger(tonumber(meta.epoch)), core.json.decode(meta.history)
end

local function run_epoch(o, opt, rate_at, epoch, total)
  local model, source = o.model, o.train
  local steps = source:steps()
  local bar = progress.new { label = ("%s %d/%d"):format(o.label, epoch, o.epochs), total = steps, unit = "step" }
  local state, sum, count, items = nil, 0, 0, 0
  model:train(true)
  for step, batch in source:epoch(epoch) do
    local tape <close> = core.tape()
    local loss, _, new = model:loss(batch, state)
    local lr, momentum = rate_at(((epoch - 1) * steps + step - 1) / total)
    tape:backward(loss)
    local norm = opt:step(lr, momentum, o.clip)
    local value = loss:item()
    if value ~= value or norm ~= norm or norm == math.huge then
      bar:close()
      error(("%s: the loss is %s and the gradient's norm %s at epoch %d, step %d of %d (learning rate %.3g); lower the "
        .. "rate or clip"):format(o.label, value, norm, epoch, step, steps, lr), 0)
    end
    release(state)
    state = source.carries and new or nil
    sum, count, items = sum + value, count + 1, items + batch.n
    check_stop(bar, model, true)
    bar:step(1, ("loss %.3f"):format(sum / count))
  end
  release(state)
  bar:close()
  return sum / count, items
end

--- learner.fit{model=, train=, valid=nil, groups=nil, rates=nil, epochs=1, lr=, ...} -> history
-- train, valid: sources (kooka.learn.sources). groups: layer groups (default: model:groups()); rates: a factor of
-- the learning rate for each group (0 leaves it out). One-cycle schedule: pct, div, div_final, moms; decay: decoupled
-- weight decay; clip: norm. label: name of the bars; say: where the table goes (default print); perplexity: show it.
-- checkpoint: path of a file written after each epoch; when it exists the fit goes on behind it, to the same bits as a
-- fit that was never stopped. precision: "float32", "bf16", "bf16x3" or "auto" (kooka.precision) for this fit; default: the
-- one in use. After Ctrl-C the fit ends at the next step and raises "interrupted". log: called with a
-- record an epoch. history: a list of records {epoch=, train_loss=, valid_loss=, accuracy=, ...}.
function learner.fit(o)
  o.label, o.epochs = o.label or "fit", o.epochs or 1
  local _ <close> = hold_precision(o.precision, o.say)
  local groups = {}
  for i, params in ipairs(o.groups or o.model:groups()) do
    local rate = o.rates and o.rates[i] or 1
    if rate > 0 then groups[#groups + 1] = { params = params, rate = rate } end
  end
  local opt = optim.adam(groups, { decay = o.decay or 0, beta2 = o.beta2, eps = o.eps })
  local rate_at = (o.schedule or schedule.one_cycle) { lr = o.lr, pct = o.pct, div = o.div, div_final = o.div_final, moms = o.moms }
  local total = o.epochs * (o.train:steps())
  local first, history = 1, {}
  if o.checkpoint then
    local epoch, past = load_checkpoint(o.checkpoint, o.model, opt)
    if epoch then first, history = epoch + 1, past end
  end
  local stream = tables.stream { columns = columns(o.perplexity), write = o.say }
  local _ <close> = core.sys.stop_hold()        -- the first Ctrl-C ends the fit behind a step, not inside one
  for epoch = first, o.epochs do
    local start = core.sys.now()
    local train_loss, items = run_epoch(o, opt, rate_at, epoch, total)
    local seconds = core.sys.now() - start
    local v = o.valid and learner.validate(o.model, o.valid)
    local record = { label = o.label, epoch = epoch, train_loss = train_loss, seconds = seconds, items_per_second = items / seconds,
      valid_loss = v and v.loss, accuracy = v and v.accuracy }
    history[#history + 1] = record
    local row = { tostring(epoch), ("%.4f"):format(train_loss), v and ("%.4f"):format(v.loss) or "-" }
    if o.perplexity then row[#row + 1] = v and ("%.1f"):format(math.exp(v.loss)) or "-" end
    row[#row + 1] = v and ("%.4f"):format(v.accuracy) or "-"
    row[#row + 1] = ("%.0f %s"):format(items / seconds, o.train.unit)
    row[#row + 1] = progress.duration(core.sys.now() - start)
    stream:row(row)
    if o.log then o.log(record) end
    if o.checkpoint then
      local ok, message = save_checkpoint(o.checkpoint, o.model, opt, epoch, history)
      if not ok then error(message, 0) end
    end
  end
  return history
end

--- learner.predict(model, source, n) -> list of n lists of class probabilities, in the order of the maker's rows
function learner.predict(model, source, n, label)
  local batches = require "kooka.data.batches"
  local was, collector = model.training, batches.collector(n)
  model:eval()
  local bar = progress.new { label = label or "predict", total = (source:steps()), unit = "step" }
  for _, batch in source:epoch(1) do
    local scope <close> = core.scope()
    collector:add(batch.places, core.softmax(model(batch.x, batch.lens)))
    bar:step()
  end
  bar:close()
  model:train(was)
  return collector:list()
end

return learner
