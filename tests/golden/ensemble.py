#!/usr/bin/env python3
"""Golden numbers for kooka.eval.threshold and kooka.ensemble from scikit-learn and scipy.

    python3 tests/golden/ensemble.py > tests/golden/ensemble.lua       (numpy, scipy, scikit-learn)

The Lua test makes the same inputs from the same integer formulas.
"""
import numpy as np, scipy, sklearn
from scipy import optimize
from sklearn import metrics as m
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import PredefinedSplit, cross_val_predict

N = 240
i = np.arange(1, N + 1, dtype=np.int64)
h = (i * 7919 + 104729) * 31 % 1009
y = (h % 97 < 38).astype(int)


def member(a, b, strength):
    """probabilities in steps of 1/512, strictly inside 0..1"""
    r = (i * a + h * b) % 503
    return np.clip(np.round(512 * (0.15 + strength * y + (0.85 - strength) * r / 503 * 0.8)), 4, 508) / 512


P = np.stack([member(131, 17, .25), member(277, 5, .15), member(61, 29, .05)], 1)
X = np.log(P / (1 - P))
folds = (i * 13 + h) % 4


def best(metric, p, yy):
    u = np.unique(p)
    cuts = np.concatenate([[0], (u[1:] + u[:-1]) / 2, [1]])
    v = [metric(yy, p > c) for c in cuts]
    return max(v)


def lua(v):
    return "{" + ", ".join("%.15g" % x for x in np.ravel(v)) + "}"


print("-- ensemble.lua: made by tests/golden/ensemble.py: numpy %s, scipy %s, scikit-learn %s. Do not edit."
      % (np.__version__, scipy.__version__, sklearn.__version__))
print("return {")
print("  positives = %d, prob_sum = %s, fold_sum = %d," % (y.sum(), lua(P.sum(0)), folds.sum()))
for name, f in [("f1", m.f1_score), ("f1_macro", lambda a, b: m.f1_score(a, b, average="macro")), ("mcc", m.matthews_corrcoef),
                ("balanced_accuracy", m.balanced_accuracy_score), ("accuracy", m.accuracy_score),
                ("f2", lambda a, b: m.fbeta_score(a, b, beta=2)), ("cost", lambda a, b: -((b & (a == 0)).sum() + 5 * (~b & (a == 1)).sum()))]:
    print("  best_%s = %.15g," % (name, best(f, P[:, 0], y)))
for c in (1.0, 0.01):
    lr = LogisticRegression(C=c, tol=1e-12, max_iter=10000, solver="lbfgs").fit(X, y)
    print("  weights_%s = %s," % ("c1" if c == 1 else "c001", lua(np.concatenate([lr.coef_[0], lr.intercept_]))))
lr = LogisticRegression(C=1.0, tol=1e-12, max_iter=10000)
oof = cross_val_predict(lr, X, y, cv=PredefinedSplit(folds), method="predict_proba")[:, 1]
print("  oof = %s," % lua(oof[:40]))
print("  oof_log_loss = %.15g," % m.log_loss(y, oof))
Z = np.column_stack([X[:, 0], -X[:, 1], X[:, 2]])      # one member turned round: its weight would be negative


def loss(w):
    z = Z @ w[:3] + w[3]
    return (np.logaddexp(0, z) - y * z).sum() + .5 * (w[:3] ** 2).sum()


r = optimize.minimize(loss, np.array([.3, .3, .3, 0]), method="L-BFGS-B", bounds=[(0, None)] * 3 + [(None, None)],
                      options=dict(ftol=1e-15, gtol=1e-10, maxiter=10000))
print("  nonnegative = %s," % lua(r.x))
# three classes: multinomial logit on log-probabilities with one weight a member and a bias a class
q = np.stack([np.stack([1 + (i * a) % 7, 1 + (i * b + h) % 5, 1 + (h * c) % 9], 1) for a, b, c in ((3, 5, 7), (11, 2, 4))], 1).astype(float)
k = (h % 11 % 3)
for j in range(2):
    q[np.arange(N), j, k] += 3 + 2 * j
q /= q.sum(2, keepdims=True)


def loss3(w):
    z = np.einsum("nmc,m->nc", np.log(q), w[:2]) + np.array([0, w[2], w[3]])
    return (scipy.special.logsumexp(z, 1) - z[np.arange(N), k]).sum() + .5 * (w[:2] ** 2).sum()


r = optimize.minimize(loss3, np.zeros(4), method="BFGS", options=dict(gtol=1e-9, maxiter=10000))
print("  three = %s, three_loss = %.15g, three_sum = %s," % (lua(r.x), r.fun, lua(q.sum((0, 1)))))
print("}")
