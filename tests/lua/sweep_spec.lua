--- sweep_spec: kooka sweep runs what is not finished, ends what is hopeless, goes on after a stop, and says what is noise.
local lu = require "luaunit"
local helper = require "cli_helper"
local json = require("kooka").json
local kooka = require "kooka"
local stop = require "kooka.sweep.stop"
local logs = require "kooka.sweep.log"
local sweep = require "kooka.sweep"
local sys = require("kooka.core").sys

-- A recipe that pretends to train: an epoch is a line in the log and a marker, so that it can go on; `bad` seeds do badly.
local TOY = [[
local sys = require("kooka.core").sys
return {
  name = "toy", about = "pretends to train",
  params = {
    lr = { default = .5, min = 0, max = 1, help = "moves the score" },
    bad = { default = 0, min = 0, help = "this seed is broken" },
    fails = { default = 0, min = 0, help = "this seed raises" },
    pause = { default = .01, min = 0, max = 60, help = "seconds of an epoch" },
    predict = { default = false, help = "write held-out predictions" },
  },
  run = function(p, run)
    local draw = require("kooka").random("toy", run.seed)
    if run.seed == p.fails then error("the data are not there", 0) end
    for fold = 1, 2 do
      for epoch = 1, 4 do
        local value = run.seed == p.bad and .2 or .7 + .02 * epoch + .01 * fold + .01 * p.lr + .004 * draw:normal()
        run:stage(("fold %d epoch %d"):format(fold, epoch), function()
          sys.sleep(p.pause)
          run:log { label = "classifier-" .. fold .. " all", fold = fold, epoch = epoch, accuracy = value }
        end)
        run:check()
      end
    end
    local last = run.seed == p.bad and .2 or .8 + .01 * p.lr + .003 * draw:normal()
    run:metric("f1_funny", { value = last, low = last - .1, high = last + .1, n = 100 })
    for fold = 1, p.predict and 0 or 2 do run:metric("f1_funny_fold_" .. fold, last + .01 * fold + .002 * draw:normal()) end
    if p.predict then                       -- the same rows and folds for every seed
      local rows, truth = {}, require("kooka").random("toy rows", 1)
      for i = 1, 240 do
        local y = truth:below(2) - 1
        local prob = math.min(.999, math.max(.001, .5 + (y - .5) * .8 * draw:uniform() + .2 * (truth:uniform() - .5)))
        rows[i] = { "r" .. i, prob > .4 and 1 or 0, ("%.6f"):format(prob), y, i % 3 + 1 }
      end
      require("kooka").try(require("kooka.data.csv").write(run:path("predictions/toy_oof.csv"),
        { "id", "is_funny", "prob_funny", "label", "fold" }, rows))
    end
    local f = io.open(run:path("count.txt"), "a")
    f:write("ran\n")
    f:close()
  end,
}
]]

local folder
local function setup()
  folder = helper.folder()
  assert(sys.write_file(folder .. "/toy.lua", TOY))
end

local function go(...)
  return helper.run({ "sweep", ... }, { cwd = folder })
end

local function results(dir)
  return assert(json.decode(assert(sys.read_file(dir .. "/results.json"))))
end

TestSweep = {}
function TestSweep:setUp() setup() end
function TestSweep:tearDown() sys.remove_tree(folder) end

