--- runs_spec: a run knows where it came from, and can be listed, compared, checked out and found from a file it made.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local checkout = require "kooka.runs.checkout"
local compare = require "kooka.runs.compare"
local provenance = require "kooka.runs.provenance"
local runs = require "kooka.runs"
local which = require "kooka.runs.which"
local json, sys = kooka.json, kooka.sys

-- Noisy predictions of 200 rows whose truth lies in the data; shift moves the probabilities.
local RECIPE = [[
local helper = require "extra"
return {
  name = "toy", about = "predicts",
  params = {
    data = {default = "data", help = "a folder"}, shift = {default = 0.0, help = "of the logits"},
    word = {default = "it's", help = "a text"}, dry = {default = false, help = "nothing"}, wait = {default = false, help = "for a signal"},
  },
  run = function(p, run)
    local csv, eval, kooka = require "kooka.data.csv", require "kooka.eval", require "kooka"
    run:data(p.data)
    local t = kooka.try(csv.read(p.data .. "/train.csv"))
    local rows, probs, labels, stream = {}, {}, {}, kooka.random("toy", run.seed)
    for i = 1, t.n do
      local y = tonumber(t.is_humor[i])
      local x = (2 * y - 1) * 1.2 + stream:normal() + p.shift
      local prob = 1 / (1 + math.exp(-x))
      probs[i], labels[i] = prob, y + 1
      rows[i] = {t.id[i], prob >= .5 and 1 or 0, ("%.6f"):format(prob), 1}
    end
    kooka.try(csv.write(run:path("predictions/toy_oof.csv"), {"id", "is_humor", "prob_humor", "fold"}, rows))
    kooka.try(run:save("words.txt", p.word .. helper.mark .. run.seed))
    run:metric("f1_humor", eval.binary(probs, labels, {resamples = 0}).f1)
    run:metric("log_loss", eval.binary(probs, labels, {resamples = 0}).log_loss)
    while p.wait do run:check() kooka.sys.sleep(.01) end
  end,
}
]]

local function write(path, text)
  assert(sys.mkdir_p(path:match("^(.*)/")))
  assert(sys.write_file(path, text))
end

local function git(folder, ...)
  local child <close> = assert(sys.spawn({ "git", "-C", folder, "-c", "user.name=t", "-c", "user.email=t@example.org", "-c",
    "commit.gpgsign=false", ... }, { stdin = "null", stdout = "pipe", stderr = "stdout" }))
  local text = child:read_all()
  assert(child:wait() == 0, text)
  return text
end

local function has_git()
  local child <close> = sys.spawn({ "git", "--version" }, { stdout = "null", stderr = "null" })
  return child and child:wait() == 0
end

local Base = {}

function Base:setUp()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  lu.skipIf(not has_git(), "git is not installed")
  self.dir = sys.realpath(helper.folder())
  write(self.dir .. "/recipes/toy/recipe.lua", RECIPE)
  write(self.dir .. "/extra.lua", 'return {mark = "!"}\n')
  local lines = { "id,text,is_humor" }
  for i = 1, 200 do lines[i + 1] = ("%d,text %d,%d"):format(i, i, i % 3 == 0 and 1 or 0) end
  write(self.dir .. "/data/train.csv", table.concat(lines, "\n") .. "\n")
  write(self.dir .. "/.gitignore", "runs/\n")
end

function Base:tearDown()
  if self.dir then sys.remove_tree(self.dir) end
end

function Base:init()
  git(self.dir, "init", "-q")
  git(self.dir, "add", "-A")
  git(self.dir, "commit", "-q", "-m", "first")
end

-- Runs kooka in the folder; status, stdout, stderr.
function Base:kooka(...)
  return helper.run({ ... }, { cwd = self.dir, env = { LUA_PATH = "./?.lua;;", KOOKA_RUNS = false, X_BEARER_TOKEN = "very-secret" } })
end

function Base:run(...)
  local status, out, err = self:kooka("run", "toy", "--json", ...)
  lu.assertEquals(status, 0, err)
  local r = json.decode(out)
  return self.dir .. "/" .. r.dir, r
end

local function class()
  local t = {}
  for name, f in pairs(Base) do t[name] = f end
  return t
