/* snippets.h -- small scripts that test_alloc.c runs while allocations fail. Each is a function body that
** gets kooka.core as `core` and a folder's path in `folder`, checks its own results with assert, and can
** run any number of times in one state. Add a line for every binding that allocates; keep each to a few
** hundred Lua allocations. */
static const struct { const char *name, *code; } snippets[] = {
  {"doc", "assert(core.doc(core.doc):match('^doc'))"},
  {"write_file",
   "local p = folder .. '/f'\n"
   "assert(core.sys.write_file(p, ('x'):rep(1000)))\n"
   "assert(io.open(p):read('a') == ('x'):rep(1000))\n"
   "assert(os.remove(p))"},
  {"world_says_no",
   "local ok, message, code = core.sys.write_file('/no/such/folder/f', 'x')\n"
   "assert(ok == nil and code == 'io' and message:find('/no/such/folder/f', 1, true), message)"},
};