function TestSweep:test_seeds_run_in_parallel_and_the_report_says_noise_or_not()
  local status, out, err = go("./toy.lua", "--seeds", "1..4", "--jobs", "2", "--threads", "2", "--out", "s")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "seed report: f1_funny")
  lu.assertStrContains(out, "best - mean, expected")
  lu.assertStrContains(out, "epochs: accuracy in log.jsonl")
  local r = results(folder .. "/s")
  lu.assertEquals(r.metric, "f1_funny")
  lu.assertEquals(#r.runs, 4)
  for i, run in ipairs(r.runs) do
    lu.assertEquals(run.status, "done")
    lu.assertEquals(run.seed, i)
    local config = assert(json.decode(assert(sys.read_file(folder .. "/" .. run.folder .. "/config.json"))))
    lu.assertEquals(config.threads, 1)                     -- two threads for two jobs
    lu.assertEquals(config.seed, i)
  end
  local csv = assert(sys.read_file(folder .. "/s/results.csv"))
  lu.assertStrContains(csv, "run,status,seed,seconds,f1_funny")
  lu.assertStrContains(assert(sys.read_file(folder .. "/s/report.html")), "<svg")
end

function TestSweep:test_finished_runs_are_not_done_again_and_seeds_may_be_added()
  lu.assertEquals((go("./toy.lua", "--seeds", "1,2", "--out", "s")), 0)
  lu.assertEquals((go("./toy.lua", "--seeds", "1..3", "--out", "s")), 0)
  for seed = 1, 3 do lu.assertEquals(sys.read_file(folder .. "/s/seed-" .. seed .. "/count.txt"), "ran\n") end
  lu.assertEquals(#results(folder .. "/s").runs, 3)
  local status, _, err = go("./toy.lua", "--seeds", "1", "--out", "s", "--lr", ".1")
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "holds a sweep of")
end

function TestSweep:test_options_are_combined_with_seeds_and_compared()
  local status, out, err = go("./toy.lua", "--seeds", "1..3", "--set", "lr=0,1", "--out", "s", "--pause", "0")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "minus the first, paired over seeds")
  lu.assertStrContains(out, "lr=1.0")
  lu.assertTrue(sys.exists(folder .. "/s/lr=1.0-seed-3/config.json"))
  -- the same draws behind both: the difference is .01 exactly
  lu.assertStrContains(out, "0.0100 [0.0100, 0.0100]")
  lu.assertEquals((go("--resume", "s")), 0)                 -- nothing is left, and the names are found again
  lu.assertEquals(sys.read_file(folder .. "/s/lr=1.0-seed-3/count.txt"), "ran\n")
end

function TestSweep:test_a_failing_run_is_named_with_its_folder_and_the_others_finish()
  local status, _, err = go("./toy.lua", "--seeds", "1..3", "--fails", "2", "--out", "s")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "seed-2 failed: the data are not there")
  lu.assertStrContains(err, "its folder is s/seed-2")
  local r = results(folder .. "/s")
  lu.assertEquals(r.runs[1].status, "done")
  lu.assertEquals(r.runs[2].status, "failed")
  lu.assertEquals(r.runs[3].status, "done")
end

function TestSweep:test_a_hopeless_seed_is_ended_early_and_left_out_by_name()
  local status, out, err = go("./toy.lua", "--seeds", "1,2,3,9", "--bad", "9", "--jobs", "3", "--pause", ".08", "--out", "s")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "seed-9 was ended early and counts in no number above")
  local r = results(folder .. "/s")
  lu.assertEquals(r.runs[4].status, "stopped")
  lu.assertStrContains(r.runs[4].reason, "times the seed sd")
  lu.assertFalse(sys.exists(folder .. "/s/seed-9/count.txt"))
  lu.assertEquals((go("--resume", "s")), 0)
  lu.assertFalse(sys.exists(folder .. "/s/seed-9/count.txt"))      -- it stays ended
  status, out = go("./toy.lua", "--seeds", "1,2,3,9", "--bad", "9", "--jobs", "3", "--stop", "none", "--out", "t")
  lu.assertEquals(status, 0)
  lu.assertNotStrContains(out, "ended early")
end

function TestSweep:test_halving_keeps_the_better_half()
  local status, out, err = go("./toy.lua", "--seeds", "1..4", "--bad", "2", "--stop", "halving", "--rung", "2", "--jobs", "2", "--pause",
    ".12", "--out", "s")
  lu.assertEquals(status, 0, err)
  local done, stopped = 0, 0
  for _, run in ipairs(results(folder .. "/s").runs) do
    if run.status == "done" then done = done + 1 elseif run.status == "stopped" then stopped = stopped + 1 end
    if run.seed == 2 then lu.assertEquals(run.status, "stopped") end
  end
  lu.assertEquals(done + stopped, 4)
  lu.assertTrue(done >= 1 and done <= 2, out)
end

function TestSweep:test_ctrl_c_ends_the_children_and_resume_goes_on_where_they_were()
  local words = { "sweep", "./toy.lua", "--seeds", "1..3", "--jobs", "2", "--pause", ".4", "--out", "s" }
  local child <close> = helper.start(words, { cwd = folder })
  local log = logs.open(folder .. "/s/seed-1")
  for _ = 1, 200 do
    if #log:update() >= 2 then break end
    sys.sleep(.05)
  end
  child:kill "int"
  local out = child:read_all()
  lu.assertEquals(child:wait(), 130, out)
  lu.assertStrContains(out, "kooka sweep --resume s")
  for _, seed in ipairs { 1, 2 } do
    local config = assert(json.decode(assert(sys.read_file(folder .. "/s/seed-" .. seed .. "/config.json"))))
    lu.assertEquals(config.status, "interrupted")
  end
  lu.assertFalse(sys.exists(folder .. "/s/seed-3"))
  local status, _, err = go("--resume", "s", "--jobs", "3")
  lu.assertEquals(status, 0, err)
  local first, again = {}, 0
  for line in io.lines(folder .. "/s/seed-1/log.jsonl") do
    local r = json.decode(line)
    if r.epoch then
      if first[r.label .. r.epoch] then again = again + 1 end
      first[r.label .. r.epoch] = true
    end
  end
  lu.assertTrue(again <= 1, again)                            -- finished epochs were not done again
  for _, run in ipairs(results(folder .. "/s").runs) do lu.assertEquals(run.status, "done") end
