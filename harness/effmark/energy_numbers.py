"""Energy readings to J/token, carbon and money: the best source a record has, named denominators.

Sources are never mixed: a hardware counter beats integrated power, an external meter beats both
where it is there, an estimate is used only where nothing was measured, and says so. Scopes are
never summed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from effmark.errors import PrerequisiteError
from effmark.record import Block, EnergyReading, Missing, RatesUsed, Record
from effmark.spec import Call, Decode, Infer, Prefill, Workload

__all__ = ["best_of", "best_readings", "energy_numbers"]

T = TypeVar("T")
RatioNumber = Callable[[str, Sequence[float], Sequence[float], str], T]

_SOURCES = ("external_meter", "hw_counter", "hw_power_integrated", "model_estimate")
"""Best first."""
_SCOPES = ("wall", "module", "package", "psys", "rail:VDD_IN", "rail:CPU", "machine", "gpu_board")
"""The scope that stands for work on a CPU, first that is there; others stay in the record."""
_ACCELERATOR_SCOPES = (
    "wall", "gpu_board", "module", "gpu_die", "rail:VDD_IN", "rail:GPU", "machine",
)  # fmt: skip
"""The same for work on an accelerator, for which the energy of the CPU package cannot stand."""
_ESTIMATES = ("cpu_time_model", "codecarbon")
"""Which estimate counts: the one that knows what this process used."""

_DENOMINATORS = {
    "output_token": "output_tokens",
    "input_token": "input_tokens",
    "request": "requests",
    "image": "images",
    "call": "calls",
    "step": "steps",
}
"""Words in the names of metrics, and the work that a reading counts."""
_J_PER_KWH = 3.6e6
_S_PER_H = 3600.0


def best_readings(records: Sequence[Record]) -> list[EnergyReading]:
    """Return the readings of the best source, of one scope and one probe, of all records."""
    return _best([(r, _rank(r, record.cell.device)) for record in records for r in record.energy])


def best_of(readings: Sequence[EnergyReading], device: str) -> list[EnergyReading]:
    """Return the readings of the best source for work on a device, before there is a record."""
    return _best([(reading, _rank(reading, device)) for reading in readings])


def _best(
    readings: Sequence[tuple[EnergyReading, tuple[int, int, int, str] | None]],
) -> list[EnergyReading]:
    stand = [(reading, rank) for reading, rank in readings if rank is not None]
    best = min((rank for _, rank in stand), default=None)
    return [reading for reading, rank in stand if rank == best]


def _rank(reading: EnergyReading, device: str) -> tuple[int, int, int, str] | None:
    """Return how well a reading stands for the work, smaller is better; None: not at all."""
    scopes = _SCOPES if device.startswith("cpu") else _ACCELERATOR_SCOPES
    if reading.scope not in scopes:
        return None
    probe = _ESTIMATES.index(reading.probe) if reading.probe in _ESTIMATES else len(_ESTIMATES)
    source = _SOURCES.index(reading.source)
    return source, scopes.index(reading.scope), probe, reading.probe


def energy_numbers(records: Sequence[Record], ratio: RatioNumber[T]) -> dict[str, T | Missing]:
    """Return energy per unit, net energy, mean power, carbon and money of a cell."""
    readings = best_readings(records)
    found: dict[str, T | Missing] = {}
    if not readings:
        found.update(_absent(records))
    for name in _told(records[-1].cell.workload):
        unit = _DENOMINATORS[name]
        if sum(r.units.get(unit, 0.0) for r in readings) > 0:
            found.update(_per_unit(name, unit, readings, ratio))
            found.update(_prices(name, unit, readings, records[-1].rates, ratio))
    if readings:
        found.update(_power(readings, ratio))
    found.update(_device_time(records, ratio))
    return found


def _told(workload: Workload) -> tuple[str, ...]:
    """Return what the energy of a workload is divided by.

    Prefill and decode stay apart: the energy of decoding is no cost of the prompt's tokens.
    """
    if isinstance(workload, Decode):
        return "output_token", "request", "step"
    if isinstance(workload, Prefill):
        return "input_token", "request"
    if isinstance(workload, Infer):
        return ("image",)
    return tuple(_DENOMINATORS)


def _per_unit(
    name: str, unit: str, readings: Sequence[EnergyReading], ratio: RatioNumber[T]
) -> dict[str, T | Missing]:
    """Return gross and net energy per unit of work."""
    units, source = [r.units.get(unit, 0.0) for r in readings], readings[0].source
    joules, net = [r.joules for r in readings], [r.net_joules for r in readings]
    gross_name, net_name = f"energy_j_per_{name}", f"net_energy_j_per_{name}"
    found: dict[str, T | Missing] = {gross_name: ratio(gross_name, joules, units, source)}
    known = [value for value in net if value is not None]
    if len(known) == len(net):
        found[net_name] = ratio(net_name, known, units, source)
    return found


def _prices(
    name: str,
    unit: str,
    readings: Sequence[EnergyReading],
    rates: RatesUsed | None,
    ratio: RatioNumber[T],
) -> dict[str, T | Missing]:
    """Return carbon and electricity per unit of work; nothing where nobody asked for rates."""
    if rates is None:
        return {}
    found: dict[str, T | Missing] = {}
    units = [r.units.get(unit, 0.0) for r in readings]
    for what, rate in (("carbon_g", rates.carbon), ("electricity_usd", rates.electricity)):
        metric = f"{what}_per_{name}"
        if rate is None:
            found[metric] = _no_rate(metric, rates, what.partition("_")[0])
        else:
            spent = [r.joules / _J_PER_KWH * rate.value for r in readings]
            found[metric] = ratio(metric, spent, units, readings[0].source)
    return found


def _no_rate(metric: str, rates: RatesUsed, field: str) -> Missing:
    detail = rates.unknown.get(field, "no rate is known")
    return Missing(metric=metric, reason="not_present", detail=detail)


def _power(readings: Sequence[EnergyReading], ratio: RatioNumber[T]) -> dict[str, T | Missing]:
    """Return mean power, and tokens per joule and energy-delay product where there are tokens."""
    source = readings[0].source
    joules = [r.joules for r in readings]
    tokens = [r.units.get("output_tokens", 0.0) for r in readings]
    seconds = [r.end_s - r.start_s for r in readings]
    found: dict[str, T | Missing] = {"mean_power_w": ratio("mean_power_w", joules, seconds, source)}
    if sum(tokens) > 0 and sum(joules) > 0:
        found["tokens_per_j"] = ratio("tokens_per_j", tokens, joules, source)
        delays = [j * s / t for j, s, t in zip(joules, seconds, tokens, strict=True) if t > 0]
        found["energy_delay_product"] = ratio(
            "energy_delay_product", delays, [t for t in tokens if t > 0], source
        )
    return found


def _device_time(records: Sequence[Record], ratio: RatioNumber[T]) -> dict[str, T | Missing]:
    """Return what the time on the devices costs per unit of work, at the price of an hour."""
    rates = records[-1].rates
    blocks = [block for record in records for block in record.blocks]
    if rates is None or not blocks:
        return {}
    name, units = _work(records[-1].cell.workload, blocks)
    metric = f"device_usd_per_{name}"
    if rates.device is None:
        return {metric: _no_rate(metric, rates, "device")}
    spent = [(b.end_s - b.start_s) / _S_PER_H * rates.device.value for b in blocks]
    return {metric: ratio(metric, spent, units, "clock")}


def _work(workload: Workload, blocks: Sequence[Block]) -> tuple[str, list[float]]:
    """Return the natural unit of a workload and how many of it each block did."""
    if isinstance(workload, Prefill):
        return "input_token", [float(workload.prompt_tokens * b.sequences) for b in blocks]
    if isinstance(workload, Decode):
        return "output_token", [float(len(b.steps_s) * b.sequences) for b in blocks]
    name = "image" if isinstance(workload, Infer) else "call"
    return name, [float(b.sequences) for b in blocks]


def _absent(records: Sequence[Record]) -> dict[str, Missing]:
    """Return why there is no energy, once per record that timed something."""
    details = [m for record in records for m in record.energy_missing]
    if not any(record.blocks for record in records):
        return {}
    reason = details[0].reason if details else "not_present"
    detail = "; ".join(dict.fromkeys(m.detail for m in details)) or "no energy probe is installed"
    workload = records[-1].cell.workload
    word = "call" if isinstance(workload, Call) else _told(workload)[0]
    name = f"energy_j_per_{word}"
    return {name: Missing(metric=name, reason=reason, detail=detail)}


def unmeasured_energy(records: Iterable[Record]) -> Iterator[str]:
    """Yield a sentence for each record that timed something without measuring its energy.

    What counts is the energy that would be divided by its work: that of a CPU package does not
    stand for work on an accelerator.
    """
    for record in records:
        readings = best_readings([record])
        if record.outcome != "ok" or not record.blocks:
            continue
        if readings and readings[0].source != "model_estimate":
            continue
        cell = record.cell
        where = f"{cell.model.name} {cell.adapter} {cell.precision} {cell.workload.label}".strip()
        has = "only an estimate of energy" if readings else "no energy"
        told = [m.detail for m in record.energy_missing if m.reason != "not_applicable"]
        why = "; ".join(dict.fromkeys(told)) or "no probe"
        yield f"{where}: {has}; {why}; effmark doctor says what would help"


def require_energy(records: Iterable[Record]) -> None:
    """Return if all timed records carry measured energy.

    Raises:
        PrerequisiteError: a record that timed something has no energy, or only an estimate.
    """
    for sentence in unmeasured_energy(records):
        raise PrerequisiteError(sentence)
