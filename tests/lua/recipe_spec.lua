--- recipe_spec: recipes are found, checked, and read their options; kooka run keeps its promises.
local lu = require "luaunit"
local helper = require "cli_helper"
local recipe = require "kooka.recipe"
local sys = require("kooka.core").sys
local json = require("kooka").json

local function toy(more)
  local r = {
    name = "toy", about = "counts",
    params = {
      steps = {default = 10, help = "how many", min = 1, max = 1000},
      learning_rate = {default = 0.5, help = "speed", min = 0, max = 1},
      source = {default = "demo", help = "where from", choices = {"demo", "csv"}},
      data = {type = "string", help = "a file"},
      dry = {default = false, help = "only say"},
    },
    quick = {steps = 5}, smoke = {steps = 1}, run = function() end,
  }
  for key, value in pairs(more or {}) do r[key] = value end
  return r
end

TestDeclaration = {}

function TestDeclaration:test_types_follow_from_defaults()
  local r = recipe.check(toy())
  lu.assertEquals(r.params.steps.type, "integer")
  lu.assertEquals(r.params.learning_rate.type, "number")
  lu.assertEquals(r.params.dry.type, "boolean")
  lu.assertEquals(r.params.source.type, "string")
  r = recipe.check(toy {params = {share = {default = 0, max = .9, help = "h"}}, quick = {}, smoke = {}})
  lu.assertEquals(r.params.share.type, "number")     -- seen to fail: no value between 0 and 0.9 was taken
  lu.assertEquals(recipe.parse(r.params, {"--share", "0.1"}), {share = .1})
end

function TestDeclaration:test_default_and_help_may_stand_by_place()
  local r = recipe.check(toy {params = {a = {3, "threes", min = 1}}, quick = {}, smoke = {}})
  lu.assertEquals({r.params.a.default, r.params.a.help, r.params.a.min}, {3, "threes", 1})
end

function TestDeclaration:test_faults_are_named()
  local function fails(message, more) lu.assertErrorMsgContains(message, recipe.check, toy(more)) end
  lu.assertErrorMsgContains("returns a table, got nil", recipe.check, nil, "x.lua")
  fails("field about must be a string, got number", {about = 3})
  fails("params.a has no help text", {params = {a = {default = 1}}})
  fails("the default of params.a is 9, expected an integer of at most 5", {params = {a = {default = 9, help = "h",
    max = 5}}})
  fails("quick.stepz is no parameter", {quick = {stepz = 1}})
  fails("smoke.steps is 0, expected an integer from 1 to 1000", {smoke = {steps = 0}})
  fails("params.seed: the name is taken", {params = {seed = {default = 1, help = "h"}}})
  fails("params.a: type list", {params = {a = {default = 1, help = "h", type = "list"}}})
end

TestOptions = {}

local function parse(...)
  return recipe.parse(recipe.check(toy()).params, {...}, {quick = false, seed = true})
end

function TestOptions:test_all_ways_to_write_an_option()
  local values, rest = parse("--steps", "3", "--learning-rate=1e-2", "--dry", "--source", "csv", "--seed", "7",
    "--quick",
    "--data", "--odd name")
  lu.assertEquals(values, {steps = 3, learning_rate = 0.01, dry = true, source = "csv", data = "--odd name"})
  lu.assertEquals(rest, {seed = "7", quick = true})
  lu.assertEquals(parse("--no-dry"), {dry = false})
  lu.assertEquals(parse("--dry", "false", "--steps", "3.0"), {dry = false, steps = 3})
  lu.assertEquals(math.type(parse("--steps", "3.0").steps), "integer")
  lu.assertEquals(parse("--learning_rate", "1"), {learning_rate = 1.0})
end

