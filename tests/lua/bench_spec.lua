--- bench_spec: every benchmark ends, alone, at tiny sizes; the record of results; the doctor.
local lu = require "luaunit"
local helper = require "cli_helper"
local core = require "kooka.core"
local cases = require "kooka.bench.cases"
local results = require "kooka.bench.results"
local samples = require "kooka.bench.samples"
local sys = core.sys

TestBench = {}

function TestBench:setUp() self.dir = helper.folder() end

function TestBench:tearDown() sys.remove_tree(self.dir) end

local function json_of(path) return assert(core.json.decode(assert(sys.read_file(path)))) end

function TestBench:test_every_benchmark_at_tiny_size_without_a_peer_is_a_record_in_json()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local status, out, err = helper.run({ "bench", "--tiny", "--no-peer", "--repeat", "1", "--patience", "0", "--json",
    "b.json" }, { cwd = self.dir })
  lu.assertEquals({ status, err }, { 0, "" })
  lu.assertStrContains(out, "peer         none wanted")
  local list = json_of(self.dir .. "/b.json")
  lu.assertEquals(#list, #cases.suite)
  for i, r in ipairs(list) do
    lu.assertEquals(r.name, cases.suite[i].name)
    lu.assertTrue(r.ours > 0)
    lu.assertNil(r.ratio)
    lu.assertNil(r.pass)
  end
end

function TestBench:test_one_op_takes_sizes_and_refuses_others()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local status = helper.run({ "bench", "op", "lstm", "T=2", "B=1", "D=3", "H=5", "--no-peer", "--repeat", "1",
    "--patience", "0", "--json", "op.json" }, { cwd = self.dir })
  lu.assertEquals(status, 0)
  local r = json_of(self.dir .. "/op.json")[1]
  lu.assertEquals(r.sizes, { T = 2, B = 1, D = 3, H = 5 })
  lu.assertEquals(r.unit, "ms")
  local err, _
  status, _, err = helper.run { "bench", "op", "lstm", "Q=2" }
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "Q=2: expected KEY=NUMBER with a key of B, D, H, T")
  status, _, err = helper.run { "bench", "op", "lstn" }
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "did you mean lstm?")
  status, _, err = helper.run { "bench", "--cpu", "--threads", "2" }
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "give --threads 1")
end

function TestBench:test_a_missing_peer_is_said_once_and_ours_are_measured()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local status, out = helper.run({ "bench", "op", "matmul", "M=4", "K=4", "N=4", "--repeat", "1", "--patience", "0" },
    { cwd = self.dir, env = { BENCH_PYTHON = "/nowhere/python" } })
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "missing, ours alone")
end

function TestBench:test_samples_whose_probe_is_low_are_dropped_and_counted()
  local peak, speeds, at = core.machine.peak, { 100, 100, 50, 100, 100, 100, 100 }, 0
  local best = samples.best
  core.machine.peak = function()
    at = at + 1
    return speeds[at] or 100
  end
  samples.best = 0
  local n = 0
  local side = samples.side(function()
    n = n + 1
    return n == 2 and 50 or n
  end, 2)
  while not side:done() do side:sample(0) end
  core.machine.peak, samples.best = peak, best
  local r = assert(side:result())
  lu.assertEquals({ r.n, r.dropped, r.unguarded, r.median }, { 2, 1, 0, 2 })      -- the times 1 and 3; 50 was dropped
end

function TestBench:test_a_side_that_is_never_good_still_answers_and_says_so()
  local peak, best = core.machine.peak, samples.best
  core.machine.peak = function() return 10 end
  samples.best = 100
  local side = samples.side(function() return 2 end, 2)
  while not side:done() do side:sample(0) end
  core.machine.peak, samples.best = peak, best
  local r = assert(side:result())
  lu.assertEquals({ r.n, r.unguarded, r.median }, { 2, 2, 2 })
end

local function result(median)
  return { median = median, low = median, high = median, n = 1, dropped = 0, unguarded = 0, work_at_peak = median * 100 }
end

function TestBench:test_ratio_target_and_peak_fraction()
  local entry = { name = "x", target = { intel = 1.5, amd = 3 } }
  local r = results.record(entry, { unit = "ms" }, { flops = 1e9 }, result(.02), result(.04), { kind = "intel" })
  lu.assertEquals({ r.ours, r.peer, r.ratio, r.target, r.pass, r.peak_fraction }, { 20, 40, 2, 1.5, true, .5 })
  r = results.record(entry, { unit = "ms" }, {}, result(.02), result(.04), { kind = "amd" })
  lu.assertEquals({ r.target, r.pass }, { 3, false })
  r = results.record({ name = "y" }, { unit = "MB/s" }, { bytes = 4e6 }, result(2), nil, {})
  lu.assertEquals({ r.ours, r.pass }, { 2 })
end

function TestBench:test_results_keep_other_machines_and_other_lines()
  local path = self.dir .. "/R.md"
  local function put(machine, name, ours, commit)
    local r = results.record({ name = name }, { unit = "ms" }, {}, result(ours), nil, {})
    assert(results.write(path, machine, { "peak 1" }, { r }, { date = "2020-01-01", commit = commit }))
  end
  put("machine A", "first", 1, "c1")
  put("machine B", "first", 2, "c2")
  put("machine A", "second", 3, "c3")
  put("machine A", "first", 4, "c4")
  local text = sys.read_file(path)
  local a, b = text:match("## machine A\n(.*)## machine B\n(.*)$")
  lu.assertStrContains(a, "| first | 4000 [4000, 4000] |")
  lu.assertStrContains(a, "| 2020-01-01 | c3 |")
  lu.assertNil(a:find("c1", 1, true))
  lu.assertStrContains(b, "| first | 2000 ")
end

function TestBench:test_the_doctor_names_peak_bandwidth_and_a_core_type_that_holds_others_back()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local status, out = helper.run({ "doctor", "--json" }, { env = { OPENBLAS_CORETYPE = "Prescott" } })
  lu.assertEquals(status, 0)
  local facts = assert(core.json.decode(out))
  lu.assertTrue(facts.peak_one > 0 and facts.peak_all > 0 and facts.bandwidth_all > 0)
  if facts.blas_core and facts.blas_core ~= "Prescott" then
    lu.assertStrContains(table.concat(facts.warnings, "\n"), "OPENBLAS_CORETYPE=Prescott")
  end
  status, out = helper.run { "doctor", "--jsno" }
  lu.assertEquals({ status, out }, { 2, "" })
end

TestMachine = {}

function TestMachine:test_a_peak_is_measured_in_about_the_time_asked_for()
  local from = sys.now()
  lu.assertTrue(core.machine.peak { threads = 1, seconds = .01 } > .01)
  lu.assertTrue(sys.now() - from >= .01)
  lu.assertErrorMsgContains("no option 'second'", core.machine.peak, { second = 1 })
end

function TestMachine:test_bandwidth_gives_its_memory_back()
  local before = sys.memory()
  lu.assertTrue(core.machine.bandwidth { bytes = 1 << 16, rounds = 1 } > 0)
  lu.assertEquals((sys.memory()), before)
end

os.exit(lu.LuaUnit.run())
