"""Ranks that admit what they do not know, and the probability of being on the Pareto front.

Two rows share a rank unless their difference is clear: |a - b| > c x (standard error of a - b). The
error is that of *paired* bootstrap draws where both answered the same items or took turns block by
block (the same resampled items for both, so that what is hard for both cancels), and of independent
measurements otherwise.
c is the normal quantile at 5 % divided by the number of pairs (Bonferroni), so that with 95 %
confidence *every* order that a table shows is right; ten equal rows are not spread out by chance.
From those pairs: rank = 1 + rows clearly better, up to n - rows clearly worse (the confidence set
of Mogstad, Romano, Shaikh and Wilhelm, Review of Economic Studies 91(1), 2024).

The page computes the same in the browser, where filters change who is ranked.
"""

from effmark.ranking.contender import Contender, sampling_error
from effmark.ranking.draws import DRAWS, paired_draws
from effmark.ranking.front import front_probability
from effmark.ranking.places import Rank, ranks

__all__ = [
    "DRAWS",
    "Contender",
    "Rank",
    "front_probability",
    "paired_draws",
    "ranks",
    "sampling_error",
]
