"""reference.py -- AWD-LSTM in plain PyTorch, written to be compared with: the same data, weights, schedule and optimizer.

python reference.py SPEC.json answers one JSON line {"train": [loss a step], "valid": [mean -log p after each epoch]}. SPEC:
tokens, valid: .npy of ids from 0; weights: safetensors of the first weights, or "" for a fresh draw by seed; vocab, embed,
hidden, layers, batch, length, epochs, steps (0: whole epochs), lr, moms, pct, div, div_final, beta2, eps, decay, clip, alpha,
beta, drop (embed, input, hidden, weight, output). Source: Merity, Keskar & Socher 2018; schedule and names as fastai 2.
"""
import json
import math
import struct
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

z = json.load(open(sys.argv[1]))
torch.manual_seed(z["seed"])


def load(path):
    raw = open(path, "rb").read()
    n = struct.unpack("<Q", raw[:8])[0]
    head = json.loads(raw[8:8 + n])
    head.pop("__metadata__", None)
    return {k: torch.frombuffer(bytearray(raw[8 + n + v["data_offsets"][0]:8 + n + v["data_offsets"][1]]),
                                dtype=torch.float32).view(v["shape"]) for k, v in head.items()}


def shared_mask(x, p, on):
    """One dropout mask for all steps of x [T,B,D]."""
    return x * x.new_empty(1, x.size(1), x.size(2)).bernoulli_(1 - p).div_(1 - p) if on and p > 0 else x


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        V, E, H, L = z["vocab"], z["embed"], z["hidden"], z["layers"]
        self.embedding = nn.Parameter(torch.empty(V, E).uniform_(-.1, .1))
        self.bias = nn.Parameter(torch.zeros(V))
        self.cells = nn.ModuleList(nn.LSTM(E if i == 0 else H, E if i == L - 1 else H) for i in range(L))

    def take(self, w):
        with torch.no_grad():
            self.embedding.copy_(w["encoder.embedding"])
            self.bias.copy_(w["bias"])
            for i, cell in enumerate(self.cells):
                for ours, theirs in (("weight_ih", cell.weight_ih_l0), ("weight_hh", cell.weight_hh_l0),
                                     ("bias", cell.bias_ih_l0), ("bias_hh", cell.bias_hh_l0)):
                    theirs.copy_(w["encoder.layer%d.%s" % (i + 1, ours)])

    def forward(self, ids, state):
        d, on, w = z["drop"], self.training, self.embedding
        if on and d["embed"] > 0:
            w = w * w.new_empty(w.size(0), 1).bernoulli_(1 - d["embed"]).div_(1 - d["embed"])
        x, new = shared_mask(F.embedding(ids, w), d["input"], on), []
        for i, cell in enumerate(self.cells):
            weights = {"weight_hh_l0": F.dropout(cell.weight_hh_l0, d["weight"], on)}
            x, (h, c) = torch.func.functional_call(cell, weights, (x, state[i] if state else None))
            new.append((h.detach(), c.detach()))
            if i < len(self.cells) - 1:
                x = shared_mask(x, d["hidden"], on)
        return shared_mask(x, d["output"], on), x, new


def batches(path):
    ids = torch.from_numpy(np.load(path).astype(np.int64))
    B, T = z["batch"], z["length"]
    n = (len(ids) - 1) // B
    x = ids[:n * B].view(B, n).t().contiguous()
    y = ids[1:n * B + 1].view(B, n).t().contiguous()
    for at in range(0, n, T):
        if min(T, n - at) >= 2:
            yield x[at:at + T], y[at:at + T]


def cosine(a, b, x):
    return b + (a - b) / 2 * (1 + math.cos(math.pi * x))


def rate_at(done):
    top, pct, (high, low) = z["lr"], z["pct"], z["moms"]
    if done < pct:
        return cosine(top / z["div"], top, done / pct), cosine(high, low, done / pct)
    x = (done - pct) / (1 - pct)
    return cosine(top, top / (z["div"] * z["div_final"]), x), cosine(low, high, x)


def nll(net, h, y):
    return F.cross_entropy(F.linear(h, net.embedding, net.bias).flatten(0, 1), y.flatten())


def validate(net):
    net.eval()
    state, total, n = None, 0.0, 0
    with torch.no_grad():
        for x, y in batches(z["valid"]):
            h, _, state = net(x, state)
            total, n = total + nll(net, h, y).item() * y.numel(), n + y.numel()
    net.train()
    return total / n


net = Net()
if z["weights"]:
    net.take(load(z["weights"]))
opt = torch.optim.AdamW(net.parameters(), lr=z["lr"], betas=(.9, z["beta2"]), eps=z["eps"], weight_decay=z["decay"])
per_epoch = sum(1 for _ in batches(z["tokens"]))
total = z["steps"] or z["epochs"] * per_epoch
losses, valid, done = [], [], 0
for epoch in range(z["epochs"]):
    state = None
    for x, y in batches(z["tokens"]):
        if done == total:
            break
        lr, momentum = rate_at(done / total)
        for g in opt.param_groups:
            g["lr"], g["betas"] = lr, (momentum, z["beta2"])
        h, raw, state = net(x, state)
        loss = nll(net, h, y) + z["alpha"] * h.pow(2).mean() + z["beta"] * (raw[1:] - raw[:-1]).pow(2).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), z["clip"])
        opt.step()
        opt.zero_grad()
        losses.append(loss.item())
        done += 1
    valid.append(validate(net))
    print("epoch %d: valid %.4f" % (epoch + 1, valid[-1]), file=sys.stderr, flush=True)
print(json.dumps({"train": losses, "valid": valid, "torch": torch.__version__}))
