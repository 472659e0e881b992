-- killed_fit.lua -- a fit that a spec starts, kills and starts again: killed_fit.lua KIND FOLDER STEP
-- Kills itself with signal 9 at the STEP-th step of this process (0: never); at its end it writes FOLDER/weights and
-- FOLDER/history.json.
local callbacks = require "kooka.learn.callbacks"
local kooka = require "kooka"
local learner = require "kooka.learn.learner"
local small = require "small_fits"
local sys = kooka.sys

require("kooka.progress").quiet = true
local kind, folder, last = arg[1], arg[2], tonumber(arg[3])
kooka.seed(5)
local o = small[kind](folder)
o.epochs, o.checkpoint = 4, folder .. "/fit.safetensors"
o.checkpoint_steps = tonumber(arg[4] or "2")
local best = callbacks.save_best {}
local done = 0
o.callbacks = { best, callbacks.reduce_on_plateau { patience = 1, factor = .5 }, callbacks.csv_log(folder .. "/log.csv"),
  { most = 0, after_step = function(self, fit)
    self.most = math.max(self.most, fit.norm)
    done = done + 1
    if done == last then os.execute("kill -9 " .. sys.pid()) end
  end, after_epoch = function(self, fit) fit.record.most = self.most end,
    state = function(self) return { most = self.most } end, load_state = function(self, kept) self.most = kept.most end } }
if kind == "language_model" then
  o.optimizer, o.lr, o.nonmono, o.accumulate, o.valid = "asgd", 20, 0, 2, o.train
  o.clip = .25
end
local history = learner.fit(o)
for _, record in ipairs(history) do record.seconds, record.items_per_second = nil, nil end
assert(sys.write_file(folder .. "/history.json", kooka.json.encode(history)))
assert(o.model:save(folder .. "/weights"))
