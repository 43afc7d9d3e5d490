"""Speed and memory of the statistics, and the samples that a stopping rule saves.

    python scripts/perf/intervals.py [--json]

Two tables: all intervals of one million samples (time, peak memory above the samples), and blocks
to a +-2 % interval on recorded noise, by the sequential rule against a fixed 100 runs.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median
from typing import Any

from effmark.spec import Precision
from effmark.stats import (
    bootstrap_interval,
    mean_interval,
    median_interval,
    percentile_interval,
    proportion_interval,
    ratio_interval,
)
from effmark.stopping import SequentialRule

SAMPLES = 1_000_000
LIMIT_S, LIMIT_B = 2.0, 500e6
FIXED_BLOCKS = 100
ROUNDS = 200
CHUNK = 5
"""Blocks that stay together when a trace is resampled, so that neighbours stay alike."""
MOST_BLOCKS = 2000
NOISE = Path(__file__).parents[2] / "tests" / "data" / "noise"


def intervals(samples: list[float], weights: list[float]) -> dict[str, Callable[[], Any]]:
    """Return every interval that a record of so many samples is asked for."""
    return {
        "median": lambda: median_interval(samples),
        "p90 p95 p99 p99.9": lambda: [
            percentile_interval(samples, q) for q in (0.9, 0.95, 0.99, 0.999)
        ],
        "mean": lambda: mean_interval(samples),
        "ratio of sums": lambda: ratio_interval(samples, weights),
        "bootstrap of block means": lambda: bootstrap_interval(samples),
        "share": lambda: proportion_interval(900_000, len(samples)),
    }


def of_a_million() -> dict[str, Any]:
    """Return seconds per interval, their sum, and the peak memory in bytes above the samples."""
    source = random.Random(1)
    samples = [source.lognormvariate(0, 0.2) for _ in range(SAMPLES)]
    weights = [1.0] * SAMPLES
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    times: dict[str, float] = {}
    for name, interval in intervals(samples, weights).items():
        start = time.perf_counter()
        interval()
        times[name] = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    total = sum(times.values())
    return {
        "each_s": times,
        "total_s": total,
        "above_samples_b": peak - before,
        "peak_b": peak,
        "met": total < LIMIT_S and peak < LIMIT_B,
    }


def _coverage(series: list[float], truth: float, target: float) -> dict[str, float]:
    """Return blocks used and coverage of the rule and of fixed runs, on resampled chunks."""
    source = random.Random(1)
    blocks, hits, fixed_hits = [], 0, 0
    for _ in range(ROUNDS):
        starts = [source.randrange(len(series) - CHUNK) for _ in range(MOST_BLOCKS // CHUNK)]
        ring = [value for start in starts for value in series[start : start + CHUNK]]
        rule = SequentialRule(Precision(rel_half_width=target), max_blocks=MOST_BLOCKS)
        for value in ring:
            rule.add(value, 0.0)
            if rule.verdict() is not None:
                break
        blocks.append(len(rule.values))
        for values, is_fixed in ((rule.values, False), (ring[:FIXED_BLOCKS], True)):
            found = median_interval(values, serial=True)
            covered = (
                found.low is not None
                and found.high is not None
                and found.low <= truth <= found.high
            )
            hits += covered and not is_fixed
            fixed_hits += covered and is_fixed
    return {
        "rule_blocks": median(blocks),
        "fixed_blocks": FIXED_BLOCKS,
        "saved_ratio": 1 - fmean(blocks) / FIXED_BLOCKS,
        "rule_coverage_ratio": hits / ROUNDS,
        "fixed_coverage_ratio": fixed_hits / ROUNDS,
    }


def on_recorded_noise(target: float = 0.02) -> dict[str, dict[str, float]]:
    """Return what a +-2 % interval costs on each recorded trace.

    Levels of processes are taken out: a rule inside one process cannot see them. What remains is
    the noise between blocks, with its outliers and its dependence.
    """
    found = {}
    for path in sorted(NOISE.glob("*.json")):
        processes = json.loads(path.read_text(encoding="utf-8"))["processes"]
        series = [t / median(times) for times in processes for t in times]
        found[path.stem] = _coverage(series, median(series), target)
    return found


def main() -> None:
    """Print both tables, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = {"million": of_a_million(), "stopping": on_recorded_noise()}
    if options.json:
        json.dump(result, sys.stdout, indent=1)
        return
    million = result["million"]
    for name, seconds in million["each_s"].items():
        print(f"{name:26} {seconds:7.3f} s")
    print(
        f"{'all, one million samples':26} {million['total_s']:7.3f} s (limit {LIMIT_S:g} s), peak "
        f"{million['peak_b'] / 1e6:.0f} MB (limit {LIMIT_B / 1e6:.0f} MB)"
    )
    for name, row in result["stopping"].items():
        print(
            f"±2 % on {name:12} {row['rule_blocks']:6.0f} blocks, covered "
            f"{100 * row['rule_coverage_ratio']:.1f} %; fixed {row['fixed_blocks']:.0f}: "
            f"{100 * row['fixed_coverage_ratio']:.1f} %"
        )


if __name__ == "__main__":
    main()
