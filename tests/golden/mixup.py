#!/usr/bin/env python3
"""Golden numbers for kooka.nn.mixup from PyTorch in float64: loss and gradients of blended batches of uneven lengths.

    python3 tests/golden/mixup.py > tests/golden/mixup.lua       (torch, CPU)

An embedding, two LSTM layers, last + max + mean pooling and a head of batch norm, linear, ReLU, batch norm, linear. Each text
and each blend goes through alone, without padding: the blend of two texts is as long as the longer one, zeros stand for the
words that the shorter one lacks (Guo et al. 2019). Weights are multiples of 1/64: exact in float32. The spec needs no Python.
"""
import torch
from torch.nn.functional import batch_norm, cross_entropy, linear, relu

torch.set_default_dtype(torch.float64)
V, E, H, C = 9, 3, 4, 3
LENS = [7, 5, 5, 2, 1]
PERM = [4, 0, 3, 2, 1]                      # the partner of each text
LAM = .3125
gen = torch.Generator().manual_seed(23)


def draw(*shape):
    return (torch.round(64 * (2 * torch.rand(*shape, generator=gen) - 1)) / 64).requires_grad_()


def lua(v):
    if isinstance(v, torch.Tensor):
        v = v.detach().tolist()
    if isinstance(v, dict):
        return "{ " + ", ".join("[\"%s\"] = %s" % (k, lua(e)) for k, e in v.items()) + " }"
    if isinstance(v, (list, tuple)):
        return "{" + ", ".join(lua(e) for e in v) + "}"
    return "%.9g" % v


w = {"encoder.embedding": draw(V, E)}
for i, (a, b) in enumerate(((E, H), (H, E))):
    at = "encoder.layer%d." % (i + 1)
    w[at + "weight_ih"], w[at + "weight_hh"] = draw(4 * b, a), draw(4 * b, b)
    w[at + "bias"], w[at + "bias_hh"] = draw(4 * b), draw(4 * b)
w["norm1.weight"], w["norm1.bias"] = draw(3 * E), draw(3 * E)
w["linear1.weight"], w["linear1.bias"] = draw(4, 3 * E), draw(4)
w["norm2.weight"], w["norm2.bias"] = draw(4), draw(4)
w["linear2.weight"], w["linear2.bias"] = draw(C, 4), draw(C)


def lstm(x, i):
    """x [T,D] -> [T,H] by PyTorch's own LSTM."""
    at = "encoder.layer%d." % i
    size = w[at + "weight_hh"].shape[1]
    state = (torch.zeros(1, size), torch.zeros(1, size))
    out = []
    for step in x:
        state = torch._VF.lstm_cell(step[None], state, w[at + "weight_ih"], w[at + "weight_hh"], w[at + "bias"], w[at + "bias_hh"])
        out.append(state[0])
    return torch.cat(out)


def pool(h):
    return torch.cat((h[-1], h.max(0)[0], h.mean(0)))


def head(x):
    x = relu(linear(batch_norm(x, None, None, w["norm1.weight"], w["norm1.bias"], True), w["linear1.weight"], w["linear1.bias"]))
    return linear(batch_norm(x, None, None, w["norm2.weight"], w["norm2.bias"], True), w["linear2.weight"], w["linear2.bias"])


def blend(a, b):
    long = max(len(a), len(b))
    a, b = (torch.cat((x, torch.zeros(long - len(x), x.shape[1]))) for x in (a, b))
    return LAM * a + (1 - LAM) * b


docs = [torch.randint(0, V, (n,), generator=gen) for n in LENS]
labels = torch.randint(0, C, (len(LENS),), generator=gen)
class_weight = torch.tensor([.5, 1.5, 1.])
print("-- mixup.lua: made by `python3 tests/golden/mixup.py > tests/golden/mixup.lua`, torch %s, float64. Do not edit." % torch.__version__)
print("return {")
ids = torch.zeros(max(LENS), len(LENS), dtype=torch.long)
for b, d in enumerate(docs):
    ids[:len(d), b] = d
print("  weights = %s," % lua(w))
print("  x = %s, lens = %s, y = %s, perm = %s, lam = %s," % (lua(ids + 1), lua(LENS), lua(labels + 1), lua([p + 1 for p in PERM]), LAM))
print("  class_weight = %s," % lua(class_weight))
for at in (0, 1, 2, "pool"):
    for p in w.values():
        p.grad = None
    xs = [w["encoder.embedding"][d] for d in docs]
    for layer in range(3):
        if layer > 0:
            xs = [lstm(x, layer) for x in xs]
        if layer == at:
            xs = [blend(x, xs[j]) for x, j in zip(xs, PERM)]
    z = torch.stack([pool(x) for x in xs])
    if at == "pool":
        z = LAM * z + (1 - LAM) * z[PERM]
    out = head(z)
    loss = LAM * cross_entropy(out, labels, class_weight) + (1 - LAM) * cross_entropy(out, labels[PERM], class_weight)
    loss.backward()
    nll = LAM * cross_entropy(out, labels, reduction="sum") + (1 - LAM) * cross_entropy(out, labels[PERM], reduction="sum")
    grads = {k: p.grad for k, p in w.items() if p.grad is not None}
    print("  [%s] = { loss = %s, nll = %s, grads = %s }," % ('"pool"' if at == "pool" else at, lua(loss), lua(nll), lua(grads)))
print("}")
