--- sqlite_spec: kooka.sqlite keeps values exact, undoes failed transactions and survives bad files.
local lu = require "luaunit"
local kooka = require "kooka"
local sqlite = kooka.sqlite

TestSqlite = {}

function TestSqlite:setUp()
  self.path = os.tmpname()
  self.db = assert(sqlite.open(self.path))
  assert(self.db:exec("CREATE TABLE t(id INTEGER PRIMARY KEY, v); CREATE TABLE u(x TEXT); -- end"))
end

function TestSqlite:tearDown()
  self.db:close()
  os.remove(self.path)
end

function TestSqlite:test_values_come_back_with_type_and_every_bit()
  local values = { math.maxinteger, math.mininteger, 1700000000000000001, 0.1, 2.0, "", "é 😀", "a\0b" }
  for i, v in ipairs(values) do
    lu.assertEquals(self.db:exec("INSERT INTO t VALUES(?, ?)", i, v), 1)
  end
  local rows = self.db:rows "SELECT v FROM t ORDER BY id"
  lu.assertEquals(#rows, #values)
  for i, v in ipairs(values) do
    lu.assertTrue(rows[i].v == v)
    lu.assertEquals(math.type(rows[i].v), math.type(v))
  end
end

function TestSqlite:test_nil_and_booleans_become_null_and_0_or_1()
  local changed, id = self.db:exec("INSERT INTO t VALUES(?, ?)", 7, nil)
  lu.assertEquals({ changed, id }, { 1, 7 })
  self.db:exec("INSERT INTO t VALUES(?, ?)", 8, true)
  local rows = self.db:rows("SELECT id, v, v IS NULL AS n FROM t WHERE id >= ? ORDER BY id", 7)
  lu.assertEquals(rows, { { id = 7, n = 1 }, { id = 8, v = 1, n = 0 } })
end

function TestSqlite:test_values_are_never_read_as_sql()
  self.db:exec("INSERT INTO u VALUES(?)", "x'); DROP TABLE u; --")
  lu.assertEquals(self.db:rows("SELECT x FROM u")[1].x, "x'); DROP TABLE u; --")
end

function TestSqlite:test_misuse_raises_with_the_count_or_type()
  lu.assertErrorMsgContains("has 2 parameters, got 1 values", self.db.exec, self.db, "INSERT INTO t VALUES(?, ?)", 1)
  lu.assertErrorMsgContains("has 0 parameters, got 1 values", self.db.rows, self.db, "SELECT 1", 1)
  lu.assertErrorMsgContains("got table", self.db.exec, self.db, "INSERT INTO u VALUES(?)", {})
  lu.assertErrorMsgContains("single statement", self.db.rows, self.db, "SELECT 1; SELECT 2")
  lu.assertErrorMsgContains("single statement", self.db.exec, self.db, "DELETE FROM t WHERE id=?; DELETE FROM u", 1)
  lu.assertErrorMsgContains("no option 'busy'", sqlite.open, self.path, { busy = 1 })
end

function TestSqlite:test_what_the_database_refuses_is_answered()
  local v, message, code = self.db:exec "INSERT INTO nowhere VALUES(1)"
  lu.assertNil(v)
  lu.assertStrContains(message, "no such table: nowhere")
  lu.assertEquals(code, "database")
  self.db:exec "INSERT INTO t VALUES(1, 1)"
  v, message, code = self.db:exec "INSERT INTO t VALUES(1, 1)"
  lu.assertNil(v)
  lu.assertStrContains(message, "UNIQUE constraint failed")
  lu.assertEquals(code, "database")
end

function TestSqlite:test_a_transaction_is_kept_whole_or_not_at_all()
  local count = function() return self.db:rows("SELECT COUNT(*) AS n FROM t")[1].n end
  lu.assertEquals({ self.db:transaction(function(db)
    db:exec "INSERT INTO t VALUES(1, 1)"
    return "a", "b"
  end) }, { "a", "b" })
  lu.assertEquals(count(), 1)
  lu.assertErrorMsgContains("oops", self.db.transaction, self.db, function(db)
    db:exec "INSERT INTO t VALUES(2, 2)"
    error "oops"
  end)
  lu.assertEquals(count(), 1)
  local v, message, code = self.db:transaction(function(db)
    db:exec "INSERT INTO t VALUES(3, 3)"
    return db:exec "INSERT INTO t VALUES(1, 1)"
  end)
  lu.assertNil(v)
  lu.assertStrContains(message, "UNIQUE")
  lu.assertEquals(code, "database")
  lu.assertEquals(count(), 1)
  lu.assertErrorMsgContains("inside a transaction", self.db.transaction, self.db, function(db)
    db:transaction(function() end)
  end)
  lu.assertEquals(self.db:transaction(function() return 5 end), 5)
end

function TestSqlite:test_the_handle_cannot_be_pulled_away_and_closes_with_its_scope()
  lu.assertErrorMsgContains("under way", self.db.transaction, self.db, function(db) db:close() end)
  local kept
  do
    local db <close> = assert(sqlite.open ":memory:")
    kept = db
    lu.assertEquals(db:rows("SELECT 1 AS one"), { { one = 1 } })
  end
  lu.assertErrorMsgContains("the database is closed", kept.exec, kept, "SELECT 1")
  lu.assertStrContains(tostring(kept), "closed")
  kept:close()
end

function TestSqlite:test_a_busy_database_is_answered_after_the_wait()
  local other <close> = assert(sqlite.open(self.path, { busy_ms = 20 }))
  self.db:exec "BEGIN IMMEDIATE"
  local v, message, code = other:exec "INSERT INTO t VALUES(1, 1)"
  self.db:exec "ROLLBACK"
  lu.assertNil(v)
  lu.assertStrContains(message, "locked")
  lu.assertEquals(code, "database")
  lu.assertEquals(other:exec "INSERT INTO t VALUES(1, 1)", 1)
end

function TestSqlite:test_missing_read_only_and_corrupt_files_are_answered()
  local v, message, code = sqlite.open("/nowhere/at/all.db")
  lu.assertNil(v)
  lu.assertStrContains(message, "/nowhere/at/all.db")
  lu.assertEquals(code, "database")
  local ro <close> = assert(sqlite.open(self.path, { readonly = true }))
  v, message = ro:exec "INSERT INTO t VALUES(1, 1)"
  lu.assertNil(v)
  lu.assertStrContains(message, "readonly")
  local path = os.tmpname()
  local f = assert(io.open(path, "wb"))
  f:write(("not a database "):rep(100))
  f:close()
  local bad <close> = assert(sqlite.open(path))
  v, message, code = bad:rows "SELECT * FROM sqlite_master"
  os.remove(path)
  lu.assertNil(v)
  lu.assertStrContains(message, "not a database")
  lu.assertEquals(code, "database")
end

function TestSqlite:test_ctrl_c_ends_a_long_statement()
  kooka.sys.stop()
  local ok, message = pcall(self.db.rows, self.db,
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT COUNT(*) FROM c")
  kooka.sys.stop_clear()
  lu.assertFalse(ok)
  lu.assertStrContains(message, "interrupted")
end

function TestSqlite:test_a_forgotten_handle_is_collected()
  for _ = 1, 50 do
    local db = assert(sqlite.open(self.path))
    db:rows "SELECT 1"
  end
  collectgarbage()
  collectgarbage()
  lu.assertEquals(self.db:exec "INSERT INTO t VALUES(1, 1)", 1)
end

os.exit(lu.LuaUnit.run())
