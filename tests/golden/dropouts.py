#!/usr/bin/env python3
"""What fastai's dropouts do to ones, for kooka's: tests/golden/dropouts.lua.

    python3 tests/golden/dropouts.py > tests/golden/dropouts.lua       (fastai, torch, CPU)

gone: share of zeros; kept: what the others become; along an axis: the share of neighbours with the same fate, 1 where one mask
serves the whole axis, p^2 + (1 - p)^2 where each draws for itself; again: the same between two calls.
"""
import fastai
import torch
from fastai.text.models.awdlstm import EmbeddingDropout, RNNDropout, WeightDropout

SIZE = (40, 50, 60)


def same(a, b):
    return float(((a == 0) == (b == 0)).double().mean())


def described(p, y, axes, other):
    kept = y[y != 0]
    assert kept.min() == kept.max()
    out = {"p": p, "n": y.numel(), "gone": float((y == 0).double().mean()), "kept": float(kept[0]), "again": same(y, other)}
    for axis, name in enumerate(axes):
        out[name] = same(y.narrow(axis, 0, y.size(axis) - 1), y.narrow(axis, 1, y.size(axis) - 1))
    return out


def hidden(p):
    layer = RNNDropout(p)                                   # batch, time, features
    layer.train()
    x = torch.ones(*SIZE)
    return described(p, layer(x), ("batch", "time", "features"), layer(x))


def embedding(p):
    table = torch.nn.Embedding(3000, 4)
    torch.nn.init.ones_(table.weight)
    layer = EmbeddingDropout(table, p)
    layer.train()
    words = torch.arange(3000)
    ids = torch.stack([words, words])                       # the same words at two places
    return described(p, layer(ids).detach(), ("places", "words", "features"), layer(ids).detach())


def weights(p):
    lstm = torch.nn.LSTM(1, 50)
    layer = WeightDropout(lstm, p)
    layer.train()
    torch.nn.init.ones_(layer.weight_hh_l0_raw)
    seen = []
    for _ in range(2):
        layer(torch.zeros(3, 2, 1))
        seen.append(lstm.weight_hh_l0.detach().clone())
    return described(p, seen[0], ("rows", "columns"), seen[1])


torch.manual_seed(1)
print("-- dropouts.lua: made by `python3 tests/golden/dropouts.py > tests/golden/dropouts.lua`, fastai %s, torch %s. Do not edit."
      % (fastai.__version__, torch.__version__))
print("return {")
for name, f in (("hidden", hidden), ("embedding", embedding), ("weights", weights)):
    for p in (.15, .5):
        print("  %s_%d = {%s}," % (name, round(100 * p), ", ".join("%s = %.6g" % kv for kv in f(p).items())))
print("}")
