#!/usr/bin/env python3
"""Golden numbers for kooka.learn.schedule and kooka.learn.suggest from fastai itself.

    python3 tests/golden/learn.py > tests/golden/learn.lua       (fastai 2.8.12, torch, CPU)

The spec reads learn.lua and never needs Python. Schedules are sampled at the shares of a run that fastai's ParamScheduler
would ask for; suggestions get smoothed losses of range tests that were made up (a descent, noise, a blow-up), as lr_find
would hand them over: without the first tenth and the last five. The slanted triangle has no fastai function: equation 3
of Howard & Ruder (2018), written down here.
"""
import math
import random

import fastai
import torch
from fastai.callback.schedule import SchedCos, combine_scheds, combined_cos, minimum, slide, steep, valley
from fastai.learner import AvgSmoothLoss
from fastai.torch_core import *
from fastai.basics import even_mults


def lua(v):
    if isinstance(v, dict):
        return "{" + ", ".join("%s = %s" % (k, lua(e)) for k, e in v.items()) + "}"
    if isinstance(v, (list, tuple)):
        return "{" + ", ".join(lua(e) for e in v) + "}"
    return "%.9g" % v


STEPS = 40
shares = [k / STEPS for k in range(STEPS)]


def sampled(f):
    return [float(f(s)) for s in shares]


def one_cycle(lr, pct=0.25, div=25., div_final=1e5, moms=(0.95, 0.85, 0.95)):
    return {"lr": sampled(combined_cos(pct, lr / div, lr, lr / div_final)), "momentum": sampled(combined_cos(pct, *moms))}


def sgdr(lr, cycles, mult):
    whole = sum(mult ** i for i in range(cycles))
    return {"lr": sampled(combine_scheds([mult ** i / whole for i in range(cycles)], [SchedCos(lr, 0) for _ in range(cycles)]))}


def slanted(lr, cut_frac=0.1, ratio=32, T=STEPS):
    cut = math.floor(T * cut_frac)
    def rate(t):
        p = t / cut if t < cut else 1 - (t - cut) / (cut * (1 / cut_frac - 1))
        return lr * (1 + p * (ratio - 1)) / ratio
    return {"lr": [rate(t) for t in range(T)]}


def range_test(seed, n=100, noise=0.02, low=1e-7, high=10.):
    r = random.Random(seed)
    lrs = [low * (high / low) ** (k / n) for k in range(n)]
    smooth, losses, best = AvgSmoothLoss(), [], float("inf")
    top, at, width = 2 + 3 * r.random(), -4 + 2 * r.random(), 0.4 + r.random()
    raw = []
    for lr in lrs:
        x = math.log10(lr)
        loss = top - 1.5 / (1 + math.exp(-(x - at) / width)) + noise * r.gauss(0, 1) + math.exp(min(12., 4 * (x - at - 3)))
        raw.append(loss)
        smooth.count += 1
        smooth.val = torch.lerp(tensor(loss), smooth.val, smooth.beta)
        losses.append(float(smooth.value))
        best = min(best, losses[-1])
        if losses[-1] > 4 * best:
            break
    lrs = lrs[:len(losses)]
    tl, tr = tensor(losses[n // 10:-5]), tensor(lrs[n // 10:-5])
    out = {"raw": raw, "lrs": tr.tolist(), "smoothed": losses, "losses": tl.tolist()}
    for f in (valley, slide, minimum, steep):
        out[f.__name__] = float(f(tr, tl, n)[0])
    return out


print("-- learn.lua: made by `python3 tests/golden/learn.py > tests/golden/learn.lua`, fastai %s, torch %s. Do not edit."
      % (fastai.__version__, torch.__version__))
print("return {")
print("  shares = %s," % lua(shares))
print("  one_cycle_v2 = {")
for o in (dict(lr=2e-3), dict(lr=0.1, pct=0.3, div=5., div_final=1e3, moms=(0.8, 0.7, 0.8)), dict(lr=1., pct=0.99)):
    print("    { options = %s, want = %s }," % (lua(o), lua(one_cycle(**o))))
print("  },")
print("  flat_cos = {")
for o in (dict(lr=3e-3), dict(lr=1., pct=0.5, div_final=100.)):
    print("    { options = %s, want = %s }," % (lua(o), lua({"lr": sampled(combined_cos(o.get("pct", 0.75), o["lr"], o["lr"], o["lr"] / o.get("div_final", 1e5)))})))
print("  },")
print("  sgdr = {")
for o in (dict(lr=0.5, cycles=1, mult=2), dict(lr=1e-2, cycles=3, mult=2)):
    print("    { options = %s, want = %s }," % (lua(o), lua(sgdr(**o))))
print("  },")
print("  slanted = {")
for o in (dict(lr=0.01), dict(lr=1., cut_frac=0.25, ratio=8)):
    print("    { options = %s, want = %s }," % (lua({"cut" if k == "cut_frac" else k: v for k, v in o.items()}), lua(slanted(**o))))
print("  },")
print("  spread = {")
for low, high, n in ((1e-5, 1e-3, 5), (1e-4, 1e-4, 3), (2e-5, 1e-2, 2), (1e-4, 1e-2, 1)):
    v = even_mults(low, high, n)
    print("    { low = %s, high = %s, n = %d, want = %s }," % (lua(low), lua(high), n, lua(v if isinstance(v, list) else [v])))
print("  },")
print("  range_tests = {")
for seed in range(12):
    n = 100 if seed % 3 else 60
    print("    { steps = %d, %s," % (n, lua(range_test(seed, n, (0.005, 0.02, 0.1, 0.4)[seed % 4]))[1:]))
print("  },")
print("}")
