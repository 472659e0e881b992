#!/usr/bin/env python3
"""Golden numbers for kooka.attention from torch.nn.functional.scaled_dot_product_attention, and for kooka.nn.attention
from torch.nn.MultiheadAttention, in float64.

    python3 tests/golden/attention.py > tests/golden/attention.lua       (torch, CPU)

The spec reads attention.lua and never needs Python. loss = sum(y * gy).
"""
import torch

torch.set_default_dtype(torch.float64)


def lua(v):
    if isinstance(v, list):
        return "{" + ", ".join(lua(e) for e in v) + "}"
    return "-math.huge" if v == -float("inf") else "%.9g" % v


def case(name, B, H, T, S, D, E, causal=False, lens=None, masked=False, scale=None):
    g = torch.Generator().manual_seed(len(name))
    def draw(*shape):     # multiples of 1/64: exact in float32
        return torch.round(128 * (2 * torch.rand(*shape, generator=g) - 1)) / 64
    q, k, v = (draw(*s).requires_grad_() for s in ((B, H, T, D), (B, H, S, D), (B, H, S, E)))
    gy, extra, bias = draw(B, H, T, E), {}, None
    if masked:
        extra["mask"] = draw(T, S).masked_fill(torch.rand(T, S, generator=g) < .3, -float("inf"))
        bias = extra["mask"][None, None].expand(B, H, T, S)
    if lens:
        extra["lens"] = torch.tensor(lens)
        far = torch.arange(S)[None, None, None, :] >= extra["lens"][:, None, None, None]
        bias = torch.zeros(B, H, T, S).masked_fill(far, -float("inf")) + (0 if bias is None else bias)
    y = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=bias, is_causal=causal, scale=scale)
    (y * gy).sum().backward()
    fields = dict(q=q, k=k, v=v, gy=gy, y=y, dq=q.grad, dk=k.grad, dv=v.grad, **extra)
    print("  %s = {\n    causal = %s, scale = %g," % (name, "true" if causal else "false", scale or 0))
    for n, t in fields.items():
        print("    %s = %s," % (n, lua(t.detach().tolist())))
    print("  },")


def layer(name, T, B, W, heads, lens):
    g = torch.Generator().manual_seed(len(name))
    def draw(*shape):
        return torch.round(64 * (2 * torch.rand(*shape, generator=g) - 1)) / 64
    net = torch.nn.MultiheadAttention(W, heads)
    with torch.no_grad():
        for p in (net.in_proj_weight, net.in_proj_bias, net.out_proj.weight, net.out_proj.bias):
            p.copy_(draw(*p.shape))
    x, gy, n = draw(T, B, W).requires_grad_(), draw(T, B, W), torch.tensor(lens)
    y, _ = net(x, x, x, key_padding_mask=torch.arange(T)[None, :] >= n[:, None])
    (y * gy).sum().backward()
    w, b = net.in_proj_weight, net.in_proj_bias
    fields = dict(x=x, gy=gy, y=y, dx=x.grad, lens=n, dout=net.out_proj.weight.grad, dquery=w.grad[:W], dkey=w.grad[W:2 * W],
                  dvalue=w.grad[2 * W:], out=net.out_proj.weight, out_bias=net.out_proj.bias)
    for i, part in enumerate(("query", "key", "value")):
        fields[part], fields[part + "_bias"] = w[i * W:(i + 1) * W], b[i * W:(i + 1) * W]
    print("  %s = {\n    heads = %d," % (name, heads))
    for k, t in fields.items():
        print("    %s = %s," % (k, lua(t.detach().tolist())))
    print("  },")


print("-- attention.lua: made by `python3 tests/golden/attention.py > tests/golden/attention.lua`, "
      "torch %s, float64. Do not edit." % torch.__version__)
print("return {")
case("plain", 2, 2, 3, 4, 3, 2)
case("causal", 1, 2, 5, 5, 4, 4, causal=True)
case("lengths", 3, 1, 3, 5, 2, 3, lens=[5, 1, 3])
case("masked", 1, 2, 4, 6, 3, 3, masked=True, scale=0.5)
layer("layer", 4, 2, 6, 2, [4, 2])
print("}")
