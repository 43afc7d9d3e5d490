"""What the page knows: rows as compact JSON, within a size that a phone can load.

Texts that repeat stand once in a pool. A page that would grow too large gives up first the curves
of cells, then the paired draws (ranks by quality get more ties), then whole rows; those that are
best by any headline metric stay, so that no rank on the page is better than it would be in full.
What was left out is counted on the page.
"""

from __future__ import annotations

import base64
import datetime
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from effmark.metrics import METRICS
from effmark.ranking import Contender
from effmark.record import Missing
from effmark.report.configurations import PROCESS_METRICS, is_shared, machines_of, suite_of
from effmark.report.page_cell import cell_detail, short
from effmark.report.standing import MARKS, contenders, family, marks, of_a_machine
from effmark.rows import Number, Row
from effmark.schema import content_hash

__all__ = ["PAGE_BYTES", "page_data", "page_facts", "row_id"]

PAGE_BYTES = 2_600_000
"""Bound on the data of a page; with script and style it stays below 3 MB."""
_ROW_SHARE = 0.85
"""Of that, what rows may take when there are too many for curves of all cells."""
_HEADLINES = (
    "tpot_s", "latency_s", "ttft_s", "energy_j_per_output_token", "energy_j_per_image",
    "peak_memory_b", "bits_per_byte", "accuracy", "kl_divergence", "information_capacity",
)  # fmt: skip
_PAIRED_KINDS = ("text", "tasks", "labels")
_DRAWS_B = 2500
"""What paired draws add to such a row, about."""
_PLACES_SHOWN = 20