end

TestProvenance = class()

function TestProvenance:test_a_clean_tree_is_its_revision_and_the_recipe_is_copied()
  self:init()
  local dir = self:run()
  local c = runs.read(dir)
  lu.assertEquals(c.git.revision, (git(self.dir, "rev-parse", "HEAD"):gsub("%s", "")))
  lu.assertEquals({ c.git.changed, c.git.diff, c.git.recipe }, { false, nil, "recipes/toy/recipe.lua" })
  lu.assertFalse(sys.exists(dir .. "/code.diff"))
  lu.assertEquals(sys.read_file(dir .. "/code/recipe.lua"), RECIPE)
  lu.assertEquals(c.code.recipe.sha256, sys.sha256(RECIPE))
  lu.assertEquals(c.modules[1].name, "extra")
  lu.assertEquals(sys.read_file(dir .. "/code/modules/extra.lua"), 'return {mark = "!"}\n')
end

function TestProvenance:test_a_dirty_tree_is_kept_as_a_diff_with_untracked_code_but_without_runs_and_data()
  self:init()
  write(self.dir .. "/extra.lua", 'return {mark = "?"}\n')
  write(self.dir .. "/new.lua", "return 1\n")
  write(self.dir .. "/recipes/toy/notes.txt", "beside the recipe\n")
  write(self.dir .. "/secret.txt", "not code\n")
  write(self.dir .. "/elsewhere/config.json", "{}")           -- another run's folder that git does not ignore
  write(self.dir .. "/elsewhere/log.jsonl", "")
  write(self.dir .. "/elsewhere/code/recipe.lua", "return 2\n")
  local dir = self:run()
  local c, diff = runs.read(dir), sys.read_file(dir .. "/code.diff")
  lu.assertTrue(c.git.changed)
  lu.assertEquals(c.git.untracked, { "new.lua", "recipes/toy/notes.txt" })
  lu.assertStrContains(diff, '+return {mark = "?"}')
  lu.assertStrContains(diff, "+beside the recipe")
  lu.assertNil(diff:find("not code", 1, true))
  lu.assertNil(diff:find("return 2", 1, true))
  lu.assertEquals(c.git.diff.sha256, sys.sha256(diff))
end

function TestProvenance:test_large_untracked_files_are_named_and_not_kept()
  self:init()
  write(self.dir .. "/recipes/toy/big.bin", ("x"):rep(300 << 10))
  local c = runs.read((self:run()))
  lu.assertEquals(c.git.left_out, { "recipes/toy/big.bin" })
  lu.assertTrue(c.git.changed)
end

function TestProvenance:test_the_id_ends_in_a_hash_of_code_options_and_seed()
  self:init()
  local one, two = runs.read((self:run())), runs.read((self:run()))
  lu.assertEquals(one.digest, two.digest)
  lu.assertStrContains(one.id, "-" .. one.digest:sub(1, 6))
  lu.assertNotEquals(one.id, two.id)                       -- even within one second
  lu.assertNotEquals(runs.read((self:run("--seed", "2"))).digest, one.digest)
  write(self.dir .. "/recipes/toy/recipe.lua", RECIPE .. "-- more\n")
  lu.assertNotEquals(runs.read((self:run())).digest, one.digest)
end

