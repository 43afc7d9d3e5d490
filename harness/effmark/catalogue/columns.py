"""A record as one line of the catalogue: what it is found by, and the value of every number.

Values are those of the record alone and without intervals; joined numbers (speed-up, retention)
and intervals are computed from the records themselves, which the line says where to find.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from effmark.energy_numbers import energy_numbers
from effmark.metrics import METRICS
from effmark.record import Missing, Record
from effmark.rows import same_cell
from effmark.samples import Samples, metric_samples
from effmark.stats import needed_samples
from effmark.stats.arrays import ascending
from effmark.stats.quantiles import quantile
from effmark.store import Place, machine_of

__all__ = ["COLUMNS", "NUMBERS", "line_of", "line_values"]

NUMBERS = tuple(METRICS)
"""Columns with a number, in the order of the table of metrics."""
COLUMNS: dict[str, str] = {
    "id": "VARCHAR", "run_id": "VARCHAR", "process_id": "VARCHAR", "created": "VARCHAR",
    "revision": "VARCHAR", "suite": "VARCHAR", "suite_version": "INTEGER", "profile": "VARCHAR",
    "model": "VARCHAR", "model_sha256": "VARCHAR", "adapter": "VARCHAR", "precision": "VARCHAR",
    "options": "VARCHAR", "device": "VARCHAR", "threads": "INTEGER", "workload": "VARCHAR",
    "kind": "VARCHAR", "machine": "VARCHAR", "outcome": "VARCHAR", "validity": "VARCHAR",
    "emulated": "BOOLEAN", "random": "BOOLEAN", "baseline": "BOOLEAN", "estimated": "BOOLEAN",
    "fresh": "BOOLEAN", "attempt": "UBIGINT", "slot": "UBIGINT", "cell": "UBIGINT",
    "process": "UBIGINT", "family": "UBIGINT",
    "journal": "INTEGER", "stamp": "VARCHAR", "line": "INTEGER", "start": "BIGINT",
    "length": "INTEGER",
    **dict.fromkeys(NUMBERS, "DOUBLE"),
}  # fmt: skip
"""Names and types. `attempt`: a repetition of a cell, on whatever machine; `slot`: attempts of one
repetition of a cell on a machine replace each other; `cell`: repetitions of a cell on a machine are
one row; `process`: rows that one model process measures; `family`: rows of one model, suite and
machine, beyond which no number of a row depends on another."""


def line_of(record: Record, place: Place, journal: int) -> str:
    """Return the line of a record as JSON; numbers that it does not have are left out."""
    cell, environment, facts = record.cell, record.environment, record.facts
    machine = machine_of(record)
    same = "".join(same_cell(cell))
    options = " ".join(f"{k}={v}" for k, v in sorted(cell.options.items()))
    family = cell.model.sha256, record.suite.sha256, machine
    found: dict[str, Any] = {
        "id": record.id, "run_id": record.run_id, "process_id": record.process_id,
        "created": record.created,
        "revision": environment.git_revision if environment else None,
        "suite": record.suite.name, "suite_version": record.suite.version,
        "profile": record.suite.profile, "model": cell.model.name,
        "model_sha256": cell.model.sha256, "adapter": cell.adapter, "precision": cell.precision,
        "options": options,
        "device": cell.device, "threads": cell.threads, "workload": cell.workload.label,
        "kind": cell.workload.kind, "machine": machine, "outcome": record.outcome,
        "validity": record.validity,
        "emulated": facts is not None and facts.kernel == "emulated",
        "random": facts is not None and facts.weights == "random",
        "baseline": record.is_baseline,
        "fresh": record.fresh, "attempt": _number_of(same, cell.repetition),
        "slot": _number_of(same, cell.repetition, machine), "cell": _number_of(same, machine),
        "process": _number_of(cell.model.name, cell.adapter, cell.precision, options,
                              cell.device, *family), "family": _number_of(*family),
        "journal": journal, "stamp": place.journal.name, "line": place.line,
        "start": place.offset, "length": place.length,
    }  # fmt: skip
    estimated, values = line_values(record)
    found["estimated"] = estimated
    found.update(values)
    return json.dumps(found, separators=(",", ":"))


def _number_of(*parts: str | int) -> int:
    """Return 64 bits that stand for some texts."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def line_values(record: Record) -> tuple[bool, dict[str, float]]:
    """Return whether energy is an estimate, and the value of every number of a record."""
    found: dict[str, float] = {}
    ordered: dict[int, Sequence[float]] = {}
    for name, samples in metric_samples(record).items():
        if isinstance(samples, Samples) and name in METRICS:
            _put(found, name, _value(samples, ordered))
    energy = energy_numbers([record], _energy_value)
    for name, told in energy.items():
        if not isinstance(told, Missing):
            _put(found, name, told[0])
    return _estimated(energy), found


def _put(found: dict[str, float], name: str, value: float | None) -> None:
    if value is not None and math.isfinite(value):
        found[name] = value


def _energy_value(
    name: str, values: Sequence[float], weights: Sequence[float], source: str
) -> tuple[float | None, str]:
    return _quotient(values, weights), source


def _estimated(energy: Mapping[str, tuple[float | None, str] | Missing]) -> bool:
    told = [n for n in energy.values() if not isinstance(n, Missing)]
    return any(source == "model_estimate" for _, source in told)


def _value(samples: Samples, ordered: dict[int, Sequence[float]]) -> float | None:
    """Return the value of samples, the same as their estimate has; sorted only once."""
    values = samples.values
    if samples.estimator in ("ratio", "exp_ratio"):
        value = _quotient(values, samples.weights or [1.0] * len(values))
        return math.exp(value) if value is not None and samples.estimator == "exp_ratio" else value
    if samples.estimator == "max":
        return max(values)
    if samples.estimator == "mean":
        return math.fsum(values) / len(values)
    q = samples.q if samples.estimator == "quantile" else 0.5
    if samples.estimator == "quantile" and len(values) < needed_samples(q):
        return None
    if id(values) not in ordered:
        ordered[id(values)] = ascending(values)
    return quantile(ordered[id(values)], q)


def _quotient(values: Sequence[float], weights: Sequence[float]) -> float | None:
    n, below = len(values), math.fsum(weights)
    return (math.fsum(values) / n) / (below / n) if below > 0 else None
