"""How fast and how evenly the sandbox runs jobs on this machine, as JSON.

    python scripts/perf/sandbox_jobs.py [--jobs 600] [--workers 2]

Throughput is that of empty jobs with every layer that the machine has: the median of blocks, and
the best block, which other work on the machine disturbed least. The spread is that of one
program's cost between zygotes, which is what limits a comparison across restarts: in user
instructions where they can be counted, in CPU seconds always.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from statistics import mean, median, pstdev
from typing import Any

from effmark.perf_events import CounterAbsent
from effmark.sandbox import Job, JobResult, Sandbox
from effmark.sandbox.levels import choose_plan
from effmark.sandbox.worker import Worker, run_blocking

BLOCK = 50
"""Jobs of which one rate is taken: short enough to fall between other work on the machine."""
PROGRAM = """
words = {}
for i in range(20_000):
    words[f"word {i}"] = i
things = {object() for _ in range(30_000)}
total = sum(i * i for i in range(100_000))
"""


def jobs_per_second(jobs: int = 600, workers: int | None = None) -> dict[str, Any]:
    """Return how many empty jobs per second run with every layer, and what one costs."""
    with Sandbox(workers) as sandbox:
        sandbox.map([Job("")] * 20)
        harness_before_s, workers_before_s = time.process_time(), _workers_cpu_s()
        rates = [_rate(sandbox, BLOCK) for _ in range(max(1, jobs // BLOCK))]
        jobs = BLOCK * len(rates)
        harness_s = time.process_time() - harness_before_s
        workers_s = _workers_cpu_s() - workers_before_s
        return {
            "jobs_per_s": median(rates),
            "best_jobs_per_s": max(rates),
            "blocks": rates,
            "workers": sandbox.workers,
            "level": sandbox.level,
            "layers": sandbox.layers,
            "harness_cpu_s_per_job": harness_s / jobs,
            "worker_cpu_s_per_job": workers_s / jobs,
            "load_before": os.getloadavg()[0],
        }


def _rate(sandbox: Sandbox, jobs: int) -> float:
    started_s = time.perf_counter()
    results = sandbox.map([Job("")] * jobs)
    elapsed_s = time.perf_counter() - started_s
    assert all(result.status == "ok" for result in results)
    return jobs / elapsed_s


def _workers_cpu_s() -> float:
    """Return the CPU seconds of all processes below this one and of their ended children."""
    parents, ticks = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
        ticks[int(folder.name)] = sum(int(field) for field in fields[11:15])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    below = found - {os.getpid()}
    return sum(ticks[pid] for pid in below) / os.sysconf("SC_CLK_TCK")


def fresh_interpreters_per_second(runs: int = 20) -> dict[str, Any]:
    """Return how many jobs per second run if each gets a new room and a new interpreter."""
    plan = choose_plan(None, allow_weak=False)
    worker = Worker(0, None, plan)
    started_s = time.perf_counter()
    for _ in range(runs):
        worker.start()
        worker.await_hello()
        run_blocking(worker, Job(""))
        worker.stop()
    elapsed_s = time.perf_counter() - started_s
    worker.close()
    return {"jobs_per_s": runs / elapsed_s}


def spread_across_zygotes(zygotes: int = 6, repeats: int = 10) -> dict[str, Any]:
    """Return the relative spread of one program's cost within zygotes and between them."""
    per_zygote: list[list[JobResult]] = []
    for _ in range(zygotes):
        with Sandbox(1) as sandbox:
            per_zygote.append(sandbox.run_together([Job(PROGRAM)] * repeats))
    cpu_s = [[result.cpu_s for result in results] for results in per_zygote]
    spread: dict[str, Any] = {"cpu_s": _spread(cpu_s)}
    counts = [[result.user_instructions for result in results] for results in per_zygote]
    known = [[c for c in row if not isinstance(c, CounterAbsent)] for row in counts]
    absent = next((c for row in counts for c in row if isinstance(c, CounterAbsent)), None)
    spread["user_instructions"] = absent.detail if absent else _spread(known)
    return spread


def _spread(values: list[list[float]] | list[list[int]]) -> dict[str, float]:
    best = [min(row) for row in values]
    within = mean(pstdev(row) / mean(row) for row in values)
    return {
        "mean": mean(mean(row) for row in values),
        "cv_within_ratio": within,
        "cv_of_minima_between_ratio": pstdev(best) / mean(best),
    }


def main() -> None:
    """Print all measurements."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--jobs", type=int, default=600)
    parser.add_argument("--workers", type=int, default=None)
    chosen = parser.parse_args()
    found = {
        "throughput": jobs_per_second(chosen.jobs, chosen.workers),
        "fresh_interpreters": fresh_interpreters_per_second(),
        "spread": spread_across_zygotes(),
    }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
