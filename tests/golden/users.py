#!/usr/bin/env python3
"""Golden heads for kooka.users from scikit-learn, and Firth's by a plain Newton in numpy.

    python3 tests/golden/users.py > tests/golden/users.lua       (numpy, scikit-learn)

The Lua test makes the same inputs from the same integer formulas.
"""
import numpy as np, sklearn
from sklearn.linear_model import LogisticRegression, Ridge

U, M, D, LAMBDA, LAMBDA0 = 3, 40, 6, 2.0, .5
N = U * M
i = np.arange(1, N + 1, dtype=np.int64)
user = (i - 1) // M
x = np.stack([((i * (7919 + 37 * j) + 104729 * j) % 1009) / 1009 * 2 - 1 for j in range(1, D + 1)], 1).astype(np.float32).astype(float)
noise = ((i * 6151 + 13) % 997) / 997 - .5
y = ((x[:, 0] * (1 + user) - x[:, 1] + noise * 2 - .6) > 0).astype(int)
offset = np.round(512 * (x[:, 2] - .25)) / 512

mean = x.mean(0)
scale = np.sqrt(((x - mean) ** 2).sum() / N)
z = (x - mean) / scale


def heads(fit):
    w, b = [], []
    for u in range(U):
        v, c = fit(z[user == u], y[user == u], offset[user == u])
        w.append(v / scale)
        b.append(c - (v / scale) @ mean[:len(v)])
    return np.array(w), np.array(b)


def with_constant(z):
    s = np.sqrt(LAMBDA / LAMBDA0)            # c = s times its weight: the penalty is lambda0/2 c^2
    return np.hstack([z, np.full((len(z), 1), s)]), s


def logistic(z, y, o):
    a, s = with_constant(z)
    m = LogisticRegression(C=1 / LAMBDA, fit_intercept=False, tol=1e-12, max_iter=100000, solver="newton-cholesky").fit(a, y)
    return m.coef_[0, :-1], s * m.coef_[0, -1]


def ridge(z, y, o):                          # one Newton step from p = 1/2: weights 1/4, targets +-2
    a, s = with_constant(z)
    m = Ridge(alpha=4 * LAMBDA, fit_intercept=False, solver="cholesky").fit(a, 4 * y - 2)
    return m.coef_[:-1], s * m.coef_[-1]


def firth(z, y, o):                          # Firth (1993), the first two features and an offset
    a = np.hstack([z[:, :2], np.ones((len(z), 1))])
    beta = np.zeros(3)
    for _ in range(500):
        p = 1 / (1 + np.exp(-(o + a @ beta)))
        W = p * (1 - p)
        info = np.linalg.inv(a.T @ (a * W[:, None]))
        h = W * np.einsum("ij,jk,ik->i", a, info, a)
        step = info @ (a.T @ (y - p + h * (.5 - p)))
        beta += step * min(1, 1 / np.abs(step).max())
        if np.abs(step).max() < 1e-13:
            break
    return beta[:2], beta[2]


def flic(z, y, o):
    v, c = firth(z, y, o)
    for _ in range(200):
        p = 1 / (1 + np.exp(-(o + z[:, :2] @ v + c)))
        c += (y - p).sum() / (p * (1 - p)).sum()
    return v, c


def out(name, w, b):
    print("  %s = {\n    w = { %s },\n    b = { %s },\n  }," % (
        name, ", ".join("{ %s }" % ", ".join("%.9g" % v for v in r) for r in w), ", ".join("%.9g" % v for v in b)))


print("-- Made by tests/golden/users.py: numpy %s, scikit-learn %s." % (np.__version__, sklearn.__version__))
print("return {\n  persons = %d, rows = %d, features = %d, lambda = %g, lambda0 = %g, positives = %d," % (U, M, D, LAMBDA, LAMBDA0, y.sum()))
for name, f in [("logistic", logistic), ("ridge", ridge), ("firth", firth), ("flic", flic)]:
    out(name, *heads(f))
print("}")
