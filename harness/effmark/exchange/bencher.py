"""Bencher Metric Format: `{benchmark: {measure: {value, lower_value, upper_value}}}`.

Measures have effmark's names, which carry the unit; Bencher's own `latency` would be nanoseconds.
Without an interval there are no bounds. Names hold at most 1,024 characters, measures 64.
Format: bencher.dev/docs/reference/bencher-metric-format.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from effmark.exchange.entries import Choice, Entry, Outgoing, outgoing
from effmark.rows import Row

__all__ = ["bencher_metrics"]

_MOST_NAME = 1024


def bencher_metrics(rows: Sequence[Row], choice: Choice) -> tuple[str, Outgoing]:
    """Return the JSON text of all numbers."""
    found = outgoing(rows, choice)
    told: dict[str, dict[str, dict[str, float]]] = {}
    for title, entries in found.by_cell().items():
        told[_short(title)] = {_measure(e): _values(e) for e in entries}
    return json.dumps(told, indent=1, ensure_ascii=False, allow_nan=False) + "\n", found


def _measure(entry: Entry) -> str:
    return f"{entry.metric.name} ({entry.mark})" if entry.mark else entry.metric.name


def _values(entry: Entry) -> dict[str, float]:
    number = entry.number
    bounds = {"lower_value": number.low, "upper_value": number.high}
    return {"value": number.value, **{k: v for k, v in bounds.items() if v is not None}}


def _short(title: str) -> str:
    return title if len(title) <= _MOST_NAME else f"{title[: _MOST_NAME - 1]}…"
