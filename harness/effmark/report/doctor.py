"""The page of `effmark doctor` as text: a line per question first, then each answer's reasons."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from effmark.probes.checkup import Checkup, DeviceCheck
from effmark.probes.findings import Finding
from effmark.record import EnergyReading, Missing
from effmark.units import format_quantity

__all__ = ["doctor_text"]

_SIGNS = {"good": "+", "better": "!", "lacking": "-", "unknown": "?"}
_LEGEND = "+ good  ! works, could be better  - missing  ? cannot be known here  ~ estimated"
_PROBES = {
    "nvml": "NVIDIA",
    "rapl": "RAPL",
    "meter": "meter",
    "rails": "Jetson",
    "amdsmi": "AMD",
    "hwmon": "AMD, hwmon",
    "apple": "Apple",
    "cpu_time_model": "CPU time",
    "codecarbon": "codecarbon",
}
_SUBJECT = 16
"""Width of the column that says what a line is about."""


def doctor_text(checkup: Checkup, width: int = 100) -> str:
    """Return what this machine can measure, what it lacks, and what would help."""
    return "\n".join(_lines(checkup, width))


def _lines(checkup: Checkup, width: int) -> Iterator[str]:
    environment, noise = checkup.environment, checkup.noise
    parts = [environment.device_class]
    if environment.memory_b is not None:
        parts.append(f"{format_quantity(environment.memory_b, 'B')} of memory")
    yield ", ".join([*parts, environment.system])
    yield ""
    for subject, mark, text in _answers(checkup):
        yield from _line(mark, subject, text, "", width)
    for device in checkup.devices:
        yield ""
        yield f"Energy of {device.device}"
        yield from _energy(device, width)
    for group, title in (("time", "Time"), ("memory", "Memory"), ("code", "Generated code"),
                         ("money", "Carbon and money"), ("packages", "Packages")):  # fmt: skip
        findings = [f for f in checkup.findings if f.group == group]
        if findings:
            yield ""
            yield title
            yield from _findings(findings, width)
    yield ""
    yield f"  {_LEGEND}"
    yield ""
    yield from textwrap.wrap(
        f"Noise grade {noise.grade}: in two seconds of A/A, differences below "
        f"{100 * noise.smallest_visible_ratio:.2g} % cannot be seen ({noise.repetitions} "
        f"repetitions, whose middle half differs by {100 * noise.spread_ratio:.2g} %). "
        "A is below 0.3 %, B 1 %, C 3 %, D 10 %.",
        width,
    )


def _findings(findings: Sequence[Finding], width: int) -> Iterator[str]:
    for finding, after in zip(findings, [*findings[1:], None], strict=True):
        again = after is not None and after.remedy == finding.remedy  # told once, at the last
        remedy = "" if again else finding.remedy
        yield from _line(_SIGNS[finding.mark], finding.subject, finding.state, remedy, width)


def _answers(checkup: Checkup) -> Iterator[tuple[str, str, str]]:
    """Yield what can be measured here, one line a question."""
    noise = checkup.noise
    yield (
        "time",
        "+" if noise.grade in "ABC" else "!",
        (
            f"noise grade {noise.grade}: differences of {100 * noise.smallest_visible_ratio:.2g} % "
            "can be seen in two seconds"
        ),
    )
    named = {finding.subject: finding for finding in checkup.findings}
    for subject in ("instructions", "peak"):
        finding = named[subject]
        label = "memory" if subject == "peak" else subject
        yield label, _SIGNS[finding.mark], finding.state.partition(":")[0]
    for device in checkup.devices:
        measured = _measured(device.readings)
        if measured:
            scopes = ", ".join(dict.fromkeys(_scope(r.scope) for r in measured))
            probes = ", ".join(dict.fromkeys(_PROBES.get(r.probe, r.probe) for r in measured))
            yield f"energy {device.device}", "+", f"measured by {probes}: {scopes}"
        elif device.readings:
            text = "only estimated: nothing on this machine measures energy of this device"
            yield f"energy {device.device}", "~", text
        else:
            text = "none: nothing on this machine measures or estimates it"
            yield f"energy {device.device}", "-", text


def _measured(readings: Sequence[EnergyReading]) -> list[EnergyReading]:
    return [r for r in readings if r.source != "model_estimate"]


def _scope(scope: str) -> str:
    return scope.removeprefix("part:").replace("_", " ")


def _energy(device: DeviceCheck, width: int) -> Iterator[str]:
    for reading in device.readings:
        mark = "~" if reading.source == "model_estimate" else "+"
        yield from _line(mark, _PROBES.get(reading.probe, reading.probe), _reading(reading), "",
                         width)  # fmt: skip
    for missing in device.missing:
        if missing.reason != "not_applicable":
            yield from _absence(missing, width)
    state = _state(device)
    if state:
        yield from _line(" ", "meanwhile", state, "", width)
    if device.sampler_cpu_ratio is not None:
        text = f"{100 * device.sampler_cpu_ratio:.2g} % of a core while it reads"
        yield from _line(" ", "the sampler", text, "", width)


def _absence(missing: Missing, width: int) -> Iterator[str]:
    """Yield why an instrument is not there; what follows the first `;` is the remedy."""
    probe, _, text = missing.detail.partition(": ")
    if probe not in _PROBES:
        probe, text = "", missing.detail
    why, _, remedy = text.partition("; ")
    yield from _line("-", _PROBES.get(probe, ""), f"{why} ({missing.reason.replace('_', ' ')})",
                     remedy, width)  # fmt: skip


def _state(device: DeviceCheck) -> str:
    """Return clocks, heat, limits and memory of a device while it was read."""
    state, parts = device.seen.state, []
    for key, unit, words in (
        ("gpu_clock_median_hz", "Hz", "clock"),
        ("clock_median_hz", "Hz", "CPU clock"),
        ("power_limit_w", "W", "power limit"),
        ("device_used_b", "B", "memory in use"),
    ):
        value = state.get(key)
        if isinstance(value, int | float):
            parts.append(f"{words} {format_quantity(float(value), unit)}")
    for key in ("temperature_c", "cpu_temperature_c"):
        if key in state:
            parts.append(f"{state[key]:.0f} °C")
    throttled = state.get("throttle_s")
    if isinstance(throttled, float) and throttled > 0:
        parts.append(f"throttled for {format_quantity(throttled, 's')}")
    return ", ".join(parts)


def _reading(reading: EnergyReading) -> str:
    watts = reading.joules / (reading.end_s - reading.start_s)
    scope = "of the whole machine" if reading.scope == "machine" else _scope(reading.scope)
    parts = [f"{format_quantity(watts, 'W')} {scope}"]
    if reading.device_id not in (reading.scope, "cpu", "machine", "soc"):
        parts[0] += f" ({reading.device_id})"
    if reading.source != "model_estimate":
        parts.append(_SOURCES[reading.source])
    if reading.update_period_s is not None:
        parts[-1] += f" refreshed every {format_quantity(reading.update_period_s, 's')}"
    if reading.err_window_rel:
        parts.append(f"window ±{100 * reading.err_window_rel:.2g} %")
    if reading.err_sys_rel is not None:
        what = "model" if reading.source == "model_estimate" else "sensor"
        parts.append(f"{what} ±{100 * reading.err_sys_rel:.2g} %")
    if reading.cross_check_rel is not None:
        parts.append(f"counter against power {100 * reading.cross_check_rel:+.1f} %")
    return ", ".join(parts)


_SOURCES = {
    "hw_counter": "counter",
    "hw_power_integrated": "integrated power",
    "external_meter": "external meter",
}


def _line(mark: str, subject: str, text: str, remedy: str, width: int) -> Iterator[str]:
    """Yield a marked line with what would help below it, wrapped; commands are not cut."""
    indent = " " * (_SUBJECT + 4)
    head = f"  {mark} {subject:{_SUBJECT}}"
    yield from textwrap.wrap(
        text, width, initial_indent=head, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    ) or [head.rstrip()]  # fmt: skip
    if remedy:
        yield from textwrap.wrap(
            remedy, width, initial_indent=f"{indent}→ ", subsequent_indent=f"{indent}  ",
            break_long_words=False, break_on_hyphens=False,
        )  # fmt: skip
