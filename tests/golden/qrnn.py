#!/usr/bin/env python3
"""Golden numbers for kooka.qrnn from a plain PyTorch QRNN in float64.

    python3 tests/golden/qrnn.py > tests/golden/qrnn.lua       (torch, CPU)

The reference is written from the paper (Bradbury et al. 2017, eq. 1 to 4) in the form that fastai and Salesforce use:
one linear over x_t beside x_{t-1}, gates z f o, f multiplies the new value. fastai's own kernel needs CUDA. The spec
reads qrnn.lua and never needs Python. loss = sum(y * gy) + sum(c_n * gc) + sum(x_last * gx).
"""
import torch

torch.set_default_dtype(torch.float64)


def lua(v):
    if isinstance(v, list):
        return "{" + ", ".join(lua(e) for e in v) + "}"
    return "%.9g" % v


def qrnn(x, prev, c, w, b, window, gates):
    """x [T,B,D] -> y [T,B,H], the last cells, the last input."""
    source = x
    if window == 2:
        source = torch.cat([x, torch.cat([prev[None], x[:-1]])], 2)
    parts = torch.nn.functional.linear(source, w, b).chunk(gates, 2)
    z, f = torch.tanh(parts[0]), torch.sigmoid(parts[1])
    y = []
    for t in range(len(x)):
        c = f[t] * z[t] + (1 - f[t]) * c
        y.append(torch.sigmoid(parts[2][t]) * c if gates == 3 else c)
    return torch.stack(y), c, x[-1]


def case(name, T, B, D, H, window, gates=3, lens=None, states=True):
    g = torch.Generator().manual_seed(len(name))
    def draw(*shape):     # multiples of 1/64: exact in float32
        return torch.round(64 * (2 * torch.rand(*shape, generator=g) - 1)) / 64
    w, b = draw(gates * H, window * D).requires_grad_(), draw(gates * H).requires_grad_()
    x, prev, c = draw(T, B, D).requires_grad_(), draw(B, D).requires_grad_(), draw(B, H).requires_grad_()
    gy, gc, gx = draw(T, B, H), draw(B, H), draw(B, D)
    if not states:
        prev, c = torch.zeros(B, D), torch.zeros(B, H)
    rows = []
    for k in range(B):    # every row is a sequence of its own
        n = lens[k] if lens else T
        y, last, end = qrnn(x[:n, k:k + 1], prev[k:k + 1], c[k:k + 1], w, b, window, gates)
        rows.append((torch.cat([y, torch.zeros(T - n, 1, H)]), last, end))
    y, c_n, x_last = (torch.cat([r[i] for r in rows], 1 if i == 0 else 0) for i in range(3))
    ((y * gy).sum() + (c_n * gc).sum() + (x_last * gx).sum()).backward()
    out = dict(x=x, w=w, b=b, gy=gy, gc=gc, gx=gx, y=y, c_n=c_n, x_last=x_last, dx=x.grad, dw=w.grad, db=b.grad)
    if states:
        out.update(c=c, dc=c.grad)
        if window == 2:
            out.update(prev=prev, dprev=prev.grad)
    print("  %s = {" % name)
    print("    gates = %d," % gates)
    if lens:
        print("    lens = %s," % lua(lens))
    for k, v in out.items():
        print("    %s = %s," % (k, lua(v.detach().tolist())))
    print("  },")


print("-- qrnn.lua: made by `python3 tests/golden/qrnn.py > tests/golden/qrnn.lua`, torch %s, float64. Do not edit."
      % torch.__version__)
print("return {")
case("window_1", 4, 2, 3, 2, 1)
case("window_2", 4, 2, 3, 2, 2)
case("zero_states", 3, 3, 1, 5, 2, states=False)
case("one_step", 1, 1, 2, 1, 2)
case("ragged", 5, 3, 2, 3, 2, lens=[5, 3, 1])
case("no_output_gate", 4, 3, 2, 3, 2, gates=2)
print("}")
