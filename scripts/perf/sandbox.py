"""Jobs per second of the sandbox, and the spread of one program's cost."""

from __future__ import annotations

from typing import Any

from scripts.perf.rounds import known, median_of
from scripts.perf.sandbox_jobs import (
    fresh_interpreters_per_second,
    jobs_per_second,
    spread_across_zygotes,
)
from scripts.perf.table import Line, Promise, finish

TITLE = "sandbox: empty jobs with every layer that this machine has"
JOBS = 2000
WANTED_PER_CORE = 150.0
"""300 jobs per second on two cores."""


def spread_lines(spread: dict[str, Any]) -> list[Line]:
    """Return the spread of CPU seconds and, where they can be counted, of instructions."""
    return [
        Line(f"spread of {name}, {where}", known(row[key]))
        for name, row in spread.items()
        if isinstance(row, dict)
        for where, key in (("within", "cv_within_ratio"), ("across", "cv_of_minima_between_ratio"))
    ]


def measure() -> list[Line]:
    """Return throughput with and without warm interpreters, and the spread."""
    warm = jobs_per_second(JOBS)
    cold = fresh_interpreters_per_second()
    return [
        Line(f"jobs in {warm['workers']} workers", median_of(warm["blocks"]), "1/s"),
        Line(
            "the same, the block that other work disturbed least",
            known(warm["best_jobs_per_s"], JOBS),
            "1/s",
            Promise(WANTED_PER_CORE * min(2, warm["workers"]), at_least=True),
        ),
        Line("CPU of a job, workers", known(1e3 * warm["worker_cpu_s_per_job"], JOBS), "ms"),
        Line("CPU of a job, harness", known(1e3 * warm["harness_cpu_s_per_job"], JOBS), "ms"),
        Line("jobs, each in a new interpreter", known(cold["jobs_per_s"], 20), "1/s"),
        *spread_lines(spread_across_zygotes()),
    ]


if __name__ == "__main__":
    finish(TITLE, measure())
