"""github-action-benchmark: `[{name, unit, value, range, extra}]`, one direction per file.

The action draws a chart per name and puts names into Markdown tables of its comments, so what
Markdown would act on is replaced. `range` is half the 95 % interval. Format: README and
`src/extract.ts` of benchmark-action/github-action-benchmark, `customSmallerIsBetter` and
`customBiggerIsBetter`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from effmark.exchange.entries import Choice, Entry, Outgoing, outgoing
from effmark.report.names import plain
from effmark.rows import Row

__all__ = ["github_benchmarks"]

_UNSAFE = str.maketrans({"`": "'", "|": "¦", "<": "(", ">": ")"})


def github_benchmarks(
    rows: Sequence[Row], choice: Choice, direction: Literal["lower", "higher"]
) -> tuple[str, Outgoing]:
    """Return the JSON text of all numbers of one direction."""
    found = outgoing(rows, choice)
    told = [_benchmark(e) for e in found.entries if e.metric.direction == direction]
    return json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n", found


def _benchmark(entry: Entry) -> dict[str, Any]:
    number = entry.number
    body: dict[str, Any] = {
        "name": f"{entry.title} · {entry.metric.name}".translate(_UNSAFE),
        "unit": number.unit,
        "value": number.value,
    }
    if number.low is not None and number.high is not None:
        body["range"] = f"± {(number.high - number.low) / 2:.6g}"
    return {**body, "extra": _extra(entry)}


def _extra(entry: Entry) -> str:
    number = entry.number
    lines = [f"{entry.metric.definition}", f"n: {number.n}, source: {number.source}"]
    if number.low is not None and number.high is not None:
        lines.append(f"95 % interval: {number.low:.6g} to {number.high:.6g} ({number.method})")
    lines += [f"machine: {plain(entry.machine)}"]
    lines += [f"marks: {', '.join(entry.remarks)}"] if entry.remarks else []
    return "\n".join(lines).translate(_UNSAFE)