class _Pool:
    """Values that are written once and named by their index."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.size_b = 0
        self._index: dict[str, int] = {}

    def put(self, value: Any) -> int:
        key = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        if key not in self._index:
            self._index[key] = len(self.values)
            self.values.append(value)
            self.size_b += _size(value)
        return self._index[key]


def page_data(rows: Sequence[Row], damage: Sequence[str] = ()) -> dict[str, Any]:
    """Return everything that the page shows."""
    texts, places = _Pool(), _Pool()
    pairs = _fitting(rows, texts, places)
    shown = [body for _, body in pairs]
    paired = _size(shown) + _size_of_draws(rows) <= PAGE_BYTES * _ROW_SHARE
    for row, body in pairs:
        _add_errors(row, body, texts, paired)
    spent = _size(shown) + texts.size_b + places.size_b
    without = _add_details(pairs, PAGE_BYTES - spent)
    told = {name for row in rows for name in row.metrics}
    return {
        "title": _title(rows),
        "version": _version(),
        "generated": datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"),
        "metrics": [_metric(name) for name in METRICS if name in told],
        "marks": MARKS,
        "texts": texts.values,
        "environments": places.values,
        "rows": shown,
        "records": sum(len(row.records) for row in rows),
        "left_out": {"rows": len(rows) - len(shown), "details": without, "draws": not paired},
        "damage": {"count": len(damage), "places": list(damage[:_PLACES_SHOWN])},
    }


def page_facts(rows: Sequence[Row]) -> list[str]:
    """Return what stands at the head of the page: what was measured where and when."""
    days = sorted({row.record.created[:10] for row in rows})
    environments = [e for row in rows if (e := row.record.environment) is not None]
    records_count = sum(len(row.records) for row in rows)
    facts = [
        _several([suite_of(row) for row in rows]),
        _several([e.device_class for e in environments]),
        _several([f"{e.system}, {e.python}" for e in environments]),
        f"measured {' to '.join(dict.fromkeys([days[0], days[-1]]))}" if days else "",
        f"{len(rows):,} cells" + (f" of {records_count:,} records" if rows else ""),
    ]
    return [fact for fact in facts if fact]


_SEVERAL = 3


def _several(values: Sequence[str]) -> str:
    different = sorted(set(values))
    more = len(different) - _SEVERAL
    return ", ".join(different[:_SEVERAL]) + (f" and {more} more" if more > 0 else "")


def _title(rows: Sequence[Row]) -> str:
    suites = sorted({row.record.suite.name for row in rows})
    return f"effmark · {', '.join(suites)}" if 0 < len(suites) < 4 else "effmark leaderboard"


def _version() -> str:
    try:
        return version("effmark")
    except PackageNotFoundError:
        return "unknown"


def _metric(name: str) -> dict[str, str | bool]:
    told = METRICS[name]
    return {
        "name": name,
        "label": told.label,
        "unit": told.unit,
        "direction": told.direction,
        "definition": told.definition,
        "family": family(name),
        "process": name in PROCESS_METRICS,
        "shared": is_shared(name),
        "machine": of_a_machine(name),
    }


def row_id(row: Row, machine: str) -> str:
    """Return the name of a row in links to the page: the same as long as cell and machine are."""
    return content_hash([row.record.cell.key, machine])[:16]


def _row(row: Row, machine: str, texts: _Pool, places: _Pool) -> dict[str, Any]:
    record, cell = row.record, row.record.cell
    model, adapter, precision, options, device = row.configuration
    environment = record.environment
    facts = record.facts
    body: dict[str, Any] = {
        "id": row_id(row, machine),
        "suite": texts.put(suite_of(row)),
        "machine": texts.put(machine),
        "model": texts.put(model),
        "model_id": cell.model.sha256[:8],
        "adapter": texts.put(adapter),
        "precision": texts.put(precision),
        "options": texts.put(options),
        "device": texts.put(device),
        "workload": texts.put(cell.workload.label),
        "kind": cell.workload.kind,
        "threads": cell.threads,
        "batch": getattr(cell.workload, "batch", 1),
        "base": record.is_baseline,
        "outcome": record.outcome,
        "marks": marks(row),
        "numbers": {name: _number(n) for name, n in row.metrics.items() if isinstance(n, Number)},
        "missing": {
            name: [n.reason, texts.put(n.detail)]
            for name, n in row.metrics.items()
            if isinstance(n, Missing)
        },
    }
    if record.detail:
        body["detail"] = texts.put(record.detail)
    if environment is not None:
        body["environment"] = places.put(environment.model_dump(mode="json", exclude_defaults=True))
    if record.advice:
        body["advice"] = [
            [a.severity, texts.put(a.code), texts.put(a.message), texts.put(a.remedy)]
            for a in record.advice
        ]
    if facts is not None:
        body["work"] = [facts.weights_b, facts.kv_bytes_per_token, facts.flops_per_unit,
                        getattr(cell.workload, "prompt_tokens", None),
                        getattr(cell.workload, "new_tokens", None)]  # fmt: skip
    return body


def _number(number: Number) -> list[Any]:
    """Return value, bounds, sample count and source."""
    bounds = (_short(number.value), _short(number.low), _short(number.high))
    return [*bounds, number.n, number.source]


def _size_of_draws(rows: Sequence[Row]) -> int:
    paired = (
        row.record.cell.workload.kind in _PAIRED_KINDS or row.record.interleaved for row in rows
    )
    return _DRAWS_B * sum(map(bool, paired))


def _add_errors(row: Row, body: dict[str, Any], texts: _Pool, paired: bool) -> None:
    """Add what ranking needs: the error where bounds do not tell it, and paired draws."""
    known = contenders(row)
    for name, told in known.items():
        number = row.number(name)
        if number is not None and number.low is None and told.error is not None:
            body["numbers"][name].append(short(told.error))
    draws = dict(_draws(known, texts)) if paired else {}
    if draws:
        body["draws"] = draws


def _short(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return None if value is None else short(value, 7)
    return "inf" if value > 0 else "-inf"


def _draws(known: Mapping[str, Contender], texts: _Pool) -> Iterator[tuple[str, list[Any]]]:
    """Yield paired draws as 16-bit steps between their extremes, with what they resampled."""
    for name, told in known.items():
        if told.draws:
            low, high = min(told.draws), max(told.draws)
            scale = 65535 / (high - low) if high > low else 0.0
            steps = b"".join(round((d - low) * scale).to_bytes(2, "little") for d in told.draws)
            yield name, [texts.put(told.items), low, high, base64.b64encode(steps).decode()]


def _size(value: Any) -> int:
    """Return the bytes of a value on the page, where `<`, `>` and `&` are written as six."""
    text = json.dumps(value, ensure_ascii=False)
    return len(text.encode()) + 5 * sum(map(text.count, "<>&"))


def _fitting(rows: Sequence[Row], texts: _Pool, places: _Pool) -> list[tuple[Row, dict[str, Any]]]:
    """Return the rows that the page holds, in their order, with what it shows of them."""
    machines = machines_of(rows)
    room = PAGE_BYTES * _ROW_SHARE
    chosen: dict[int, dict[str, Any]] = {}
    for index in _best_first(rows):
        body = _row(rows[index], machines[index], texts, places)
        room -= _size(body)
        if room < texts.size_b + places.size_b:
            break
        chosen[index] = body
    return [(rows[index], chosen[index]) for index in sorted(chosen)]


def _best_first(rows: Sequence[Row]) -> Iterator[int]:
    """Yield the best of every headline metric, then the second best of each, and so on."""
    orders = []
    for name in _HEADLINES:
        sign = 1 if METRICS[name].direction == "lower" else -1
        with_it = [(sign * n.value, i) for i, r in enumerate(rows) if (n := r.number(name))]
        orders.append([i for _, i in sorted(with_it)])
    seen: set[int] = set()
    for place in range(max(map(len, orders), default=0)):
        for order in orders:
            if place < len(order) and order[place] not in seen:
                seen.add(order[place])
                yield order[place]
    yield from (i for i in range(len(rows)) if i not in seen)


def _add_details(pairs: Sequence[tuple[Row, dict[str, Any]]], room: int) -> int:
    """Add curves and provenance while there is room; return how many cells go without."""
    without = 0
    for row, body in pairs:
        detail = cell_detail(row)
        size = _size(detail)
        if size > room:
            without += 1
            continue
        room -= size
        body["cell"] = detail
    return without