end

function TestSweep:test_scores_by_fold_come_from_held_out_predictions_and_say_so()
  local status, out, err = go("./toy.lua", "--seeds", "1..3", "--predict", "--pause", "0", "--out", "s")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "of 3 seeds in 3 folds")
  lu.assertStrContains(out, "which are those of f1 of the predictions, not of f1_funny")
  lu.assertStrContains(out, "of the best seed's score on 240 rows")
  -- by hand: F1 of the decisions of seed 1 in fold 2
  local t = assert(require("kooka.data.csv").read(folder .. "/s/seed-1/predictions/toy_oof.csv"))
  local tp, fp, fn = 0, 0, 0
  for i = 1, t.n do
    if t.fold[i] == "2" then
      local said, y = t.is_funny[i] == "1", t.label[i] == "1"
      if said and y then tp = tp + 1 elseif said then fp = fp + 1 elseif y then fn = fn + 1 end
    end
  end
  lu.assertStrContains(sys.read_file(folder .. "/s/report.html"), ("%.4f"):format(2 * tp / (2 * tp + fp + fn)))
  -- and together they are an ensemble
  local words = { "ensemble", "s/seed-1", "s/seed-2", "s/seed-3", "--method", "stack", "--nonnegative", "--out", "e", "--resamples", "100" }
  status, out, err = helper.run(words, { cwd = folder })
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "ensemble (stack)")
  t = assert(require("kooka.data.csv").read(folder .. "/e/predictions/toy_oof.csv"))
  lu.assertEquals(t.columns, { "id", "is_funny", "prob_funny", "label", "fold" })
  lu.assertEquals(t.n, 240)
  local r = assert(json.decode(assert(sys.read_file(folder .. "/e/ensemble.json"))))
  lu.assertTrue(r.scores[4].log_loss.value < r.scores[1].log_loss.value)
end

function TestSweep:test_json_holds_results_and_verdict()
  local status, out, err = go("./toy.lua", "--seeds", "1..3", "--pause", "0", "--out", "s", "--json")
  lu.assertEquals(status, 0, err)
  local r = assert(json.decode(out))
  lu.assertEquals(#r.runs, 3)
  lu.assertIsString(r.groups[1].verdict)
  lu.assertIsNumber(r.groups[1].seeds.inside)
end

function TestSweep:test_usage_is_told_with_exit_status_2()
  local function fails(message, ...)
    local status, _, err = go(...)
    lu.assertEquals(status, 2)
    lu.assertStrContains(err, message)
  end
  fails("which recipe?")
  fails("which seeds?", "./toy.lua")
  fails("option --seeds is 5..1", "./toy.lua", "--seeds", "5..1")
  fails("names 2 twice", "./toy.lua", "--seeds", "1..3,2")
  fails("unknown option --lrr", "./toy.lua", "--seeds", "1", "--lrr", "2")
  fails("option --lr is 2", "./toy.lua", "--seeds", "1", "--set", "lr=.1,2")
  fails("given and swept too", "./toy.lua", "--seeds", "1", "--set", "lr=.1", "--lr", ".2")
  fails("option --jobs is 0", "./toy.lua", "--seeds", "1", "--jobs", "0")
  fails("option --stop is never", "./toy.lua", "--seeds", "1", "--stop", "never")
  fails("leave --seeds away", "--resume", "s", "--seeds", "1")
  local status, out = go("--help")
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "usage: kooka sweep")
  lu.assertEquals((go("--resume", "nowhere")), 1)
end

-- The rules by themselves.
local function curve(values, label)
  local log = logs.open("/nowhere", { watch = "accuracy" })
  for e, v in ipairs(values) do log:take { label = label or "c", epoch = e, accuracy = v } end
  return log
end

TestStop = {}

