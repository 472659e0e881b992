#!/usr/bin/env python3
"""Golden numbers for kooka.lstm from torch.nn.LSTM in float64.

    python3 tests/golden/lstm.py > tests/golden/lstm.lua       (torch, CPU)

The spec reads lstm.lua and never needs Python. loss = sum(y * gy) + sum(h_n * gh) + sum(c_n * gc).
"""
import torch

torch.set_default_dtype(torch.float64)


def lua(v):
    if isinstance(v, list):
        return "{" + ", ".join(lua(e) for e in v) + "}"
    return "%.9g" % v


def case(name, T, B, D, H, lens=None, states=True):
    g = torch.Generator().manual_seed(len(name))
    def draw(*shape):     # multiples of 1/64: exact in float32
        return torch.round(64 * (2 * torch.rand(*shape, generator=g) - 1)) / 64
    net = torch.nn.LSTM(D, H)
    with torch.no_grad():
        net.weight_ih_l0.copy_(draw(4 * H, D))
        net.weight_hh_l0.copy_(draw(4 * H, H))
        net.bias_ih_l0.copy_(draw(4 * H))
        net.bias_hh_l0.zero_()
    x, h, c = draw(T, B, D).requires_grad_(), draw(1, B, H).requires_grad_(), draw(1, B, H).requires_grad_()
    gy, gh, gc = draw(T, B, H), draw(1, B, H), draw(1, B, H)
    given = torch.nn.utils.rnn.pack_padded_sequence(x, lens) if lens else x
    y, (hn, cn) = net(given, (h, c)) if states else net(given)
    if lens:
        y, _ = torch.nn.utils.rnn.pad_packed_sequence(y, total_length=T)
    ((y * gy).sum() + (hn * gh).sum() + (cn * gc).sum()).backward()
    out = dict(x=x, w_ih=net.weight_ih_l0, w_hh=net.weight_hh_l0, b=net.bias_ih_l0, gy=gy, gh=gh[0], gc=gc[0],
               y=y, h_n=hn[0], c_n=cn[0], dx=x.grad, dw_ih=net.weight_ih_l0.grad, dw_hh=net.weight_hh_l0.grad,
               db=net.bias_ih_l0.grad)
    if states:
        out.update(h=h[0], c=c[0], dh=h.grad[0], dc=c.grad[0])
    print("  %s = {" % name)
    if lens:
        print("    lens = %s," % lua(lens))
    for k, v in out.items():
        print("    %s = %s," % (k, lua(v.detach().tolist())))
    print("  },")


print("-- lstm.lua: made by `python3 tests/golden/lstm.py > tests/golden/lstm.lua`, torch %s, float64. Do not edit."
      % torch.__version__)
print("return {")
case("plain", 4, 2, 3, 2)
case("zero_states", 3, 3, 1, 5, states=False)
case("one_step", 1, 1, 2, 1)
case("ragged", 5, 3, 2, 3, lens=[5, 3, 1])
print("}")
