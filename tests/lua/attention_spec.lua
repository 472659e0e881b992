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

-- the layer with torch's weights
local function layer(k)
  local net = kooka.nn.attention { width = #k.x[1][1], heads = k.heads }
  for _, part in ipairs { "query", "key", "value", "out" } do
    net[part].weight:copy_(kooka.tensor(k[part]))
    net[part].bias:copy_(kooka.tensor(k[part .. "_bias"]))
  end
  return net
end

function TestAttention.test_the_layer_is_like_torch_s()
  local k = golden.layer
  local net, x = layer(k), kooka.tensor(k.x):param()
  local tape <close> = kooka.tape()
  local y = net(x, kooka.tensor(k.lens, "int32"))
  close("y", y, k.y)
  tape:backward(kooka.sum(kooka.mul(y, kooka.tensor(k.gy))))
  close("dx", x:grad(), k.dx)
  for _, part in ipairs { "query", "key", "value", "out" } do close(part, net[part].weight:grad(), k["d" .. part]) end
end

function TestAttention.test_the_layer_drops_weights_while_training_only()
  local net = kooka.nn.attention { width = 4, heads = 2, p = .5, seed = 1 }
  local x = kooka.randn(5, 2, 4, kooka.random("x", 1))
  lu.assertNotEquals(net(x):tolist(), net(x):tolist())
  net:eval()
  lu.assertEquals(net(x):tolist(), net(x):tolist())
end

function TestAttention.test_the_layer_attends_to_a_memory_of_another_width()
  local net = kooka.nn.attention { width = 4, heads = 2, keys = 3, seed = 1 }
  lu.assertEquals(net(kooka.ones(5, 2, 4), nil, kooka.ones(7, 2, 3)):shape(), { 5, 2, 4 })
end

function TestAttention.test_the_layer_refuses_a_width_that_heads_do_not_share()
  lu.assertErrorMsgContains("attention: width is 6, expected a multiple of heads, 4", kooka.nn.attention, { width = 6, heads = 4 })
end

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
