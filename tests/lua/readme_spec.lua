--- The recipe in README.md runs as it stands there.
local lu = require "luaunit"
local kooka = require "kooka"
local sys = kooka.sys

TestReadme = {}

local function generated_likes(path)
  local community = require "kooka.community"
  local rows = {}
  for _, l in ipairs(community.generate { users = 4, messages = 60, seed = 5 }.likes) do rows[#rows + 1] = { l.text, l.label } end
  kooka.try(require("kooka.data.csv").write(path, { "text", "label" }, rows))
end

function TestReadme:setUp()
  self.dir = os.tmpname() .. ".d"
  kooka.try(sys.mkdir_p(self.dir))
end

function TestReadme:tearDown() sys.remove_tree(self.dir) end

function TestReadme:test_the_recipe_of_the_walk_through_runs()
  local text = kooka.try(sys.read_file("README.md"))
  local code = text:match("```lua\n(.-)```")
  lu.assertNotNil(code, "README.md has a block of Lua")
  kooka.try(sys.write_file(self.dir .. "/mine.lua", code))
  generated_likes(self.dir .. "/likes.csv")
  local child = kooka.try(sys.spawn({ os.getenv("KOOKA") or "build/kooka", "run", self.dir .. "/mine.lua", "--smoke", "--data",
    self.dir .. "/likes.csv", "--out", self.dir .. "/run" }, { stdout = "pipe" }))
  local said = child:read_all()
  lu.assertEquals(child:wait(), 0, said)
  local metrics = kooka.try(kooka.json.decode(kooka.try(sys.read_file(self.dir .. "/run/metrics.json"))))
  lu.assertIsNumber(metrics.f1_liked.n)
  lu.assertStrContains(said, "oversampled")
end

os.exit(lu.LuaUnit.run())
