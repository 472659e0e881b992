#!/usr/bin/env python3
"""Golden resamplings for kooka.imbalance from imbalanced-learn itself.

    python3 tests/golden/imbalance.py > tests/golden/imbalance.lua      (imbalanced-learn 0.14.2, scikit-learn, numpy)

The spec reads imbalance.lua and never needs Python. Two made-up data sets of float32 numbers, one with two classes and one
with three. Recorded are counts, neighbours, the draws that a seed gives (which row, which of its neighbours, how far) with the
rows that imbalanced-learn makes of them, and the rows that cleaning keeps. Rows and neighbours count from 1.
"""
import warnings

import imblearn
import numpy as np
import sklearn
from imblearn.over_sampling import ADASYN, SMOTE, BorderlineSMOTE, RandomOverSampler
from imblearn.over_sampling._smote.base import BaseSMOTE
from imblearn.under_sampling import EditedNearestNeighbours, NearMiss, RandomUnderSampler, TomekLinks

warnings.filterwarnings("ignore")


def lua(v):
    if isinstance(v, dict):
        return "{" + ", ".join("%s = %s" % (k, lua(e)) if isinstance(k, str) else "[%d] = %s" % (k, lua(e)) for k, e in v.items()) + "}"
    if isinstance(v, np.ndarray):
        return lua(v.tolist()) if v.dtype != np.float32 else "{" + ", ".join(lua(e) for e in v) + "}"
    if isinstance(v, (list, tuple)):
        return "{" + ", ".join(lua(e) for e in v) + "}"
    if isinstance(v, str):
        return '"%s"' % v
    if isinstance(v, (int, np.integer)):
        return "%d" % v
    return "%.9g" % v if isinstance(v, np.float32) else "%.17g" % v


def data(sizes, d, seed, spread):
    rng = np.random.default_rng(seed)
    x = np.vstack([rng.standard_normal((n, d)) + spread * c for c, n in enumerate(sizes)]).astype(np.float32)
    y = np.repeat(np.arange(1, len(sizes) + 1), sizes)
    turn = rng.permutation(len(y))
    return np.ascontiguousarray(x[turn]), y[turn]


def counts(y):
    return {int(c): int(n) for c, n in zip(*np.unique(y, return_counts=True))}


records = []
plain = BaseSMOTE._generate_samples


def spy(self, X, nn_data, nn_num, rows, cols, steps, y_type=None, y=None):
    made = plain(self, X, nn_data, nn_num, rows, cols, steps, y_type, y)
    gap = np.array(steps)[:, 0].copy()
    if y is not None:         # Borderline-2: the same stream again, as the original draws it
        other = y[nn_num[rows, cols]] != y_type
        gap[other] *= np.random.RandomState(self.random_state).uniform(low=0.0, high=0.5, size=(other.sum(), 1))[:, 0]
    records.append({"X": X, "data": nn_data, "near": nn_num, "rows": rows, "cols": cols, "gaps": gap, "made": made, "class": int(y_type)})
    return made


BaseSMOTE._generate_samples = spy


def row_numbers(x, some):
    """Which rows of x these are, from 1; all rows differ."""
    at = {r.tobytes(): i + 1 for i, r in enumerate(x)}
    return [at[r.tobytes()] for r in some]


def family(x, y, sampler, limit=25):
    records.clear()
    _, after = sampler.fit_resample(x, y)
    out = {"after": counts(after), "classes": []}
    for r in records:
        base, data = row_numbers(x, r["X"]), row_numbers(x, r["data"])
        near = [[data[j] for j in line] for line in r["near"]]
        some = min(limit, len(r["rows"]))
        out["classes"].append({"class": r["class"], "base": base, "near": near, "a": [base[i] for i in r["rows"][:some]],
                               "b": [near[i][j] for i, j in zip(r["rows"][:some], r["cols"][:some])],
                               "gaps": list(map(float, r["gaps"][:some])), "made": r["made"][:some]})
    return out