function TestOptions:test_wrong_options_say_what_is_valid()
  local function fails(message, ...)
    local values, text = parse(...)
    lu.assertNil(values)
    lu.assertStrContains(text, message)
    return text
  end
  local text = fails("unknown option --stps; did you mean --steps?", "--stps", "3")
  lu.assertStrContains(text, "--learning-rate  0.5")
  lu.assertStrContains(text, "one of demo, csv")
  fails("option --steps is 0, expected an integer from 1 to 1000", "--steps", "0")
  fails('option --steps is "x"', "--steps", "x")
  fails('option --steps is "2.5"', "--steps=2.5")
  fails("option --learning-rate is inf", "--learning-rate", "1e999")
  fails('option --source is "web", expected one of demo, csv', "--source", "web")
  fails("option --data wants a value", "--data")
  fails("unexpected argument stray", "stray")
  fails("unexpected argument -s", "-s")
end

function TestOptions:test_defaults_then_mode_then_given()
  local r = recipe.check(toy())
  local p, changed = recipe.settle(r, {source = "csv"}, "quick")
  lu.assertEquals({p.steps, p.source, p.learning_rate, p.data}, {5, "csv", 0.5, nil})
  lu.assertEquals(changed, {steps = 5, source = "csv"})
  lu.assertErrorMsgContains("no parameter stepz; did you mean steps?", function() return p.stepz end)
end

TestRun = {}

local SOURCE = [[
local kooka = require "kooka"
return {
  name = "toy", about = "counts",
  params = {
    steps = {default = 3, help = "how many", min = 1, max = 1000},
    pause = {default = 0.0, help = "seconds to wait in each step"},
    fail = {default = false, help = "raises"},
  },
  quick = {steps = 2}, smoke = {steps = 1},
  run = function(p, run)
    local first = run:stage("first", function()
      run:log {event = "worked", stage_run = "first"}
      run:save("out/first.txt", "steps " .. p.steps .. "\n")
      run:metric("f1_funny", {value = 0.5, low = 0.25, high = 0 / 0, level = 0.95, method = "wilson", n = p.steps,
        baseline = 0.1})
      return {draw = kooka.random("x", run.seed):below(1000000), steps = p.steps}
    end)
    run:stage("second", function()
      for i = 1, p.steps do
        run:say("step %d", i)
        if p.pause > 0 then kooka.sys.sleep(p.pause) end
      end
      if p.fail then error("planned") end
    end)
    run:say("draw %d of %d steps", first.draw, first.steps)
  end,
}
]]

function TestRun:setUp()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  self.dir = helper.folder()
  assert(sys.mkdir_p(self.dir .. "/recipes/toy"))
  assert(sys.write_file(self.dir .. "/recipes/toy/recipe.lua", SOURCE))
end

function TestRun:tearDown()
  if self.dir then sys.remove_tree(self.dir) end
end

function TestRun:kooka(...)
  return helper.run({...}, {cwd = self.dir})
end

function TestRun:json(path)
  return json.decode(assert(sys.read_file(self.dir .. "/" .. path)))
end

function TestRun:test_a_run_leaves_its_whole_provenance()
  local status, out = self:kooka("run", "toy", "--steps", "2", "--seed", "9", "--threads", "1", "--out", "o")
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "step 2\n")
  local config = self:json("o/config.json")
  lu.assertEquals(config.params, {steps = 2, pause = 0.0, fail = false})
  lu.assertEquals(config.changed, {steps = 2})
  lu.assertEquals({config.seed, config.threads, config.status, config.recipe}, {9, 1, "done", "toy"})
  lu.assertEquals(config.argv, {"toy", "--steps", "2", "--seed", "9", "--threads", "1", "--out", "o"})
  lu.assertEquals(type(config.machine.cpu), "string")
  lu.assertEquals(self:json("o/metrics.json"),
    {f1_funny = {value = 0.5, low = 0.25, level = 0.95, method = "wilson", n = 2, baseline = 0.1}})
  lu.assertEquals(sys.stat(self.dir .. "/o/predictions").type, "folder")
  for line in sys.read_file(self.dir .. "/o/log.jsonl"):gmatch("[^\n]+") do
    lu.assertEquals(type(json.decode(line).t), "number")
  end
end

