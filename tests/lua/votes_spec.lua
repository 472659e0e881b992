--- votes_spec: vote counts from files of both kinds, and the soft labels that they make.
local lu = require "luaunit"
local kooka = require "kooka"
local helper = require "cli_helper"
local votes = require "kooka.data.votes"

TestVotes = {}

function TestVotes:setUp() self.dir = helper.folder() end
function TestVotes:tearDown() kooka.sys.remove_tree(self.dir) end

function TestVotes:file(name, text)
  kooka.try(kooka.sys.write_file(self.dir .. "/" .. name, text))
  return self.dir .. "/" .. name
end

local COUNTS = "id,text,votes_no,votes_1,votes_2,votes_3,votes_4,votes_5\n"

function TestVotes:test_a_row_a_text()
  local rows, files = kooka.try(votes.read(self:file("a.csv", COUNTS .. 'a,"uno, dos",1,2,0,0,0,1\nb,nadie,,,,,,\nc,tres,3,NULL,0,0,0,0\n')))
  lu.assertEquals(#rows, 2)                                   -- nobody voted on "nadie"
  lu.assertEquals(rows[1], { text = "uno, dos", no = 1, stars = { 2, 0, 0, 0, 1 }, n = 4 })
  lu.assertEquals(rows[2].n, 3)
  lu.assertEquals(files, { { path = self.dir .. "/a.csv", n = 2 } })
end

function TestVotes:test_a_row_a_vote()
  local path = self:file("b.tsv", "session\tvote\ttext\ns\tx\tuno\\ndos\nt\t5\tuno\\ndos\nu\tn\tuno\\ndos\nu\td\ttres\nv\t2\ttres\n")
  local rows = kooka.try(votes.read(path))
  lu.assertEquals(rows[1], { text = "uno\ndos", no = 1, stars = { 0, 0, 0, 0, 1 }, n = 2 })
  lu.assertEquals(rows[2], { text = "tres", no = 0, stars = { 0, 1, 0, 0, 0 }, n = 1 })
end

function TestVotes:test_the_same_text_is_taken_once_where_it_has_most_votes()
  local a = self:file("a.csv", COUNTS .. "a,Un chiste,1,0,0,0,0,0\n")
  local b = self:file("b.csv", COUNTS .. "b,UN CHISTE!!,1,1,0,0,0,0\n")
  local rows = kooka.try(votes.read(a .. ", " .. b))
  lu.assertEquals(#rows, 1)
  lu.assertEquals(rows[1].text, "UN CHISTE!!")
end

function TestVotes:test_bad_files_say_where()
  local function message(name, text)
    local rows, told, code = votes.read(self:file(name, text))
    lu.assertNil(rows)
    lu.assertEquals(code, "format")
    return told
  end
  lu.assertStrContains(message("a.csv", COUNTS .. "a,x,1,0,0,0,0,0\nb,y,one,0,0,0,0,0\n"), "row 2")
  lu.assertStrContains(message("b.tsv", "text\tvote\nx\t6\n"), "row 1, column vote: '6', expected 1..5, x, n or d")
  lu.assertStrContains(message("c.csv", "text,label\nx,1\n"), "expected columns text and votes_no, votes_1 .. votes_5, or text and vote")
  lu.assertStrContains(message("d.csv", "text,votes_no,votes_1\nx,1,2\n"), "no column votes_2")
  lu.assertNil((votes.read(self.dir .. "/absent.csv")))
end

local function row(no, ...)
  local r = { no = no, stars = { ... }, n = no }
  for _, s in ipairs(r.stars) do r.n = r.n + s end
  return r
end

-- rate = (4 + 0 + 1) / 10; shares (yes + k rate) / (n + k); weights n / (n + k) over their mean.
function TestVotes:test_soft_labels_are_shrunk_and_weighed_by_reliability()
  local rows = { row(1, 0, 2, 2, 0, 0), row(4, 0, 0, 0, 0, 0), row(0, 0, 0, 0, 0, 1) }
  local shares, weights, rate = votes.soft(rows, { prior = 2 })
  lu.assertAlmostEquals(rate, .5, 1e-12)
  for i, want in ipairs { (4 + 1) / 7, (0 + 1) / 6, (1 + 1) / 3 } do lu.assertAlmostEquals(shares[i], want, 1e-12) end
  local w = { 5 / 7, 4 / 6, 1 / 3 }
  for i = 1, 3 do lu.assertAlmostEquals(weights[i], w[i] * 3 / (w[1] + w[2] + w[3]), 1e-12) end
  shares = votes.soft(rows, { rate = .1, prior = 2 })
  lu.assertAlmostEquals(shares[2], .2 / 6, 1e-12)
  lu.assertErrorMsgContains("no votes at all", votes.soft, { row(0, 0, 0, 0, 0, 0) })
end

function TestVotes:test_stars()
  lu.assertEquals(votes.stars(row(3, 1, 0, 0, 0, 1)), 3)
  lu.assertNil(votes.stars(row(3, 0, 0, 0, 0, 0)))
end

os.exit(lu.LuaUnit.run())
