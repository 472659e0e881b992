--- attention_spec: torch's scaled_dot_product_attention, forward and backward, and what is refused.
local lu = require "luaunit"
local kooka = require "kooka"
local golden = dofile((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/attention.lua")

local function flat(v, out)
  out = out or {}
  if type(v) == "table" then
    for _, e in ipairs(v) do flat(e, out) end
  else
    out[#out + 1] = v
  end
  return out
end

local function close(what, got, want)
  got, want = flat(got:tolist()), flat(want)
  lu.assertEquals(#got, #want, what)
  for i = 1, #want do
    local off = math.abs(got[i] - want[i])
    if off > 1e-5 or off ~= off then lu.fail(("%s[%d] is %.9g, torch says %.9g"):format(what, i, got[i], want[i])) end
  end
end

local function compare(name)
  local k = golden[name]
  local q, key, v = kooka.tensor(k.q):param(), kooka.tensor(k.k):param(), kooka.tensor(k.v):param()
  local lens, mask = k.lens and kooka.tensor(k.lens, "int32"), k.mask and kooka.tensor(k.mask)
  local tape <close> = kooka.tape()
  local y = kooka.attention(q, key, v, lens, mask, { causal = k.causal, scale = k.scale })
  close(name .. ": y", y, k.y)
  tape:backward(kooka.sum(kooka.mul(y, kooka.tensor(k.gy))))
  close(name .. ": dq", q:grad(), k.dq)
  close(name .. ": dk", key:grad(), k.dk)
  close(name .. ": dv", v:grad(), k.dv)
end

TestAttention = {}

function TestAttention.test_like_torch() compare "plain" end
function TestAttention.test_like_torch_when_causal() compare "causal" end
function TestAttention.test_like_torch_with_lengths() compare "lengths" end
function TestAttention.test_like_torch_with_a_mask_and_a_scale() compare "masked" end

function TestAttention.test_a_sequence_without_keys_gives_zeros()
  local x = kooka.ones(2, 1, 3, 2)
  local y = kooka.attention(x, x, x, kooka.tensor({ 3, 0 }, "int32"))
  lu.assertEquals(y:tolist(), { { { { 1, 1 }, { 1, 1 }, { 1, 1 } } }, { { { 0, 0 }, { 0, 0 }, { 0, 0 } } } })
end

function TestAttention.test_says_what_is_wrong()
  local q, k = kooka.ones(1, 1, 3, 2), kooka.ones(1, 1, 4, 2)
  lu.assertErrorMsgContains("attention: causal wants as many keys as queries, got 4 and 3", kooka.attention, q, k, k, nil, nil,
    { causal = true })
  lu.assertErrorMsgContains("attention: length 1 is 5, expected 0..4", kooka.attention, q, k, k, kooka.tensor({ 5 }, "int32"))
end

os.exit(lu.LuaUnit.run())