def adasyn(x, y, seed, k=5, limit=25):
    """ADASYN makes its rows in line: its counts and rows, and the draws of its seed."""
    xr, yr = ADASYN(random_state=seed, n_neighbors=k).fit_resample(x, y)
    rng, at, out = np.random.RandomState(seed), len(y), {"after": counts(yr), "classes": []}
    from sklearn.neighbors import NearestNeighbors
    largest = max(counts(y).values())
    major = max(counts(y), key=counts(y).get)
    for c, n in counts(y).items():
        if c == major or n == largest:
            continue
        mine = np.flatnonzero(y == c)
        all_near = NearestNeighbors(n_neighbors=k + 1).fit(x).kneighbors(x[mine], return_distance=False)[:, 1:]
        ratio = np.sum(y[all_near] != c, axis=1) / k
        times = np.rint(ratio / ratio.sum() * (largest - n)).astype(int)
        near = NearestNeighbors(n_neighbors=k + 1).fit(x[mine]).kneighbors(x[mine], return_distance=False)[:, 1:]
        rows, total = np.repeat(np.arange(n), times), times.sum()
        cols, gaps = rng.choice(k, size=total), rng.uniform(size=(total, 1))[:, 0]
        some = min(limit, total)
        out["classes"].append({"class": c, "base": mine + 1, "times": times, "near": mine[near] + 1, "a": mine[rows[:some]] + 1,
                               "b": mine[near[rows, cols][:some]] + 1, "gaps": list(map(float, gaps[:some])), "made": xr[at:at + some]})
        at += total
    return out


def kept(x, y, sampler):
    sampler.fit_resample(x, y)
    return sorted(int(i) + 1 for i in sampler.sample_indices_)


def cleaned(x, y):
    return {
        "tomek": kept(x, y, TomekLinks()), "tomek_all": kept(x, y, TomekLinks(sampling_strategy="all")),
        "enn": kept(x, y, EditedNearestNeighbours()), "enn_all": kept(x, y, EditedNearestNeighbours(sampling_strategy="all")),
        "enn_most": kept(x, y, EditedNearestNeighbours(kind_sel="mode", n_neighbors=5, sampling_strategy="all")),
    }


def one(sizes, d, seed, spread):
    x, y = data(sizes, d, seed, spread)
    out = {"x": x, "y": y, "smote": family(x, y, SMOTE(random_state=7)), "borderline1": family(x, y, BorderlineSMOTE(random_state=7)),
           "borderline2": family(x, y, BorderlineSMOTE(random_state=7, kind="borderline-2")), "adasyn": adasyn(x, y, 7)}
    out.update(cleaned(x, y))
    xs, ys = SMOTE(random_state=7).fit_resample(x, y)
    out["smoted"] = {"x": xs, "y": ys}
    out["smoted"].update({k: v for k, v in cleaned(xs, ys).items() if k in ("tomek_all", "enn_all")})
    for v in (1, 2, 3):
        out["near_miss%d" % v] = kept(x, y, NearMiss(version=v))
    n, h = x.shape[0], (4 / ((d + 2) * x.shape[0])) ** (1 / (d + 4))
    out["bandwidth"] = {c: h * np.std(x[y == c], axis=0, dtype=np.float64) for c in counts(y)}
    out["over"] = counts(RandomOverSampler(random_state=1).fit_resample(x, y)[1])
    out["under"] = counts(RandomUnderSampler(random_state=1).fit_resample(x, y)[1])
    if len(sizes) == 2:
        out["over_ratio"] = {k: counts(RandomOverSampler(sampling_strategy=r, random_state=1).fit_resample(x, y)[1]) for k, r in
                             (("r50", .5), ("r77", .77))}
        out["under_ratio"] = {k: counts(RandomUnderSampler(sampling_strategy=r, random_state=1).fit_resample(x, y)[1]) for k, r in
                              (("r50", .5), ("r77", .77))}
    return out


print("-- imbalance.lua: made by `python3 tests/golden/imbalance.py > tests/golden/imbalance.lua`, imbalanced-learn %s, scikit-learn %s, "
      "numpy %s. Do not edit." % (imblearn.__version__, sklearn.__version__, np.__version__))
print("return {")
for name, arguments in (("two", ((70, 18), 5, 1, .8)), ("three", ((50, 20, 14), 4, 2, .6))):
    print("  %s = {" % name)
    for key, value in one(*arguments).items():
        print("    %s = %s," % (key, lua(value)))
    print("  },")
print("}")
