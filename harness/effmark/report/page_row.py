"""One row as the page holds it: compact JSON whose repeated texts are named by an index."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from effmark.ranking import Contender
from effmark.record import Missing
from effmark.report.configurations import suite_of
from effmark.report.names import plain
from effmark.report.page_cell import short
from effmark.report.standing import contenders, marks
from effmark.rows import Number, Row
from effmark.schema import content_hash

__all__ = ["Pool", "add_errors", "plain_name", "row_body", "row_id"]

_DIGITS = 7
_DIGITS_OF_BOUNDS = 5
_NARROW = 1e-3
"""Below that relative width the fifth digit of a bound would be a percent of it."""
_LONGEST_NAME = 2000


class Pool:
    """Values that are written once and named by their index."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._index: dict[str, int] = {}

    def put(self, value: Any) -> int:
        """Return the index of a value."""
        key = value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        if key not in self._index:
            self._index[key] = len(self.values)
            self.values.append(value)
        return self._index[key]


def row_id(row: Row, machine: str) -> str:
    """Return the name of a row in links to the page: the same as long as cell and machine are."""
    return content_hash([row.record.cell.key, machine])[:16]


def row_body(row: Row, machine: str, texts: Pool, places: Pool) -> dict[str, Any]:
    """Return what the page holds of a row, without draws and curves."""
    record, cell = row.record, row.record.cell
    model, adapter, precision, options, device = row.configuration
    environment = record.environment
    facts = record.facts
    body: dict[str, Any] = {
        "id": row_id(row, machine),
        "suite": texts.put(plain_name(suite_of(row))),
        "machine": texts.put(plain_name(machine)),
        "model": texts.put(plain_name(model)),
        "model_id": cell.model.sha256[:8],
        "adapter": texts.put(plain_name(adapter)),
        "precision": texts.put(plain_name(precision)),
        "options": texts.put(plain_name(options)),
        "device": texts.put(plain_name(device)),
        "workload": texts.put(plain_name(cell.workload.label)),
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


def plain_name(text: str) -> str:
    """Return a name without what would turn its letters around or hide some of them."""
    return plain(text, _LONGEST_NAME)


def _number(number: Number) -> list[Any]:
    """Return value, bounds, sample count and source."""
    return [_short(number.value), *_bounds(number), number.n, number.source]


def _bounds(number: Number) -> tuple[float | str | None, float | str | None]:
    low, high = number.low, number.high
    wide = low is not None and high is not None and high - low > _NARROW * abs(number.value)
    digits = _DIGITS_OF_BOUNDS if wide else _DIGITS
    return _short(low, digits), _short(high, digits)


def add_errors(row: Row, body: dict[str, Any], texts: Pool, paired: bool) -> None:
    """Add what ranking needs: the error where bounds do not tell it, and paired draws."""
    known = contenders(row, paired=paired)
    for name, told in known.items():
        number = row.number(name)
        if number is not None and number.low is None and told.error is not None:
            body["numbers"][name].append(short(told.error))
    draws = dict(_draws(known, texts))
    if draws:
        body["draws"] = draws


def _short(value: float | None, digits: int = _DIGITS) -> float | str | None:
    if value is None or math.isfinite(value):
        return None if value is None else short(value, digits)
    return "inf" if value > 0 else "-inf"


def _draws(known: Mapping[str, Contender], texts: Pool) -> Iterator[tuple[str, list[Any]]]:
    """Yield paired draws as 16-bit steps between their extremes, with what they resampled."""
    for name, told in known.items():
        if told.draws:
            low, high = min(told.draws), max(told.draws)
            scale = 65535 / (high - low) if high > low else 0.0
            steps = b"".join(round((d - low) * scale).to_bytes(2, "little") for d in told.draws)
            yield name, [texts.put(told.items), low, high, base64.b64encode(steps).decode()]
