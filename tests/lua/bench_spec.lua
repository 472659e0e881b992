--- bench_spec: every benchmark ends, alone, at tiny sizes; the record of results; the doctor.
local lu = require "luaunit"
local helper = require "cli_helper"
local core = require "kooka.core"
local cases = require "kooka.bench.cases"
local results = require "kooka.bench.results"
local samples = require "kooka.bench.samples"
local targets = require "kooka.bench.targets"
local sys = core.sys

TestBench = {}

function TestBench:setUp() self.dir = helper.folder() end

function TestBench:tearDown() sys.remove_tree(self.dir) end

local function json_of(path) return assert(core.json.decode(assert(sys.read_file(path)))) end

function TestBench:test_every_benchmark_at_tiny_size_without_a_peer_is_a_record_in_json()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local status, out, err = helper.run({ "bench", "--tiny", "--peer", "none", "--repeat", "1", "--patience", "0", "--json",
    "b.json", "--results", "R.md" }, { cwd = self.dir })
  lu.assertEquals({ status, err }, { 0, "" })
  lu.assertStrContains(out, "peer         none wanted")
  local list, names, suite = json_of(self.dir .. "/b.json"), {}, {}
  for i, r in ipairs(list) do
    names[i] = r.name
    lu.assertTrue(r.ours >= 0, r.name)
    lu.assertNil(r.ratio)
    lu.assertNil(r.pass)
    lu.assertTrue(r.machine.peak_one > 0)
    lu.assertStrContains(r.command, "kooka bench --tiny")
    lu.assertEquals(#r.date, 10)
  end
  for _, e in ipairs(cases.suite) do
    if not e.peer and not e.from then suite[#suite + 1] = e end
  end
  lu.assertEquals(names, results.names(suite))
  local text = sys.read_file(self.dir .. "/R.md")
  for _, name in ipairs(names) do lu.assertStrContains(text, "| " .. name .. " |") end
end

function TestBench:test_one_case_takes_sizes_and_refuses_others()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local status = helper.run({ "bench", "case", "lstm", "T=2", "B=1", "D=3", "H=5", "--no-peer", "--repeat", "1",
    "--patience", "0", "--json", "case.json" }, { cwd = self.dir })
  lu.assertEquals(status, 0)
  local r = json_of(self.dir .. "/case.json")[1]
  lu.assertEquals(r.sizes, { T = 2, B = 1, D = 3, H = 5 })
  lu.assertEquals(r.unit, "ms")
  local err, _
  status, _, err = helper.run { "bench", "case", "lstm", "Q=2" }
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "Q=2: expected KEY=NUMBER with a key of B, D, H, T")
  status, _, err = helper.run { "bench", "case", "lstn" }
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "did you mean lstm?")
  status, _, err = helper.run { "bench", "--cpu", "--threads", "2" }
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "give --threads 1")
  status, _, err = helper.run { "bench", "--peer", "tunde" }
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "--peer is tunde, expected tuned, installed or none")
end

function TestBench:test_one_op_is_timed_forward_and_backward_with_shapes_from_its_signature()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local status, out, err = helper.run({ "bench", "op", "lstm", "T=4", "B=2", "D=3", "H=5", "with=b,lens", "weight_drop=.2",
    "--repeat", "1", "--patience", "0", "--tiny", "--json", "op.json" }, { cwd = self.dir })
  lu.assertEquals({ status, err }, { 0, "" })
  lu.assertStrContains(out, "GFLOP/s")
  local list = json_of(self.dir .. "/op.json")
  lu.assertEquals(#list, 2)
  lu.assertStrContains(list[1].name, "weight_drop=.2 forward")
  lu.assertEquals(list[1].sizes.tokens, 7)           -- rows of 4 and 3 steps
  status, out, err = helper.run { "bench", "op", "lstm", "T=3", "B=2" }
  lu.assertEquals(out, "")
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "missing: D=8 (for x[T,B,D]), H=8 (for w_ih[4H,D])")
end

-- No sampling: only what becomes of the words.
local function op_entry(...) return require("kooka.bench.ops").entry { ... } end

