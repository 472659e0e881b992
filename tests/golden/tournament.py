#!/usr/bin/env python3
"""Golden numbers for class weights, isotonic calibration and reliability tables from scikit-learn.

    python3 tests/golden/tournament.py > tests/golden/tournament.lua       (numpy, scipy, scikit-learn)

The specs read tournament.lua and never need Python. Inputs come from integer formulas that the specs repeat.
"""
import numpy as np, scipy, sklearn
from sklearn.calibration import calibration_curve
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight


def inputs(n):
    """scores in steps of 1/64 (many ties), labels 0 and 1"""
    i = np.arange(n, dtype=np.int64)
    h = (i * 7919 + 104729) * 31 % 1009
    prob = (h % 63 + 1) / 64.0
    label = ((i * 5171 + h * 13) % 97 < 20 + 40 * prob).astype(int)
    return prob, label


def listing(values):
    return "{ " + ", ".join("%.17g" % v for v in np.ravel(values)) + " }"


print("-- tournament.lua: made by tests/golden/tournament.py: numpy %s, scipy %s, scikit-learn %s. Do not edit."
      % (np.__version__, scipy.__version__, sklearn.__version__))
print("return {")
p, y = inputs(301)
print("  balanced_96_4 = %s," % listing(compute_class_weight("balanced", classes=np.array([0, 1]), y=np.array([0] * 96 + [1] * 4))))
print("  balanced_three = %s," % listing(compute_class_weight("balanced", classes=np.arange(3), y=np.array([0] * 7 + [1] * 2 + [2] * 21))))
iso = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(p, y)
at = np.linspace(0, 1, 41)
print("  isotonic_at = %s," % listing(at))
print("  isotonic = %s," % listing(iso.predict(at)))
rate, mean = calibration_curve(y, p, n_bins=10, strategy="uniform")
print("  uniform_rate = %s,\n  uniform_mean = %s," % (listing(rate), listing(mean)))
order = np.arange(200)
q = (order * 37 % 200 + .5) / 200        # no ties: ten bins of twenty rows
z = ((order * 71 + 13) % 101 < 100 * q ** 1.5).astype(int)
rate, mean = calibration_curve(z, q, n_bins=10, strategy="quantile")
print("  quantile_rate = %s,\n  quantile_mean = %s," % (listing(rate), listing(mean)))


def head_inputs(n, d):
    i = np.arange(n * d, dtype=np.int64)
    x = ((i * 7919 + i // d * 104729) * 31 % 1009 / 504.5 - 1).reshape(n, d)
    row = np.arange(n)
    s = x[:, 0] - .7 * x[:, 1] + .5 * ((row * 5171 + 11) % 97 / 48.5 - 1)
    return x, (s > .55).astype(int)


x, t = head_inputs(200, 6)
print("  head_positives = %d," % t.sum())
for name, weights, l2 in (("plain", None, .01), ("balanced", "balanced", .01)):
    w = np.ones(200) if weights is None else np.where(t == 1, 200 / (2 * t.sum()), 200 / (2 * (200 - t.sum())))
    # ours: sum v loss / sum v + l2/2 |w|^2; theirs: C sum v loss + |w|^2 / 2
    m = LogisticRegression(C=1 / (l2 * w.sum()), tol=1e-12, max_iter=10000).fit(x, t, sample_weight=w)
    print("  head_%s = %s," % (name, listing(np.concatenate([m.coef_[0], m.intercept_]))))
print("}")
