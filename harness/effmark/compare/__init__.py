"""Record against record: what is comparable, and what the verdict is."""

from effmark.compare.comparison import Comparison, compare_records, comparison_json
from effmark.compare.differences import Difference, comparable
from effmark.compare.noise import Calibration, Noise, calibrate
from effmark.compare.verdicts import MetricComparison, MetricMissing, Verdict

__all__ = [
    "Calibration",
    "Comparison",
    "Difference",
    "MetricComparison",
    "MetricMissing",
    "Noise",
    "Verdict",
    "calibrate",
    "comparable",
    "compare_records",
    "comparison_json",
]
