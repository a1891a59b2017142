#!/usr/bin/env python3
"""Golden values for analysis/statistics: what SciPy makes of the same numbers.

    statistics.py > statistics.json        (needs Debian's python3-scipy)

SciPy's exact Wilcoxon test knows no ties; with ties the p-value is counted here over all 2^n signs.
"""
import itertools
import json
import math

import numpy as np
from scipy import special, stats


def wilcoxon(differences):
    d = np.array([x for x in differences if x != 0])
    ranks = stats.rankdata(np.abs(d))
    positive = ranks[d > 0].sum()
    out = {"w": positive, "rank_biserial": (2 * positive - ranks.sum()) / ranks.sum()}
    if len(d) > 50:
        out["p_wilcoxon"] = stats.wilcoxon(differences, mode="approx", correction=True, zero_method="wilcox").pvalue
    elif len(set(np.abs(d))) == len(d):
        out["p_wilcoxon"] = stats.wilcoxon(d, mode="exact").pvalue
    else:
        smaller = min(positive, ranks.sum() - positive)
        sums = [np.dot(signs, ranks) for signs in itertools.product((0, 1), repeat=len(d))]
        out["p_wilcoxon"] = min(1.0, 2 * sum(s <= smaller + 1e-9 for s in sums) / len(sums))
    return out


def paired(differences, margin):
    d = np.array(differences)
    n = len(d)
    test = stats.ttest_1samp(d, 0)
    low, high = stats.t.interval(0.95, n - 1, d.mean(), stats.sem(d))
    df = n - 1
    out = {"differences": differences, "margin": margin, "mean": d.mean(), "sd": d.std(ddof=1),
           "ci_low": low, "ci_high": high, "t": test.statistic, "p_t": test.pvalue,
           "cohens_dz": d.mean() / d.std(ddof=1),
           "p_non_inferiority": stats.ttest_1samp(d, -margin, alternative="greater").pvalue}
    if n >= 3:
        factor = math.exp(special.gammaln(df / 2) - special.gammaln((df - 1) / 2)) / math.sqrt(df / 2)
        out["hedges_gz"] = out["cohens_dz"] * factor
    out.update(wilcoxon(differences))
    return out


def holm(p):
    order = np.argsort(p, kind="stable")
    adjusted, largest = [0.0] * len(p), 0.0
    for k, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - k) * p[i]))
        adjusted[i] = largest
    return {"p": p, "adjusted": adjusted}


def welch(a, b):
    va, vb = np.var(a, ddof=1) / len(a), np.var(b, ddof=1) / len(b)
    df = (va + vb) ** 2 / (va ** 2 / (len(a) - 1) + vb ** 2 / (len(b) - 1))
    half = stats.t.ppf(0.975, df) * math.sqrt(va + vb)
    # The p-value of SciPy's own Welch test is 0.05 exactly where the interval touches zero.
    shifted = np.array(a) - (np.mean(a) - np.mean(b) - half)
    assert abs(stats.ttest_ind(shifted, b, equal_var=False).pvalue - 0.05) < 1e-9
    apart = np.mean(a) - np.mean(b)
    return {"a": a, "b": b, "low": apart - half, "high": apart + half}


def main():
    generator = np.random.default_rng(20261125)
    cases = [
        paired([-0.012, -0.004, -0.009], 0.02),
        paired([-0.03, 0.01], 0.05),
        paired([-0.0125, -0.0125, 0.005, 0.0, -0.02, 0.0125, -0.0075], 0.05),  # ties, a zero
        paired([0.001, 0.002, -0.003, 0.004, -0.005, 0.006, 0.007, -0.008, 0.009], 0.02),
        paired([1e6 + 1, 1e6 + 2, 1e6 + 4], 1.0),
        paired(generator.normal(-0.01, 0.02, 25).tolist(), 0.02),
        paired(generator.normal(0.0, 1.0, 50).tolist(), 0.5),
        paired(np.round(generator.normal(-0.5, 2.0, 80), 1).tolist(), 1.0),  # ties, zeros: approximation
    ]
    families = [holm([0.01, 0.04, 0.03, 0.005]), holm([0.5]), holm([0.9, 0.8, 0.7]), holm([0.02, 0.02, 0.001])]
    welches = [welch([0.1, 0.3, 0.2], [0.25, 0.24]), welch(generator.normal(0, 1, 9).tolist(), generator.normal(0.4, 3, 5).tolist())]
    print(json.dumps({"paired": cases, "holm": families, "welch": welches}, default=float))


main()