function TestProvenance:test_runs_started_at_once_do_not_share_a_folder()
  local children = {}
  for i = 1, 4 do
    children[i] = helper.start({ "run", "toy", "--json" }, { cwd = self.dir, env = { LUA_PATH = "./?.lua;;", KOOKA_RUNS = false } })
  end
  local seen, n = {}, 0
  for _, child in ipairs(children) do
    local r = json.decode(child:read_all())
    lu.assertEquals(child:wait(), 0)
    lu.assertNil(seen[r.dir])
    seen[r.dir], n = true, n + 1
  end
  lu.assertEquals(#sys.list(self.dir .. "/runs"), n)
end

function TestProvenance:test_data_outputs_and_machine_are_known_by_hash_and_no_secret_is()
  local dir = self:run()
  local c = runs.read(dir)
  local train = sys.sha256_file(self.dir .. "/data/train.csv")
  lu.assertEquals({ c.data[1].path, c.data[1].type, c.data[1].files }, { "data", "folder", 1 })
  lu.assertEquals(c.data[1].listed[1].sha256, train)
  lu.assertEquals(c.data[1].sha256, sys.sha256(("train.csv\t%d\t%s\n"):format(sys.stat(self.dir .. "/data/train.csv").size, train)))
  local outputs = json.decode(sys.read_file(dir .. "/outputs.json"))
  lu.assertEquals(outputs["predictions/toy_oof.csv"].sha256, sys.sha256_file(dir .. "/predictions/toy_oof.csv"))
  lu.assertEquals(outputs["words.txt"].sha256, sys.sha256("it's!1"))
  lu.assertEquals(outputs["metrics.json"].sha256, sys.sha256_file(dir .. "/metrics.json"))
  lu.assertNil(outputs["config.json"])
  lu.assertEquals(c.environment.variables.LUA_PATH, "./?.lua;;")
  lu.assertEquals(c.environment.program.sha256, sys.sha256_file(helper.kooka))
  for _, name in ipairs { "config.json", "log.jsonl", "outputs.json" } do
    lu.assertNil(sys.read_file(dir .. "/" .. name):find("very-secret", 1, true))
  end
end

function TestProvenance:test_a_folder_s_hash_tells_names_and_contents()
  local function hash() return provenance.hash(self.dir .. "/data").sha256 end
  local before = hash()
  write(self.dir .. "/data/deep/b.txt", "x")
  local with = hash()
  lu.assertNotEquals(with, before)
  assert(sys.rename(self.dir .. "/data/deep/b.txt", self.dir .. "/data/deep/c.txt"))
  lu.assertNotEquals(hash(), with)
  lu.assertEquals(provenance.hash(self.dir .. "/data", "%.csv$").files, 1)
  local none, message, code = provenance.hash(self.dir .. "/nowhere")
  lu.assertNil(none)
  lu.assertStrContains(message, "nowhere")
  lu.assertNotNil(code)
end

function TestProvenance:test_without_git_the_recipe_is_all_there_is()
  local c = runs.read((self:run()))
  lu.assertNil(c.git)
  lu.assertEquals(c.code.recipe.file, "code/recipe.lua")
end

-- Starts a run that waits, ends it by the signal; its folder.
function TestProvenance:stopped(signal)
  local child <close> = helper.start({ "run", "toy", "--wait", "--out", "w" }, { cwd = self.dir, env = { LUA_PATH = "./?.lua;;" } })
  local deadline = sys.now() + 30
  while not (sys.read_file(self.dir .. "/w/log.jsonl") or ""):find("log_loss", 1, true) do
    lu.assertTrue(sys.now() < deadline, "the run did not get there")
    sys.sleep(.01)
  end
  child:kill(signal)
  lu.assertEquals(child:wait(), signal == "int" and 130 or 137)
  return self.dir .. "/w"
end

-- So that a resumed run ends.
local function no_wait(dir)
  local c = runs.read(dir)
  c.params.wait = false
  assert(sys.write_file(dir .. "/config.json", json.encode(c)))
end

function TestProvenance:test_resume_says_that_code_changed_and_keeps_it()
  self:init()
  local dir = self:stopped("int")
  no_wait(dir)
  write(self.dir .. "/recipes/toy/recipe.lua", RECIPE .. "-- later\n")
  local status, out, err = self:kooka("runs", "resume", "w")
  lu.assertEquals(status, 0, err)
  lu.assertStrContains(out, "the recipe and the git tree changed since the first start")
  lu.assertStrContains(sys.read_file(dir .. "/code/resumed-1/code/recipe.lua"), "-- later")
  lu.assertEquals(sys.read_file(dir .. "/code/recipe.lua"), RECIPE)
  lu.assertTrue(sys.exists(dir .. "/outputs.json"))
end

function TestProvenance:test_a_changed_recipe_that_fails_on_what_was_there_says_where_the_first_is()
  local dir = self:stopped("int")
  no_wait(dir)
  write(self.dir .. "/recipes/toy/recipe.lua", (RECIPE:gsub("run = function%(p, run%)", "%0 local other = nil + 1")))
  local status, _, err = self:kooka("runs", "resume", "w")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "attempt to perform arithmetic")
  lu.assertStrContains(err, "the recipe changed since it began, and its finished stages are of the code before: kooka runs checkout w")