function TestStop:test_only_what_is_far_below_the_worst_finished_twice_is_hopeless()
  local finished = { curve { .70, .74, .76 }, curve { .71, .75, .77 }, curve { .72, .73, .78 } }
  lu.assertNil(stop.hopeless(curve { .1, .1 }, { finished[1], finished[2] }))      -- three finished are wanted
  lu.assertNil(stop.hopeless(curve { .1 }, finished))                              -- and two points
  lu.assertNil(stop.hopeless(curve { .1, .72 }, finished))                         -- it has recovered
  lu.assertNil(stop.hopeless(curve { .69, .72 }, finished))                        -- within two sd (.01)
  lu.assertStrContains(stop.hopeless(curve { .66, .70 }, finished), "the worst of 3 finished seeds had 0.7300, 2 times the seed sd")
  lu.assertNil(stop.hopeless(curve { .66, .70 }, finished, { margin = 5 }))
  lu.assertNil(stop.hopeless(curve({ .1, .1 }, "another stage"), finished))
  local losses = { curve { 4, 3 }, curve { 4.1, 3.1 }, curve { 3.9, 2.9 } }
  lu.assertNil(stop.hopeless(curve { 2, 1 }, losses, { lower = true }))
  lu.assertIsString(stop.hopeless(curve { 6, 6 }, losses, { lower = true }))
end

function TestStop:test_noise_alone_is_hardly_ever_ended()
  local ended, draw = 0, kooka.random("sweep_spec", 5)
  local function noise()
    local v, level = {}, .8 + .003 * draw:normal()
    for e = 1, 10 do v[e] = level + .003 * draw:normal() end
    return curve(v)
  end
  for _ = 1, 200 do
    local mine, finished = noise(), { noise(), noise(), noise() }
    local so_far = curve {}
    for _, p in ipairs(mine.points) do
      so_far:take { label = p.label, epoch = p.epoch, accuracy = p.value }
      if stop.hopeless(so_far, finished) then
        ended = ended + 1
        break
      end
    end
  end
  lu.assertTrue(ended <= 20, ended)                           -- 200 seeds as good as the rest, watched at ten epochs
end

function TestStop:test_halving_ranks_at_the_rung()
  local runs = { { log = curve { .5, .9 } }, { log = curve { .6, .1 } }, { log = curve { .7 } }, { log = curve { .1, .1 } } }
  local kept, dropped = stop.halve(runs, { rung = 1 })
  lu.assertEquals({ kept[1] == runs[3], kept[2] == runs[2], #kept }, { true, true, 2 })
  lu.assertEquals(#dropped, 2)
  lu.assertStrContains(dropped[1].reason, "halving after 1 epochs")
  lu.assertEquals(#(stop.halve(runs, { rung = 1, keep = 3 })), 3)
end

function TestStop:test_a_log_is_read_while_it_grows()
  local dir = helper.folder()
  local f = assert(io.open(dir .. "/log.jsonl", "w"))
  f:write('{"say":"x"}\n{"label":"head","fold":2,"epoch":1,"accuracy":0.5,"valid_loss":1}\n{"label":"all","fold":2,"epo')
  f:flush()
  local log = logs.open(dir)
  lu.assertEquals(#log:update(), 1)
  lu.assertEquals(log.watch, "accuracy")
  f:write('ch":1,"accuracy":0.6}\n{"label":"all","fold":2,"epoch":1,"accuracy":0.7}\n')
  f:close()
  lu.assertEquals(#log:update(), 2)
  lu.assertEquals(log:last().value, .7)                       -- done again: the last one counts
  lu.assertEquals(log:folds(), { [2] = { .7 } })
  sys.remove_tree(dir)
end

function TestStop:test_a_plan_is_every_combination()
  local jobs = sweep.plan { recipe = "x", seeds = { 1, 2 }, set = { { key = "a", values = { 1, 2 } }, { key = "b_c", values = { true } } } }
  lu.assertEquals(#jobs, 4)
  lu.assertEquals(jobs[3].name, "a=2,b_c=true-seed-1")
  lu.assertEquals(jobs[3].argv, { "--seed", "1", "--a=2", "--b-c=true" })
  lu.assertErrorMsgContains("swept twice", sweep.plan, { seeds = { 1 }, set = { { key = "a", values = { 1 } }, { key = "a", values = { 2 } } } })
  lu.assertErrorMsgContains("there are no seeds", sweep.plan, { seeds = {} })
end

os.exit(lu.LuaUnit.run())
