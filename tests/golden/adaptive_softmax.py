#!/usr/bin/env python3
"""Golden numbers for kooka.nn.adaptive_softmax from torch.nn.AdaptiveLogSoftmaxWithLoss in float64.

    python3 tests/golden/adaptive_softmax.py > tests/golden/adaptive_softmax.lua       (torch, CPU)

The spec reads adaptive_softmax.lua and never needs Python. Classes count from 1 there.
"""
import torch

torch.set_default_dtype(torch.float64)


def lua(v):
    if isinstance(v, list):
        return "{" + ", ".join(lua(e) for e in v) + "}"
    return "%.9g" % v


def greedy(net, x):
    """The best entry of the head and, where that is a cluster, its best class."""
    best = net.head(x).argmax(1)
    for i, tail in enumerate(net.tail):
        best = torch.where(best == net.shortlist_size + i, -net.cutoffs[i] - tail(x).argmax(1), best)
    return best.abs() + 1


def case(name, N, D, V, cutoffs, div):
    g = torch.Generator().manual_seed(len(name))
    def draw(*shape):     # multiples of 1/64: exact in float32
        return torch.round(64 * (2 * torch.rand(*shape, generator=g) - 1)) / 64
    net = torch.nn.AdaptiveLogSoftmaxWithLoss(D, V, cutoffs, div_value=div, head_bias=True)
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(draw(*p.shape))
    x = draw(N, D).requires_grad_()
    y = torch.randint(0, V, (N,), generator=g)
    out, loss = net(x, y)
    loss.backward()
    answer = dict(x=x, y=y + 1, cutoffs=cutoffs, div=div, loss=loss, log_p=out, log_prob=net.log_prob(x), greedy=greedy(net, x),
                  weight=net.head.weight, bias=net.head.bias, dx=x.grad, dweight=net.head.weight.grad, dbias=net.head.bias.grad)
    for i, tail in enumerate(net.tail, 1):
        answer["down%d" % i], answer["weight%d" % i] = tail[0].weight, tail[1].weight
        answer["ddown%d" % i], answer["dweight%d" % i] = tail[0].weight.grad, tail[1].weight.grad
    print("  %s = {" % name)
    for k, v in answer.items():
        print("    %s = %s," % (k, lua(v.tolist() if torch.is_tensor(v) else v)))
    print("  },")


print("-- adaptive_softmax.lua: made by `python3 tests/golden/adaptive_softmax.py > tests/golden/adaptive_softmax.lua`,"
      " torch %s, float64. Do not edit." % torch.__version__)
print("return {")
case("two_clusters", 12, 6, 11, [3, 6], 2.0)
case("one_cluster", 5, 4, 7, [4], 4.0)
print("}")
