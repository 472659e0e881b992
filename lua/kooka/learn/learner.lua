--- learner: fits a model to a source of batches: schedule, clipping, accumulation, averages, callbacks, a bar with the time
-- left, a table row an epoch, checkpoints inside and behind epochs, and a clean stop.
local core = require "kooka.core"
local check_options = require "kooka.options"
local checkpoint = require "kooka.learn.checkpoint"
local diagnose = require "kooka.learn.diagnose"
local groups = require "kooka.learn.groups"
local optim = require "kooka.learn.optim"
local progress = require "kooka.progress"
local rows = require "kooka.learn.rows"
local schedule = require "kooka.learn.schedule"
local stats = require "kooka.learn.stats"

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

--- learner.validate(model, source[, label]) -> {loss=, objective=, n=, nll=, perplexity=, accuracy=, rmse=, mae=}
-- In evaluation mode; the mode is put back. loss: the true one, the mean of -log p, neither smoothed nor weighted (where the
-- model has no such sum: the objective); objective: the mean of what training minimises; accuracy: share of top-1 hits.
-- What the model's sums do not say is nil (kooka.learn.stats).
function learner.validate(model, source, label)
  local was = model.training
  model:eval()
  local sums, state = stats.sums(model), nil
  local bar <close> = progress.new { label = label or "validate", total = (source:steps()), unit = "step" }
  for _, batch in source:epoch(1) do
    local scope <close> = core.scope()
    local loss, vector, new = model:loss(batch, state)
    sums:add(vector, loss:item(), batch.n)
    release(state)
    state = source.carries and new or nil
    bar:step()
    check_stop(bar, model, was)
  end
  release(state)
  bar:close()
  model:train(was)
  return sums:result()
end

-- Sets the precision until the end of the block; nil leaves it as it is. Says why where it is not the one wanted.
local function hold_precision(want, say)
  local before = core.precision()
  if want then
    local used, why = core.precision(want)
    if why and want ~= "auto" then say(("precision %s instead of %s: %s"):format(used, want, why)) end
  end
  return setmetatable({}, { __close = function() core.precision(before) end })
end

---- what a fit is made of --------------------------------------------------------------------------

local function make_optimizer(o, list)
  local kind = o.optimizer or "adam"
  if type(kind) == "function" then return kind(list, o) end
  if kind == "adam" then return optim.adam(list, { decay = o.decay or 0, beta2 = o.beta2, eps = o.eps }) end
  if kind == "sgd" then return optim.sgd(list, { decay = o.decay or 0, nesterov = o.nesterov }) end
  if kind == "asgd" then return optim.asgd(list, { decay = o.decay or 0, since = o.since, lambd = o.lambd, alpha = o.alpha }) end
  error(("fit: optimizer is '%s', expected adam, sgd, asgd or a function"):format(tostring(kind)), 0)
end

local function make_schedule(o, lr, total)
  local kind = o.schedule or (o.optimizer == "asgd" and "constant" or "one_cycle")
  local maker = type(kind) == "function" and kind or schedule[kind]
  if not maker then error(("fit: no schedule '%s' in kooka.learn.schedule"):format(tostring(kind)), 0) end
  return maker { lr = lr, pct = o.pct, div = o.div, div_final = o.div_final, moms = o.moms, momentum = o.momentum, cut = o.cut,
    ratio = o.ratio, cycles = o.cycles, mult = o.mult, steps = total }
end

