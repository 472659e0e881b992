-- readme_table.lua -- copies the results that have a target from tests/bench/RESULTS.md into README.md; sections in
-- processor time stay there.
--   lua5.4 tests/bench/readme_table.lua           writes README.md anew between its two marks
--   lua5.4 tests/bench/readme_table.lua --check   ends 1 when README.md says something else than RESULTS.md
-- Two paths may follow: the results, the readme.

local BEGIN = "<!-- speed: from tests/bench/RESULTS.md by `make bench-readme`, not by hand -->"
local END = "<!-- speed: end -->"

local function fail(format, ...)
  io.stderr:write("readme_table: ", string.format(format, ...), "\n")
  os.exit(1)
end

local function read_file(path)
  local f, message = io.open(path, "rb")
  if not f then fail("%s", message) end
  local text = f:read("a")
  f:close()
  return text
end

local function cells_of(line)
  local out = {}
  for cell in line:gmatch("| ([^|]*)") do
    cell = cell:gsub("%s+$", "")
    out[#out + 1] = cell
  end
  return out
end

-- Sections of the results: {title=, columns = name -> number, rows = list of cells}
local function sections_of(text)
  local out, now = {}, nil
  for line in text:gmatch("[^\n]+") do
    local title = line:match("^## (.*)")
    if title then
      now = { title = title, rows = {} }
      out[#out + 1] = now
    elseif now and line:find("^| ") then
      local cells = cells_of(line)
      if now.columns then
        now.rows[#now.rows + 1] = cells
      else
        now.columns = {}
        for i, name in ipairs(cells) do now.columns[name] = i end
      end
    end
  end
  return out
end

-- "829 [824, 833]" -> "829"
local function median(cell) return (cell:gsub("%s*%[.*%]", "")) end

local function with_unit(cell, unit)
  local m = median(cell)
  return m == "-" and m or m .. " " .. unit
end

local function table_of(section)
  local out, dates = {}, {}
  local function at(row, name)
    local i = section.columns[name] or fail("%s: there is no column %s", section.title, name)
    return row[i] or "-"
  end
  for _, row in ipairs(section.rows) do
    if at(row, "target") ~= "-" then
      local unit = at(row, "unit")
      out[#out + 1] = ("| %s | %s | %s | %s | %s | %s | %s |"):format(at(row, "name"), with_unit(at(row, "ours"), unit),
        with_unit(at(row, "peer"), unit), at(row, "ratio"), at(row, "of peak"), at(row, "target"), at(row, "pass"))
      dates[#dates + 1] = at(row, "date")
    end
  end
  if #out == 0 then return nil end
  table.sort(dates)
  local when = dates[1] == dates[#dates] and dates[1] or dates[1] .. " to " .. dates[#dates]
  return ("%s (%s):\n\n| work | ours | PyTorch | ratio | of peak | target | met |\n|---|---|---|---|---|---|---|\n%s\n")
    :format(section.title, when, table.concat(out, "\n"))
end

local function all_tables(results)
  local out = {}
  for _, section in ipairs(sections_of(results)) do
    if not section.title:find("processor time", 1, true) then out[#out + 1] = table_of(section) end
  end
  return table.concat(out, "\n")
end

-- The readme with the tables between its marks.
local function renewed(readme, results)
  local _, head_end = readme:find(BEGIN, 1, true)
  local tail = head_end and readme:find(END, head_end, true)
  if not tail then fail("the readme lacks the lines\n%s\n%s", BEGIN, END) end
  return readme:sub(1, head_end) .. "\n\n" .. all_tables(results) .. "\n" .. readme:sub(tail)
end

local check = arg[1] == "--check"
local first = check and 2 or 1
local results_path, readme_path = arg[first] or "tests/bench/RESULTS.md", arg[first + 1] or "README.md"
local was = read_file(readme_path)
local now = renewed(was, read_file(results_path))
if check then
  if was ~= now then fail("%s is not what %s says: run `make bench-readme`", readme_path, results_path) end
else
  local f, message = io.open(readme_path, "wb")
  if not f then fail("%s", message) end
  f:write(now)
  f:close()
end
