"""Energy readings to J/token and its kin: the best source a record has, named denominators.

Sources are never mixed: a hardware counter beats integrated power, an external meter beats both
where it is there, an estimate is used only where nothing was measured, and says so. Scopes are
never summed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from effmark.record import EnergyReading, Missing, Record
from effmark.spec import Call

__all__ = ["best_readings", "energy_numbers"]

T = TypeVar("T")
RatioNumber = Callable[[str, Sequence[float], Sequence[float], str], T]

_SOURCES = ("external_meter", "hw_counter", "hw_power_integrated", "model_estimate")
"""Best first."""
_SCOPES = ("wall", "module", "package", "psys", "rail:VDD_IN", "machine", "gpu_board")
"""The scope that stands for work on a CPU, first that is there; others stay in the record."""
_ACCELERATOR_SCOPES = ("wall", "gpu_board", "module", "gpu_die", "rail:VDD_IN", "machine")
"""The same for work on an accelerator, for which the energy of the CPU package cannot stand."""
_ESTIMATES = ("cpu_time_model", "codecarbon")
"""Which estimate counts: the one that knows what this process used."""

_DENOMINATORS = {
    "energy_j_per_output_token": "output_tokens",
    "energy_j_per_input_token": "input_tokens",
    "energy_j_per_request": "requests",
    "energy_j_per_image": "images",
    "energy_j_per_call": "calls",
}


def best_readings(records: Sequence[Record]) -> list[EnergyReading]:
    """Return the readings of the best source, of one scope and one probe, of all records."""
    readings = [(r, _rank(r, record)) for record in records for r in record.energy]
    stand = [(reading, rank) for reading, rank in readings if rank is not None]
    best = min((rank for _, rank in stand), default=None)
    return [reading for reading, rank in stand if rank == best]


def _rank(reading: EnergyReading, record: Record) -> tuple[int, int, int, str] | None:
    """Return how well a reading stands for the work, smaller is better; None: not at all."""
    scopes = _SCOPES if record.cell.device.startswith("cpu") else _ACCELERATOR_SCOPES
    if reading.scope not in scopes:
        return None
    probe = _ESTIMATES.index(reading.probe) if reading.probe in _ESTIMATES else len(_ESTIMATES)
    source = _SOURCES.index(reading.source)
    return source, scopes.index(reading.scope), probe, reading.probe


def energy_numbers(records: Sequence[Record], ratio: RatioNumber[T]) -> dict[str, T | Missing]:
    """Return energy per unit, net energy, mean power and tokens per joule of a cell."""
    readings = best_readings(records)
    if not readings:
        return _absent(records)
    source = readings[0].source
    joules = [r.joules for r in readings]
    found: dict[str, T | Missing] = {}
    for name, unit in _DENOMINATORS.items():
        units = [r.units.get(unit, 0.0) for r in readings]
        if sum(units) > 0:
            found[name] = ratio(name, joules, units, source)
    tokens = [r.units.get("output_tokens", 0.0) for r in readings]
    seconds = [r.end_s - r.start_s for r in readings]
    found["mean_power_w"] = ratio("mean_power_w", joules, seconds, source)
    if sum(tokens) > 0 and sum(joules) > 0:
        found["tokens_per_j"] = ratio("tokens_per_j", tokens, joules, source)
        delays = [j * s / t for j, s, t in zip(joules, seconds, tokens, strict=True) if t > 0]
        found["energy_delay_product"] = ratio(
            "energy_delay_product", delays, [t for t in tokens if t > 0], source
        )
        net = [r.net_joules for r in readings]
        if all(value is not None for value in net):
            values = [value for value in net if value is not None]
            found["net_energy_j_per_output_token"] = ratio(
                "net_energy_j_per_output_token", values, tokens, source
            )
    return found


def _absent(records: Sequence[Record]) -> dict[str, T | Missing]:
    """Return why there is no energy, once per record that timed something."""
    details = [m for record in records for m in record.energy_missing]
    if not any(record.blocks for record in records):
        return {}
    reason = details[0].reason if details else "not_present"
    detail = "; ".join(dict.fromkeys(m.detail for m in details)) or "no energy probe is installed"
    calls = isinstance(records[-1].cell.workload, Call)
    name = "energy_j_per_call" if calls else "energy_j_per_output_token"
    return {name: Missing(metric=name, reason=reason, detail=detail)}
