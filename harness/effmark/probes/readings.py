"""From what was seen of a sensor to energy readings with bounds, or to the reason why not.

Window error of a counter: (d0 + d1) / T + resolution / E, where d is the time in which the refresh
at an edge can have been; twice what a steady load needs, so that a load that changes at the edge
is covered too. Of integrated power: half the change of power in each gap, plus one refresh of the
sensor at each end. The sensor's own error stands apart and is never merged with it.

Rejected, not repaired: a counter that goes backwards (a driver's reset, not a wrap), that stands
still while it is read, or that says more than twice the power limit (a unit error).
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from effmark.probes.contract import absent
from effmark.probes.edges import CounterFollower, Edge, lay_windows
from effmark.probes.power_trace import PowerTrace
from effmark.record import EnergyReading, Missing

__all__ = ["Sensor", "combined", "counter_readings", "drained", "power_readings"]

Found = tuple[EnergyReading | Missing, ...]

MINIMUM_S = 2.0
_PERIODS = 20
"""A window is at least so many periods long: the rest of the error is then below a percent."""
_MOST = 10
_STALE_PERIODS = 3
_STUCK_S = 3.0
_LIMIT_FACTOR = 2.0
"""Above twice the power limit a number is a unit error, not power."""
_COVERED = 0.8
"""Share of a window that power samples must cover to check the counter."""
_DICE = random.Random(20261122)
"""Where windows begin; fixed, so that a run can be repeated."""


@dataclass(frozen=True)
class Sensor:
    """What a reading says of its origin."""

    probe: str
    device_id: str
    scope: str
    err_sys_rel: float
    resolution_j: float = 0.0
    limit_w: float | None = None


def counter_readings(
    sensor: Sensor,
    follower: CounterFollower,
    power: PowerTrace | None,
    start_s: float,
    end_s: float,
) -> Found:
    """Return the energy by a counter in windows between its refreshes."""
    name = f"{sensor.probe}: counter of {sensor.device_id}"
    if follower.backwards_s is not None:
        after_s = follower.backwards_s - start_s
        detail = f"{name}: went backwards {after_s:.2f} s into the window; the driver was reset"
        return (absent("rejected", detail),)
    stuck = _stuck(follower, end_s - start_s)
    if stuck:
        return (absent("rejected", f"{name}: {stuck}"),)
    period = follower.period_s or 0.0
    minimum_s = max(MINIMUM_S, _PERIODS * period)
    windows = lay_windows(follower.edges, start_s, end_s, minimum_s, _MOST, _DICE)
    if not windows:
        detail = f"{name}: {len(follower.edges)} refreshes in {end_s - start_s:.3g} s, needs two"
        return (absent("too_few_samples", f"{detail}; let the load run for {minimum_s:g} s"),)
    found = [_by_counter(sensor, follower, power, *window) for window in windows]
    return _possible(sensor, found)


def _possible(sensor: Sensor, found: Sequence[EnergyReading]) -> Found:
    """Return readings, or why they are rejected: more power than the device may draw."""
    limit = sensor.limit_w
    watts = max(r.joules / (r.end_s - r.start_s) for r in found)
    if limit is not None and watts > _LIMIT_FACTOR * limit:
        name = f"{sensor.probe}: counter of {sensor.device_id}"
        return (absent("rejected", f"{name}: says {watts:.4g} W at a limit of {limit:.4g} W"),)
    return tuple(found)


def drained(sensor: Sensor, follower: CounterFollower, start_s: float, end_s: float) -> Found:
    """Return the energy of a load that ran once in [start_s, end_s].

    From the last refresh before it to the first one after it, less the idle power (that between
    the refreshes before) for the time in which it did not run. Where the device is slow to rest,
    the rest is too high: the bound takes it to have drawn as much as under the load. A load that is
    long for the counter needs none of this.
    """
    whole = counter_readings(sensor, follower, None, start_s, end_s)
    long_s = max(MINIMUM_S, _PERIODS * (follower.period_s or 0.0))
    if not 0 < end_s - start_s < long_s or any(_rejected(found) for found in whole):
        return whole
    before = [edge for edge in follower.edges if edge.latest_s <= start_s]
    after = next((edge for edge in follower.edges if edge.earliest_s >= end_s), None)
    if len(before) < 2 or after is None:
        return whole
    first, begin = before[0], before[-1]
    idle_w = (begin.joules - first.joules) / (begin.time_s - first.time_s)
    lead_s, tail_s = start_s - begin.time_s, after.time_s - end_s
    drawn_j = after.joules - begin.joules
    joules = drawn_j - idle_w * (lead_s + tail_s)
    length = end_s - start_s
    if joules <= 0:
        detail = (
            f"{sensor.probe}: counter of {sensor.device_id}: no more than idle in {length:.3g} s"
        )
        return (absent("too_few_samples", detail),)
    mean_w = drawn_j / (after.time_s - begin.time_s)
    error_j = (begin.slack_s + after.slack_s) * mean_w + sensor.resolution_j
    error_j += tail_s * max(0.0, joules / length - idle_w)
    reason = f"drain: read on for {1000 * tail_s:.0f} ms after the load, less {idle_w:.4g} W idle"
    reading = EnergyReading(
        joules=joules, net_joules=joules - idle_w * length, idle_w=idle_w, source="hw_counter",
        scope=sensor.scope, probe=sensor.probe, device_id=sensor.device_id, start_s=start_s,
        end_s=end_s, updates_count=len([e for e in follower.edges if e.time_s > begin.time_s]),
        update_period_s=follower.period_s, err_window_rel=error_j / joules,
        err_sys_rel=sensor.err_sys_rel, reasons=(reason,),
    )  # fmt: skip
    return _possible(sensor, [reading])


def _rejected(found: EnergyReading | Missing) -> bool:
    return isinstance(found, Missing) and found.reason == "rejected"


def _stuck(follower: CounterFollower, watched_s: float) -> str:
    """Return how the counter stood still, or nothing."""
    if len(follower.edges) < 2:
        return f"did not move in {watched_s:.3g} s" if watched_s >= _STUCK_S else ""
    limit_s = _STALE_PERIODS * (follower.period_s or _STUCK_S)
    if follower.stale_s > max(limit_s, 0.1):
        period = "unknown" if follower.period_s is None else f"{follower.period_s:.2g} s"
        return f"stood still for {follower.stale_s:.2g} s, its period is {period}"
    return ""


def _by_counter(
    sensor: Sensor, follower: CounterFollower, power: PowerTrace | None, begin: Edge, end: Edge
) -> EnergyReading:
    joules, length = end.joules - begin.joules, end.time_s - begin.time_s
    inside = [e for e in follower.edges if begin.time_s <= e.time_s <= end.time_s]
    other_w = _mean_power(power, begin.time_s, end.time_s)
    return EnergyReading(
        joules=joules,
        source="hw_counter",
        scope=sensor.scope,
        probe=sensor.probe,
        device_id=sensor.device_id,
        start_s=begin.time_s,
        end_s=end.time_s,
        updates_count=_updates(follower, length, len(inside)),
        update_period_s=follower.period_s,
        max_gap_s=max(b.time_s - a.time_s for a, b in itertools.pairwise(inside)),
        err_window_rel=(begin.slack_s + end.slack_s) / length + sensor.resolution_j / joules,
        err_sys_rel=sensor.err_sys_rel,
        cross_check_rel=joules / length / other_w - 1 if other_w else None,
    )


def _updates(follower: CounterFollower, length_s: float, seen: int) -> int:
    """Return how often the counter was refreshed in a window between two refreshes."""
    if follower.period_s is None or follower.fast:
        return seen - 1  # of a fast counter only those that were read are known
    return max(seen - 1, round(length_s / follower.period_s))


def _mean_power(power: PowerTrace | None, start_s: float, end_s: float) -> float | None:
    """Return the mean of power samples that cover nearly all of a window, in W."""
    span = power.span if power is not None else None
    if power is None or span is None:
        return None
    begin, end = max(start_s, span[0]), min(end_s, span[1])
    whole = power.integrate(begin, end)
    if whole is None or end - begin < _COVERED * (end_s - start_s):
        return None
    return whole.joules / (end - begin)


def power_readings(
    sensor: Sensor,
    power: PowerTrace,
    start_s: float,
    end_s: float,
    *,
    refresh_s: float = 0.1,
    source: Literal["hw_power_integrated", "external_meter"] = "hw_power_integrated",
    longest_gap_s: float = 1.0,
) -> Found:
    """Return the energy by integrating power over all samples inside [start_s, end_s]."""
    name = f"{sensor.probe}: power of {sensor.device_id}"
    span = power.span
    if span is None:
        return (absent("too_few_samples", f"{name}: {len(power)} samples, two are needed"),)
    begin, end = max(start_s, span[0]), min(end_s, span[1])
    whole = power.integrate(begin, end)
    if whole is None or whole.joules <= 0:
        return (absent("too_few_samples", f"{name}: no samples in the window"),)
    if whole.max_gap_s > longest_gap_s or (end - begin) < 0.5 * (end_s - start_s):
        gap = max(whole.max_gap_s, begin - start_s, end_s - end)
        return (absent("rejected", f"{name}: silent for {gap:.3g} s of the window"),)
    watts = whole.joules / (end - begin)
    if sensor.limit_w is not None and watts > _LIMIT_FACTOR * sensor.limit_w:
        detail = f"{name}: says {watts:.4g} W at a limit of {sensor.limit_w:.4g} W"
        return (absent("rejected", detail),)
    count = min(_MOST, max(1, int((end - begin) / MINIMUM_S)))
    cuts = [begin + (end - begin) * i / count for i in range(count + 1)]
    found = []
    for left, right in itertools.pairwise(cuts):
        part = power.integrate(left, right)
        if part is None or part.joules <= 0:
            return (absent("rejected", f"{name}: no power in a part of the window"),)
        error_j = part.err_j + refresh_s * (part.joules / (right - left))
        found.append(
            EnergyReading(
                joules=part.joules, source=source, scope=sensor.scope, probe=sensor.probe,
                device_id=sensor.device_id, start_s=left, end_s=right, updates_count=part.changes,
                update_period_s=refresh_s, max_gap_s=part.max_gap_s,
                err_window_rel=error_j / part.joules, err_sys_rel=sensor.err_sys_rel,
            )
        )  # fmt: skip
    return tuple(found)


def combined(parts: Sequence[Found], swings_w: Sequence[float | None] = ()) -> Found:
    """Return the readings of several devices as those of one, window by window.

    Every device has its own edges: each is scaled to the common window by its mean power, the
    joules and the absolute errors are added. A device without readings leaves no sum: a part is
    not the whole. The parts stay in the record under `part:SCOPE`.

    Args:
        parts: what was found of each device.
        swings_w: by how much the power of each device was off its mean at most, in W; what is cut
            off its window can be wrong by that. Without it, by all of it.
    """
    if len(parts) == 1:
        return parts[0]
    absences = [f for part in parts for f in part if isinstance(f, Missing)]
    readings = [[f for f in part if not isinstance(f, Missing)] for part in parts]
    named = [r.model_copy(update={"scope": f"part:{r.scope}"}) for part in readings for r in part]
    swings = swings_w or [None] * len(parts)
    sums = [] if absences else [_sum(group, swings) for group in zip(*readings, strict=False)]
    return (*sums, *named, *absences)


def _sum(parts: Sequence[EnergyReading], swings_w: Sequence[float | None]) -> EnergyReading:
    start, end = max(p.start_s for p in parts), min(p.end_s for p in parts)
    shares = [(end - start) / (p.end_s - p.start_s) for p in parts]
    joules = [p.joules * share for p, share in zip(parts, shares, strict=True)]
    whole = sum(joules)

    def weighted(errors: Sequence[float | None]) -> float | None:
        if any(error is None for error in errors):
            return None
        return sum(j * e for j, e in zip(joules, errors, strict=True) if e is not None) / whole

    cut_s = [(p.end_s - p.start_s) - (end - start) for p in parts]
    means_w = [p.joules / (p.end_s - p.start_s) for p in parts]
    swings = [mean if w is None else w for w, mean in zip(swings_w, means_w, strict=True)]
    scaled = sum(s * w for s, w in zip(cut_s, swings, strict=True)) / whole
    window = weighted([p.err_window_rel for p in parts])
    return parts[0].model_copy(
        update={
            "joules": whole,
            "device_id": "+".join(p.device_id for p in parts),
            "start_s": start,
            "end_s": end,
            "err_window_rel": None if window is None else window + scaled,
            "cross_check_rel": weighted([p.cross_check_rel for p in parts]),
            "reasons": tuple(dict.fromkeys(reason for p in parts for reason in p.reasons)),
        }
    )