function TestBench:test_an_op_says_what_is_missing_unknown_or_no_number()
  local function refused(text, ...)
    local entry, message = op_entry(...)
    lu.assertNil(entry)
    lu.assertStrContains(message, text)
  end
  refused("kooka bench op linear shape=64")
  refused("did you mean linear?", "linaer")
  refused("linear has no input q", "linear", "shape=4", "D=2", "H=2", "with=q")
  refused("has no Q; its keys: shape, D, H", "linear", "shape=4", "D=2", "H=2", "Q=1")
  refused("D=0: linear wants one integer above 0", "linear", "shape=4", "D=0", "H=2")
  refused("missing: x=64,8 (for x:a[?]), index=64,8 (for index:i[?]), largest=8", "gather")
  refused("shape is given twice", "exp", "shape=4", "shape=5")
  refused("four: expected KEY=VALUE", "exp", "four")
end

-- Sizes of 8 for all letters do for nearly all ops; some say themselves what else they want.
function TestBench:test_every_op_can_be_timed_or_says_what_sizes_it_wants()
  local ops = require "kooka.bench.ops"
  local special = { gather = { "x=4,5", "index=2,5", "largest=4" }, index_add = { "x=6,2", "N=3", "largest=6", "source=3,2" },
    scatter_add = { "x=4,4", "index=4,4", "source=4,4", "largest=4" }, qrnn = { "T=2", "B=3", "D=4", "G=6", "K=8" } }
  local timed, refused, guard = 0, 0, samples.guard
  samples.guard = false
  for _, name in ipairs(core.ops()) do
    local words, entry, message = { name, table.unpack(special[name] or {}) }, nil, nil
    entry, message = ops.entry(words)
    if not entry then
      for key, value in message:match("missing: (.*)"):gmatch("([%w_]+)=([%d,]+) %(") do words[#words + 1] = key .. "=" .. value end
      entry, message = ops.entry(words)
    end
    lu.assertNotNil(entry, message)
    local ok, list = pcall(ops.measure, entry, { repeats = 1, patience = 0 })
    if ok then
      timed = timed + 1
      lu.assertTrue(#list >= 1 and list[1].ours >= 0, name)
    else
      refused = refused + 1
      lu.assertStrContains(tostring(list), " " .. name .. ":")
    end
  end
  samples.guard = guard
  lu.assertTrue(timed > 9 * refused)
end

function TestBench:test_a_missing_peer_is_said_once_and_ours_are_measured()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local status, out = helper.run({ "bench", "case", "matmul", "M=4", "K=4", "N=4", "--repeat", "1", "--patience", "0" },
    { cwd = self.dir, env = { BENCH_PYTHON = "/nowhere/python" } })
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "missing, ours alone")
end

-- A program that answers as tests/bench/peer.py does: always two seconds and a gigabyte.
local PEER = [[
#!/bin/sh
echo "ready Stone, $*"
while read -r word rest; do
  case $word in drop) echo dropped ;; *) echo "2 1000000000 Stone ${rest%% *}" ;; esac
done
]]

function TestBench:stone_peer()
  assert(sys.mkdir_p(self.dir .. "/tests/bench"))
  assert(sys.write_file(self.dir .. "/tests/bench/peer.py", ""))
  assert(sys.write_file(self.dir .. "/python", PEER))
  assert(os.execute("chmod +x " .. self.dir .. "/python"))
  return { BENCH_PYTHON = self.dir .. "/python" }
end

