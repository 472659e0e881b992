--- bad_input_spec: what people and disks get wrong, through the command: one line that names the place, no traceback.
local lu = require "luaunit"
local helper = require "cli_helper"
local sys = require("kooka").sys

TestBadInput = {}

function TestBadInput:setUp()
  lu.skipIf(not require("kooka.core").module_source, "the program is tested from build/kooka")
  self.dir = helper.folder()
end

function TestBadInput:tearDown()
  if self.dir then sys.remove_tree(self.dir) end
end

-- Runs `kooka run ...`, which must end with `status` and say `message` in its last line but the hint how to go on.
local function refuses(self, status, message, ...)
  local argv = { "run", ... }
  local out = self.dir .. "/out"
  if status == 1 then table.move({ "--out", out }, 1, 2, #argv + 1, argv) end
  local code, _, err = helper.run(argv, { cwd = self.dir })
  sys.remove_tree(out)
  lu.assertEquals(code, status, err)
  lu.assertStrContains(err, "kooka run: " .. message)
  lu.assertNil(err:find("traceback", 1, true), err)
  if status == 1 then
    lu.assertEquals(err:match("^[^\n]*\n(.*)$"), "the run is kept; go on with: kooka run --resume " .. out .. "\n", err)
  end
  return err
end

local function file(self, name, text)
  assert(sys.write_file(self.dir .. "/" .. name, text))
  return name
end

local HEAD = "user,item,text,label\na,1,hola,1\n"

function TestBadInput:test_data_that_is_not_there()
  refuses(self, 1, "stat: nowhere: No such file or directory", "likes", "--smoke", "--data", "nowhere")
  refuses(self, 1, "rungs: there is no 'tokens', expected names of global, intercept,", "likes", "--smoke", "--data", "nowhere", "--rungs", "map,tokens")
  refuses(self, 1, "nowhere/haha_2019_train.csv: No such file or directory", "haha", "--smoke", "--data", "nowhere")
  refuses(self, 1, "--source csv needs --data PATH", "road", "--smoke", "--source", "csv")
  refuses(self, 1, "list: nowhere: No such file", "road", "--smoke", "--source", "archive", "--data", "nowhere")
  refuses(self, 1, "x: the environment variable X_BEARER_TOKEN", "road", "--smoke", "--source", "x", "--people", "a")
end

function TestBadInput:test_tables_say_row_and_column()
  local function likes(message, text)
    refuses(self, 1, message, "likes", "--smoke", "--data", file(self, "t.csv", text))
  end
  likes('t.csv: header (line 1): no column "user", the file has foo, bar', "foo,bar\n1,2\n")
  likes("t.csv: row 2 (line 3), column 3: byte 2 of the field is 0xFF: not UTF-8", HEAD .. "a,2,b\xffd,0\n")
  likes("t.csv: row 2 (line 3), column 3: the quote opened on line 3 is never closed", HEAD .. 'a,2,"cut off,0\n')
  likes("t.csv: row 2 (line 3): 2 fields, expected 4", HEAD .. "a,2\n")
  likes("t.csv: row 2, column label: 'maybe', expected 1 or 0", HEAD .. "a,2,x,maybe\n")
  likes("t.csv: no row says who liked what", "user,item,text,label\n")
  likes("no person has 8 rated texts or more (option min)", HEAD)
  likes("t.csv: no votes.tsv", "")
end

function TestBadInput:test_the_tweets_of_2019_say_row_and_column()
  assert(sys.mkdir_p(self.dir .. "/haha"))
  file(self, "haha/haha_2019_test.csv", "id,text\n1,a\n")
  local function haha(message, train)
    file(self, "haha/haha_2019_train.csv", train)
    refuses(self, 1, message, "haha", "--smoke", "--data", "haha")
  end
  haha('haha/haha_2019_train.csv: header (line 1): no column "is_humor", the file has id, text', "id,text\n1,a\n")
  haha("haha/haha_2019_train.csv: row 1 (line 2), column 2: byte 1", "id,text,is_humor,funniness_average\n1,\xe9,0,\n")
  haha("haha/haha_2019_train.csv: row 1, column \"is_humor\": expected an integer from 0 to 1, got \"2\"", "id,text,is_humor,funniness_average\n1,a,2,\n")
end

function TestBadInput:test_options_are_wrong_usage()
  lu.assertStrContains(refuses(self, 2, "unknown option --fold; did you mean --folds?", "likes", "--fold", "3"), "--vocab")
  refuses(self, 2, "option --folds is 1, expected an integer from 2 to 20", "likes", "--folds", "1")
  refuses(self, 2, 'option --source is "web", expected one of', "road", "--source", "web")
  refuses(self, 2, "no recipe is called raod; did you mean road?", "raod")
  refuses(self, 2, "option --threads is 0, expected an integer from 1", "road", "--threads", "0")
end

function TestBadInput:test_a_full_disk_is_told_and_leaves_whole_files()
  local rows = { "user,item,text,label" }
  for i = 1, 60 do rows[#rows + 1] = ("%s,%d,un texto numero %d,%d"):format(i % 2 == 0 and "a" or "b", i, i, i // 2 % 2) end
  file(self, "t.csv", table.concat(rows, "\n") .. "\n")
  assert(sys.mkdir_p(self.dir .. "/disk"))
  -- a disk of 300 KB in a name space of its own, read before it goes away
  local script = [[mount -t tmpfs -o size=300k none "$1/disk" || exit 77
    cd "$1" && "$2" run likes --smoke --data t.csv --out disk/run 2>&1; echo "status $?"; find disk -type f]]
  local child <close> = sys.spawn({ "unshare", "-rm", "sh", "-c", script, "sh", self.dir, helper.kooka },
    { stdin = "null", stdout = "pipe", stderr = "null" })
  lu.skipIf(not child, "unshare(1) is not installed")
  local text = child:read_all()
  lu.skipIf(child:wait() ~= 0 and not text:find("status", 1, true), "no file system can be mounted here")
  lu.assertStrContains(text, "disk/run/checkpoints/language-model.safetensors: cannot write: No space left on device\n")
  lu.assertStrContains(text, "status 1\n")
  lu.assertNil(text:find("traceback", 1, true), text)
  lu.assertNil(text:find("%.tmp%-"), text)
  lu.assertStrContains(text, "disk/run/tokenizer.model\n")
end

function TestBadInput:test_a_fault_of_a_recipe_keeps_its_traceback()
  file(self, "faulty.lua", [[
    return {name = "faulty", about = "has a fault", params = {}, run = function()
      local t
      return t.x
    end}]])
  local code, _, err = helper.run({ "run", "./faulty.lua", "--out", self.dir .. "/out" }, { cwd = self.dir })
  lu.assertEquals(code, 1)
  lu.assertStrContains(err, "attempt to index a nil value")
  lu.assertStrContains(err, "stack traceback")
end

function TestBadInput:test_what_the_world_refuses_in_a_recipe_has_no_traceback_and_no_place_in_the_code()
  file(self, "reads.lua", [[
    local kooka = require "kooka"
    return {name = "reads", about = "reads a file", params = {}, run = function()
      kooka.try(kooka.sys.read_file("not-here.txt"))
    end}]])
  local err = refuses(self, 1, "", "./reads.lua")
  lu.assertStrContains(err, "not-here.txt: No such file or directory")
  lu.assertNil(err:find("reads.lua:", 1, true), err)
end

os.exit(lu.LuaUnit.run())
