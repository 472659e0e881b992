--- plot_spec: ticks, terminal plots, SVG that is well formed, and the report page.
local lu = require "luaunit"
local axis = require "kooka.plot.axis"
local plot = require "kooka.plot"
local report = require "kooka.report"
local sys = require("kooka.core").sys
local tables = require "kooka.table"
local svg = plot.svg

-- Every element of an XML text is closed in order and every attribute is quoted; raises otherwise.
local function assert_well_formed(xml)
  local stack, i = {}, 1
  xml = xml:gsub("^<%?xml.-%?>%s*", ""):gsub("^<!DOCTYPE html>", ""):gsub("<style>.-</style>", "<style></style>")
  while true do
    local from, to, close, name, attributes, single = xml:find("<(/?)([%a][%w]*)([^<>]*)(/?)>", i)
    local text = xml:sub(i, (from or #xml + 1) - 1)
    assert(not text:find("[<>]"), "a bare < or > in: " .. text:sub(1, 60))
    for entity in text:gmatch("&(.?.?.?.?.?)") do
      assert(entity:find("^amp;") or entity:find("^lt;") or entity:find("^gt;") or entity:find("^quot;"),
        "a bare & before " .. entity)
    end
    if not from then break end
    if attributes:sub(-1) == "/" then attributes, single = attributes:sub(1, -2), "/" end
    local rest = attributes:gsub('%s+[%w:_-]+="[^"<]*"', "")
    assert(rest:find("^%s*$"), ("attributes of %s: %s"):format(name, rest))
    if close == "/" then
      assert(table.remove(stack) == name, "closed out of order: " .. name)
    elseif single ~= "/" and name ~= "meta" then
      stack[#stack + 1] = name
    end
    i = to + 1
  end
  assert(#stack == 0, "not closed: " .. table.concat(stack, " "))
  assert(not xml:find("nan", 1, true) and not xml:find("inf[^o]"), "a number that is none")
end

local function count(text, piece) return select(2, text:gsub(piece:gsub("%p", "%%%0"), "")) end

local HOSTILE = 'a <b> & "c" \0 \xff ]]>'
local NAN = 0 / 0

TestAxis = {}

local function labels(...)
  local out = {}
  for i, tick in ipairs(axis.ticks(...)) do out[i] = tick.label end
  return out
end

function TestAxis:test_ticks_are_round_and_inside()
  lu.assertEquals(labels(0, 1), {"0.0", "0.2", "0.4", "0.6", "0.8", "1.0"})
  lu.assertEquals(labels(0.31, 0.38), {"0.32", "0.34", "0.36", "0.38"})
  lu.assertEquals(labels(-3, 7), {"-2", "0", "2", "4", "6"})
  lu.assertEquals(labels(0, 250000), {"0", "5e4", "1e5", "1.5e5", "2e5", "2.5e5"})
  lu.assertEquals(labels(0, 0.00005), {"0", "1e-5", "2e-5", "3e-5", "4e-5", "5e-5"})
end

function TestAxis:test_ranges_are_never_empty()
  for _, lists in ipairs {{}, {{}}, {{5}}, {{0, 0}}, {{NAN, 1 / 0}}} do
    local low, high = axis.range(lists)
    lu.assertTrue(low < high)
  end
end

function TestAxis:test_calibration_bins_count_by_hand()
  local bins = axis.bins {prob = {0.05, 0.08, 0.95, 1.0}, label = {1, 2, 2, true}, count = 10}
  lu.assertEquals(#bins, 2)
  lu.assertEquals({bins[1].n, bins[1].rate}, {2, 0.5})
  lu.assertAlmostEquals(bins[1].mean, 0.065, 1e-12)
  lu.assertEquals({bins[2].n, bins[2].rate}, {2, 1.0})
  -- Wilson (1927) for 1 of 2: (0.5 + z²/4) / (1 + z²/2) ∓ ...
  lu.assertAlmostEquals(bins[1].low, 0.0945, 5e-4)
  lu.assertAlmostEquals(bins[1].high, 0.9055, 5e-4)
end

TestTerminal = {}

function TestTerminal:test_a_line_climbs_from_corner_to_corner()
  local text = plot.line {y = {0, 1, 2, 3}, width = 30, height = 6, ascii = true, color = false}
  local rows = {}
  for row in text:gmatch("[^\n]+") do rows[#rows + 1] = row end
  lu.assertStrMatches(rows[1], ".*%*$")
  lu.assertStrMatches(rows[6], "0 %+%*.*")
  lu.assertNil(text:find("[\128-\255]"), "ASCII only")
end

function TestTerminal:test_braille_where_utf8_is_spoken()
  local text = plot.line {y = {1, 2}, width = 30, height = 4, ascii = false, color = false}
  lu.assertNotNil(text:find("\u{2800}", 1, true) or text:find("[\xe2][\xa0-\xa3]"))
end

function TestTerminal:test_lines_stay_within_the_width()
  for _, ascii in ipairs {true, false} do
    local options = {labels = {"one", ("long "):rep(20)}, values = {0.2, 0.9}, low = {0.1, 0.8}, high = {0.3, 1.0},
      width = 60,
      ascii = ascii, color = false}
    local rows = {{label = ("long "):rep(20), value = 0.4, low = 0.2, high = 0.6, mark = 0.5}}
    for _, text in ipairs {plot.bars(options), plot.intervals {rows = rows, reference = 0.5, width = 60,
      ascii = ascii, color = false},
      plot.line {y = {1, 5, 2}, width = 60, ascii = ascii, color = false}} do
      for line in text:gmatch("[^\n]+") do lu.assertTrue(tables.width(line) <= 60, line) end
    end
  end
end

function TestTerminal:test_missing_values_break_the_line_and_nothing_else()
  for _, y in ipairs {{}, {NAN}, {1, NAN, 3}, {1 / 0, 2}} do
    lu.assertEquals(type(plot.line {y = y, width = 40, color = false}), "string")
    assert_well_formed(svg.line {y = y})
  end
end

function TestTerminal:test_x_and_y_of_different_length_raise()
  lu.assertErrorMsgContains("plot.line: series a has 1 values of x but 2 of y", plot.line, {series = {{name = "a",
    x = {1}, y = {1, 2}}}})
end

TestSvg = {}

local function all_kinds(label)
  local rows = {{label = label, value = 0.5, low = 0.4, high = 0.6, mark = 0.45, group = 2}, {label = "b", value = NAN}}
  return {
    svg.line {title = label, xlabel = label, ylabel = label, series = {{name = label, y = {1, 2, 3}, low = {0, 1, 2},
      high = {2, 3, 4}},
      {name = "b", y = {3, 2, NAN, 1}}}},
    svg.scatter {title = label, diagonal = true, series = {{name = label, x = {1, 2}, y = {2, 1}}, {name = "c",
      x = {1}, y = {1}}}},
    svg.bars {title = label, labels = {label, "b"}, values = {0.5, NAN}, low = {0.4}, high = {0.6}},
    svg.bars {labels = {"a"}, series = {{name = label, values = {1}}, {name = "y", values = {2}, low = {1},
      high = {3}}}},
    svg.intervals {title = label, rows = rows, reference = 0.5, mark_name = label, groups = {label, "g"},
      xlabel = label},
    svg.calibration {title = label, prob = {0.1, 0.9, 0.8}, label = {1, 2, 1}},
    svg.line {y = {}}, svg.bars {labels = {}, values = {}}, svg.intervals {rows = {}}, svg.calibration {prob = {},
      label = {}},
  }
end

function TestSvg:test_every_plot_is_well_formed_even_with_hostile_labels()
  for _, text in ipairs(all_kinds(HOSTILE)) do assert_well_formed(text) end
  lu.assertNotNil(utf8.len(table.concat(all_kinds(HOSTILE))))
end

function TestSvg:test_a_line_has_a_polyline_a_band_and_a_legend()
  local text = all_kinds("series one")[1]
  lu.assertEquals(count(text, "<polyline"), 2)
  lu.assertEquals(count(text, "<polygon"), 1)
  lu.assertEquals(count(text, ">series one</text>"), 4)
end

function TestSvg:test_points_stand_where_their_values_are()
  local text = svg.line {x = {0, 10}, y = {0, 4}, ymin = 0, ymax = 4, width = 200, height = 100}
  local x1, y1, x2, y2 = text:match('points="([%d.]+),([%d.]+) ([%d.]+),([%d.]+)"')
  local bottom, top = text:match('y2="([%d.]+)" stroke="currentColor" stroke%-opacity="0.55"'), 14
  lu.assertTrue(tonumber(x1) < tonumber(x2))
  lu.assertEquals(tonumber(x2), 186)                  -- the right margin is 14
  lu.assertEquals(tonumber(y1), 76)                   -- the bottom margin is 24
  lu.assertEquals(tonumber(y2), top)
  lu.assertNotNil(bottom)
end

function TestSvg:test_a_saved_file_has_a_ground_of_its_own()
  local path = os.tmpname()
  assert(plot.save(path, svg.line {y = {1, 2}}))
  local text = sys.read_file(path)
  os.remove(path)
  assert_well_formed(text)
  lu.assertStrContains(text, "background:#ffffff")
  lu.assertNil((plot.save("/nowhere/at/all.svg", svg.line {y = {1}})))
end

TestReport = {}

local function page()
  local r = report.new {title = HOSTILE, first_line = HOSTILE, about = HOSTILE}
  r:section(HOSTILE):text(HOSTILE .. " **bold** `code`\n\nsecond"):note(HOSTILE)
  r:table {caption = HOSTILE, columns = {HOSTILE, {title = "F1", digits = 2}, {key = "k", title = "key"}},
    rows = {{HOSTILE, {value = 0.5, low = 0.4, high = 0.6}, k = "v"}, {"x", 3, strong = true}, {}}}
  r:section "two":tiles {{HOSTILE, {value = 0.5, low = 0.25, high = 0.75}}, {"n", 4, HOSTILE}}
  r:section "three":svg(svg.line {title = HOSTILE, y = {1, 2}}, HOSTILE):pre(HOSTILE):subsection(HOSTILE)
  return r
end

function TestReport:test_everything_is_escaped_and_well_formed()
  local html = page():html()
  assert_well_formed(html)
  lu.assertNotNil(utf8.len(html))
  lu.assertNil(html:find("<b> &", 1, true))
end

function TestReport:test_it_is_one_file_without_scripts_or_addresses()
  local html = page():html():gsub('xmlns="http://www.w3.org/2000/svg"', "")
  for _, piece in ipairs {"<script", "http:", "https:", "src=", "url(", "@import", "<link"} do
    lu.assertNil(html:find(piece, 1, true), piece)
  end
end

function TestReport:test_the_first_line_comes_before_everything()
  local html = report.new {title = "T", first_line = "This community is generated."}:section "S":html()
  local body = html:match("<body>(.*)")
  lu.assertTrue(body:find("This community is generated.", 1, true) < body:find("<h1>", 1, true))
end

function TestReport:test_cells_show_intervals_and_alignment()
  local html = page():html()
  lu.assertStrContains(html, '<td class="r">0.50 <span class="i">[0.40, 0.60]</span></td>')
  lu.assertStrContains(html, '<tr class="strong">')
  lu.assertStrContains(html, "<b>bold</b> <code>code</code>")
  lu.assertStrContains(html, "<b>0.500</b><span>0.250 to 0.750</span>")
end

function TestReport:test_contents_link_to_sections()
  local html = page():html()
  for i = 1, 3 do
    lu.assertStrContains(html, ('href="#s%d"'):format(i))
    lu.assertStrContains(html, ('id="s%d"'):format(i))
  end
end

function TestReport:test_writing_makes_the_folder_or_answers_why_not()
  local path = os.tmpname()
  os.remove(path)
  assert(page():write(path .. "/deep/report.html"))
  lu.assertStrContains(sys.read_file(path .. "/deep/report.html"), "</html>")
  sys.remove_tree(path)
  local ok, message, code = page():write("/proc/nowhere/report.html")
  lu.assertNil(ok)
  lu.assertStrContains(message, "/proc/nowhere")
  lu.assertEquals(code, "io")
end

function TestReport:test_only_svg_is_taken_as_it_is()
  lu.assertErrorMsgContains("does not begin with <svg", function() page():svg("<script>") end)
end

os.exit(lu.LuaUnit.run())
