"""pytest-benchmark JSON, written: a benchmark per timed cell, every other number in `extra_info`.

The samples are per unit (per token, per call), as the metric says that stands in `group`;
statistics follow pytest-benchmark's own definitions (its quartiles, its outliers), so that its
compare command and every dashboard on top of it read the file as their own. A cell with one sample
has no deviation, which that format cannot say: it stays at home, counted.
"""

from __future__ import annotations

import bisect
import json
import math
from collections import Counter
from collections.abc import Sequence
from statistics import mean, median, stdev
from typing import Any

from effmark.exchange.entries import Choice, Entry, Outgoing, outgoing
from effmark.record import Environment, Record
from effmark.report.names import plain
from effmark.rows import Row
from effmark.samples import Samples, metric_samples

__all__ = ["TIMES", "benchmark_document", "statistics"]

TIMES = ("latency_s", "tpot_s", "ttft_s", "e2e_latency_s")
"""Which time stands for a cell: the first that it has."""
_FORMAT = "effmark-1"


def benchmark_document(rows: Sequence[Row], choice: Choice) -> tuple[str, Outgoing]:
    """Return the JSON text of all timed cells; the machine is that of the first."""
    found = outgoing(rows, choice)
    left_out = Counter(found.left_out)
    benchmarks, records = [], []
    for title, entries in found.by_cell().items():
        told = _benchmark(title, entries)
        if told is None:
            left_out["no two time samples"] += 1
        else:
            benchmarks.append(told)
            records.append(entries[0].row.record)
    body = {
        "machine_info": _machine(records),
        "commit_info": _commit(records),
        "benchmarks": benchmarks,
        "datetime": max((r.created for r in records), default=""),
        "version": _FORMAT,
    }
    text = json.dumps(body, indent=4, ensure_ascii=False, allow_nan=False)
    return f"{text}\n", Outgoing(found.entries, left_out)


def _benchmark(title: str, entries: Sequence[Entry]) -> dict[str, Any] | None:
    row = entries[0].row
    samples = metric_samples(row.record)
    for name in TIMES:
        own = samples.get(name)
        if isinstance(own, Samples) and len(own.values) > 1:
            return {
                "group": f"{row.record.cell.workload.label} · {name}",
                "name": title,
                "fullname": f"effmark::{title}",
                "params": _params(row),
                "param": None,
                "extra_info": _extra(entries),
                "options": {"disable_gc": False, "timer": "perf_counter", "min_rounds": 1,
                            "max_time": 0.0, "min_time": 0.0, "warmup": True},
                "stats": statistics(list(own.per_sample)),
            }  # fmt: skip
    return None


def _params(row: Row) -> dict[str, str]:
    names = ("model", "adapter", "precision", "options", "device")
    return {n: plain(v) for n, v in zip(names, row.configuration, strict=True) if v}


def _extra(entries: Sequence[Entry]) -> dict[str, Any]:
    """Return the numbers by name, with unit and bounds, and the marks."""
    told: dict[str, Any] = {"effmark_record": plain(entries[0].row.record.id)}
    for entry in entries:
        number = entry.number
        bounds = {"low": number.low, "high": number.high}
        told[entry.metric.name] = {
            "value": number.value, "unit": number.unit, "source": number.source,
            **{name: value for name, value in bounds.items() if value is not None},
        }  # fmt: skip
    marks = list(dict.fromkeys(m for e in entries for m in e.remarks))
    return {**told, **({"effmark_marks": marks} if marks else {})}


def statistics(samples: Sequence[float]) -> dict[str, Any]:
    """Return the `stats` of two or more samples in seconds, as pytest-benchmark computes them."""
    data = sorted(samples)
    q1, q3 = _quartiles(data)
    iqr, centre, deviation = q3 - q1, mean(data), stdev(data)
    low, high = q1 - 1.5 * iqr, q3 + 1.5 * iqr
    far = sum(abs(v - centre) > deviation for v in data)
    outside = sum(v < low or v > high for v in data)
    total = math.fsum(data)
    return {
        "min": data[0], "max": data[-1], "mean": centre, "stddev": deviation, "rounds": len(data),
        "median": median(data), "iqr": iqr, "q1": q1, "q3": q3, "iqr_outliers": outside,
        "stddev_outliers": far, "outliers": f"{far};{outside}",
        "ld15iqr": data[bisect.bisect_left(data, low)],
        "hd15iqr": data[bisect.bisect_right(data, high) - 1],
        "ops": len(data) / total, "total": total, "data": list(samples), "iterations": 1,
    }  # fmt: skip


def _quartiles(data: Sequence[float]) -> tuple[float, float]:
    """Return both quartiles: medians of the halves, between neighbours for odd numbers."""
    n, rest = divmod(len(data), 4)
    if rest % 2 == 0:
        half = len(data) // 2
        return median(data[:half]), median(data[half:])
    if rest == 1:
        return (0.25 * data[n - 1] + 0.75 * data[n], 0.75 * data[3 * n] + 0.25 * data[3 * n + 1])
    return (0.75 * data[n] + 0.25 * data[n + 1], 0.25 * data[3 * n + 1] + 0.75 * data[3 * n + 2])


def _machine(records: Sequence[Record]) -> dict[str, Any]:
    known: list[Environment] = [r.environment for r in records if r.environment is not None]
    if not known:
        return {}
    here = known[0]
    return {
        "node": here.host, "system": here.system, "python_version": here.python,
        "cpu": {"brand_raw": here.cpu, "count": here.cores_count},
        "accelerators": list(here.accelerators),
    }  # fmt: skip


def _commit(records: Sequence[Record]) -> dict[str, Any]:
    known = [r.environment for r in records if r.environment is not None]
    revision = known[0].git_revision if known else None
    return {
        "id": revision or "unversioned", "time": None, "author_time": None,
        "dirty": bool(known[0].git_dirty) if known else False, "project": "effmark",
        "branch": "(unknown)",
    }  # fmt: skip
