#!/usr/bin/env python3
"""Golden numbers for kooka.eval.seeds: analysis of variance by numpy, tails by scipy.

    python3 tests/golden/seeds.py > tests/golden/seeds.lua       (numpy, scipy)
"""
import numpy as np, scipy
from scipy import stats, integrate

x = np.array([
    [0.8137968182563782, 0.821647584438324, 0.8287292718887329, 0.8156929016113281, 0.8166621923446655],
    [0.8172338008880615, 0.824907124042511, 0.8287075757980347, 0.8173677325248718, 0.8189268708229065],
    [0.8199681639671326, 0.8273137211799622, 0.83146071434021, 0.8199129700660706, 0.8167427182197571]])
k, f = x.shape
g, s, c = x.mean(), x.mean(1), x.mean(0)
ss_s, ss_f = f * ((s - g) ** 2).sum(), k * ((c - g) ** 2).sum()
rest = ((x - s[:, None] - c[None] + g) ** 2).sum()
ms = rest / ((k - 1) * (f - 1))
F = ss_s / (k - 1) / ms
one = stats.f_oneway(*x)


def expected_max(n):
    return integrate.quad(lambda z: z * n * stats.norm.pdf(z) * stats.norm.cdf(z) ** (n - 1), -12, 12, epsabs=1e-12, limit=400)[0]


print("-- seeds.lua: made by tests/golden/seeds.py: numpy %s, scipy %s. Do not edit." % (np.__version__, scipy.__version__))
print("return { f = %.17g, p = %.17g, fold_f = %.17g, inside = %.17g, one_way_f = %.17g, one_way_p = %.17g," % (
    F, stats.f.sf(F, k - 1, (k - 1) * (f - 1)), ss_f / (f - 1) / ms, np.sqrt(x.var(0, ddof=1).mean()), one.statistic, one.pvalue))
print("  expected_max = {%s} }" % ", ".join("[%d] = %.15g" % (n, expected_max(n)) for n in (2, 3, 5, 10, 20, 100)))