end

function TestProvenance:test_resume_with_other_data_is_refused()
  local dir = self:stopped("kill")
  no_wait(dir)
  write(self.dir .. "/data/train.csv", "id,text,is_humor\n1,a,0\n")
  local status, _, err = self:kooka("runs", "resume", "w")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "run:data: data changed since the run began")
end

function TestProvenance:test_resume_with_nothing_changed_keeps_no_second_copy()
  self:init()
  local dir = self:stopped("kill")
  no_wait(dir)
  local status, out = self:kooka("runs", "resume", "w")
  lu.assertEquals(status, 0)
  lu.assertNil(out:find("changed since", 1, true))
  lu.assertFalse(sys.exists(dir .. "/code/resumed-1"))
end

TestList = class()

function TestList:test_sorting_by_metric_option_and_date_and_choosing()
  self:run("--shift", "0.3")
  self:run("--shift", "3")
  self:run("--shift", "-0.2")
  local function order(...)
    local status, out, err = self:kooka("runs", "--json", ...)
    lu.assertEquals(status, 0, err)
    local list = {}
    for i, c in ipairs(json.decode(out)) do list[i] = c.params.shift end
    return list
  end
  lu.assertEquals(order(), { .3, 3, -.2 })
  lu.assertEquals(order("--sort", "shift"), { -.2, .3, 3 })
  lu.assertEquals(order("--sort", "--shift", "--reverse"), { 3, .3, -.2 })
  lu.assertEquals(order("--sort", "f1_humor")[3], 3)             -- the best first
  lu.assertEquals(order("--sort", "log_loss")[3], 3)
  local _, _, keys = self:kooka("runs", "list", "--sort", "nothing")
  lu.assertEquals(select(2, keys:gsub(" seed,", "")), 1, keys)
  lu.assertEquals(order("--last", "1"), { -.2 })
  lu.assertEquals(order("--recipe", "other"), {})
  lu.assertEquals(#order("--status", "done"), 3)
  local _, out = self:kooka("runs", "list", "--sort", "f1_humor", "--metric", "log_loss")
  lu.assertStrMatches(out, "run +status +time +log_loss +f1_humor +options\n.*")
end

function TestList:test_wrong_arguments_end_with_2_and_say_why()
  self:run()
  for arguments, message in pairs {
    ["--sort f1_humour"] = "did you mean f1_humor?", ["--status dnoe"] = "did you mean done?", ["--last 0"] = "expected an integer of 1 or more",
    ["--srot x"] = "did you mean --sort?", ["--metric none"] = "no run has the metric none", ["show"] = "show wants 1 run",
    ["diff last"] = "diff wants 2 runs", ["which"] = "which wants a file", ["rm"] = "rm wants at least one run", ["--sort"] = "wants a value",
    ["show last --full"] = "unknown option --full",
  } do
    local words = { "runs" }
    for word in arguments:gmatch("%S+") do words[#words + 1] = word end
    local status, _, err = self:kooka(table.unpack(words))
    lu.assertEquals({ arguments, status }, { arguments, 2 })
    lu.assertStrContains(err, message)
  end
end

function TestList:test_rm_asks()
  local dir = self:run()
  local status, _, err = self:kooka("runs", "rm", "last")
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "nothing was removed")
  lu.assertTrue(sys.exists(dir))
  status = helper.run({ "runs", "rm", "last" }, { cwd = self.dir, input = "y\n", env = { KOOKA_RUNS = false } })
  lu.assertEquals(status, 0)
  lu.assertFalse(sys.exists(dir))
end

function TestList:test_show_says_code_data_and_machine()
  self:init()
  write(self.dir .. "/extra.lua", 'return {mark = "?"}\n')
  self:run()
  local _, out = self:kooka("runs", "show", "last")
  lu.assertStrMatches(out, ".*git +%x+ and changes %(code%.diff, [%d.]+ k?B%)\n.*")
  lu.assertStrMatches(out, ".*data +data  [%d.]+ kB in 1 files  %x+\n.*")
  lu.assertStrMatches(out, ".*%$LUA_PATH +%./%?%.lua;;\n.*")
end

TestDiff = class()

function TestDiff:test_settings_code_data_metrics_and_paired_predictions()
  self:init()
  local a = self:run()
  write(self.dir .. "/extra.lua", 'return {mark = "?"}\n')
  local b = self:run("--shift", "1.5", "--seed", "2")
  local r = assert(compare.runs(a, b))
  lu.assertEquals(r.settings, { { name = "seed", a = 1, b = 2 }, { name = "--shift", a = 0.0, b = 1.5 } })
  lu.assertEquals(r.environment, {})
  lu.assertTrue(r.code.recipe.same)
  lu.assertFalse(r.code.tree.same)
  lu.assertStrContains(r.code.tree.diff, '-return {mark = "!"}\n+return {mark = "?"}')
  lu.assertStrContains(r.code.tree.stat, "extra.lua")
  lu.assertTrue(r.data[1].same)
  lu.assertEquals(r.metrics[1].name, "f1_humor")
  local p = r.predictions[1]
  lu.assertEquals({ p.file, p.same, p.rows }, { "predictions/toy_oof.csv", false, 200 })
  lu.assertTrue(p.changed > 20)
  lu.assertStrContains(p.truth, "data/train.csv")
  lu.assertEquals({ p.paired.n, p.paired.verdict }, { 200, "worse" })
  lu.assertTrue(p.paired.log_loss.low > 0)
  local status, out = self:kooka("runs", "diff", a, b)
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "data: the same bytes (data,")
  lu.assertStrContains(out, "is worse than")
