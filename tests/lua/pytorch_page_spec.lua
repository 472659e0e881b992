--- pytorch_page_spec: what docs/pytorch.md shows works: its Python gives the logits of the model that kooka saved.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local nn = require "kooka.nn"
local sys = kooka.sys
local root = arg[0]:match "^(.*)tests/lua/[^/]*$" or ""
local page = assert(io.open(root .. "docs/pytorch.md")):read "a"

local function block(language) return page:match("```" .. language .. "\n(.-)```") end

-- A Python with PyTorch: BENCH_PYTHON, the peers' of `make bench-peers`, the system's.
local function python()
  for _, exe in ipairs { os.getenv "BENCH_PYTHON" or "", root .. "build/venv/bin/python", "python3" } do
    if exe ~= "" and os.execute(("'%s' -c 'import torch' >/dev/null 2>&1"):format(exe)) == true then return exe end
  end
end

local CHECK = [[

import json
with torch.no_grad():
    print(json.dumps(model(torch.tensor(json.loads(sys.argv[2]))).flatten().tolist()))
]]

TestPage = {}

function TestPage:setUp() self.dir = helper.folder() end
function TestPage:tearDown() sys.remove_tree(self.dir) end

function TestPage:test_its_python_gives_our_logits()
  local exe = python()
  if not exe then lu.skip("no python with torch (BENCH_PYTHON names one)") end
  local m = nn.language_model { vocab = 11, embed = 6, hidden = 8, layers = 3, seed = 5 }:eval()
  kooka.random("bias", 1):fill_uniform(m.bias, -1, 1)
  kooka.random("embedding", 1):fill_uniform(m.encoder.embedding, -1, 1)
  lu.assertTrue(m:save(self.dir .. "/model.safetensors", { format = "kooka" }))
  lu.assertTrue(sys.write_file(self.dir .. "/page.py", block "python" .. CHECK))
  local scope <close> = kooka.scope()
  local want = m(kooka.tensor({ { 1, 11 }, { 4, 5 }, { 9, 2 }, { 4, 4 } }, "int32")):reshape(4 * 2 * 11):tolist()
  local pipe = io.popen(("'%s' '%s/page.py' '%s/model.safetensors' '[[0,10],[3,4],[8,1],[3,3]]' 2>&1"):format(exe, self.dir, self.dir))
  local said = pipe:read "a"
  pipe:close()
  local got = kooka.json.decode(said)
  lu.assertTable(got, said)
  lu.assertEquals(#got, #want)
  for i = 1, #want do lu.assertAlmostEquals(got[i], want[i], 1e-5) end
end

function TestPage.test_its_lua_is_lua_and_names_what_there_is()
  local code = block "lua"
  lu.assertNotNil(load(code))
  local known = require "kooka.pretrained"
  for name in code:gmatch "pretrained%.(%l+)" do lu.assertIsFunction(known[name], name) end
end

os.exit(lu.LuaUnit.run())
