-- lint_spec.lua -- `make lint` itself: each kind of violation, planted in a small project, makes it fail.
package.path = "tests/tools/?.lua;" .. package.path
local lu = require "luaunit"
local sandbox = require "sandbox"

local project = sandbox.run("pwd"):gsub("%s+$", "")

TestLint = {}

function TestLint:setUp()
  self.dir = sandbox.folder()
  sandbox.run(("mkdir -p %s/tests && cp %s/tests/layers.txt %s/tests/ && cp %s/.luacheckrc %s/")
    :format(self.dir, project, self.dir, project, self.dir))
  self:write("runtime/base/err.h", "/* err.h -- errors */\n")
  self:write("runtime/op/op.h", '/* op.h -- ops */\n#include "base/err.h"\n#include <stddef.h>\n')
  self:write("runtime/lua/bind_a.c", [[
/* bind_a.c -- a binding */
#include "lua.h"
#include "op/op.h"
static const kk_reg a_funcs[] = {
  {"open", a_open, "open(path) -> file\\nOpens."},
  {"__gc", a_gc, NULL},
  {0},
};
]])
  self:write("lua/kooka/a.lua", "--- a: a module.\nlocal a = {}\n\n--- twice(x) -> 2x\nfunction a.twice(x) return 2 * x end\n\nreturn a\n")
end

function TestLint:tearDown() sandbox.remove(self.dir) end

function TestLint:write(path, text) sandbox.write(self.dir .. "/" .. path, text) end

function TestLint:lint() return sandbox.run(("cd %s && lua5.4 %s/tests/lint.lua"):format(self.dir, project)) end

function TestLint:refuses(text)
  local output, code = self:lint()
  lu.assertEquals(code, 1, output)
  lu.assertStrContains(output, text)
  lu.assertNotNil(output:match("%d+ passed, 1 failed, %d+ skipped\n$"), output)
end

function TestLint:test_a_clean_project_passes()
  local output, code = self:lint()
  lu.assertEquals(code, 0, output)
  lu.assertNotNil(output:match("\n?%d+ passed, 0 failed, %d skipped\n$"), output)
end

function TestLint:test_the_project_passes_its_own_table()
  local output = sandbox.run("lua5.4 tests/lint.lua")
  lu.assertNil(output:match("[^\n]*layers%.txt%)[^\n]*"))
end

function TestLint:test_looking_upwards_is_refused()
  self:write("runtime/base/bad.c", '/* bad.c -- x */\n#include "op/op.h"\n')
  self:refuses("runtime/base/bad.c:2: base/ may not include op/op.h")
end

function TestLint:test_lua_outside_the_bindings_is_refused()
  self:write("runtime/op/bad.c", '/* bad.c -- x */\n\n#include <lua.h>\n')
  self:refuses("runtime/op/bad.c:3: op/ may not include <lua.h>")
end

function TestLint:test_one_header_of_a_layer_may_be_allowed_alone()
  self:write("runtime/op/sig.h", "/* sig.h -- x */\n")
  self:write("runtime/grad/good.c", '/* good.c -- x */\n#include "op/op.h"\n')
  lu.assertEquals(select(2, self:lint()), 0)
  self:write("runtime/grad/good.c", '/* good.c -- x */\n#include "op/sig.h"\n')
  self:refuses("grad/ may not include op/sig.h")
end

function TestLint:test_a_folder_that_is_not_in_the_table_is_refused()
  self:write("runtime/misc/bad.c", "/* bad.c -- x */\n")
  self:refuses("folder runtime/misc is not in tests/layers.txt")
end

function TestLint:test_a_banned_call_is_refused_but_not_in_comments_strings_or_members()
  self:write("runtime/op/good.c", [[
/* good.c -- calls malloc( ) in words only */
static const char *s = "exit(1) \" malloc(2)";   // free(x)
static void f(struct a *p) { p->free(1); q.exit(2); my_malloc(3); kk_free(p, 4); }
]])
  lu.assertEquals(select(2, self:lint()), 0)
  self:write("runtime/op/good.c", "/* bad.c -- x */\nvoid f(void) {\n  char *p = malloc (3);\n}\n")
  self:refuses("runtime/op/good.c:3: malloc(): use kk_alloc and kk_free")
end

function TestLint:test_a_function_of_a_binding_without_help_is_refused()
  self:write("runtime/lua/bind_b.c", [[
/* bind_b.c -- a binding */
static const kk_reg b_funcs[] = {
  {"good", b_good,
   "good() -> nothing"},
  {"shut", b_shut, NULL},
  {0},
};
]])
  self:refuses("runtime/lua/bind_b.c:5: function shut has no help text")
end

function TestLint:test_help_that_speaks_of_another_function_is_refused()
  self:write("runtime/lua/bind_b.c", '/* b.c -- x */\nstatic const kk_reg b[] = {\n  {"shut", f, "open(path)"},\n  {0},\n};\n')
  self:refuses("the help text of shut does not begin with its signature")
end

function TestLint:test_a_public_lua_function_without_its_comment_is_refused()
  self:write("lua/kooka/b.lua", "--- b: x\nlocal b = {}\n\nfunction b.open() end\n\nreturn b\n")
  self:refuses("lua/kooka/b.lua:4: public function open has no `---` comment")
end

function TestLint:test_a_method_without_its_comment_is_refused()
  self:write("lua/kooka/b.lua", "--- b: x\nlocal B = {}\nB.__index = B\n\nfunction B:open() end\n\nreturn B\n")
  self:refuses("public function open has no `---` comment")
end

function TestLint:test_a_global_variable_is_refused()
  if sandbox.run("command -v luacheck") == "" then lu.skip("luacheck is not installed") end
  self:write("lua/kooka/b.lua", "--- b: x\nlocal b = {}\ncount = 1\n\nreturn b\n")
  self:refuses("setting non-standard global variable 'count'")
end

function TestLint:test_a_file_without_a_purpose_is_refused()
  self:write("runtime/op/bad.c", "#include <stddef.h>\n")
  self:refuses("does not say what the file is for")
end

function TestLint:test_spaces_tabs_columns_and_length_are_refused()
  self:write("runtime/op/bad.c", "/* bad.c -- x */\nint a; \n")
  self:refuses("runtime/op/bad.c:2: trailing space")
  self:write("runtime/op/bad.c", "/* bad.c -- x */\n\tint a;\n")
  self:refuses("runtime/op/bad.c:2: tab")
  self:write("runtime/op/bad.c", "/* bad.c -- x */\n" .. ("a"):rep(141) .. "\n")
  self:refuses("runtime/op/bad.c:2: 141 columns")
  self:write("runtime/op/bad.c", "/* bad.c -- x */\n" .. ("int a;\n"):rep(700))
  self:refuses("701 lines")
  self:write("runtime/op/bad.c", "/* bad.c -- x */\nint a;")
  self:refuses("no newline at the end")
end

function TestLint:test_words_for_later_are_refused()
  self:write("runtime/op/bad.c", "/* bad.c -- x */\n/* TO" .. "DO: more */\n")
  self:refuses("do it, or leave it out")
end

os.exit(lu.LuaUnit.run())
