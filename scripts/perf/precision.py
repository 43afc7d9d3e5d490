"""Samples that the sequential rule needs, and the statistics of a million samples."""

from __future__ import annotations

from scripts.perf.intervals import LIMIT_B, LIMIT_S, ROUNDS, of_a_million, on_recorded_noise
from scripts.perf.rounds import known
from scripts.perf.table import Line, Promise, finish

TITLE = "precision: a +-2 % interval on recorded noise; all intervals of a million samples"


def measure() -> list[Line]:
    """Return samples, coverage, seconds and bytes."""
    million = of_a_million()  # first: the peak memory of a process never falls
    lines = [
        Line("a million samples, all intervals", known(million["total_s"]), "s", Promise(LIMIT_S)),
        Line("  peak memory", known(million["peak_b"] / 1e6), "MB", Promise(LIMIT_B / 1e6)),
    ]
    for name, row in on_recorded_noise().items():
        lines += [
            Line(f"{name}: blocks, fixed {row['fixed_blocks']}", known(row["rule_blocks"], ROUNDS)),
            Line("  coverage by the rule", known(row["rule_coverage_ratio"], ROUNDS)),
            Line("  coverage by the fixed number", known(row["fixed_coverage_ratio"], ROUNDS)),
        ]
    return lines


if __name__ == "__main__":
    finish(TITLE, measure())
