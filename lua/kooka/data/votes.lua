--- votes: how many people said what of a text, as soft labels (Spanish humour: Castro et al. 2018, Chiruzzo et al. 2019).
--
-- Files, found by their columns:
--   text, votes_no, votes_1 .. votes_5   a row a text: votes for "no humour" and for one to five stars (empty or NULL: none)
--   text, vote                           a row a vote: x (no humour) or 1 .. 5; n (skipped) and d (odd) say nothing
-- .tsv files are tab-separated with \n, \t and \\ as escapes, others have commas and quotes.
local csv = require "kooka.data.csv"
local leaks = require "kooka.data.leaks"

local votes = {}

local STARS <const> = 5

-- Votes that a prior at the overall rate is worth. One vote of this kind of corpus tells another with Krippendorff's alpha
-- = .571 (Castro et al. 2018, section 4); by Spearman and Brown the mean of n votes has the reliability n / (n + k) with
-- k = (1 - .571) / .571.
local PRIOR <const> = .75

--- votes.counts(t) -> {no = list, stars = list of five lists} | nil, message, code
-- Columns votes_no and votes_1 .. votes_5 of a table of kooka.data.csv, as numbers.
function votes.counts(t)
  local function column(name)
    if not t.data[name] then return nil, ("%s: no column %s"):format(t.path, name), "format" end
    local filled = { n = t.n, path = t.path, data = { [name] = {} } }
    for i, field in ipairs(t.data[name]) do filled.data[name][i] = (field == "" or field == "NULL") and "0" or field end
    return csv.numbers(filled, name, { min = 0, integer = true })
  end
  local no, message, code = column "votes_no"
  if not no then return nil, message, code end
  local out = { no = no, stars = {} }
  for k = 1, STARS do
    out.stars[k], message, code = column("votes_" .. k)
    if not out.stars[k] then return nil, message, code end
  end
  return out
end

local function empty() return { no = 0, stars = { 0, 0, 0, 0, 0 }, n = 0 } end

local function from_counts(t)
  local counts, message, code = votes.counts(t)
  if not counts then return nil, message, code end
  local out = {}
  for i, text in ipairs(t.data.text) do
    local row = empty()
    row.text, row.no = text, counts.no[i]
    for k = 1, STARS do row.stars[k] = counts.stars[k][i] end
    row.n = row.no
    for k = 1, STARS do row.n = row.n + row.stars[k] end
    out[i] = row
  end
  return out
end

local function from_single(t)
  local out, at = {}, {}
  for i, text in ipairs(t.data.text) do
    local row, vote = at[text], t.data.vote[i]
    if not row then
      row = empty()
      row.text, out[#out + 1] = text, row
      at[text] = row
    end
    local stars = math.tointeger(tonumber(vote))
    if vote == "x" then
      row.no, row.n = row.no + 1, row.n + 1
    elseif stars and stars >= 1 and stars <= STARS then
      row.stars[stars], row.n = row.stars[stars] + 1, row.n + 1
    elseif vote ~= "n" and vote ~= "d" then
      return nil, ("%s: row %d, column vote: '%s', expected 1..5, x, n or d"):format(t.path, i, vote), "format"
    end
  end
  return out
end

local function read_one(path)
  local tabs = path:find("%.tsv") ~= nil
  local t, message, code = csv.read(path, { delimiter = tabs and "\t" or ",", escapes = tabs })
  if not t then return nil, message, code end
  if t.data.text and t.data.votes_no then return from_counts(t) end
  if t.data.text and t.data.vote then return from_single(t) end
  return nil, ("%s: expected columns text and votes_no, votes_1 .. votes_5, or text and vote; the file has %s"):format(path,
    table.concat(t.columns, ", ")), "format"
end

--- votes.read(paths) -> rows, files | nil, message, code
-- rows: {text =, no =, stars = {five counts}, n = votes} a text; files: {path =, n = texts with votes}. paths: a file, or several
-- with commas between. Texts that nobody voted on are left out. A text that stands there twice (by kooka.data.leaks.normalise)
-- is taken once, where it has most votes: files may count the same votes.
function votes.read(paths)
  local out, at, told = {}, {}, {}
  for path in paths:gmatch("[^,]+") do
    path = path:match("^%s*(.-)%s*$")
    local rows, message, code = read_one(path)
    if not rows then return nil, message, code end
    told[#told + 1] = { path = path, n = 0 }
    local texts = {}
    for i, row in ipairs(rows) do texts[i] = row.text end
    for i, key in ipairs(leaks.keys(texts)) do
      local row = rows[i]
      if row.n > 0 then
        told[#told].n = told[#told].n + 1
        if not at[key] then
          at[key] = #out + 1
          out[#out + 1] = row
        elseif out[at[key]].n < row.n then
          out[at[key]] = row
        end
      end
    end
  end
  return out, told
end

--- votes.soft(rows[, {rate = nil, prior = .75}]) -> shares, weights, rate
-- rows: {no =, stars =, n =} of each text. share = (stars given + prior · rate) / (n + prior), the share of votes for humour;
-- weight = n / (n + prior), the reliability of that share, divided by its mean, so that the loss keeps its size. rate: votes for
-- humour among all (those of rows when nil). Raises where there is no vote at all.
function votes.soft(rows, o)
  local prior, rate = o and o.prior or PRIOR, o and o.rate
  local yes, all = {}, 0
  for i, row in ipairs(rows) do
    yes[i], all = row.n - row.no, all + row.n
  end
  if all == 0 then error("votes.soft: no votes at all", 2) end
  if not rate then
    rate = 0
    for _, y in ipairs(yes) do rate = rate + y / all end
  end
  local shares, weights, sum = {}, {}, 0
  for i, row in ipairs(rows) do
    shares[i] = (yes[i] + prior * rate) / (row.n + prior)
    weights[i] = row.n / (row.n + prior)
    sum = sum + weights[i]
  end
  for i = 1, #weights do weights[i] = weights[i] * #weights / sum end
  return shares, weights, rate
end

--- votes.stars(row) -> mean stars of those who gave any, or nil
function votes.stars(row)
  local given, sum = 0, 0
  for k = 1, STARS do given, sum = given + row.stars[k], sum + k * row.stars[k] end
  return given > 0 and sum / given or nil
end

return votes
