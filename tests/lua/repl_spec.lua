--- repl_spec: the session: what it prints, how it goes on after errors, what it completes, help.
local lu = require "luaunit"
local help = require "kooka.help"
local helper = require "cli_helper"
local pretty = require "kooka.pretty"
local repl = require "kooka.repl"
local sys = require("kooka.core").sys
require "kooka"

TestSession = {}

local function session(input)
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local status, out, err = helper.run({"-i"}, {input = input})
  lu.assertEquals(status, 0)
  return out:gsub(">+ ", ""), err
end

function TestSession:test_expressions_print_their_values()
  lu.assertEquals(session "1 + 1\n= 'a', nil, 3\nx = 5\nx\nx;\nnil\n", "2\na\tnil\t3\n5\nnil\n")
end

function TestSession:test_the_last_result_is_kept()
  lu.assertEquals(session "6 * 7\n_ + 1\n8;\n_\n", "42\n43\n8\n")
end

function TestSession:test_statements_go_over_several_lines()
  lu.assertEquals(session "for i = 1, 2 do\nprint(i)\nend\nfunction f(a)\n  return a\nend\nf(9)\n", "1\n2\n9\n")
end

function TestSession:test_errors_keep_the_session()
  local out, err = session "error('no')\n)\nlocal function deep() error({code = 4}) end deep()\n'alive'\n"
  lu.assertEquals(out, "alive\n")
  lu.assertStrContains(err, "(session):1: no")
  lu.assertStrContains(err, "unexpected symbol near ')'")
  lu.assertStrContains(err, "{code = 4}")
  lu.assertStrContains(err, "in local 'deep'")
  lu.assertNil(err:find("repl.lua", 1, true))
end

function TestSession:test_tables_print_one_level()
  lu.assertEquals(session "{1, 'a', b = {1, 2}, ['x y'] = true}\n", '{1, "a", b = {2 items}, ["x y"] = true}\n')
end

function TestSession:test_a_local_is_explained_once()
  local out = session "local a = 1\nlocal b = 2\n"
  lu.assertEquals(select(2, out:gsub("a local lives only", "")), 1)
end

function TestSession:test_ctrl_c_during_work_keeps_the_session()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local child <close> = helper.start({"-i"}, {stdin = "pipe"})
  child:write("io.stdout:setvbuf('line') print('\\nready') while true do end\n")
  local line
  repeat line = child:read_line() until line == nil or line == "ready"
  child:kill("int")
  child:write("print('still ' .. 'here')\n")
  child:close_stdin()
  local rest = child:read_all()
  lu.assertStrContains(rest, "interrupted")
  lu.assertStrContains(rest, "still here")
  lu.assertEquals(child:wait(), 0)
end

function TestSession:test_at_a_terminal_readline_completes_and_keeps_history()
  lu.skipIf(not helper.kooka, "the program kooka is not beside the module")
  local ok = sys.spawn({"script", "--version"}, {stdout = "null", stderr = "null"})
  lu.skipIf(not ok, "script(1) is not installed")
  ok:wait()
  local pty <close> = assert(sys.spawn({"script", "-qec", "true", "/dev/null"}, {stdin = "null", stdout = "null",
    stderr = "null"}))
  lu.skipIf(pty:wait() ~= 0, "no terminal can be opened here (is /dev/pts mounted?)")
  local dir = helper.folder()
  local child <close> = assert(sys.spawn({"script", "-qec", helper.kooka, "/dev/null"}, {stdin = "pipe",
    stdout = "pipe",
    stderr = "stdout", env = {TERM = "xterm", XDG_STATE_HOME = dir, LC_ALL = "C.UTF-8", HOME = dir}}))
  local deadline, seen = sys.now() + 10, ""
  child:write("string.rever\t('h\u{e9}llo' .. 'x'):len()\nprint('last ' .. 'line')\n")
  while sys.now() < deadline and not seen:find("last line", 1, true) do
    local line = child:read_line()
    if not line then break end
    seen = seen .. line .. "\n"
  end
  repeat child:write("\4") until child:wait(0.1) or sys.now() > deadline      -- once it waits at its prompt
  local history = sys.read_file(dir .. "/kooka/history")
  sys.remove_tree(dir)
  lu.skipIf(history == nil and not require("kooka.core").readline.open(), "readline is not installed")
  lu.assertStrContains(seen, "\r7\r\n")
  lu.assertStrContains(history or "", "string.reverse('h\u{e9}llo' .. 'x'):len()")
