"""Measure how far the reference solutions of effmark's own problems lie apart.

    python scripts/problem_gaps.py [ID ...] [--write]

For each problem the naive, the good and the expert solution run on all cases of the largest
level. A case costs its cheapest run, a level its dearest case, as in eff@k. The unit is user
instructions where the kernel counts them, else CPU seconds. --write puts the table into GAPS.md.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import runpy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import yaml

from effmark.perf_events import CounterAbsent, open_counter

FOLDER = Path(__file__).resolve().parents[1] / "suites/effmark_suites/problems/effmark"
SET = yaml.safe_load((FOLDER / "set.yaml").read_text(encoding="utf-8"))
LARGEST_LEVEL = len(SET["hardness"]) - 1
REPEATS = {"naive": 1, "good": 5, "expert": 5}

Problem = dict[str, Any]
Clock = Callable[[], float]


def load(path: Path) -> Problem:
    """Return the names that a problem file defines, and its id."""
    return {**runpy.run_path(str(path)), "id": path.stem}


def cases(problem: Problem, level: int) -> list[str]:
    """Return the cases of a level, each as JSON text, so that every run gets a fresh copy."""
    rng = Random(f"{SET['seed']}/{problem['id']}/{level}")
    return [json.dumps(args, allow_nan=False) for args in problem["generate"](level, rng)]


@contextmanager
def best_clock() -> Iterator[tuple[str, Clock]]:
    """Give the unit and the reading of the best clock: user instructions, else CPU seconds."""
    counter = open_counter(enabled=True)
    if isinstance(counter, CounterAbsent):
        yield "CPU seconds", time.process_time
        return
    with counter:
        yield "user instructions", lambda: counter.read().value


def cost(problem: Problem, reference: str, level: int, clock: Clock) -> float:
    """Return what the reference costs at a level, in the clock's unit."""
    return max(
        min(_one_run(problem[reference], case, clock) for _ in range(REPEATS[reference]))
        for case in cases(problem, level)
    )


def _one_run(solution: Callable[..., Any], case: str, clock: Clock) -> float:
    args = json.loads(case)
    gc.collect()
    start = clock()
    solution(*args)
    return clock() - start


def table(problems: list[Problem], unit: str, clock: Clock) -> Iterator[str]:
    """Return the lines of the table, each as soon as it is measured."""
    scale, shown = (1e-6, "M instructions") if unit == "user instructions" else (1e3, "ms CPU")
    columns = f"naive, {shown} | good | expert | naive / expert | good / expert"
    yield f"| problem | technique | {columns} |"
    yield "|---|---|--:|--:|--:|--:|--:|"
    for problem in problems:
        # The fastest first: a cold cache is charged to nobody's smallest run.
        expert, good, naive = (
            cost(problem, name, LARGEST_LEVEL, clock) for name in ("expert", "good", "naive")
        )
        numbers = " | ".join(f"{scale * value:.1f}" for value in (naive, good, expert))
        ratios = f"{naive / expert:.0f} | {good / expert:.1f}"
        yield f"| `{problem['id']}` | {problem['TECHNIQUE']} | {numbers} | {ratios} |"


def cpu_name() -> str:
    """Return the name of the processor as the kernel gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def main() -> None:
    """Print the table, and write it where asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("ids", nargs="*", metavar="ID", help="problems; all if none is named")
    parser.add_argument("--write", action="store_true", help="write GAPS.md beside the problems")
    options = parser.parse_args()
    if options.ids and options.write:
        parser.error("--write needs the whole set: name no problems")
    known = {path.stem: path for path in sorted(FOLDER.glob("*.py"))}
    if unknown := [name for name in options.ids if name not in known]:
        parser.error(f"no problem named {unknown[0]!r}")
    problems = [load(known[name]) for name in options.ids or known]
    lines = []
    with best_clock() as (unit, clock):
        for line in table(problems, unit, clock):
            print(line, flush=True)
            lines.append(line)
    if options.write:
        busy = os.getloadavg()[2]
        head = (
            f"# Gaps between the reference solutions\n\n"
            f"Measured by `scripts/problem_gaps.py` in {unit} at level {LARGEST_LEVEL}, the "
            f"dearest of its cases,\nthe cheapest of {REPEATS['expert']} runs (naive: of "
            f"{REPEATS['naive']}). CPU: {cpu_name()}, {os.cpu_count()} cores, load average "
            f"{busy:.1f};\nCPython {platform.python_version()}; set version {SET['version']}.\n\n"
        )
        (FOLDER / "GAPS.md").write_text(head + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
