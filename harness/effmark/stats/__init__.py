"""Medians, intervals, tests: pure functions of samples, in pure Python.

Nothing here reads a clock, a file or a random device; equal samples give equal results. Bad input
(NaN, no samples) raises ValueError; what cannot be known is None with its reason or `TooFew`.
"""

from effmark.stats.bootstrap import (
    block_bootstrap_interval,
    bootstrap_interval,
    hierarchical_interval,
)
from effmark.stats.dependence import effective_n
from effmark.stats.estimate import Estimate, TooFew
from effmark.stats.means import mean_interval, proportion_interval
from effmark.stats.quantiles import median_interval, needed_samples, percentile_interval
from effmark.stats.ratios import (
    paired_ratio_interval,
    ratio_interval,
    ratio_of_medians_interval,
)

__all__ = [
    "Estimate",
    "TooFew",
    "block_bootstrap_interval",
    "bootstrap_interval",
    "effective_n",
    "hierarchical_interval",
    "mean_interval",
    "median_interval",
    "needed_samples",
    "paired_ratio_interval",
    "percentile_interval",
    "proportion_interval",
    "ratio_interval",
    "ratio_of_medians_interval",
]