end

function TestDiff:test_the_same_run_twice_is_the_same()
  self:init()
  local a, b = self:run(), self:run()
  local r = assert(compare.runs(a, b))
  lu.assertEquals({ r.settings, r.environment, r.metrics }, { {}, {}, {} })
  lu.assertTrue(r.code.tree.same and r.code.recipe.same and r.data[1].same and r.predictions[1].same)
  lu.assertEquals(r.metrics_same, 2)
  local _, out = self:kooka("runs", "diff", a, b, "--json")
  lu.assertEquals(json.decode(out).settings, json.array {})
end

function TestDiff:test_without_git_the_recipes_are_compared_and_data_by_file()
  local a = self:run()
  write(self.dir .. "/recipes/toy/recipe.lua", (RECIPE:gsub("1%.2", "0.2")))
  write(self.dir .. "/data/more.csv", "id\n1\n")
  local b = self:run()
  local r = assert(compare.runs(a, b))
  lu.assertStrContains(r.code.tree.note, "no git revision is known")
  lu.assertStrContains(r.code.recipe.diff, "+      local x = (2 * y - 1) * 0.2")
  lu.assertFalse(r.data[1].same)
  lu.assertEquals(r.data[1].files, { "more.csv" })
end

function TestDiff:test_a_commit_that_is_gone_is_said()
  self:init()
  local a = self:run()
  local c = runs.read(a)
  local b = self:run("--seed", "2")
  c.git.revision = ("0"):rep(40)
  assert(sys.write_file(a .. "/config.json", json.encode(c)))
  lu.assertStrContains(compare.runs(a, b).code.tree.note, "is neither in")
end

