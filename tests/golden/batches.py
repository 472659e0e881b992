#!/usr/bin/env python3
"""Golden numbers for kooka.data.batches from fastai's loaders of texts.

    python3 tests/golden/batches.py > tests/golden/batches.lua       (fastai, torch, CPU)

lm: LMDataLoader in the given order; documents hold 1, 2, 3 ... throughout, so that a token tells its place. buckets: what SortedDL
makes of n documents, the d-th with 1 + d * d % 97 tokens: the lengths in its order for validation, and over many shuffles what share
of an epoch for training is padding, with its standard deviation, and the longest text of the first batch. (Below 200 batches ours sorts
shorter spans than 50 batches, so that texts meet other neighbours.)
"""
import statistics

import fastai
import torch
from fastai.text.data import LMDataLoader, SortedDL


def lua(v):
    if isinstance(v, dict):
        return "{" + ", ".join("%s = %s" % (k, lua(e)) for k, e in v.items()) + "}"
    if isinstance(v, (list, tuple)):
        return "{" + ", ".join(lua(e) for e in v) + "}"
    return "%.6g" % v


def documents(lens):
    out, at = [], 1
    for n in lens:
        out.append(torch.arange(at, at + n))
        at += n
    return out


def language_model(lens, batch, length):
    loader = LMDataLoader(documents(lens), lens=lens, bs=batch, seq_len=length, shuffle=False, num_workers=0)
    return {"lens": lens, "batch": batch, "length": length,
            "steps": [{"x": x.tolist(), "y": y.tolist()} for x, y in loader]}


def buckets(n, batch, epochs):
    lens = [1 + d * d % 97 for d in range(1, n + 1)]
    docs = documents(lens)
    valid = SortedDL(docs, res=lens, bs=batch, shuffle=False, num_workers=0)
    train = SortedDL(docs, res=lens, bs=batch, shuffle=True, num_workers=0)
    padding, first = [], []
    for _ in range(epochs):
        order = list(train.get_idxs())
        cut = [[lens[i] for i in order[k:k + batch]] for k in range(0, len(order), batch)]
        padding.append(1 - sum(map(sum, cut)) / sum(max(c) * len(c) for c in cut))
        first.append(max(cut[0]))
    return {"n": n, "batch": batch, "valid": [lens[i] for i in valid.get_idxs()], "epochs": epochs,
            "padding": statistics.mean(padding), "padding_sd": statistics.stdev(padding), "first": min(first)}


torch.manual_seed(1)
print("-- batches.lua: made by `python3 tests/golden/batches.py > tests/golden/batches.lua`, fastai %s, torch %s. Do not edit."
      % (fastai.__version__, torch.__version__))
print("return {")
print("  lm = {")
for lens, batch, length in (([7, 1, 12, 5, 9, 3, 8], 3, 5), ([7, 1, 12, 5, 9, 3, 8], 4, 4), ([31, 2, 8], 2, 10), ([9, 8, 10], 2, 4)):
    print("    %s," % lua(language_model(lens, batch, length)))
print("  },")
print("  buckets = {")
for n, batch, epochs in ((810, 4, 200), (1700, 8, 100)):
    print("    %s," % lua(buckets(n, batch, epochs)))
print("  },")
print("}")