function TestBench:test_ours_and_a_peer_side_by_side_also_in_bfloat16_as_installed_and_in_memory()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local env = self:stone_peer()
  local status, out, err = helper.run({ "bench", "lm full", "one message", "--tiny", "--repeat", "1", "--patience", "0", "--json",
    "b.json" }, { cwd = self.dir, env = env })
  lu.assertEquals({ status, err }, { 0, "" })
  lu.assertStrContains(out, "peer         Stone, -u tests/bench/peer.py")
  lu.assertStrContains(out, "as installed")
  local by = {}
  for _, r in ipairs(json_of(self.dir .. "/b.json")) do by[r.name] = r end
  for _, name in ipairs { "lm full", "lm full bf16", "lm full bf16 : float32", "lm full as installed", "one message" } do
    lu.assertEquals(by[name].peer, 2000, name)
    lu.assertAlmostEquals(by[name].ratio, 2000 / by[name].ours, 1e-6)
  end
  lu.assertEquals(by["lm full memory"].peer, 1000)
  lu.assertAlmostEquals(by["lm full memory"].ratio, by["lm full memory"].ours / 1000, 1e-6)
  lu.assertEquals(by["lm full bf16"].sizes.bf16, 1)
  lu.assertNil(by["lm full"].sizes.bf16)
  status, out = helper.run({ "bench", "one message", "--tiny", "--repeat", "1", "--patience", "0", "--peer", "installed" },
    { cwd = self.dir, env = env })
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "one message as installed")
  lu.assertNil(out:find("tuned", 1, true))
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

function TestBench:test_ratio_and_targets_by_kind_of_machine()
  local info = { flops = 1e9 }
  local function record(name, ours, theirs, kind)
    return results.record(name, { unit = "ms" }, info, result(ours), theirs and result(theirs), { kind = kind })
  end
  local r = record("lstm 400->1152", .0125, .025, "intel")
  lu.assertEquals({ r.ours, r.peer, r.ratio, r.target, r.peak_fraction }, { 12.5, 25, 2, 1.1, .8 })
  lu.assertTrue(r.pass)
  lu.assertEquals({ r.targets[1].text, r.targets[2].text }, { ">= 1.1x", ">= 80% of peak" })
  lu.assertFalse(record("lstm 400->1152", .0125, .025, "zen5").pass)      -- 80 % of the peak; 90 are asked for
  lu.assertFalse(record("lstm 400->1152", .0125, .0126, "intel").pass)
  lu.assertNil(record("lstm 400->1152", .0125, nil, "intel").pass)
  lu.assertFalse(record("lstm 400->1152", .02, nil, "intel").pass)        -- the share of the peak needs no peer
  lu.assertNil(record("lstm 400->1152", .0125, .025, "other").targets)
  lu.assertNil(record("lstm 400->1152", .0125, .025, nil).targets)
  lu.assertEquals(record("startup", .011, nil, "intel-amx").targets[1], { text = "<= 10 ms", wanted = 10, got = 11, pass = false })
  r = results.record("y", { unit = "MB/s" }, { bytes = 4e6 }, result(2), nil, {})
  lu.assertEquals({ r.ours, r.pass }, { 2 })
end

function TestBench:test_a_line_of_memory_is_ours_over_the_peers()
  local r = { name = "lm full", memory = 35e6, peer_memory = 100e6, peer_name = "P", sizes = {} }
  local m = results.memory(r, "intel")
  lu.assertEquals({ m.name, m.unit, m.ours, m.peer, m.ratio, m.pass }, { "lm full memory", "MB", 35, 100, .35, true })
  r.memory = 36e6
  lu.assertFalse(results.memory(r, "intel").pass)
end

function TestBench:test_growth_in_tokens_is_judged_on_any_machine()
  local list = results.growth("lm tokens x10", { few = { T = 10, B = 2 }, many = { T = 100, B = 2 }, info = { activations = 100 },
    kind = "other", memory_few = 1000, memory_many = 1000 + 90 * 2 * 250, time_few = result(1), time_many = result(12) })
  lu.assertEquals({ list[1].ours, list[1].pass, list[2].ours, list[2].pass, list[3].ours, list[3].pass },
    { 12, false, 46, false, 2.5, true })
end

function TestBench:test_every_target_belongs_to_a_line_of_the_suite()
  local known = {}
  for _, name in ipairs(results.names(cases.suite)) do known[name] = true end
  for name in pairs(targets.rows) do
    if cases.qrnn or not name:find("^qrnn") then lu.assertTrue(known[name], "no benchmark is called " .. name) end
  end
end

function TestBench:test_a_pass_on_a_busy_machine_has_a_star()
  local loose = result(.005)
  loose.unguarded = 1
  local r = results.record("startup", { unit = "ms" }, {}, loose, nil, { kind = "intel" })
  lu.assertEquals(results.row(r)[9], "yes*")
  r = results.record("startup", { unit = "ms" }, {}, result(.005), nil, { kind = "intel" })
  lu.assertEquals(results.row(r)[9], "yes")