-- Steps of the optimizer in an epoch.
local function steps_of(source, accumulate, epoch)
  return -(-source:steps(epoch) // accumulate)
end

local ANY, SHARE, WHOLE = { "number", min = 0 }, { "number", min = 0, max = 1 }, { "integer", min = 1 }
local LIST, TEXT, YES, CALL = { "table" }, { "string" }, { "boolean" }, { "function" }

--- learner.options: what learner.fit may be told, with types and ranges (kooka.options)
learner.options = {
  model = { "table", needed = true }, train = { "table", needed = true }, valid = LIST, groups = LIST, rates = LIST,
  lr = { "number", "table", min = 0, needed = true }, epochs = { "integer", min = 0 },
  schedule = { "string", "function" }, pct = SHARE, div = ANY, div_final = ANY, moms = LIST, momentum = SHARE, cut = SHARE, ratio = ANY,
  cycles = WHOLE, mult = ANY, optimizer = { "string", "function" }, beta2 = SHARE, eps = ANY, nesterov = YES, since = { "integer", min = 0 },
  lambd = ANY, alpha = ANY, nonmono = { "integer", "boolean", min = 0 }, decay = ANY, decay_bias = YES, clip = ANY, accumulate = WHOLE,
  label = TEXT, title = TEXT, fold = true, say = CALL, perplexity = YES, log = CALL, callbacks = LIST, checkpoint = TEXT,
  checkpoint_minutes = ANY, checkpoint_steps = WHOLE, precision = TEXT,
}

local METHODS = { "before_fit", "before_epoch", "before_step", "after_backward", "after_step", "after_epoch", "after_fit", "state" }

local function has_method(cb)
  for _, method in ipairs(METHODS) do
    if cb[method] then return true end
  end
  return false
end

-- A callback that nothing would ever call is a mistake: a single one instead of a list, or a misspelt method.
local function check_callbacks(list)
  if has_method(list) then error("fit: callbacks is a callback, expected a list of them", 3) end
  for i, cb in ipairs(list) do
    if type(cb) ~= "table" or not has_method(cb) then
      error(("fit: callback %d is %s, expected a table with any of %s"):format(i, type(cb) == "table" and "without methods" or "a "
        .. type(cb), table.concat(METHODS, ", ")), 3)
    end
  end
end

local Fit = {}
Fit.__index = Fit

local function new_fit(o)
  local self = setmetatable({ options = o, model = o.model, label = o.label or "fit", epochs = o.epochs or 1, epoch = 0, step = 0,
    history = {}, say = o.say or print, callbacks = o.callbacks or {}, lr_factor = 1, checkpoint = o.checkpoint,
    accumulate = o.accumulate or 1 }, Fit)
  local list, lr = groups.build(o.groups or o.model:groups(), o)
  self.steps = steps_of(o.train, self.accumulate)
  self.total = self.epochs * self.steps
  self.opt, self.rate_at = make_optimizer(o, list), make_schedule(o, lr, self.total)
  -- fit.stop(reason) ends the fit behind this step, or this epoch. Fine to call as fit:stop(reason).
  self.stop = function(a, b) self.stopping = tostring(b or a ~= self and a or "asked to") end
  return self
end

--- fit:call(method)
-- Calls the method of every callback that has it.
function Fit:call(method)
  for _, cb in ipairs(self.callbacks) do
    if cb[method] then cb[method](cb, self) end
  end
end

-- The averages stand in the parameters until the block ends, where the optimizer keeps any.
local function averaged(fit)
  local swapped = fit.opt.rule == "asgd" and fit.opt:swap()
  return setmetatable({}, { __close = function() if swapped and fit.opt.swapped then fit.opt:swap() end end })
end

---- checkpoints -------------------------------------------------------------------------------------

-- inside: where an epoch stands, {step=, sums=, items=, seconds=}; nil behind an epoch.
local function save(fit, inside, carried)
  if not fit.checkpoint then return end
  local kept = {}
  for i, cb in ipairs(fit.callbacks) do kept[i] = cb.state and cb:state(fit) or false end
  checkpoint.save(fit.checkpoint, { model = fit.model, opt = fit.opt, carried = carried,
    at = { epoch = inside and fit.epoch - 1 or fit.epoch, history = fit.history,
      rest = { callbacks = kept, lr_factor = fit.lr_factor, stopped = fit.stopping, inside = inside, steps = fit.steps,
        accumulate = fit.accumulate } } })
  fit.saved_at, fit.saved_step = core.sys.now(), fit.step
end

local function restore(fit)
  local at = fit.checkpoint and checkpoint.load(fit.checkpoint, { model = fit.model, opt = fit.opt, say = fit.say })
  if not at then return nil end
  local rest = at.rest
  if rest.inside and (rest.steps ~= fit.steps or rest.accumulate ~= fit.accumulate) then
    error(("%s stands at step %d of %d (accumulate %d) of an epoch, this fit has %d (accumulate %d): not the same data or batches")
      :format(fit.checkpoint, rest.inside.step, rest.steps, rest.accumulate, fit.steps, fit.accumulate), 0)
  end
  fit.epoch, fit.history, fit.lr_factor = at.epoch, at.history, rest.lr_factor or 1
  fit.stopping, fit.resumed = rest.stopped, true
  for i, cb in ipairs(fit.callbacks) do
    local kept = rest.callbacks and rest.callbacks[i]
    if kept and cb.load_state then cb:load_state(kept, fit) end
  end
  return rest.inside, at.carried
end

-- Inside a long epoch too: every checkpoint_steps steps, or checkpoint_minutes.
local function due(fit)
  local o = fit.options
  if not fit.checkpoint then return false end
  if o.checkpoint_steps then return fit.step - fit.saved_step >= o.checkpoint_steps end
  return core.sys.now() - fit.saved_at >= 60 * (o.checkpoint_minutes or 10)
end

---- a step, an epoch -------------------------------------------------------------------------------

local function finite(x) return x == x and math.abs(x) ~= math.huge end

local function not_finite(fit, bar, value, norm)
  bar:close()
  local batch = fit.suspect or fit.batches[1]
  local documents, targets = diagnose.batch(batch), diagnose.targets(batch)
  error(("%s: the loss is %s and the gradient's norm %s at epoch %d, step %d of %d (learning rate %.3g); %s%s%s"):format(fit.label,
    value, norm, fit.epoch, fit.step, fit.steps, fit.lr, targets or diagnose.model(fit.model, batch), documents and "; " .. documents or "",
    targets and "" or "; lower the rate or clip"), 0)
end

-- Gradients of all batches of a step, each by its share of the items, so that they add up to the gradient of the mean over one
-- large batch. Answers the loss, the items and the new state.
local function backward(fit, state, sums)
  local items, value = 0, 0
  for _, batch in ipairs(fit.batches) do items = items + batch.n end
  for _, batch in ipairs(fit.batches) do
    local tape <close> = core.tape()
    local loss, vector, new = fit.model:loss(batch, state)
    local share = batch.n / items
    local mean = loss:item()
    if not finite(mean) then fit.suspect = fit.suspect or batch end
    tape:backward(share == 1 and loss or loss * share)
    sums:add(vector, mean, batch.n)
    value = value + share * mean
    release(state)
    state = fit.options.train.carries and new or nil
  end
  return value, items, state
end

-- Up to `accumulate` batches: the next ones of the iterator.
local function next_batches(fit, iterator)
  local list = {}
  while #list < fit.accumulate do
    local _, batch = iterator()
    if not batch then break end
    list[#list + 1] = batch
  end
  return #list > 0 and list or nil
end

local function run_step(fit, bar, state, sums)
  local done = ((fit.epoch - 1) * fit.total / fit.epochs + (fit.step - 1) * (fit.total / fit.epochs) / fit.steps) / fit.total
  local lr, momentum = fit.rate_at(math.min(1, done))
  fit.lr, fit.momentum = lr * fit.lr_factor * (fit.batches[1].rate or 1), momentum
  fit:call("before_step")
  local value, items, new = backward(fit, state, sums)
  fit.loss, fit.state = value, new
  fit:call("after_backward")
  fit.norm = fit.opt:step(fit.lr, fit.momentum, fit.options.clip)
  if not (finite(value) and finite(fit.norm)) then not_finite(fit, bar, value, fit.norm) end
  fit:call("after_step")
  return items, new
end

-- One epoch, or what is left of it; answers the record's part that training knows.
local function run_epoch(fit, inside, carried)
  local source, model = fit.options.train, fit.model
  local sums, items, before, here = stats.sums(model), 0, 0, 0
  fit.step = 0
  if inside then
    sums:load_state(inside.sums)
    fit.step, items, before = inside.step, inside.items, inside.seconds
    fit.lr, fit.momentum, fit.loss, fit.norm = inside.lr, inside.momentum, inside.loss, inside.norm
  end
  local iterator = source:epoch(fit.epoch, fit.step * fit.accumulate + 1)
  fit.steps = steps_of(source, fit.accumulate, fit.epoch)
  local bar <close> = progress.new { label = ("%s %d/%d"):format(fit.label, fit.epoch, fit.epochs), total = fit.steps, unit = "step" }
  if fit.step > 0 then bar:at(fit.step) end
  local start, state = core.sys.now(), carried
  fit.saved_at, fit.saved_step = start, fit.step
  model:train(true)
  fit.batches = next_batches(fit, iterator)
  while fit.batches do
    fit.step = fit.step + 1
    local n
    n, state = run_step(fit, bar, state, sums)
    items = items + n
    if due(fit) or core.sys.stopped() then
      save(fit, { step = fit.step, sums = sums:state(), items = items, seconds = before + core.sys.now() - start, lr = fit.lr,
        momentum = fit.momentum, loss = fit.loss, norm = fit.norm }, state)
    end
    check_stop(bar, model, true)
    here = here + n
    bar:step(1, ("loss %.3f  %.0f %s/s"):format(sums.objective / sums.items, here / (core.sys.now() - start), source.unit or "item"))
    if fit.stopping then break end
    fit.batches = next_batches(fit, iterator)
  end
  release(state)
  fit.batches, fit.state = nil, nil
  bar:close()
  local seconds = before + core.sys.now() - start
  local r = sums:result()
  return { label = fit.label, fold = fit.options.fold, epoch = fit.epoch, train_loss = r.objective, train_true = r.nll and r.loss or nil,
    lr = fit.lr, seconds = seconds, items_per_second = items / seconds }
end

-- NT-ASGD (Merity, Keskar & Socher 2018, algorithm 1, as awd-lstm-lm has it): the averages begin once the validation loss is
-- above the best of all checks but the last n.
local function trigger_averages(fit, loss)
  local n = fit.options.nonmono
  if n == nil then n = 5 end
  if fit.opt.rule ~= "asgd" or not n or fit.opt.since or not loss then return end
  local best
  for i = 1, #fit.history - n do
    local past = fit.history[i].valid_loss
    if past and (not best or past < best) then best = past end
  end
  if best and loss > best then
    fit.opt:average()
    fit.record.averaging = true
    fit.say(("%s: the weights are averaged from here (validation loss %.4f, %.4f before)"):format(fit.label, loss, best))
  end
end

local function finish_epoch(fit, table_rows, start)
  local record, o = fit.record, fit.options
  local _ <close> = averaged(fit)           -- validation, and what callbacks save, is of the averages
  local v = o.valid and learner.validate(fit.model, o.valid)
  if v then
    record.valid_loss, record.valid_objective, record.accuracy = v.loss, v.nll and v.objective or nil, v.accuracy
    record.perplexity, record.rmse, record.mae = v.perplexity, v.rmse, v.mae
  end
  trigger_averages(fit, record.valid_loss)
  fit.history[#fit.history + 1] = record
  fit:call("after_epoch")
  table_rows:add(record, core.sys.now() - start)
  if o.log then o.log(record) end
end

--- learner.fit{model=, train=, valid=nil, lr=, epochs=1, ...} -> history
-- train, valid: sources (kooka.learn.sources). history: a list of records {epoch=, train_loss= (what was minimised), train_true=,
-- valid_loss= (the true one), valid_objective=, accuracy=, perplexity=, rmse=, mae=, lr=, seconds=, items_per_second=}.
-- Rates: lr, one or a list for the groups; groups: layer groups (default: model:groups()); rates: a factor for each group (0
-- leaves it out); frozen parameters are left out. schedule: a name or a maker of kooka.learn.schedule ("one_cycle"; "constant"
-- for asgd), with its options pct, div, div_final, moms, momentum, cut, ratio, cycles, mult. A batch's field `rate`
-- multiplies the rate of its step.
-- Optimizer: optimizer = "adam" (beta2, eps; momentum is beta1), "sgd" (nesterov), "asgd" or function(groups, o); decay: weight
-- decay (Adam: decoupled); decay_bias = false: none on biases and norms; clip: norm; accumulate = k: a step for k batches, with
-- the gradient of their common mean. asgd averages weights from the step `since`, or (NT-ASGD) once the validation loss is above
-- the best of all epochs but the last nonmono = 5 (false: never); averages are in the model for validation, for callbacks
-- behind an epoch, and at the end.
-- Output: label: name of the bars; title: a line above the table; fold: a number that the records have; say: where the table goes
-- (default print); perplexity: show it; log: called with a record an epoch. callbacks: tables with any of before_fit,
-- before_epoch, before_step, after_backward, after_step, after_epoch, after_fit, called as cb:method(fit); fit has model, opt,
-- options, epoch, epochs, step, steps, batches, lr, momentum (may be set in before_step), loss, norm, record, history,
-- lr_factor, say, stop(reason). state() and load_state(table) of a callback are kept in checkpoints; load_state comes behind
-- before_fit (kooka.learn.callbacks).
-- checkpoint: path of a file written behind each epoch, and inside one every checkpoint_minutes = 10 or checkpoint_steps;
-- when it exists the fit goes on behind it, to the same bits as a fit that was never stopped. precision: "float32", "bf16",
-- "bf16x3" or "auto" (kooka.precision) for this fit; default: the one in use. After Ctrl-C the fit ends at the next step and
-- raises "interrupted". A loss or gradient that is not finite raises with the step, the batch, and the target, the weights or the
-- layer that it comes from.
function learner.fit(o)
  check_options("fit", o, learner.options)
  check_callbacks(o.callbacks or {})
  local _ <close> = hold_precision(o.precision, o.say or print)
  local fit = new_fit(o)
  fit:call("before_fit")
  local inside, carried = restore(fit)
  local table_rows = rows.new { title = o.title, say = o.say, perplexity = o.perplexity, unit = o.train.unit }
  local _ <close> = core.sys.stop_hold()        -- the first Ctrl-C ends the fit behind a step, not inside one
  while fit.epoch < fit.epochs and not fit.stopping do
    fit.epoch = fit.epoch + 1
    local start = core.sys.now()
    if not inside then fit:call("before_epoch") end
    fit.record = run_epoch(fit, inside, carried)
    inside, carried = nil, nil
    finish_epoch(fit, table_rows, start)
    save(fit)
    if fit.stopping then fit.say(("%s: stopped at epoch %d: %s"):format(fit.label, fit.epoch, fit.stopping)) end
  end
  if fit.checkpoint then checkpoint.finish(fit.checkpoint) end
  if fit.opt.rule == "asgd" then fit.opt:swap() end
  fit:call("after_fit")
  return fit.history
end

---- predictions ---------------------------------------------------------------------------------------

-- What a model says of a batch: {prob = [B,C] or nil, score = [B] or nil}.
local function answers(model, batch)
  if model.outputs then return model:outputs(batch.x, batch.lens) end
  return { prob = core.softmax(model(batch.x, batch.lens)) }
end

--- learner.predict(model, source, n[, label]) -> list of n answers, in the order of the maker's rows
-- Of a classifier lists of class probabilities, of a regressor numbers, of a model with both (its outputs(ids, lens) answers prob
-- and score) tables {prob = {...}, score =}.
function learner.predict(model, source, n, label)
  local batches = require "kooka.data.batches"
  local was, probs, scores = model.training, batches.collector(n), batches.collector(n)
  model:eval()
  local bar <close> = progress.new { label = label or "predict", total = (source:steps()), unit = "step" }
  for _, batch in source:epoch(1) do
    local scope <close> = core.scope()
    if not batch.places then error("predict: the source has no documents to answer for (a language model's?)", 2) end
    local out = answers(model, batch)
    if out.prob then probs:add(batch.places, out.prob) end
    if out.score then scores:add(batch.places, out.score) end
    bar:step()
    check_stop(bar, model, was)
  end
  bar:close()
  model:train(was)
  if scores.filled == 0 then return probs:list() end
  if probs.filled == 0 then return scores:list() end
  local prob, both = probs:list(), {}
  for i, score in ipairs(scores:list()) do both[i] = { prob = prob[i], score = score } end
  return both
end

--- learner.new{model=, train=, valid=nil, ...} -> learner object for the REPL and scripts (kooka.learn.session)
function learner.new(o) return require "kooka.learn.session"(o) end

return learner
