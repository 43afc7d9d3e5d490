"""Net energy: gross less what the idle machine would have drawn in the same time.

The baseline is taken before and after the load with the model loaded (`idle_loaded`). Where the
two differ by more than 5 % the machine warmed up in between: their mean counts, the reading says
`thermal_drift`, and half the difference is part of the error.
"""

from __future__ import annotations

from collections.abc import Sequence

from effmark.record import EnergyReading

__all__ = ["with_net"]

_DRIFT_RATIO = 0.05

Key = tuple[str, str, str]


def with_net(
    readings: Sequence[EnergyReading],
    before: Sequence[EnergyReading],
    after: Sequence[EnergyReading],
) -> list[EnergyReading]:
    """Return readings with `idle_w` and `net_joules`, where there is a baseline for them."""
    first, last = _powers(before), _powers(after)
    return [
        _net(reading, first.get(_key(reading)), last.get(_key(reading))) for reading in readings
    ]


def _key(reading: EnergyReading) -> Key:
    return reading.probe, reading.scope, reading.device_id


def _powers(readings: Sequence[EnergyReading]) -> dict[Key, float]:
    """Return the mean power in W of each instrument."""
    joules: dict[Key, float] = {}
    seconds: dict[Key, float] = {}
    for reading in readings:
        key = _key(reading)
        joules[key] = joules.get(key, 0.0) + reading.joules
        seconds[key] = seconds.get(key, 0.0) + reading.end_s - reading.start_s
    return {key: joules[key] / seconds[key] for key in joules if seconds[key] > 0}


def _net(reading: EnergyReading, before: float | None, after: float | None) -> EnergyReading:
    known = [power for power in (before, after) if power is not None]
    if not known:
        return reading
    idle_w = sum(known) / len(known)
    reasons = reading.reasons
    if len(known) == 2 and idle_w > 0 and abs(known[1] - known[0]) > _DRIFT_RATIO * idle_w:
        half = abs(known[1] - known[0]) / 2
        reasons = (*reasons, f"thermal_drift: idle power {known[0]:.4g} W before, {known[1]:.4g} W "
                   f"after; net ± {half * (reading.end_s - reading.start_s):.3g} J")  # fmt: skip
    net = reading.joules - idle_w * (reading.end_s - reading.start_s)
    return reading.model_copy(update={"idle_w": idle_w, "net_joules": net, "reasons": reasons})