function TestRun:test_runs_are_named_by_date_recipe_options_and_seed()
  lu.assertEquals((self:kooka("run", "toy", "--smoke")), 0)
  local names = sys.list(self.dir .. "/runs")
  lu.assertEquals(#names, 1)
  lu.assertStrMatches(names[1], "%d%d%d%d%d%d%d%d%-%d%d%d%d%d%d%-toy%-steps=1%-s1%-%x%x%x%x%x%x")
end

function TestRun:test_json_prints_the_result_and_nothing_else()
  local status, out = self:kooka("run", "recipes/toy", "--quick", "--json")
  lu.assertEquals(status, 0)
  local result = assert(json.decode(out))
  lu.assertEquals({result.status, result.metrics.f1_funny.n}, {"done", 2})
end

function TestRun:test_wrong_usage_ends_with_2_and_makes_no_folder()
  for _, arguments in ipairs {{"toy", "--stps", "1"}, {"toy", "--steps", "0"}, {"tyo"}, {}, {"toy", "--seed", "x"},
    {"toy", "--threads", "0"}, {"toy", "--quick", "--smoke"}, {"./nowhere.lua"}} do
    local status, _, err = self:kooka("run", table.unpack(arguments))
    lu.assertEquals(status, 2, table.concat(arguments, " "))
    lu.assertStrContains(err, "kooka run:")
  end
  lu.assertFalse(sys.exists(self.dir .. "/runs"))
  local _, _, err = self:kooka("run", "tyo")
  lu.assertStrContains(err, "did you mean toy?")
end

function TestRun:test_help_shows_about_and_options()
  local status, out = self:kooka("run", "toy", "--help")
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "toy: counts")
  lu.assertStrContains(out, "--steps  3        how many (an integer from 1 to 1000)")
end

function TestRun:test_a_failure_ends_with_1_and_says_where()
  local status, _, err = self:kooka("run", "toy", "--fail", "--out", "o")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "planned")
  lu.assertStrContains(err, "recipe.lua:23: in")
  lu.assertStrContains(err, "kooka run --resume o")
  lu.assertEquals(self:json("o/config.json").status, "failed")
  lu.assertEquals(self:json("o/metrics.json").f1_funny.value, 0.5)
end

function TestRun:test_an_occupied_folder_is_refused()
  lu.assertEquals((self:kooka("run", "toy", "--out", "o")), 0)
  local status, _, err = self:kooka("run", "toy", "--out", "o")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "--resume o")
end

-- Starts a slow run, waits for its second stage and sends the signal; answers the exit status.
function TestRun:stop(signal, ...)
  local child <close> = helper.start({"run", "toy", "--pause", "0.2", "--steps", "50", "--seed", "4", "--out", "o",
    ...}, {cwd = self.dir})
  lu.assertEquals(child:read_line(), "step 1")
  child:kill(signal)
  return child:wait(10), child:read_all()
end

