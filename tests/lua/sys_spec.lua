--- sys_spec: files, folders, checksums and child programs behave as their help says.
local lu = require "luaunit"
local sys = require("kooka.core").sys

TestSys = {}

function TestSys:setUp()
  self.dir = os.tmpname()
  os.remove(self.dir)
  assert(sys.mkdir_p(self.dir .. "/a/b"))
end

function TestSys:tearDown()
  sys.remove_tree(self.dir)
end

function TestSys:test_sha256_gives_the_published_vectors()
  -- FIPS 180-4 examples and the NIST "million a" vector
  local vectors = {
    [""] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ["abc"] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    ["abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"] =
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ["abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu"] =
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
    [("a"):rep(1000000)] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
  }
  for text, want in pairs(vectors) do lu.assertEquals(sys.sha256(text), want) end
  local path = self.dir .. "/million"
  assert(sys.write_file(path, ("a"):rep(1000000)))
  lu.assertEquals(sys.sha256_file(path), vectors[("a"):rep(1000000)])
end

function TestSys:test_sha256_agrees_with_sha256sum_at_every_length_around_a_block()
  local child = assert(sys.spawn({"sh", "-c", "for i in $(seq 0 130); do head -c $i /dev/zero | sha256sum; done"},
    {stdout = "pipe", stderr = "null"}))
  local first = child:read_line()
  lu.skipIf(first == nil, "sha256sum is not installed")
  for n = 0, 130 do
    lu.assertEquals(sys.sha256(("\0"):rep(n)), first:match("^%x+"), "length " .. n)
    first = child:read_line()
  end
end

function TestSys:test_a_missing_file_answers_nil_message_code()
  local nowhere = self.dir .. "/nowhere"
  for _, f in ipairs {"stat", "list", "remove", "remove_tree", "realpath", "sha256_file", "read_file"} do
    local value, message, code = sys[f](nowhere)
    lu.assertNil(value, f)
    lu.assertStrContains(message, nowhere)
    lu.assertEquals(code, "io", f)
  end
  lu.assertFalse(sys.exists(nowhere))
end

function TestSys:test_folders_are_made_listed_and_removed()
  assert(sys.write_file(self.dir .. "/a/z", "12345"))
  assert(sys.write_file(self.dir .. "/a/b/c", ""))
  lu.assertEquals(sys.list(self.dir .. "/a"), {"b", "z"})
  lu.assertEquals(sys.stat(self.dir .. "/a/z").size, 5)
  lu.assertEquals(sys.stat(self.dir .. "/a/z").type, "file")
  lu.assertEquals(sys.stat(self.dir .. "/a").type, "folder")
  lu.assertTrue(sys.mkdir_p(self.dir .. "/a/b"))
  lu.assertNil((sys.mkdir_p(self.dir .. "/a/z/inside")))
  lu.assertNil((sys.remove(self.dir .. "/a")))
  lu.assertTrue(sys.remove_tree(self.dir .. "/a"))
  lu.assertFalse(sys.exists(self.dir .. "/a"))
end

function TestSys:test_remove_tree_follows_no_link_and_refuses_the_roots()
  assert(sys.write_file(self.dir .. "/precious", "x"))
  assert(sys.spawn {"ln", "-s", self.dir, self.dir .. "/a/link"}):wait()
  lu.assertTrue(sys.remove_tree(self.dir .. "/a"))
  lu.assertEquals(sys.read_file(self.dir .. "/precious"), "x")
  for _, root in ipairs {"/", "/usr", ".", sys.cwd()} do
    lu.assertErrorMsgContains("refuses", sys.remove_tree, root)
  end
end

function TestSys:test_read_file_keeps_its_limit()
  local path = self.dir .. "/f"
  assert(sys.write_file(path, "1234567890"))
  lu.assertEquals(sys.read_file(path, 10), "1234567890")
  local value, message = sys.read_file(path, 9)
  lu.assertNil(value)
  lu.assertStrContains(message, "more than 9 bytes")
end

function TestSys:test_spawn_passes_arguments_without_a_shell()
  local child = assert(sys.spawn({"printf", "%s\n", "two words", "$HOME; `ls`"}, {stdout = "pipe"}))
  lu.assertEquals(child:read_line(), "two words")
  lu.assertEquals(child:read_line(), "$HOME; `ls`")
  lu.assertNil(child:read_line())
  lu.assertEquals(child:wait(), 0)
end

function TestSys:test_spawn_of_a_missing_program_answers()
  local child, message, code = sys.spawn {"kooka-no-such-program"}
  lu.assertNil(child)
  lu.assertStrContains(message, "kooka-no-such-program")
  lu.assertEquals(code, "io")
end

function TestSys:test_a_megabyte_through_cat_does_not_deadlock()
  local text = ("0123456789abcde\n"):rep(65536)
  local child = assert(sys.spawn({"cat"}, {stdin = "pipe", stdout = "pipe"}))
  assert(child:write(text))
  child:close_stdin()
  lu.assertTrue(child:read_all() == text)
  lu.assertEquals(child:wait(), 0)
end

function TestSys:test_exit_status_signal_and_timeout()
  lu.assertEquals(assert(sys.spawn {"sh", "-c", "exit 7"}):wait(), 7)
  local child = assert(sys.spawn({"sleep", "30"}))
  local status, message, code = child:wait(0.02)
  lu.assertNil(status)
  lu.assertStrContains(message, "still runs")
  lu.assertEquals(code, "timeout")
  child:kill()
  lu.assertEquals(child:wait(), 128 + 15)
end

function TestSys:test_environment_is_inherited_changed_and_removed()
  local argv = {"sh", "-c", "echo \"$PATH|$KK_NEW\""}
  local child = assert(sys.spawn(argv, {stdout = "pipe", env = {KK_NEW = "a b=c"}}))
  lu.assertEquals(child:read_line(), os.getenv("PATH") .. "|a b=c")
  child = assert(sys.spawn({"env"}, {stdout = "pipe", env = {PATH = false}}))
  lu.assertNil(("\n" .. child:read_all()):find("\nPATH=", 1, true))
  lu.assertEquals(child:wait(), 0)
end

function TestSys:test_a_closed_child_is_killed()
  local pid
  do
    local child <close> = assert(sys.spawn {"sleep", "30"})
    pid = child:pid()
  end
  lu.assertFalse(sys.exists("/proc/" .. pid .. "/stat"))
end

function TestSys:test_wrong_spawn_arguments_raise_and_name_the_option()
  lu.assertErrorMsgContains("stdot", sys.spawn, {"true"}, {stdot = "pipe"})
  lu.assertErrorMsgContains("option stdout is 'file'", sys.spawn, {"true"}, {stdout = "file"})
  lu.assertErrorMsgContains("item 2 must be a string, got table", sys.spawn, {"true", {}})
  lu.assertErrorMsgContains("the program and its arguments", sys.spawn, {})
end

function TestSys:test_machine_facts_hold_no_host_name()
  local m = sys.machine()
  lu.assertTrue(m.cores >= 1)
  lu.assertTrue(m.memory > 0)
  lu.assertEquals(type(m.cpu), "string")
end

os.exit(lu.LuaUnit.run())