function TestDiff:test_answers_of_several_classes_are_paired_by_accuracy_against_labels_that_are_given()
  local function made(name, wrong)
    local lines = { "id,topic" }
    for i = 1, 90 do lines[i + 1] = ("%d,%s"):format(i, i % wrong == 0 and "z" or ("abc"):sub(i % 3 + 1, i % 3 + 1)) end
    write(self.dir .. "/" .. name .. "/predictions/t_oof.csv", table.concat(lines, "\n") .. "\n")
    write(self.dir .. "/" .. name .. "/config.json", json.encode { id = name, recipe = "toy", seed = 1, status = "done" })
    return self.dir .. "/" .. name
  end
  local a, b = made("a", 2), made("b", 45)
  local lines = { "id,topic" }
  for i = 1, 90 do lines[i + 1] = ("%d,%s"):format(i, ("abc"):sub(i % 3 + 1, i % 3 + 1)) end
  write(self.dir .. "/truth.csv", table.concat(lines, "\n"))
  local p = assert(compare.runs(a, b, { labels = self.dir .. "/truth.csv" })).predictions[1]
  lu.assertEquals({ p.paired.n, p.paired.verdict, p.changed }, { 90, "better", 45 })
  lu.assertAlmostEquals(p.paired.accuracy.value, 43 / 90, 1e-12)
  lu.assertStrContains(assert(compare.runs(a, b)).predictions[1].note, "no true label is known")
  local none, message = compare.runs(a, b, { labels = self.dir .. "/nowhere.csv" })
  lu.assertNil(none)
  lu.assertStrContains(message, "nowhere.csv: no such file")
end

TestCheckout = class()

-- The script of a checkout makes the same words.txt and predictions as the run did.
function TestCheckout:runs_again(dir, r)
  local child <close> = assert(sys.spawn({ "sh", r.script, "--out", self.dir .. "/again" }, { stdin = "null", stdout = "pipe",
    stderr = "stdout", env = { KOOKA = helper.kooka, LUA_PATH = "./?.lua;;" } }))
  local text = child:read_all()
  lu.assertEquals(child:wait(), 0, text)
  for _, name in ipairs { "words.txt", "predictions/toy_oof.csv" } do
    lu.assertEquals(sys.sha256_file(self.dir .. "/again/" .. name), sys.sha256_file(dir .. "/" .. name))
  end
end

function TestCheckout:test_a_clean_tree()
  self:init()
  local dir = self:run("--shift", "0.1", "--seed", "5")
  write(self.dir .. "/extra.lua", 'return {mark = "later"}\n')
  git(self.dir, "commit", "-q", "-a", "-m", "second")
  local before = git(self.dir, "status", "--porcelain") .. sys.sha256_file(self.dir .. "/.git/index")
  local r = assert(checkout(dir, self.dir .. "/back"))
  lu.assertEquals({ r.complete, r.exact, r.source }, { true, true, "git" })
  lu.assertEquals(sys.read_file(self.dir .. "/back/extra.lua"), 'return {mark = "!"}\n')
  lu.assertStrContains(r.notes[1], "nothing had changed")
  self:runs_again(dir, r)
  sys.remove_tree(self.dir .. "/back")
  sys.remove_tree(self.dir .. "/again")
  lu.assertEquals(git(self.dir, "status", "--porcelain") .. sys.sha256_file(self.dir .. "/.git/index"), before)
end

function TestCheckout:test_a_dirty_tree_with_changed_deleted_binary_and_new_files()
  write(self.dir .. "/old.lua", "return 0\n")
  write(self.dir .. "/bytes.bin", "\0\1\2")
  self:init()
  local words = 'return {mark = "dirty"}\r\n'
  write(self.dir .. "/extra.lua", words)
  write(self.dir .. "/recipes/toy/new file.lua", "return 1")
  write(self.dir .. "/bytes.bin", "\0\1\2\255\254")
  sys.remove(self.dir .. "/old.lua")
  local dir = self:run()
  git(self.dir, "checkout", "-q", "--", ".")
  sys.remove(self.dir .. "/recipes/toy/new file.lua")
  local r = assert(checkout(dir, self.dir .. "/back"))
  lu.assertEquals({ r.complete, r.exact }, { true, true })
  lu.assertEquals(sys.read_file(self.dir .. "/back/extra.lua"), words)
  lu.assertEquals(sys.read_file(self.dir .. "/back/recipes/toy/new file.lua"), "return 1")
  lu.assertEquals(sys.read_file(self.dir .. "/back/bytes.bin"), "\0\1\2\255\254")
  lu.assertFalse(sys.exists(self.dir .. "/back/old.lua"))
  self:runs_again(dir, r)
end

function TestCheckout:test_without_git_the_recipe_its_modules_and_settings()
  local dir = self:run("--word", "$HOME 'quoted'")
  sys.remove(self.dir .. "/extra.lua")
  local r = assert(checkout(dir, self.dir .. "/back"))
  lu.assertEquals({ r.complete, r.exact, r.source }, { false, true, "copy" })
  lu.assertStrContains(r.notes[1], "no git revision is known")
  self:runs_again(dir, r)
