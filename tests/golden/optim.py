#!/usr/bin/env python3
"""Golden numbers for kooka.learn.optim from torch.optim in float64.

    python3 tests/golden/optim.py > tests/golden/optim.lua       (torch, CPU)

The spec reads optim.lua and never needs Python. Two parameters; the gradients of each step are given; lr and momentum
change every step; the norm of all gradients is clipped. ASGD has no momentum, and its average begins behind step t0.
"""
import math
import torch

torch.set_default_dtype(torch.float64)
STEPS, CLIP = 12, 0.75


def lua(v):
    if isinstance(v, list):
        return "{" + ", ".join(lua(e) for e in v) + "}"
    return "%.12g" % v


def case(name, make, options, momentum=None, average=False):
    g = torch.Generator().manual_seed(len(name))

    def draw(n):          # multiples of 1/64: exact in float32
        return torch.round(64 * (2 * torch.rand(n, generator=g) - 1)) / 64
    p = [draw(5).requires_grad_(), draw(3).requires_grad_()]
    opt = make(p)
    print("  %s = {" % name)
    print("    options = {%s}," % ", ".join("%s = %s" % (k, str(v).lower()) for k, v in options.items()))
    print("    start = %s," % lua([q.tolist() for q in p]))
    print("    steps = {")
    for t in range(1, STEPS + 1):
        lr, m = 0.01 * (1 + t / 4) if average is False else 0.05, 0.95 - t / 64
        for group in opt.param_groups:
            group["lr"] = lr
            if momentum == "betas":
                group["betas"] = (m, group["betas"][1])
            elif momentum:
                group["momentum"] = m
        grads = [draw(5), draw(3)]
        for q, d in zip(p, grads):
            q.grad = d.clone()
        norm = math.sqrt(sum(float((d * d).sum()) for d in grads))
        if norm > CLIP:
            for q in p:
                q.grad *= CLIP / norm
        opt.step()
        opt.zero_grad()
        print("      { lr = %s, momentum = %s, norm = %s, grads = %s," % (lua(lr), lua(m), lua(norm), lua([d.tolist() for d in grads])))
        print("        p = %s%s }," % (lua([q.tolist() for q in p]),
                                       ", average = %s" % lua([opt.state[q]["ax"].tolist() for q in p]) if average else ""))
    print("    },\n  },")


print("-- optim.lua: made by `python3 tests/golden/optim.py > tests/golden/optim.lua`, torch %s, float64. Do not edit." % torch.__version__)
print("return {")
print("  clip = %s," % lua(CLIP))
case("adamw", lambda p: torch.optim.AdamW(p, betas=(0.9, 0.99), eps=1e-6, weight_decay=0.1),
     dict(beta2=0.99, eps=1e-6, decay=0.1), "betas")
case("adam", lambda p: torch.optim.Adam(p, betas=(0.9, 0.99), eps=1e-8), dict(beta2=0.99), "betas")
case("sgd", lambda p: torch.optim.SGD(p, lr=1, weight_decay=0.05), dict(decay=0.05, momentum=False))
case("momentum", lambda p: torch.optim.SGD(p, lr=1, momentum=0.9, weight_decay=0.05), dict(decay=0.05), "momentum")
case("nesterov", lambda p: torch.optim.SGD(p, lr=1, momentum=0.9, nesterov=True), dict(nesterov=True), "momentum")
case("asgd", lambda p: torch.optim.ASGD(p, lr=0.05, lambd=0.01, alpha=0.75, t0=4, weight_decay=0.05),
     dict(decay=0.05, lambd=0.01, alpha=0.75, since=4), average=True)
case("averaged", lambda p: torch.optim.ASGD(p, lr=0.05, lambd=0, t0=0), dict(since=0), average=True)
print("}")
