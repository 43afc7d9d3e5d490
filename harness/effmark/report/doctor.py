"""The page of `effmark doctor` as text."""

from __future__ import annotations

from collections.abc import Iterator

from effmark.probes.checkup import Checkup, DeviceCheck
from effmark.record import EnergyReading
from effmark.units import format_quantity

__all__ = ["doctor_text"]


def doctor_text(checkup: Checkup) -> str:
    """Return what this machine can measure, what it lacks, and what would help."""
    return "\n".join(_lines(checkup))


def _lines(checkup: Checkup) -> Iterator[str]:
    environment = checkup.environment
    memory = "?" if environment.memory_b is None else format_quantity(environment.memory_b, "B")
    yield f"{environment.device_class}, {memory} of memory"
    for device in checkup.devices:
        yield ""
        yield f"Energy of {device.device}"
        yield from _device(device)
    yield ""
    yield "Machine"
    for finding in checkup.findings:
        yield f"  {'!' if finding.remedy else '+'} {finding.subject}: {finding.state}"
        if finding.remedy:
            yield f"      {finding.remedy}"
    noise = checkup.noise
    yield ""
    yield (
        f"Noise grade {noise.grade}: in two seconds of A/A, differences below "
        f"{100 * noise.smallest_visible_ratio:.2g} % cannot be seen; the middle half of "
        f"{noise.repetitions} repetitions differs by {100 * noise.spread_ratio:.2g} %"
    )


def _device(device: DeviceCheck) -> Iterator[str]:
    measured = [r for r in device.readings if r.source != "model_estimate"]
    for reading in measured:
        yield f"  + {_reading(reading)}"
    if not measured:
        yield "  ! nothing on this machine measures energy; what follows is estimated, never ranked"
    for reading in device.readings:
        if reading.source == "model_estimate":
            yield f"  ~ {_reading(reading)}"
    for missing in device.missing:
        if missing.reason != "not_applicable":
            yield f"  - {missing.detail} ({missing.reason})"
    if device.sampler_cpu_ratio is not None:
        yield f"    the sampler takes {100 * device.sampler_cpu_ratio:.2g} % of a core"


def _reading(reading: EnergyReading) -> str:
    watts = reading.joules / (reading.end_s - reading.start_s)
    parts = [
        f"{reading.probe} {reading.device_id}: {format_quantity(watts, 'W')} ({reading.scope})"
    ]
    if reading.source != "model_estimate":
        parts.append(reading.source.replace("_", " "))
    if reading.update_period_s is not None:
        parts.append(f"refreshed every {format_quantity(reading.update_period_s, 's')}")
    if reading.err_window_rel:
        parts.append(f"window ±{100 * reading.err_window_rel:.2g} %")
    if reading.err_sys_rel is not None:
        parts.append(f"sensor ±{100 * reading.err_sys_rel:.2g} %")
    if reading.cross_check_rel is not None:
        parts.append(f"counter against power {100 * reading.cross_check_rel:+.2g} %")
    return ", ".join(parts)
