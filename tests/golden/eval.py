#!/usr/bin/env python3
"""Golden numbers for kooka.eval from scikit-learn and scipy.

    python3 tests/golden/eval.py > tests/golden/eval.h       (numpy, scipy, scikit-learn)

The tests read eval.h and never need Python. Inputs come from integer formulas that the C tests
repeat, so only results are stored.
"""
import math
import numpy as np, scipy, sklearn
from scipy import stats, special
from sklearn import metrics as m


def inputs(n):
    """prob in steps of 1/64 (many ties), label: the same formulas as in tests/c/test_eval.c"""
    i = np.arange(n, dtype=np.int64)
    h = (i * 7919 + 104729) * 31 % 1009
    prob = (h % 63 + 1) / 64.0
    label = ((i * 5171 + h * 13) % 97 < 20 + 40 * prob).astype(int)
    return prob, label


def arr(name, values):
    print("static const double %s[] = {%s};" % (name, ", ".join("%.17g" % v for v in values)))


print("/* eval.h -- made by tests/golden/eval.py: numpy %s, scipy %s, scikit-learn %s. Do not edit. */"
      % (np.__version__, scipy.__version__, sklearn.__version__))
p, y = inputs(301)
pred = (p > 0.5).astype(int)
arr("golden_binary", [
    m.accuracy_score(y, pred), m.precision_score(y, pred), m.recall_score(y, pred), m.f1_score(y, pred),
    m.precision_score(y, pred, pos_label=0), m.recall_score(y, pred, pos_label=0), m.f1_score(y, pred, pos_label=0),
    m.f1_score(y, pred, average="macro"), m.balanced_accuracy_score(y, pred), m.matthews_corrcoef(y, pred),
    m.roc_auc_score(y, p), m.average_precision_score(y, p), m.log_loss(y, p), m.brier_score_loss(y, p)])
print("static const long golden_confusion[] = {%d, %d, %d, %d};   /* tn fp fn tp */" % tuple(m.confusion_matrix(y, pred).ravel()))

n, C = 211, 4
i = np.arange(n)
raw = np.stack([((i * (17 + 6 * c) + c * 29 + 3) % 23) + 1 for c in range(C)], 1).astype(float)
q = raw / raw.sum(1, keepdims=True)
t = ((i * 11 + i // 7) % 3 + (i % 5 == 0)) % C
t = np.where(i % 3 == 0, raw.argmax(1), t)
qp = q.argmax(1)
onehot = np.eye(C)[t]
arr("golden_multi", [
    m.accuracy_score(t, qp), m.precision_score(t, qp, average="macro", zero_division=0),
    m.recall_score(t, qp, average="macro"), m.f1_score(t, qp, average="macro"), m.balanced_accuracy_score(t, qp),
    m.matthews_corrcoef(t, qp), np.mean([m.roc_auc_score(onehot[:, c], q[:, c]) for c in range(C)]),
    np.mean([m.average_precision_score(onehot[:, c], q[:, c]) for c in range(C)]), m.log_loss(t, q),
    np.mean(((q - onehot) ** 2).sum(1))])
arr("golden_multi_first", [
    m.precision_score(t, qp, average=None)[0], m.recall_score(t, qp, average=None)[0], m.f1_score(t, qp, average=None)[0],
    m.roc_auc_score(onehot[:, 0], q[:, 0]), m.average_precision_score(onehot[:, 0], q[:, 0])])

a = p * 5
b = y * 3 + p
arr("golden_regression", [math.sqrt(m.mean_squared_error(b, a)), m.mean_absolute_error(b, a), m.r2_score(b, a),
                          stats.pearsonr(a, b)[0]])

rows = []
for k, nn in [(0, 10), (1, 10), (3, 4), (4, 4), (5, 100), (96, 100), (3000, 6000), (17, 6000)]:
    for level in (0.9, 0.95, 0.99):
        w = stats.binomtest(k, nn).proportion_ci(level, method="wilson")
        c = stats.binomtest(k, nn).proportion_ci(level, method="exact")
        rows.append((k, nn, level, w.low, w.high, c.low, c.high))
print("static const double golden_proportion[][7] = {   /* k n level wilson clopper-pearson */")
for r in rows:
    print("  {%s}," % ", ".join("%.17g" % v for v in r))
print("};")
print("static const double golden_beta[][4] = {   /* a b x I_x(a,b) */")
for aa, bb, x in [(.5, .5, .3), (2, 3, .1), (5, 1, .7), (100, 3, .95), (3000, 3001, .49), (.5, 300, .002), (12.5, .5, .99), (1e5, 2e5, .3334)]:
    print("  {%.17g, %.17g, %.17g, %.17g}," % (aa, bb, x, special.betainc(aa, bb, x)))
print("};")
print("static const double golden_t[][3] = {   /* p df quantile */")
for pp in (.975, .9, .6, .01, .0001):
    for df in (1, 2, 7.5, 99, 5999):
        print("  {%.17g, %.17g, %.17g}," % (pp, df, stats.t.ppf(pp, df)))
print("};")
arr("golden_normal", [stats.norm.ppf(v) for v in (.975, .5, .3, .01, 1e-8, .9999)])
arr("golden_mcnemar", [stats.binomtest(min(u, v), u + v).pvalue for u, v in ((3, 9), (10, 10), (0, 5), (40, 61))])
arr("golden_hypergeometric", [stats.hypergeom.pmf(0, 100, 4, d) for d in (30, 20)])
d = p - y * p * p
res = stats.ttest_1samp(d, 0)
ci = res.confidence_interval(.95)
arr("golden_t_test", [d.mean(), res.pvalue, ci.low, ci.high])

# DeLong by its definition (all pairs), for rows 0..120
pa, ya = p[:121], y[:121]
pb = (p[:121] * 3 + p[1:122]) / 4


def comps(s):
    pos, neg = s[ya == 1], s[ya == 0]
    psi = (pos[:, None] > neg[None]) + .5 * (pos[:, None] == neg[None])
    return psi.mean(), psi.mean(1), psi.mean(0)


A, B = comps(pa), comps(pb)
s10, s01 = np.cov(A[1], B[1]), np.cov(A[2], B[2])
S = s10 / len(A[1]) + s01 / len(A[2])
se = math.sqrt(S[0, 0] + S[1, 1] - 2 * S[0, 1])
arr("golden_delong", [A[0], B[0], S[0, 0], S[1, 1], S[0, 1], 2 * stats.norm.sf(abs(A[0] - B[0]) / se)])
# Bootstrap intervals: other random numbers, so the tests compare loosely
rng = np.random.default_rng(1)
mean = stats.bootstrap((d,), np.mean, n_resamples=20000, method="BCa", rng=rng).confidence_interval
auc = stats.bootstrap((p, y), lambda u, v: m.roc_auc_score(v, u), paired=True, vectorized=False, n_resamples=4000,
                      method="percentile", rng=rng).confidence_interval
ap = stats.bootstrap((p, y), lambda u, v: m.average_precision_score(v, u), paired=True, vectorized=False, n_resamples=4000,
                     method="BCa", rng=rng).confidence_interval
arr("golden_bootstrap", [mean.low, mean.high, auc.low, auc.high, ap.low, ap.high])   # BCa, percentile, BCa
