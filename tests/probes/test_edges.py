"""The estimators in simulated time: a counter of known truth, a sampler of known lateness."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effmark.probes.edges import CounterFollower, Edge, lay_windows
from effmark.probes.power_trace import PowerTrace
from effmark.probes.readings import (
    Sensor,
    combined,
    counter_readings,
    drained,
    power_readings,
)
from effmark.record import EnergyReading, Missing

SENSOR = Sensor("test", "device", "gpu_board", 0.05, 1e-3, 700.0)


class World:
    """A device with a stepped counter and a host that wakes up late."""

    def __init__(self, tau_s: float, seed: int, *, late_s: float = 0.0003) -> None:
        self.dice = random.Random(seed)
        self.now = 1000.0
        self.tau, self.late = tau_s, late_s
        self.phase = self.dice.random() * tau_s
        self.ripple_hz = self.dice.uniform(3, 40)
        self.stuck_at: float | None = None
        self.drop_at: float | None = None

    def energy(self, t: float) -> float:
        """450 W with 30 % of ripple, from time 1000."""
        t -= 1000.0
        w = 2 * math.pi * self.ripple_hz
        return 450 * t + 450 * 0.3 / w * (1 - math.cos(w * t))

    def read(self) -> float:
        self.now += self.dice.uniform(20e-6, 200e-6)
        t = self.now if self.stuck_at is None else min(self.now, self.stuck_at)
        if self.tau:
            t = math.floor((t - self.phase) / self.tau) * self.tau + self.phase
        value = round(self.energy(t) + 5000, 3)
        return value - 5000 if self.drop_at is not None and self.now > self.drop_at else value

    def clock(self) -> float:
        return self.now

    def watch(self, follower: CounterFollower, seconds: float) -> tuple[float, float]:
        start = self.now
        follower.start()
        wake = follower.poll()
        while self.now < start + seconds:
            self.now = max(self.now, wake) + self.dice.expovariate(1 / self.late)
            wake = follower.poll()
        return start, self.now


def readings_of(world: World, follower: CounterFollower, seconds: float) -> list[EnergyReading]:
    found = counter_readings(SENSOR, follower, None, *world.watch(follower, seconds))
    assert not [f for f in found if isinstance(f, Missing)], found
    return [f for f in found if isinstance(f, EnergyReading)]


def error_of(world: World, reading: EnergyReading) -> float:
    truth = world.energy(reading.end_s) - world.energy(reading.start_s)
    return abs(reading.joules - truth) / truth


@pytest.mark.parametrize("tau_s", [0.010, 0.020, 0.100])
def test_the_period_of_a_counter_is_found(tau_s: float) -> None:
    world = World(tau_s, seed=1)
    follower = CounterFollower(world.read, world.clock)
    world.watch(follower, 3.0)
    assert follower.period_s == pytest.approx(tau_s, rel=0.2)


def test_the_bound_covers_the_error_in_95_percent_of_200_runs() -> None:
    covered = naive_covered = 0
    for seed in range(200):
        world = World((0.01, 0.02, 0.1)[seed % 3], seed)
        follower = CounterFollower(world.read, world.clock)
        start = world.now
        begin = world.read()
        reading = readings_of(world, follower, (0.33, 1.04, 2.07)[seed // 3 % 3])[0]
        naive = world.read() - begin
        truth = world.energy(world.now) - world.energy(start)
        assert reading.err_window_rel is not None
        covered += error_of(world, reading) <= reading.err_window_rel
        naive_covered += abs(naive - truth) / truth <= reading.err_window_rel
    assert covered >= 190
    assert naive_covered <= 100  # reading at both ends errs by far more than the bound


def test_a_late_sampler_widens_the_bound_and_stays_inside() -> None:
    for seed in range(40):
        world = World(0.1, seed, late_s=0.008)
        follower = CounterFollower(world.read, world.clock)
        reading = readings_of(world, follower, 2.07)[0]
        assert reading.err_window_rel is not None
        assert error_of(world, reading) <= reading.err_window_rel


def test_long_windows_are_cut_into_repeats_of_twenty_periods() -> None:
    world = World(0.1, seed=3)
    found = readings_of(world, CounterFollower(world.read, world.clock), 13.0)
    assert len(found) in (5, 6)
    assert all(r.end_s - r.start_s > 1.8 for r in found)
    assert all(a.end_s <= b.start_s for a, b in itertools.pairwise(found))
    assert all(r.updates_count and r.updates_count >= 15 for r in found)


class Pulse(World):
    """90 W, and 450 W while a load runs that runs once."""

    load = (math.inf, math.inf)

    def energy(self, t: float) -> float:
        begin, end = self.load
        busy_s = max(0.0, min(t, end) - begin) if t > begin else 0.0
        return 90 * (t - 1000.0) + 360 * busy_s

    def rest(self, follower: CounterFollower, until_s: float) -> None:
        while self.now < until_s:
            self.now = max(self.now, min(follower.poll(), until_s))
            self.now += self.dice.expovariate(1 / self.late)

    def sleep(self, seconds: float) -> None:
        self.now += seconds + self.dice.expovariate(1 / self.late)


@pytest.mark.parametrize("length_s", [0.02, 0.15, 0.5])
def test_a_load_that_runs_once_is_counted_to_the_next_refresh_less_the_idle_power(
    length_s: float,
) -> None:
    for seed in range(20):
        world = Pulse((0.02, 0.1)[seed % 2], seed)
        follower = CounterFollower(world.read, world.clock)
        follower.start()
        while not follower.knows_idle:
            world.rest(follower, world.now + 0.005)
        world.load = (world.now, world.now + length_s)
        world.rest(follower, world.load[1])
        begin, end = world.load[0], world.now
        world.load = (begin, end)
        follower.read_on(end, world.sleep)
        (found,) = drained(SENSOR, follower, begin, end)
        assert isinstance(found, EnergyReading)
        assert found.err_window_rel is not None
        error = abs(found.joules / (450 * (end - begin)) - 1)
        assert error <= found.err_window_rel
        assert error < 0.12 if length_s < 0.1 else 0.03
        assert (found.start_s, found.end_s) == (begin, end)
        assert found.net_joules == pytest.approx(360 * (end - begin), rel=0.2)
        assert found.reasons[0].startswith("drain")


def test_a_load_that_is_long_for_its_counter_is_not_drained() -> None:
    world = World(0.02, seed=4)
    follower = CounterFollower(world.read, world.clock)
    start, end = world.watch(follower, 3.0)
    found = drained(SENSOR, follower, start + 0.5, end)
    assert not [f for f in found if isinstance(f, EnergyReading) and f.reasons]
    (short,) = drained(SENSOR, follower, start, start + 0.001)  # nothing was seen before it
    assert isinstance(short, Missing)


def test_a_known_period_is_polled_sparsely() -> None:
    world = World(0.1, seed=4)
    follower = CounterFollower(world.read, world.clock)
    world.watch(follower, 3.0)
    reads = 0
    read = world.read

    def counted() -> float:
        nonlocal reads
        reads += 1
        return read()

    follower._read = counted
    world.watch(follower, 5.0)
    assert reads < 5 * 60  # fine reading all the time would take a thousand per second


def test_a_fast_counter_is_read_at_leisure_and_bounded_by_its_period() -> None:
    world = World(0.001, seed=5)
    follower = CounterFollower(world.read, world.clock)
    world.watch(follower, 0.5)
    assert follower.fast
    reading = readings_of(world, follower, 2.1)[0]
    assert reading.err_window_rel is not None
    assert error_of(world, reading) <= reading.err_window_rel <= 0.005


def test_a_counter_that_goes_backwards_is_rejected() -> None:
    world = World(0.1, seed=6)
    world.drop_at = world.now + 1.0
    follower = CounterFollower(world.read, world.clock)
    (found,) = counter_readings(SENSOR, follower, None, *world.watch(follower, 2.0))
    assert isinstance(found, Missing)
    assert found.reason == "rejected"
    assert "backwards" in found.detail


@pytest.mark.parametrize("after_s", [-1.0, 2.0])
def test_a_counter_that_stands_still_is_rejected(after_s: float) -> None:
    world = World(0.1, seed=7)
    world.stuck_at = world.now + after_s
    follower = CounterFollower(world.read, world.clock)
    (found,) = counter_readings(SENSOR, follower, None, *world.watch(follower, 5.0))
    assert isinstance(found, Missing)
    assert found.reason == "rejected"


def test_a_window_without_two_refreshes_says_how_long_it_has_to_be() -> None:
    world = World(0.1, seed=8)
    follower = CounterFollower(world.read, world.clock)
    (found,) = counter_readings(SENSOR, follower, None, *world.watch(follower, 0.02))
    assert isinstance(found, Missing)
    assert found.reason == "too_few_samples"
    assert "let the load run for 2 s" in found.detail


def test_a_unit_error_is_more_power_than_the_limit_allows() -> None:
    world = World(0.1, seed=9)
    follower = CounterFollower(lambda: world.read() * 1000, world.clock)
    (found,) = counter_readings(SENSOR, follower, None, *world.watch(follower, 2.0))
    assert isinstance(found, Missing)
    assert "at a limit of 700 W" in found.detail


def test_windows_lie_inside_and_prefer_edges_that_are_known_well() -> None:
    edges = [Edge(float(i), float(i), 0.001 if i % 3 else 0.2) for i in range(1, 100)]
    found = lay_windows(edges, 5.5, 80.5, 20, 10, random.Random(1))
    assert len(found) == 3
    assert all(a.earliest_s >= 5.5 and b.latest_s <= 80.5 for a, b in found)
    assert all(edge.slack_s == 0.001 for _, edge in found[:-1])


def test_a_burst_is_integrated_with_both_ends_interpolated() -> None:
    trace = PowerTrace()
    for i in range(401):
        t = i * 0.01
        trace.add(t, 500.0 if 1.0 <= t < 2.24 else 100.0)
    whole = trace.integrate(0.005, 3.995)
    assert whole is not None
    assert whole.joules == pytest.approx(1.24 * 500 + 2.75 * 100, rel=0.01)
    assert abs(whole.joules - 895) <= whole.err_j


def test_power_that_falls_silent_is_rejected_not_drawn_flat() -> None:
    trace = PowerTrace()
    for i in [*range(100), *range(300, 400)]:
        trace.add(i * 0.01, 100.0)
    (found,) = power_readings(SENSOR, trace, 0.0, 3.99)
    assert isinstance(found, Missing)
    assert "silent for 2.01 s" in found.detail


def test_two_devices_add_up_with_their_errors_and_a_part_is_not_the_whole() -> None:
    def reading(device: str, start: float, watts: float) -> EnergyReading:
        return EnergyReading(
            joules=watts * 10, source="hw_counter", scope="gpu_board", probe="nvml",
            device_id=device, start_s=start, end_s=start + 10, err_window_rel=0.001,
        )  # fmt: skip

    a, b = reading("A", 0.0, 100), reading("B", 0.05, 300)
    whole, *parts = combined([(a,), (b,)])
    assert isinstance(whole, EnergyReading)
    assert whole.device_id == "A+B"
    assert whole.joules == pytest.approx(400 * (whole.end_s - whole.start_s))
    assert whole.err_window_rel == pytest.approx(0.006, rel=0.01)
    assert {p.scope for p in parts if isinstance(p, EnergyReading)} == {"part:gpu_board"}
    steady, *_ = combined([(a,), (b,)], [1.0, 3.0])
    assert isinstance(steady, EnergyReading)
    assert steady.err_window_rel == pytest.approx(0.001 + 0.05 * 4 / 400 / 10, rel=0.01)
    lost = Missing(metric="energy", reason="failed", detail="GPU is lost")
    assert all(
        not isinstance(f, EnergyReading) or f.scope == "part:gpu_board"
        for f in combined([(a,), (lost,)])
    )


STEP = st.tuples(
    st.floats(0.0001, 0.3),  # time until the next read
    st.sampled_from([0.0, 0.0, 0.001, 1.0, 450.0, 1e9, -5.0]),  # what the counter does meanwhile
    st.sampled_from([0.0, 100.0, 450.0, 450.0, 1e6]),  # what the power sensor says
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEP, min_size=1, max_size=60), st.floats(0.0, 5.0), st.booleans())
def test_whatever_a_sensor_does_a_number_is_positive_and_bounded_or_missing_with_a_reason(
    steps: list[tuple[float, float, float]], length_s: float, once: bool
) -> None:
    now, value = 100.0, 5000.0
    follower = CounterFollower(lambda: value, lambda: now)
    power = PowerTrace()
    start = now
    follower.start()
    for pause_s, moved, watts in steps:
        follower.poll()
        power.add(now, watts)
        now, value = now + pause_s, value + moved
    end = start + length_s
    if once:
        found = drained(SENSOR, follower, start, end)
    else:
        found = counter_readings(SENSOR, follower, power, start, end)
    found = (*found, *power_readings(SENSOR, power, start, end))
    assert found
    for each in found:
        if isinstance(each, Missing):
            assert each.detail
        else:
            assert 0 < each.joules < math.inf
            assert each.end_s > each.start_s
            assert each.err_window_rel is not None
            assert 0 <= each.err_window_rel < math.inf
            assert each.joules / (each.end_s - each.start_s) <= 2 * (SENSOR.limit_w or 0)
