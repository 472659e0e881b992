--- lstm_spec: the layer gives torch.nn.LSTM's outputs and gradients, and says what is wrong with its arguments.
local lu = require "luaunit"
local kooka = require "kooka"
local golden = dofile((arg[0]:match "^(.*)/lua/[^/]*$" or "tests") .. "/golden/lstm.lua")

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
    if off > 1e-5 or off ~= off then
      lu.fail(("%s[%d] is %.9g, torch says %.9g"):format(what, i, got[i], want[i]))
    end
  end
end

local function parameter(v) return v and kooka.tensor(v):param() end

local function compare(name)
  local k = golden[name]
  local x, h, c = parameter(k.x), parameter(k.h), parameter(k.c)
  local w_ih, w_hh, b = parameter(k.w_ih), parameter(k.w_hh), parameter(k.b)
  local lens = k.lens and kooka.tensor(k.lens, "int32")
  local gy, gh, gc = kooka.tensor(k.gy), kooka.tensor(k.gh), kooka.tensor(k.gc)
  local tape <close> = kooka.tape()
  local y, h_n, c_n = kooka.lstm(x, h, c, w_ih, w_hh, b, lens)
  close(name .. ": y", y, k.y)
  close(name .. ": h_n", h_n, k.h_n)
  close(name .. ": c_n", c_n, k.c_n)
  tape:backward(kooka.add(kooka.add(kooka.sum(kooka.mul(y, gy)), kooka.sum(kooka.mul(h_n, gh))),
    kooka.sum(kooka.mul(c_n, gc))))
  close(name .. ": dx", x:grad(), k.dx)
  close(name .. ": dw_ih", w_ih:grad(), k.dw_ih)
  close(name .. ": dw_hh", w_hh:grad(), k.dw_hh)
  close(name .. ": db", b:grad(), k.db)
  if h then
    close(name .. ": dh", h:grad(), k.dh)
    close(name .. ": dc", c:grad(), k.dc)
  end
end

TestLstm = {}

function TestLstm.test_like_torch() compare "plain" end
function TestLstm.test_like_torch_from_zero_states() compare "zero_states" end
function TestLstm.test_like_torch_for_one_step_of_one_unit() compare "one_step" end
function TestLstm.test_like_torch_on_packed_sequences() compare "ragged" end

function TestLstm.test_cell_is_one_step()
  local k = golden.one_step
  local h, c, gates = kooka.lstm_cell(kooka.tensor(k.x[1]), kooka.tensor(k.h), kooka.tensor(k.c), kooka.tensor(k.w_ih),
    kooka.tensor(k.w_hh), kooka.tensor(k.b))
  close("h", h, k.h_n)
  close("c", c, k.c_n)
  lu.assertEquals(gates:shape(), { 1, 4 })
end

function TestLstm.test_weight_drop_differs_from_call_to_call_and_repeats_with_its_stream()
  local k = golden.plain
  local x, w_ih, w_hh = kooka.tensor(k.x), kooka.tensor(k.w_ih), kooka.tensor(k.w_hh)
  local function sum(stream)
    local y = kooka.lstm(x, nil, nil, w_ih, w_hh, { weight_drop = .5, input_drop = .3, stream = stream })
    return kooka.sum(y):item()
  end
  local s = kooka.random("drop", 1)
  local first, differ = sum(s), 0
  for _ = 1, 8 do if sum(s) ~= first then differ = differ + 1 end end
  lu.assertTrue(differ > 0)
  lu.assertEquals(sum(kooka.random("drop", 1)), first)
end

function TestLstm.test_what_is_wrong_is_said()
  local k = golden.ragged
  local x, w_ih, w_hh = kooka.tensor(k.x), kooka.tensor(k.w_ih), kooka.tensor(k.w_hh)
  lu.assertErrorMsgContains("row 2 has 5 after 3; sort the rows", kooka.lstm, x, nil, nil, w_ih, w_hh, nil,
    kooka.tensor({ 3, 5, 1 }, "int32"))
  lu.assertErrorMsgContains("H is", kooka.lstm, x, nil, nil, w_ih, kooka.tensor { { 1, 2 } })
  lu.assertErrorMsgContains("weight_drop is 1", kooka.lstm, x, nil, nil, w_ih, w_hh, { weight_drop = 1 })
end

os.exit(lu.LuaUnit.run())
