"""`--require-energy`: a missing or estimated energy is an error."""

from __future__ import annotations

from collections.abc import Iterable

from effmark.errors import PrerequisiteError
from effmark.record import Record

__all__ = ["require_energy"]


def require_energy(records: Iterable[Record]) -> None:
    """Return if all timed records carry measured energy.

    Raises:
        PrerequisiteError: a record that timed something has no energy, or only an estimate.
    """
    for record in records:
        if record.outcome != "ok" or not record.blocks:
            continue
        if any(reading.source != "model_estimate" for reading in record.energy):
            continue
        cell = record.cell
        where = f"{cell.model.name} {cell.adapter} {cell.precision} {cell.workload.label}"
        has = "only an estimate of energy" if record.energy else "no energy"
        told = [m.detail for m in record.energy_missing if m.reason != "not_applicable"]
        why = "; ".join(dict.fromkeys(told)) or "no probe"
        raise PrerequisiteError(f"{where}: {has}; {why}; effmark doctor says what would help")