end

function TestCheckout:test_its_script_finds_the_program_that_wrote_it_where_none_is_on_the_path()
  local dir = self:run()
  local status, out = self:kooka("runs", "checkout", dir, "back")
  lu.assertEquals(status, 0, out)
  local child <close> = assert(sys.spawn({ "sh", self.dir .. "/back/run.sh", "--out", self.dir .. "/again" }, { stdin = "null",
    stdout = "pipe", stderr = "stdout", env = { KOOKA = false, PATH = "/usr/bin:/bin", LUA_PATH = "./?.lua;;" } }))
  local text = child:read_all()
  lu.assertEquals(child:wait(), 0, text)
  lu.assertTrue(sys.exists(self.dir .. "/again/words.txt"))
end

function TestCheckout:test_a_repository_that_is_gone_is_said_and_the_recipe_is_there()
  self:init()
  local dir = self:run()
  sys.remove_tree(self.dir .. "/.git")
  local status, out = self:kooka("runs", "checkout", dir, "back")
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "only the recipe and its settings are here: the commit")
  lu.assertEquals(sys.read_file(self.dir .. "/back/recipe.lua"), RECIPE)
end

function TestCheckout:test_an_occupied_folder_is_refused()
  local dir = self:run()
  local ok, message, code = checkout(dir, self.dir .. "/data")
  lu.assertEquals({ ok, code }, { nil, "io" })
  lu.assertStrContains(message, "is not empty")
end

TestWhich = class()

function TestWhich:test_copies_elsewhere_are_known_and_other_files_are_not()
  local one = self:run()
  local two = self:run("--seed", "2")
  write(self.dir .. "/copied.csv", sys.read_file(two .. "/predictions/toy_oof.csv"))
  local r = assert(which(self.dir .. "/copied.csv", self.dir .. "/runs"))
  lu.assertEquals(#r.made, 1)
  lu.assertEquals({ r.made[1].dir, r.made[1].name, r.made[1].how }, { two, "predictions/toy_oof.csv", "recorded" })
  local status, out = self:kooka("runs", "which", "copied.csv")
  lu.assertEquals(status, 0)
  lu.assertStrContains(out, "predictions/toy_oof.csv was made by runs/")
  r = assert(which(self.dir .. "/data/train.csv", self.dir .. "/runs"))
  lu.assertEquals({ #r.made, #r.known, r.known[1].how, r.known[1].dir }, { 0, 2, "read", one })
  status, out = self:kooka("runs", "which", ".gitignore")
  lu.assertEquals(status, 1)
  lu.assertStrContains(out, "no run in runs made a file with these 6 bytes")
  status = self:kooka("runs", "which", "nowhere.csv")
  lu.assertEquals(status, 1)
end

function TestWhich:test_a_file_that_the_run_no_longer_holds_is_still_known()
  local dir = self:run()
  assert(sys.rename(dir .. "/predictions/toy_oof.csv", self.dir .. "/moved.csv"))
  lu.assertEquals(which(self.dir .. "/moved.csv", self.dir .. "/runs").made[1].dir, dir)
end

function TestWhich:test_a_file_inside_a_run_that_was_changed_is_said()
  local dir = self:run()
  write(dir .. "/words.txt", "tampered")
  local r = which(dir .. "/words.txt", self.dir .. "/runs")
  lu.assertEquals({ #r.made, r.changed.name }, { 0, "words.txt" })
end

function TestWhich:test_runs_with_a_folder_of_their_own_and_killed_ones_are_found_from_inside()
  local dir = TestProvenance.stopped(self, "kill")
  local r = which(dir .. "/words.txt", self.dir .. "/runs")
  lu.assertEquals({ #r.made, r.made[1].how, r.made[1].status }, { 1, "on disk", "killed" })
  local _, out = self:kooka("runs", "which", "w/words.txt", "--json")
  lu.assertEquals(json.decode(out).made[1].name, "words.txt")
end

os.exit(lu.LuaUnit.run())