end

function TestBench:test_results_keep_other_machines_and_other_lines()
  local path = self.dir .. "/R.md"
  local function put(machine, name, ours, commit, known)
    local r = results.record(name, { unit = "ms" }, {}, result(ours), nil, {})
    assert(results.write(path, machine, { "peak 1" }, { r }, { date = "2020-01-01", commit = commit }, known))
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
  put("machine A", "third", 5, "c5", { "third", "second" })        -- "first" is no longer a benchmark
  text = sys.read_file(path)
  a, b = text:match("## machine A\n(.*)## machine B\n(.*)$")
  lu.assertNil(a:find("| first |", 1, true))
  lu.assertTrue(a:find("| third |", 1, true) < a:find("| second |", 1, true))
  lu.assertStrContains(b, "| first | 2000 ")
end

function TestBench:test_the_doctor_names_peak_bandwidth_and_a_core_type_that_holds_others_back()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local status, out = helper.run({ "doctor", "--json" }, { env = { OPENBLAS_CORETYPE = "Prescott" } })
  lu.assertEquals(status, 0)
  local facts = assert(core.json.decode(out))
  lu.assertTrue(facts.peak_one > 0 and facts.peak_all > 0 and facts.bandwidth_all > 0)
  lu.assertEquals(#facts.read, 3)
  lu.assertTrue(facts.peaks.float32.one > 0 and #facts.kernel > 0)
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

function TestMachine:test_a_kind_that_the_processor_lacks_has_neither_a_variant_nor_a_peak()
  for _, kind in ipairs { "float32", "bf16", "int8", "amx" } do
    local rate = core.machine.peak { kind = kind, seconds = .001 }
    lu.assertEquals(rate ~= nil, core.machine.variant { kind = kind } ~= nil)
    lu.assertTrue(rate == nil or rate > .01)
  end
  lu.assertErrorMsgContains("option kind is 'fp4', expected float32, bf16, int8 or amx", core.machine.peak, { kind = "fp4" })
end

-- Facts of a quiet machine of two cores.
local function quiet(more)
  local f = { environment = {}, cores = 2, allowed = 2, physical = 2, threads = 2, peak_one = 100, peak_all = 195, load = .1,
    huge_pages = "madvise", blas_core = "SkylakeX" }
  for k, v in pairs(more) do f[k] = v end
  return table.concat(require("kooka.bench.machine").warnings(f), "\n")
end

function TestMachine:test_warnings_name_what_holds_the_machine_back_and_nothing_else()
  lu.assertEquals(quiet {}, "")
  lu.assertEquals(quiet { environment = { OPENBLAS_CORETYPE = "Cooperlake", OMP_NUM_THREADS = "2" } }, "")
  lu.assertStrContains(quiet { environment = { OPENBLAS_CORETYPE = "Haswell" } }, "OPENBLAS_CORETYPE=Haswell is below this processor")
  lu.assertStrContains(quiet { environment = { OMP_NUM_THREADS = "8" } }, "OMP_NUM_THREADS=8 on 2 cores")
  lu.assertStrContains(quiet { environment = { OMP_NUM_THREADS = "1" } }, "1 of 2 cores stay idle")
  lu.assertStrContains(quiet { huge_pages = "never" }, "huge pages are off")
  lu.assertStrContains(quiet { load = 3 }, "load average")
  lu.assertStrContains(quiet { peak_all = 165 }, "1.65 times the peak of one")
  lu.assertStrContains(quiet { allowed = 1, physical = 1, threads = 1 }, "may use 1 of 2 cores")
  lu.assertEquals(quiet { physical = 1, peak_all = 105 }, "")              -- two threads of one core
end

function TestMachine:test_bandwidth_gives_its_memory_back()
  local before = sys.memory()
  lu.assertTrue(core.machine.bandwidth { bytes = 1 << 16, rounds = 1 } > 0)
  lu.assertEquals((sys.memory()), before)
end

os.exit(lu.LuaUnit.run())
