"""What makes a record less trustworthy: typed findings, each with its reason and its remedy.

Facts come from the record alone: its blocks, its stopping verdict, the model, the energy readings
and `environment.state`, of which these keys are read where they are present:

| key | meaning |
|---|---|
| `steal_ratio` | share of the window that the hypervisor gave to others |
| `foreign_cpu_ratio` | CPU time of other processes / (window x one core) |
| `throttle_s` | time throttled by heat or power in the window |
| `clock_min_ratio` | lowest clock of the window / default clock |
| `clock_change_ratio` | largest relative change of the clock within the window |
| `quota_throttled_count` | periods in which the cgroup's CPU quota was used up |
| `foreign_pids_count` | other processes on the accelerator |
| `swap_in_b` | bytes read from swap in the window |
| `governor` | frequency governor |
| `turbo` | whether turbo clocks are on |
| `device_exclusive` | whether no other run of effmark was measuring on the same device |
| `mig` | whether the accelerator is a slice with neighbours |

A key that is absent gives no finding: what could not be read stands in `environment.unknown`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from effmark.record import Advice, Block, EnergyReading, Environment, Record, Validity
from effmark.stats import median_interval, needed_samples

__all__ = ["advise", "validity_of"]

STEAL_RATIO = 0.02
"""Above 2 % of the time of all cores: threads that wait for each other lose at most that share
times the number of cores. Rented machines steal up to 1 % when nothing else runs on them."""
FOREIGN_CPU_RATIO = 0.05
"""Others used more than 5 % of a core. The kernel's CPU pressure is no such measure: its averages
hold the workload's own waiting threads, those of the cell before included."""
CLOCK_MIN_RATIO = 0.75
"""Below 75 % of the default clock a sample is throttled (nvbench discards it, pull request 206)."""
CLOCK_CHANGE_RATIO = 0.05
"""A clock that moves by more moves the time by about as much."""
CROSS_CHECK_ADVICE = 0.05
CROSS_CHECK_SUSPECT = 0.10
"""Counter against integrated power: sensors of boards are specified to about 5 %."""
SPREAD_RATIO = 0.25
"""Quartile distance / median above which single blocks differ by more than most effects sought."""
DEPENDENT_RATIO = 1 / 3
"""Effective / counted samples below which dependence is worth saying."""
WIDE_REL_HALF_WIDTH = 0.10
"""Above 10 % no difference that people usually look for can be seen (AIPerf's CI width)."""


def advise(record: Record) -> tuple[Validity, tuple[Advice, ...]]:
    """Return the validity of a record, and every finding that led to it."""
    found = tuple(_findings(record))
    return validity_of(found), found


def validity_of(advice: tuple[Advice, ...]) -> Validity:
    """Return `invalid`, `suspect` or `valid`: the most severe finding decides."""
    severities = {finding.severity for finding in advice}
    if "invalid" in severities:
        return "invalid"
    return "suspect" if "suspect" in severities else "valid"


def _findings(record: Record) -> Iterator[Advice]:
    if record.outcome != "ok":
        return
    if record.blocks:  # what the machine did says nothing about a score
        if record.environment is not None:
            yield from _of_machine(record.environment)
        yield from _of_blocks(record)
    if record.facts is not None and record.facts.kernel == "emulated":
        yield Advice(
            code="emulated_kernel",
            severity="info",
            message="low-bit weights are expanded before the arithmetic",
            remedy="read quality and size here, speed from a runtime with native kernels",
        )
    if record.facts is not None and record.facts.weights == "random":
        yield Advice(
            code="random_weights",
            severity="info",
            message="the weights are random; quality means nothing",
            remedy="use trained weights to compare quality",
        )
    if record.proof is not None and record.proof.status == "collapsed":
        yield Advice(
            code="quality_collapsed",
            severity="invalid",
            message=f"little of the model is left at this precision: {record.proof.detail}",
            remedy="use a higher precision, smaller groups or another runtime",
        )
    for reading in record.energy:
        yield from _of_energy(reading)


def _number(environment: Environment, key: str) -> float | None:
    value = environment.state.get(key)
    if isinstance(value, bool | str) or value is None or not math.isfinite(value):
        return None
    return float(value)


def _of_machine(environment: Environment) -> Iterator[Advice]:
    yield from _noise(environment)
    yield from _clocks(environment)
    if _number(environment, "quota_throttled_count"):
        yield Advice(
            code="cpu_quota",
            severity="invalid",
            message="the container's CPU quota stopped the process during the window",
            remedy="raise the CPU limit or use fewer threads",
        )
    if _number(environment, "foreign_pids_count") or environment.state.get("mig") is True:
        yield Advice(
            code="shared_device",
            severity="invalid",
            message="other processes use the accelerator",
            remedy="run when the device is free",
        )
    if environment.state.get("device_exclusive") is False:
        yield Advice(
            code="second_run",
            severity="suspect",
            message="another run of effmark was measuring on the same device",
            remedy="let one run end first; EFFMARK_LOCK_WAIT_S=3600 makes the second wait",
        )
    if _number(environment, "swap_in_b"):
        yield Advice(
            code="swap_in_use",
            severity="suspect",
            message="memory was read back from swap during the window",
            remedy="free memory or choose a smaller model",
        )


