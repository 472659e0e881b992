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
  {"torch_file",
   "local t = assert(core.load_torch('tests/golden/pretrained/tensors.pth'))\n"
   "assert(t.turned:tolist()[4][3] == 11 and t.nested.list[4][2] == 1.5 and t.part:sum():item() == 26)\n"
   "local _, message, code = core.load_torch('tests/golden/pretrained/zip64.zip')\n"
   "assert(code == 'format' and message:find('without data.pkl', 1, true), message)"},
  {"world_says_no",
   "local ok, message, code = core.sys.write_file('/no/such/folder/f', 'x')\n"
   "assert(ok == nil and code == 'io' and message:find('/no/such/folder/f', 1, true), message)"},
  {"tensor",
   "local t = core.tensor({{1, 2, 3}, {4, 5, 6}})\n"
   "assert(t:tolist()[2][3] == 6 and #t:tolist() == 2)\n"
   "assert(core.zeros(3, 5000):shape()[2] == 5000)\n"
   "assert(#tostring(t) > 0)"},
  {"views_and_indexing",
   "local a = core.tensor({{1, 2, 3}, {4, 5, 6}})\n"
   "assert(a[{{}, {2, 3}}]:t():reshape(4):tolist()[2] == 5)\n"
   "assert(a[a:gt(2)]:shape(1) == 4 and a[core.tensor({2}, 'int32')]:tolist()[1][1] == 4)\n"
   "a[a:gt(4)] = core.tensor({7, 8})\n"
   "a[1] = 0\n"
   "assert(a:sum():item() == 19 and (-a + a * 2 / 2):sum():item() == 0)\n"
   "assert(#a:split(1) == 2 and a:tile(2, 1):shape(1) == 4 and a:to('int32'):dtype() == 'int32')"},
  {"joins_and_products",
   "local a = core.tensor({{1, 2}, {3, 4}})\n"
   "local many = {}\n"
   "for i = 1, 14 do many[i] = a end\n"
   "assert(core.cat(many):shape(1) == 28 and core.stack(a, a):ndim() == 3)\n"
   "assert(a:matmul(a:t()):tolist()[2][2] == 25 and core.stack(a, a):matmul(a[1]):shape(2) == 2)"},
  {"random_and_linalg",
   "assert(core.randn(3, 4):shape(2) == 4 and core.randperm(5):sum():item() == 15)\n"
   "assert(core.multinomial(core.ones(3), 3, {replacement = false}):sum():item() == 6)\n"
   "local m = core.tensor({{2, 1}, {1, 3}})\n"
   "local u, s, v = core.svd(m)\n"
   "assert(s:shape(1) == 2 and core.eigh(m):shape(1) == 2)\n"
   "assert(math.abs(core.inverse(m):tolist()[1][1] - 0.6) < 1e-6)\n"
   "assert(core.cholesky_solve(m, core.ones(2)):shape(1) == 2)"},
  {"tape",
   "local x = core.tensor({1, 2, 3})\n"
   "x:param()\n"
   "do\n"
   "  local tape <close> = core.tape()\n"
   "  local y = core.mse(core.mul(x, x), core.zeros(3))\n"
   "  tape:backward(y)\n"
   "end\n"
   "assert(x:grad():tolist()[1] ~= 0)"},
  {"scope_and_error",
   "local ok = pcall(function()\n"
   "  local s <close> = core.scope()\n"
   "  local t = core.exp(core.zeros(10000))\n"
   "  error('out')\n"
   "end)\n"
   "assert(not ok)"},
  {"refused_shapes",
   "local ok, message = pcall(core.add, core.zeros(2, 3), core.zeros(2, 4))\n"
   "assert(not ok and (tostring(message):find('add') or tostring(message):find('memory')), message)\n"
   "if tostring(message):find('memory') then error(message, 0) end"},
  {"json",
   "local text = core.json.encode({id = 1700000000000000001, list = core.json.array({1, 2.5, 'ja'})})\n"
   "assert(core.json.decode(text).id == 1700000000000000001)\n"
   "assert(core.json.decode('{\"a\": ') == nil)"},
  {"csv",
   "local p = folder .. '/t.csv'\n"
   "assert(core.sys.write_file(p, 'id,text\\n1,\"a, b\"\\n2,c\\n'))\n"
   "assert(core.csv.open(p))\n"
   "assert(core.csv.open(folder .. '/absent.csv') == nil)"},
  {"tfidf",
   "local t <close> = assert(core.tfidf.fit({'aa bb', 'aa cc', 'dd aa'}, {min_df = 1, max_df = 1, ngrams = 1, tokens = 'words'}))\n"
   "local rows, cosines = assert(t:nearest({'cc', 'zz'}, 2))\n"
   "assert(rows:tolist()[1][1] == 2 and rows:tolist()[1][2] == 0 and rows:tolist()[2][1] == 0)\n"
   "assert(cosines:tolist()[1][1] > .5 and t:times(core.ones(4, 2)):shape(1) == 3)\n"
   "assert(t:project({'aa'}, core.ones(4, 1)):tolist()[1][1] == 1)"},
  {"corpus",
   "local c = core.corpus.new(9)\n"
   "c:add({1, 2, 9})\n"
   "c:add({3})\n"
   "assert(#c:select({2, 1, 1}) == 3 and c:tokens() == 4)\n"
   "local p = folder .. '/corpus'\n"
   "core.sys.remove(p)\n"
   "local ok, message, code = c:save(p)\n"
   "if not ok then error(message, 0) end\n"
   "local d = assert(core.corpus.open(p))\n"
   "assert(d:doc(1):tolist()[3] == 9)\n"
   "d:close()"},
  {"sqlite",
   "local db <close> = assert(core.sqlite.open(':memory:'))\n"
   "assert(db:exec('create table t (id integer, text text)'))\n"
   "assert(db:exec('insert into t values (?, ?)', 1700000000000000001, 'ja'))\n"
   "assert(db:rows('select id, text from t')[1].id == 1700000000000000001)"},
  {"eval",
   "local m = core.eval.binary(core.tensor({0.9, 0.2, 0.7, 0.4}), core.tensor({2, 1, 1, 2}, 'int32'), {resamples = 50})\n"
   "assert(m)"},
  {"json_faults",
   "local t = {a = {1, 2.5, 'x\\n', {}}, b = core.json.null, c = {d = {e = true}}}\n"
   "local text = core.json.encode(t, {pretty = true})\n"
   "assert(core.json.encode(core.json.decode(text)) == core.json.encode(t))\n"
   "assert(not core.json.decode('[1,'))\n"
   "assert(not pcall(core.json.encode, {x = {0/0}}))"},
  {"sqlite_transaction",
   "local db <close> = assert(core.sqlite.open(':memory:'))\n"
   "assert(db:exec('CREATE TABLE t(a, b); CREATE TABLE u(a)'))\n"
   "assert(db:transaction(function() assert(db:exec('INSERT INTO t VALUES(?, ?)', 1, 'x')) return true end))\n"
   "assert(not pcall(db.transaction, db, function() db:exec('INSERT INTO u VALUES(1)') error('no') end))\n"
   "assert(#db:rows('SELECT * FROM t') == 1 and #db:rows('SELECT * FROM u') == 0)\n"
   "assert(not db:exec('nonsense'))\n"
   "assert(not pcall(db.exec, db, 'SELECT ?'))"},
  {"http",
   "local ok, message, code = core.http.request{url = 'http://127.0.0.1:9/x?y', headers = {A = 'b'}, body = 'z'}\n"
   "assert(ok == nil and code == 'net', message)"},
  {"server",
   "local s <close> = assert(core.server.new())\n"
   "assert(s:port() > 0)\n"
   "assert(s:serve(function() end, {seconds = 0}) == 0)"},
};
