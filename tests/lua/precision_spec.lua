--- precision_spec: what rounds the operands of products, who chooses it, and what keeps it.
local lu = require "luaunit"
local helper = require "cli_helper"
local kooka = require "kooka"
local learner = require "kooka.learn.learner"
local progress = require "kooka.progress"
local small = require "small_fits"
local sys = kooka.sys

progress.quiet = true

local FORCED = { KOOKA_KERNEL16 = "avx512_bf16" }      -- fast here or not

-- Can this processor compute in bfloat16 at all?
local function able()
  local status, out = helper.run({ "-e", [[print((require "kooka").precision "bf16")]] }, { env = FORCED })
  return status == 0 and out:find "^bf16"
end

TestPrecision = {}

function TestPrecision:setUp() self.dir = helper.folder() end
function TestPrecision:tearDown()
  kooka.precision "float32"
  sys.remove_tree(self.dir)
end

function TestPrecision:test_float32_is_what_one_has()
  lu.assertEquals({ kooka.precision() }, { "float32" })
  lu.assertEquals({ kooka.precision "float32" }, { "float32" })
  local kernel = kooka.kernel()
  lu.assertTrue(({ avx512 = true, avx2 = true, neon = true, portable = true })[kernel])
end

function TestPrecision:test_where_bfloat16_is_not_had_the_answer_says_why()
  local used, why = kooka.precision "bf16"
  if used == "float32" then lu.assertStrContains(why, "bfloat16")
  else lu.assertNil(why) end
  lu.assertEquals(kooka.precision "auto", used)         -- auto takes what bf16 takes
end

function TestPrecision:test_an_unknown_name_is_refused()
  lu.assertErrorMsgContains("fp8", kooka.precision, "fp8")
end

function TestPrecision:test_unknown_kernels_are_refused_by_name()
  local status, _, err = helper.run({ "-e", [[print((require "kooka").kernel())]] }, { env = { KOOKA_KERNEL = "abacus" } })
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "abacus")
  status, _, err = helper.run({ "-e", [[print((require "kooka").precision "bf16")]] }, { env = { KOOKA_KERNEL16 = "abacus" } })
  lu.assertEquals(status, 1)
  lu.assertStrContains(err, "abacus")
end

function TestPrecision:test_a_product_is_rounded_as_the_precision_says()
  if not able() then lu.skip("this processor has no bfloat16 instructions") end
  local status, out = helper.run({ "-e", [[
    local k = require "kooka"
    local a, b = k.tensor { { 1.001953125 } }, k.tensor { { 1 } }        -- 1 + 2^-9
    for _, p in ipairs { "float32", "bf16", "bf16x3" } do
      k.precision(p)
      io.write(("%.9f "):format(a:matmul(b):item()))
    end]] }, { env = FORCED })
  lu.assertEquals(status, 0)
  lu.assertEquals(out, "1.001953125 1.000000000 1.001953125 ")
end

function TestPrecision:test_a_fit_puts_the_precision_back_and_says_what_it_could_not_have()
  local said = {}
  local o = small.language_model(self.dir)
  o.epochs, o.precision, o.say = 1, "bf16", function(text) said[#said + 1] = text end
  learner.fit(o)
  lu.assertEquals(kooka.precision(), "float32")
  local used, why = kooka.precision "bf16"
  if used == "float32" then lu.assertStrContains(said[1], "precision float32 instead of bf16: " .. why) end
end

function TestPrecision:test_a_checkpoint_of_another_precision_is_refused()
  local path = self.dir .. "/checkpoint.safetensors"
  local o = small.language_model(self.dir)
  o.epochs, o.checkpoint = 1, path
  learner.fit(o)
  local all, meta = kooka.load_safetensors(path)
  lu.assertEquals(meta.precision, "float32")
  meta.precision = "bf16x3"
  assert(kooka.save_safetensors(path, all, meta))
  assert(kooka.sys.remove(path .. ".sums"))          -- else it is known as a file that was changed
  o = small.language_model(self.dir)
  o.epochs, o.checkpoint = 2, path
  lu.assertErrorMsgContains("was computed in bf16x3, this fit uses float32", learner.fit, o)
end

function TestPrecision:test_a_run_keeps_its_precision_and_goes_on_in_no_other()
  local out = self.dir .. "/run"
  local status, _, err = helper.run { "run", "road", "--smoke", "--precision", "fp8" }
  lu.assertEquals(status, 2)
  lu.assertStrContains(err, "float32, bf16, bf16x3 or auto")
  lu.assertEquals((helper.run { "run", "road", "--smoke", "--precision", "float32", "--out", out }), 0)
  local config = assert(kooka.json.decode(assert(sys.read_file(out .. "/config.json"))))
  lu.assertEquals(config.precision, "float32")
  config.precision, config.status = "bf16x3", "interrupted"
  assert(sys.write_file(out .. "/config.json", kooka.json.encode(config)))
  if kooka.precision "bf16x3" == "float32" then
    status, _, err = helper.run { "run", "--resume", out }
    lu.assertEquals(status, 1)
    lu.assertStrContains(err, "was computed in bf16x3")
  end
end

os.exit(lu.LuaUnit.run())