def _noise(environment: Environment) -> Iterator[Advice]:
    limits = {
        "steal_ratio": (STEAL_RATIO, "stolen by the hypervisor"),
        "foreign_cpu_ratio": (FOREIGN_CPU_RATIO, "of a core used by other processes"),
    }
    for key, (limit, words) in limits.items():
        value = _number(environment, key)
        if value is not None and value > limit:
            yield Advice(
                code="noisy_host",
                severity="suspect",
                message=f"{100 * value:.1f} % of the time {words} (limit {100 * limit:g} %)",
                remedy="stop other work, or compare by interleaved runs and instruction counts",
            )


def _clocks(environment: Environment) -> Iterator[Advice]:
    lowest, throttled = _number(environment, "clock_min_ratio"), _number(environment, "throttle_s")
    if throttled or (lowest is not None and lowest < CLOCK_MIN_RATIO):
        yield Advice(
            code="throttled",
            severity="invalid",
            message=f"throttled for {throttled:.3g} s"
            if throttled
            else f"the clock fell to {100 * (lowest or 0):.0f} % of its default",
            remedy="let the device cool down, or lock its clocks",
        )
    change = _number(environment, "clock_change_ratio")
    if change is not None and change > CLOCK_CHANGE_RATIO:
        yield Advice(
            code="clock_changed",
            severity="suspect",
            message=f"the clock moved by {100 * change:.1f} % within the window",
            remedy="lock the clocks, or compare cycles instead of seconds",
        )
    governor = environment.state.get("governor")
    if isinstance(governor, str) and governor != "performance":
        yield Advice(
            code="governor",
            severity="info",
            message=f"the frequency governor is {governor!r}",
            remedy="cpupower frequency-set -g performance",
        )
    if environment.state.get("turbo") is True:
        yield Advice(
            code="turbo",
            severity="info",
            message="turbo clocks are on; the clock depends on temperature and neighbours",
            remedy="turn turbo off where a steady clock matters more than speed",
        )


def _of_blocks(record: Record) -> Iterator[Advice]:
    times = [_duration(block) for block in record.blocks]
    if record.stop.steady == "never_reached":
        yield Advice(
            code="not_steady",
            severity="suspect",
            message="no steady state was seen in the first blocks",
            remedy="give a larger budget, or look for heat, background work or a growing cache",
        )
    if any(t <= 0 for t in times):
        yield Advice(
            code="below_clock_resolution",
            severity="invalid",
            message="a block took no time that the clock can see",
            remedy="make the block longer: more tokens or a larger batch",
        )
        return
    needed = needed_samples(0.5, record.stop.confidence)
    if len(times) < needed:
        yield Advice(
            code="too_few_samples",
            severity="suspect",
            message=f"{len(times)} blocks; an interval of the median needs {needed}",
            remedy="give a larger budget or a higher min_blocks",
        )
        return
    yield from _of_spread(times, record)


def _duration(block: Block) -> float:
    return block.end_s - block.start_s


def _of_spread(times: list[float], record: Record) -> Iterator[Advice]:
    estimate = median_interval(times, record.stop.confidence, serial=True)
    ordered = sorted(times)
    quartiles = ordered[len(ordered) // 4], ordered[(3 * len(ordered)) // 4]
    spread = (quartiles[1] - quartiles[0]) / estimate.value
    if spread > SPREAD_RATIO:
        yield Advice(
            code="wide_spread",
            severity="suspect",
            message=f"the middle half of the blocks differs by {100 * spread:.0f} %",
            remedy="stop other work on this machine; the median still holds within its interval",
        )
    width = estimate.rel_half_width
    if record.stop.rule in ("budget", "count") and (width is None or width > WIDE_REL_HALF_WIDTH):
        said = "unknown" if width is None else f"±{100 * width:.1f} %"
        yield Advice(
            code="not_converged",
            severity="suspect",
            message=f"measuring ended by {record.stop.rule} with a precision that is {said}",
            remedy="give a larger budget",
        )
    worth = estimate.n_effective
    if worth is not None and worth < DEPENDENT_RATIO * len(times):
        yield Advice(
            code="dependent_samples",
            severity="info",
            message=f"{len(times)} blocks are worth {worth:.0f} independent ones",
            remedy="run more processes; blocks of one process share its luck",
        )


def _of_energy(reading: EnergyReading) -> Iterator[Advice]:
    if reading.source == "model_estimate":
        yield Advice(
            code="estimate_only",
            severity="info",
            message=f"energy of {reading.scope} is a model's estimate, not a measurement",
            remedy="use a counter or a meter; estimates are kept out of ranks",
        )
    check = reading.cross_check_rel
    if check is not None and abs(check) > CROSS_CHECK_ADVICE:
        suspect = abs(check) > CROSS_CHECK_SUSPECT
        yield Advice(
            code="energy_cross_check",
            severity="suspect" if suspect else "info",
            message=f"counter and integrated power of {reading.scope} differ by "
            f"{100 * abs(check):.0f} %",
            remedy="lengthen the window, or trust the external meter",
        )