function TestRun:finish(want_resumed)
  -- fewer pauses for the rest: what the first start chose is in config.json
  local config = self:json("o/config.json")
  config.params.pause, config.params.steps = 0.0, 2
  assert(sys.write_file(self.dir .. "/o/config.json", json.encode(config)))
  local status, out, err = self:kooka("run", "--resume", "o")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "first: done before")
  lu.assertStrContains(out, ("draw %d of 50 steps"):format(require("kooka").random("x", 4):below(1000000)))
  config = self:json("o/config.json")
  lu.assertEquals({config.status, config.seed, #config.resumed}, {"done", 4, want_resumed})
  local worked = select(2, sys.read_file(self.dir .. "/o/log.jsonl"):gsub('"event":"worked"', ""))
  lu.assertEquals(worked, 1, "the finished stage ran once")
end

function TestRun:test_ctrl_c_ends_with_130_and_resume_goes_on()
  local status, out = self:stop("int")
  lu.assertEquals(status, 130)
  lu.assertStrContains(out, "kooka run --resume o")
  lu.assertEquals(self:json("o/config.json").status, "interrupted")
  self:finish(1)
end

function TestRun:test_a_killed_run_leaves_whole_files_and_resume_goes_on()
  lu.assertEquals((self:stop("kill")), 137)
  lu.assertEquals(self:json("o/config.json").status, "running")
  local _, out = helper.run({"-e", "print(require('kooka.runs').status(require('kooka.runs').read('o')))"},
    {cwd = self.dir})
  lu.assertEquals(out, "killed\n")
  -- what a kill in the middle of writing leaves
  assert(sys.write_file(self.dir .. "/o/metrics.json.tmp-999999999", "{"))
  local log = io.open(self.dir .. "/o/log.jsonl", "a")
  log:write('{"half')
  log:close()
  self:finish(1)
  lu.assertFalse(sys.exists(self.dir .. "/o/metrics.json.tmp-999999999"))
  lu.assertNil(sys.read_file(self.dir .. "/o/log.jsonl"):find("half", 1, true))
end

function TestRun:test_resume_keeps_the_options_of_the_first_start()
  self:stop("int")
  local status, _, err = self:kooka("run", "toy", "--resume", "o", "--steps", "7")
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "steps was 50")
  status, _, err = self:kooka("run", "--resume", "o", "--seed", "5")
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "leave --seed away")
  lu.assertEquals((self:kooka("run", "--resume", "nowhere")), 1)
end

function TestRun:test_a_stage_whose_file_changed_is_done_again()
  lu.assertEquals((self:kooka("run", "toy", "--out", "o")), 0)
  assert(sys.write_file(self.dir .. "/o/out/first.txt", "tampered with"))
  local status, out = self:kooka("run", "--resume", "o")
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "stage first: out/first.txt is missing or was changed")
  lu.assertEquals(sys.read_file(self.dir .. "/o/out/first.txt"), "steps 3\n")
end

function TestRun:test_two_processes_cannot_go_on_with_one_run()
  local child <close> = helper.start({"run", "toy", "--pause", "0.2", "--steps", "50", "--out", "o"}, {cwd = self.dir})
  lu.assertEquals(child:read_line(), "step 1")
  local status, _, err = self:kooka("run", "--resume", "o")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "still running as process")
end

function TestRun:test_an_installed_recipe_is_found_as_a_module()
  assert(sys.mkdir_p(self.dir .. "/rocks/kooka/recipes"))
  assert(sys.write_file(self.dir .. "/rocks/kooka/recipes/away.lua", SOURCE))
  local status, out = helper.run({"run", "away", "--smoke"}, {cwd = self.dir, env = {LUA_PATH = self.dir
    .. "/rocks/?.lua;;"}})
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "step 1")
end

TestRuns = {setUp = TestRun.setUp, tearDown = TestRun.tearDown, kooka = TestRun.kooka}

function TestRuns:test_list_show_diff_and_rm()
  lu.assertStrContains(select(2, self:kooka "runs"), "no runs in runs")
  self:kooka("run", "toy", "--smoke")
  self:kooka("run", "toy", "--quick", "--seed", "2")
  local _, out = self:kooka "runs"
  lu.assertStrMatches(out, "run.-toy%-steps=1%-s1.-done.-toy%-steps=2%-s2.-done.*")
  _, out = self:kooka("runs", "show", "last")
  lu.assertStrMatches(out, ".-seed +2\n.*%-%-steps +2\n.*f1_funny +0%.500 +95%% +2 +0%.100\n")
  _, out = self:kooka("runs", "diff", "s1", "s2")
  lu.assertStrMatches(out, ".*seed +1 +2\n.*%-%-steps +1 +2\n.*")
  lu.assertEquals((self:kooka("runs", "rm", "s1", "--yes")), 0)
  lu.assertEquals(#sys.list(self.dir .. "/runs"), 1)
  lu.assertEquals((self:kooka("runs", "show", "s1")), 1)
  local status, _, err = self:kooka("runs", "shw", "s2")
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "did you mean show?")
  _, out = self:kooka("runs", "--json")
  lu.assertEquals(json.decode(out)[1].seed, 2)
end

os.exit(lu.LuaUnit.run())
