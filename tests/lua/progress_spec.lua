--- progress_spec: bars on terminals and elsewhere, rates and times left, text tables.
local lu = require "luaunit"
local progress = require "kooka.progress"
local tables = require "kooka.table"

TestProgress = {}

-- A bar with a clock that the test moves, and what it wrote.
local function bar(options)
  local state = {now = 100, out = {}}
  options.clock = function() return state.now end
  options.write = function(text) state.out[#state.out + 1] = text end
  options.utf8 = options.utf8 or false
  return progress.new(options), state
end

function TestProgress:test_a_terminal_line_shows_share_rate_and_time_left()
  local b <close>, state = bar {label = "train", total = 100, unit = "batch", tty = true, width = 90}
  state.now = 110
  b:step(25, {loss = 0.51234})
  local text = state.out[#state.out]
  lu.assertStrContains(text, "\rtrain  [#####...............]   25% 25/100  2.5 batch/s  10 s, 30 s left  loss 0.5123\27[K")
end

function TestProgress:test_the_line_never_wraps()
  local b <close> = bar {label = ("läbel "):rep(20), total = 10, tty = true, width = 40, utf8 = true}
  lu.assertEquals(tables.width(b:text(40)), 39)
end

function TestProgress:test_drawing_is_rare_however_many_the_steps()
  local b <close>, state = bar {total = 100000, tty = true, width = 80}
  for _ = 1, 100000 do
    state.now = state.now + 1e-5
    b:step()
  end
  lu.assertTrue(#state.out <= 11, #state.out .. " drawings in a second")
end

function TestProgress:test_elsewhere_a_line_every_ten_seconds_without_control_characters()
  local b, state = bar {label = "encode", total = 40, tty = false}
  for _ = 1, 40 do
    state.now = state.now + 1
    b:step()
  end
  b:close()
  lu.assertEquals(#state.out, 5)
  for _, text in ipairs(state.out) do lu.assertNil(text:find("[\r\27]")) end
  lu.assertStrContains(state.out[1], "encode   25% 10/40  1.0 it/s  10 s, 30 s left\n")
  lu.assertStrContains(state.out[5], "100% 40/40")
end

function TestProgress:test_a_short_bar_elsewhere_says_nothing()
  local b, state = bar {total = 3, tty = false}
  b:step(3)
  b:close()
  lu.assertEquals(state.out, {})
end

function TestProgress:test_the_rate_follows_a_change()
  local b <close>, state = bar {total = 1e6, tty = true, width = 80}
  for _ = 1, 20 do state.now = state.now + 1; b:step(100) end
  state.now = state.now + 1
  b:step(10)
  lu.assertTrue(tonumber(b:text():match("([%d.]+) it/s")) > 85, "one slow step does not turn the rate around")
  for _ = 1, 59 do state.now = state.now + 1; b:step(10) end
  local rate = tonumber(b:text():match("([%d.]+) it/s"))
  lu.assertTrue(rate > 9.5 and rate < 12, "rate is " .. rate)
end

function TestProgress:test_inner_bars_carry_the_outer_label_and_vanish()
  local _ <close> = bar {label = "epochs", total = 2, tty = true, width = 80}
  local inner, state = bar {label = "batches", total = 5, tty = true, width = 80}
  lu.assertStrContains(inner:text(), "epochs > batches")
  state.now = 101
  inner:step(5)
  inner:close()
  lu.assertEquals(state.out[#state.out], "\r\27[K")
end

function TestProgress:test_quiet_writes_nothing()
  progress.quiet = true
  local b, state = bar {total = 5, tty = true, width = 80}
  state.now = 200
  b:step(5)
  b:close()
  progress.quiet = false
  lu.assertEquals(state.out, {})
end

function TestProgress:test_each_walks_the_list_and_closes()
  local seen = {}
  for i, value in progress.each({"a", "b", "c"}, "letters") do seen[i] = value end
  lu.assertEquals(seen, {"a", "b", "c"})
  local b <close> = bar {label = "x", tty = false}
  lu.assertEquals(b:path(), "x", "no bar was left open")
end

function TestProgress:test_durations()
  local want = {[0.44] = "0.4 s", [9.96] = "10 s", [59.4] = "59 s", [59.6] = "1:00", [185] = "3:05", [7385] = "2:03:05"}
  for seconds, text in pairs(want) do lu.assertEquals(progress.duration(seconds), text) end
  lu.assertEquals(progress.duration(0 / 0), "?")
end

TestTable = {}

function TestTable:test_columns_align_by_terminal_cells()
  local text = tables.text {
    columns = {"name", {title = "n"}, {title = "F1", digits = 2}},
    rows = {{"ana", 96, {value = 0.8, low = 0.7, high = 0.9}}, {"zoë", 100, {value = 0.61}}, {"?", nil, 0 / 0}},
  }
  lu.assertEquals(text, table.concat({
    "name    n                 F1",
    "────  ───  ─────────────────",
    "ana    96  0.80 [0.70, 0.90]",
    "zoë   100               0.61",
    "?                          –",
  }, "\n"))
end

function TestTable:test_records_and_formats()
  local text = tables.text {
    columns = {{key = "k", title = "key"}, {key = "v", title = "value", format = "%.1f%%"}, {key = "w", title = "w",
      format = string.upper}},
    rows = {{k = "a", v = 12.345, w = "x"}},
  }
  lu.assertEquals(text:match("[^\n]*$"), "a    12.3%  X")
end

function TestTable:test_rows_that_come_one_at_a_time()
  local lines = {}
  local stream = tables.stream {columns = {{title = "epoch", width = 5}, "loss", {title = "time", width = 6}},
    write = function(line) lines[#lines + 1] = line end}
  stream:row {1, 2.5, "0:03"}
  stream:row {2, 1.25, "0:04"}
  lu.assertEquals(lines, {"epoch      loss    time", "─────  ────────  ──────", "    1     2.500    0:03",
    "    2     1.250    0:04"})
end

function TestTable:test_numbers_and_cells()
  lu.assertEquals(tables.number(3), "3")
  lu.assertEquals(tables.number(0.12345), "0.123")
  lu.assertEquals(tables.number(1e-5), "1e-05")
  lu.assertEquals(tables.number(2e7 + 0.5), "2e+07")
  lu.assertEquals(tables.number(-1 / 0), "-∞")
  lu.assertEquals(tables.cell("a\nb"), "a b")
  lu.assertEquals(tables.fit("abcdef", 4), "abc…")
  lu.assertEquals(tables.fit("äbc", 3), "äbc")
  lu.assertEquals(tables.pad("ä", 3, "right"), "  ä")
end

os.exit(lu.LuaUnit.run())