end

TestComplete = {}

function TestComplete:setUp()
  _G.subject = setmetatable({field = 1, _hidden = 2, method = function() end},
    {__index = setmetatable({far = 1, fetch = function() end}, {__index = {farther = 1}})})
  _G.trap = setmetatable({}, {__index = function() error("completion called a function") end})
end

function TestComplete:tearDown()
  _G.subject, _G.trap = nil, nil
end

function TestComplete:test_globals_and_keywords()
  lu.assertItemsEquals(repl.complete("stri", "stri"), {"string"})
  lu.assertItemsEquals(repl.complete("repea", "repea"), {"repeat"})
end

function TestComplete:test_fields_follow_index_tables()
  lu.assertEquals(repl.complete("subject.f", "subject.f"), {"subject.far", "subject.farther", "subject.fetch",
    "subject.field"})
end

function TestComplete:test_methods_after_a_colon_are_functions_only()
  lu.assertEquals(repl.complete("subject:", "subject:"), {"subject:fetch", "subject:method"})
  _G.text = "x"
  lu.assertEquals(repl.complete("text:rep", "text:rep"), {"text:rep"})
  _G.text = nil
end

function TestComplete:test_private_names_wait_to_be_asked_for()
  lu.assertNotTableContains(repl.complete("subject.", "subject."), "subject._hidden")
  lu.assertEquals(repl.complete("subject._", "subject._"), {"subject._hidden"})
end

function TestComplete:test_no_function_is_called()
  lu.assertEquals(repl.complete("trap.x", "trap.x"), {})
  lu.assertEquals(repl.complete("trap.x.y", "trap.x.y"), {})
end

function TestComplete:test_strings_leave_file_names_to_readline()
  lu.assertNil(repl.complete('io.open("lua/ko', "lua/ko"))
  lu.assertItemsEquals(repl.complete('print("a" .. stri', "stri"), {"string"})
end

function TestComplete:test_what_stands_before_an_operator_is_kept()
  lu.assertEquals(repl.complete("1/subject.fie", "1/subject.fie"), {"1/subject.field"})
end

TestHelp = {}

function TestHelp:test_functions_in_c_carry_their_text()
  lu.assertStrContains(help.text(sys.sha256), "sha256(text)")
end

function TestHelp:test_functions_in_lua_show_the_comment_above_them()
  local text = help.text(pretty.value)
  lu.assertStrContains(text, "pretty.value(value [, width = 78]) -> string")
  lu.assertStrContains(text, "at most 100 of them")
end

function TestHelp:test_names_find_functions_modules_and_methods()
  lu.assertStrContains(help.text("sys.spawn"), "spawn(argv")
  lu.assertStrContains(help.text("kooka.repl.complete"), "repl.complete(line, word)")
  lu.assertStrContains(help.text("kooka.pretty"), "values as text, one level deep")
  lu.assertStrContains(help.text("kooka.pretty"), "pretty.value(")
  lu.assertNil(help.text("no.such.thing"))
end

function TestHelp:test_a_function_without_comment_has_no_help()
  lu.assertNil(help.text(load("return function() end", "=x")()))
end

TestPretty = {}

function TestPretty:test_long_tables_are_cut_and_sorted()
  local t = {}
  for i = 1, 150 do t[i] = i end
  lu.assertStrContains(pretty.value(t), "… 50 more")
  lu.assertEquals(pretty.value({b = 1, a = 2, [10] = 3, [true] = 4}), "{[10] = 3, a = 2, b = 1, [true] = 4}")
  lu.assertEquals(pretty.value({["end"] = "q\"\n"}), '{["end"] = "q\\"\\n"}')
  lu.assertEquals(pretty.value({}), "{}")
end

function TestPretty:test_objects_show_through_tostring()
  local object = setmetatable({1, 2}, {__tostring = function() return "object!" end})
  lu.assertEquals(pretty.value(object), "object!")
  lu.assertEquals(pretty.value({object}), "{object!}")
end

os.exit(lu.LuaUnit.run())
