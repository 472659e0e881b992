--- report: one self-contained HTML file: text, tables, plots. No script, no font, no picture from elsewhere.
local plot_svg = require "kooka.plot.svg"
local sys = require("kooka.core").sys
local tables = require "kooka.table"

local report = {}

local Report = {}
Report.__index = Report

local escape = plot_svg.escape

local CSS = [[
:root{color-scheme:light dark;--ground:#fff;--ink:#1b1f24;--soft:#57606a;--line:#d8dee4;
--stripe:#f6f8fa;--accent:#0072B2;
--note:#fff8e1;--noteline:#E69F00}
@media (prefers-color-scheme:dark){:root{--ground:#14181d;--ink:#e3e8ee;--soft:#9aa6b2;--line:#2e3742;--stripe:#1a2027;
--accent:#56B4E9;--note:#2a2415;--noteline:#E69F00}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:2rem 1.25rem 4rem;background:var(--ground);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;overflow-wrap:break-word}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 .5rem}
h2{font-size:1.25rem;margin:2.6rem 0 .7rem;padding-bottom:.3rem;border-bottom:1px solid var(--line)}
h3{font-size:1.05rem;margin:1.6rem 0 .4rem}
p{margin:.6rem 0;max-width:46rem}
.first{font-size:1.05rem;margin:0 0 1.2rem;padding:.7rem .9rem;background:var(--note);
border-left:4px solid var(--noteline)}
.note{color:var(--soft);font-size:.92rem}
nav{font-size:.92rem;margin:0 0 1rem}nav a{margin-right:1rem;white-space:nowrap}
a{color:var(--accent)}
.wide{overflow-x:auto;margin:.8rem 0}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
caption{text-align:left;color:var(--soft);padding:0 0 .4rem;font-size:.9rem}
th,td{padding:.32rem .75rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
th{font-weight:600;border-bottom:2px solid var(--line);white-space:nowrap}
tbody tr:nth-child(even){background:var(--stripe)}
.r{text-align:right;white-space:nowrap}.c{text-align:center}
.i{color:var(--soft);font-size:.85em}
tr.strong td{font-weight:600}
pre{background:var(--stripe);padding:.8rem 1rem;overflow-x:auto;font:13px/1.4 ui-monospace,"DejaVu Sans Mono",monospace}
figure{margin:1.2rem 0}figcaption{color:var(--soft);font-size:.9rem;margin-top:.3rem;max-width:46rem}
.tiles{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}
.tile{border:1px solid var(--line);padding:.6rem 1rem;min-width:9.5rem}
.tile b{display:block;font-size:1.5rem;line-height:1.3;font-variant-numeric:tabular-nums}
.tile span{color:var(--soft);font-size:.85rem;display:block}
footer{margin-top:3rem;padding-top:.8rem;border-top:1px solid var(--line);color:var(--soft);font-size:.85rem}
@media print{body{max-width:none;padding:0}h2{break-after:avoid}figure,table{break-inside:avoid}}
]]

--- report.new{title, first_line, about, language = "en"} -> report
-- first_line stands in a box above everything: what a reader must know before any number.
function report.new(t)
  assert(type(t.title) == "string", "report.new: title is missing")
  return setmetatable({title = t.title, first_line = t.first_line, about = t.about, language = t.language or "en",
    parts = {},
    sections = {}}, Report)
end

--- report:add(html) -> report
-- A piece of HTML as it is: escape what a stranger wrote.
function Report:add(html)
  self.parts[#self.parts + 1] = html
  return self
end

--- report:section(title) -> report
-- A heading, also in the list of contents.
function Report:section(title)
  local id = ("s%d"):format(#self.sections + 1)
  self.sections[#self.sections + 1] = {id = id, title = title}
  return self:add(('<h2 id="%s">%s</h2>'):format(id, escape(title)))
end

--- report:subsection(title) -> report
function Report:subsection(title) return self:add(("<h3>%s</h3>"):format(escape(title))) end

--- report:text(text) -> report
-- Plain text; an empty line begins a new paragraph. **word** is bold and `word` is code, nothing else is special.
function Report:text(text)
  for paragraph in (text .. "\n\n"):gmatch("(.-)\n%s*\n") do
    if paragraph:find("%S") then
      local html = escape(paragraph):gsub("%*%*(.-)%*%*", "<b>%1</b>"):gsub("`(.-)`", "<code>%1</code>")
      self:add("<p>" .. html .. "</p>")
    end
  end
  return self
end

--- report:note(text) -> report
-- A paragraph in small grey letters.
function Report:note(text) return self:add(('<p class="note">%s</p>'):format(escape(text))) end

-- A cell and its class. Metrics show their interval in grey.
local function cell(value, column)
  if type(value) == "table" and value.value ~= nil and type(column.format) ~= "function" then
    local digits = column.digits or 3
    local html = escape(tables.number(value.value, digits))
    if type(value.low) == "number" and type(value.high) == "number" then
      html = html .. (' <span class="i">[%s, %s]</span>'):format(escape(tables.number(value.low, digits)),
        escape(tables.number(value.high, digits)))
    end
    return html
  end
  return (escape(tables.cell(value, column)))
end

local CLASS = {right = ' class="r"', center = ' class="c"'}

local function align_of(column, rows, i)
  if column.align then return column.align end
  for _, row in ipairs(rows) do
    local value = tables.row_values({column}, {row[i], [column.key or 0] = column.key and row[column.key]})[1]
    if value ~= nil then return (type(value) == "number" or type(value) == "table") and "right" or "left" end
  end
  return "left"
end

--- report:table{columns, rows, caption} -> report
-- columns and rows as in kooka.table.text: names or {title, key, align, format, digits}; cells are strings,
-- numbers or metrics {value, low, high}. A row with strong = true is bold.
function Report:table(t)
  local columns, out = tables.columns(t.columns), {'<div class="wide"><table>'}
  if t.caption then out[#out + 1] = ("<caption>%s</caption>"):format(escape(t.caption)) end
  local class, heads = {}, {}
  for i, column in ipairs(columns) do
    class[i] = CLASS[align_of(column, t.rows, i)] or ""
    heads[i] = ('<th scope="col"%s>%s</th>'):format(class[i], escape(column.title))
  end
  out[#out + 1] = "<thead><tr>" .. table.concat(heads) .. "</tr></thead><tbody>"
  for _, row in ipairs(t.rows) do
    local values, cells = tables.row_values(columns, row), {}
    for i, column in ipairs(columns) do cells[i] = ("<td%s>%s</td>"):format(class[i], cell(values[i], column)) end
    out[#out + 1] = (row.strong and '<tr class="strong">' or "<tr>") .. table.concat(cells) .. "</tr>"
  end
  out[#out + 1] = "</tbody></table></div>"
  return self:add(table.concat(out, "\n"))
end

--- report:tiles(list) -> report
-- The few numbers that matter, large: {{label, value, note}}; value is a string, a number or a metric.
function Report:tiles(list)
  local out = {'<div class="tiles">'}
  for _, tile in ipairs(list) do
    local label, value, note = tile.label or tile[1], tile.value or tile[2], tile.note or tile[3]
    if type(value) == "table" then
      if not note and type(value.low) == "number" and type(value.high) == "number" then
        note = ("%s to %s"):format(tables.number(value.low, tile.digits), tables.number(value.high, tile.digits))
      end
      value = value.value
    end
    out[#out + 1] = ('<div class="tile"><span>%s</span><b>%s</b>%s</div>'):format(escape(label),
      escape(tables.cell(value, {digits = tile.digits})), note and ("<span>%s</span>"):format(escape(note)) or "")
  end
  out[#out + 1] = "</div>"
  return self:add(table.concat(out))
end

--- report:svg(svg [, caption]) -> report
-- A drawing of kooka.plot.svg, put in as it is: give nothing that a stranger wrote.
function Report:svg(svg, caption)
  assert(svg:find("^%s*<svg"), "report:svg: the text does not begin with <svg")
  return self:add("<figure>" .. svg .. (caption and ("<figcaption>%s</figcaption>"):format(escape(caption)) or "")
    .. "</figure>")
end

--- report:pre(text) -> report
-- Text in letters of one width, as it is.
function Report:pre(text) return self:add("<pre>" .. escape(text) .. "</pre>") end

--- report:html() -> text
function Report:html()
  local out = {'<!DOCTYPE html>', ('<html lang="%s"><head><meta charset="utf-8">'):format(escape(self.language)),
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    ("<title>%s</title><style>\n%s</style></head><body>"):format(escape(self.title), CSS),
    ("<h1>%s</h1>"):format(escape(self.title))}
  if self.first_line then table.insert(out, 5, ('<p class="first">%s</p>'):format(escape(self.first_line))) end
  if self.about then out[#out + 1] = ("<p>%s</p>"):format(escape(self.about)) end
  if #self.sections > 2 then
    local links = {}
    for i, s in ipairs(self.sections) do links[i] = ('<a href="#%s">%s</a>'):format(s.id, escape(s.title)) end
    out[#out + 1] = "<nav>" .. table.concat(links, "\n") .. "</nav>"
  end
  for _, part in ipairs(self.parts) do out[#out + 1] = part end
  out[#out + 1] = ("<footer>%s, %s</footer>"):format(escape("kooka " .. require("kooka.version").number),
    os.date("!%Y-%m-%d %H:%M UTC"))
  out[#out + 1] = "</body></html>\n"
  return table.concat(out, "\n")
end

--- report:write(path) -> true | nil, message, code
-- The file is there whole or not at all.
function Report:write(path)
  local folder = path:match("^(.*)/[^/]*$")
  if folder and folder ~= "" then
    local ok, message, code = sys.mkdir_p(folder)
    if not ok then return nil, message, code end
  end
  return sys.write_file(path, self:html())
end

return report
