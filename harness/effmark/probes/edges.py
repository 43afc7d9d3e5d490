"""Following an energy counter: when it moved, how surely that is known, windows between moves.

Physics: a counter that is refreshed every tau seconds tells the truth only at the moment of a
refresh; reading it at the ends of a window errs by up to tau / T. So the window is laid between two
refreshes that were seen. A refresh happened after the last read that returned the old value began
and before the first read with the new value ended: `slack_s`. The follower learns tau, sleeps
until shortly before the next refresh and reads finely only there.

A counter that is refreshed faster than it is sensible to read (RAPL, 1 ms) is read at leisure; its
value is at most one period old.
"""

from __future__ import annotations

import bisect
import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

__all__ = ["CounterFollower", "Edge", "lay_windows"]

_FINE_S = 0.001
"""Spacing of reads while a refresh is awaited."""
_LEARN = 10
"""Refreshes after which the period is known."""
_FAST_S = 0.004
"""Counters with a shorter period are read at leisure."""
_LEISURE_S = 0.05
_MARGIN_S = 0.0008
"""How long before an expected refresh fine reading begins, at least; late wake-ups widen it."""
_LOST_RATIO = 1 / 20
_LONGEST_S = 0.2
"""Refreshes are slept through: a twentieth of the window's length so far, 0.2 s at most."""
_WAITED_S = 1.0
"""A counter that has not moved for so long is read coarsely until it does."""
_DRAIN_S = 0.5
"""How long to wait for a refresh at least, of a counter whose period is not known yet."""
_NEARLY = 0.9
"""Boundaries are edges, so a window may miss its length by this much."""
_MOST = 1_000_000
"""Edges kept; 3 h of a 10 ms counter."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One refresh of the counter."""

    joules: float
    time_s: float
    """Middle of the time in which the refresh happened."""
    slack_s: float
    """Length of that time."""

    @property
    def earliest_s(self) -> float:
        """Return the earliest moment at which the refresh can have been."""
        return self.time_s - self.slack_s / 2

    @property
    def latest_s(self) -> float:
        """Return the latest moment at which the refresh can have been."""
        return self.time_s + self.slack_s / 2


class CounterFollower:
    """Reads a counter again and again and remembers its refreshes.

    While the period is unknown it reads finely all the time. Then it sleeps until shortly before a
    refresh, reads once to know the old value, and finely until the new one is there. The longer a
    window lasts the more refreshes are slept through: a twentieth of it at most is lost at its end.
    A wake-up costs more than a read, so this is what makes the sampler cheap.
    """

    def __init__(
        self, read: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._read, self._clock = read, clock
        self.edges: list[Edge] = []
        self.backwards_s: float | None = None
        """When the counter went backwards, if it did."""
        self.stale_s = 0.0
        """Longest time that reads went on without a refresh."""
        self.read_s = 0.0
        """Longest single read."""
        self.period_s: float | None = None
        self._margin_s = _MARGIN_S
        self._spacings: list[tuple[float, int]] = []
        """Distances of neighbouring edges, and how many periods they are."""
        self.start()

    def start(self) -> None:
        """Forget the edges; the period stays known."""
        self.edges, self.backwards_s, self.stale_s = [], None, 0.0
        self._value: float | None = None
        self._unchanged_s = self._changed_s = 0.0
        self._awaited_s: float | None = None
        """When the next refresh can be at the earliest, where that is known."""
        self._asleep = False
        """Whether the next read is the first after a sleep."""
        self._due_s = -math.inf
        self._began_s = self._clock()

    @property
    def knows_idle(self) -> bool:
        """Return whether two refreshes were seen: between them lies the power before a load."""
        return len(self.edges) > 1

    def read_on(self, end_s: float, sleep: Callable[[float], None] = time.sleep) -> None:
        """Read until a refresh after a moment was seen, or too long for there to be one."""
        deadline_s = self._clock() + max(_DRAIN_S, 3 * (self.period_s or 0.0))
        while self._clock() < deadline_s:
            if self.edges and self.edges[-1].earliest_s >= end_s:
                return
            sleep(max(0.0, min(self.poll(), deadline_s) - self._clock()))

    def powers(self) -> list[tuple[float, float]]:
        """Return the mean power in W between neighbouring refreshes, at their middle."""
        return [
            ((a.time_s + b.time_s) / 2, (b.joules - a.joules) / (b.time_s - a.time_s))
            for a, b in itertools.pairwise(self.edges)
            if b.time_s > a.time_s
        ]

    def swing_w(self) -> float | None:
        """Return by how much the power between refreshes was off its mean at most, in W."""
        watts = [power for _, power in self.powers()]
        if len(watts) < 2:
            return None
        mean = (self.edges[-1].joules - self.edges[0].joules) / (
            self.edges[-1].time_s - self.edges[0].time_s
        )
        return max(abs(power - mean) for power in watts)

    @property
    def fast(self) -> bool:
        """Return whether the counter is refreshed faster than it is read."""
        return self.period_s is not None and self.period_s < _FAST_S

    def poll(self) -> float:
        """Read once, unless it is too early for that; return when to read again."""
        if self._clock() < self._due_s:
            return self._due_s
        self._due_s = self._look()
        return self._due_s

    def _look(self) -> float:
        before = self._clock()
        value = self._read()
        after = self._clock()
        self.read_s = max(self.read_s, after - before)
        if self._value is None:
            self._value, self._unchanged_s, self._changed_s = value, before, before
        elif value < self._value:
            self.backwards_s = self.backwards_s or after
            self._value = value
        elif self._asleep:
            return self._woken(value, before, after)
        elif value > self._value:
            return self._moved(value, before, after)
        else:
            self._still(before)
        return after + (self._leisure_s(after) if self.fast else self._fine_s(after))

    def _woken(self, value: float, before: float, after: float) -> float:
        """Take the first read after a sleep: what moved meanwhile is no edge."""
        assert self._awaited_s is not None
        assert self.period_s is not None
        self._asleep = False
        if value != self._value:
            self._changed_s = before
            self._value = value
        else:
            self._still(before)
        self._unchanged_s = before
        if before > self._awaited_s:  # too late: it may have been refreshed already
            self._margin_s *= 1.5
            missed = int((before - self._awaited_s) / self.period_s) + 1
            return self._sleep(self._awaited_s + missed * self.period_s)
        return after + _FINE_S

    def _moved(self, value: float, before: float, after: float) -> float:
        slack = after - self._unchanged_s
        middle = (after + self._unchanged_s) / 2
        if self.fast:  # the value may be one period old, the read itself takes its time
            assert self.period_s is not None
            slack, middle = after - before + self.period_s, (before + after) / 2
        elif self.edges:
            self._learn(middle - self.edges[-1].time_s)
        self._value, self._unchanged_s, self._changed_s = value, before, middle
        if len(self.edges) < _MOST:
            self.edges.append(Edge(value, middle, slack))
        if self.fast:
            return after + self._leisure_s(after)
        if self.period_s is None:
            return after + _FINE_S
        self._margin_s = max(_MARGIN_S, self._margin_s * 0.95)
        stride = max(1, round(self._slept_through_s(after) / self.period_s))
        return self._sleep(middle - slack / 2 + stride * self.period_s)

    def _slept_through_s(self, now: float) -> float:
        return min(_LONGEST_S, (now - self._began_s) * _LOST_RATIO)

    def _leisure_s(self, now: float) -> float:
        return max(_LEISURE_S, self._slept_through_s(now))

    def _sleep(self, awaited_s: float) -> float:
        assert self.period_s is not None
        self._awaited_s, self._asleep = awaited_s, True
        return awaited_s - min(self._margin_s + self._jitter_s(), self.period_s / 2)

    def _still(self, before: float) -> None:
        self._unchanged_s = before
        self.stale_s = max(self.stale_s, before - self._changed_s)

    def _learn(self, spacing_s: float) -> None:
        """Take one more spacing into the period; several periods count as one each."""
        periods = 1 if self.period_s is None else max(1, round(spacing_s / self.period_s))
        self._spacings = [*self._spacings[-30:], (spacing_s, periods)]
        if len(self._spacings) >= _LEARN:
            # A long distance tells the period more surely than a short one: a ratio of sums.
            middle = statistics.median(s / n for s, n in self._spacings)
            usual = [(s, n) for s, n in self._spacings if abs(s / n - middle) < middle / 4]
            if usual:  # none, where refreshes come in bursts
                middle = sum(s for s, _ in usual) / sum(n for _, n in usual)
            self.period_s = middle

    def _fine_s(self, now: float) -> float:
        """Return the spacing of reads; coarse where a refresh is long overdue."""
        still_s = now - self._changed_s
        if self.period_s is not None and still_s > 2 * self.period_s:
            return max(_FINE_S, self.period_s / 8)
        return _LEISURE_S if still_s > _WAITED_S else _FINE_S

    def _jitter_s(self) -> float:
        """Return how far refreshes usually are from where they were expected."""
        centre = self.period_s or 0.0
        return 2 * statistics.median(abs(s - n * centre) for s, n in self._spacings)


def lay_windows(
    edges: Sequence[Edge],
    start_s: float,
    end_s: float,
    minimum_s: float,
    most: int,
    random_from: random.Random,
) -> list[tuple[Edge, Edge]]:
    """Return windows between edges inside [start_s, end_s]: as many as are `minimum_s` long.

    Boundaries are moved by a random edge or two, so that windows begin at random phases of the
    load, and to the edge that is known best of its neighbours. One window where time allows no
    more; none with fewer than two edges.
    """
    inside = [e for e in edges if start_s <= e.earliest_s and e.latest_s <= end_s]
    if len(inside) < 2:
        return []
    count = int((inside[-1].time_s - inside[0].time_s) / minimum_s)
    count = min(max(1, count), most, len(inside) - 1)
    while count > 1:
        found = list(_windows(inside, count, random_from))
        if all(end.time_s - begin.time_s >= _NEARLY * minimum_s for begin, end in found):
            return found
        count -= 1
    return list(_windows(inside, 1, random_from))


def _windows(edges: Sequence[Edge], count: int, dice: random.Random) -> list[tuple[Edge, Edge]]:
    times = [edge.time_s for edge in edges]
    length = (times[-1] - times[0]) / count
    reach = max(0, len(edges) // count // 8)
    cuts = [
        _best_near(edges, bisect.bisect_left(times, times[0] + i * length), reach)
        for i in range(count)
    ]
    found = []
    for begin, end in itertools.pairwise([*cuts, _best_near(edges, len(edges) - 1, reach)]):
        room = (end - begin) // 4
        first = begin + dice.randint(0, min(1, room)) if begin else begin
        if end > first:
            found.append((edges[first], edges[end]))
    return found


def _best_near(edges: Sequence[Edge], index: int, reach: int) -> int:
    """Return the edge of least slack within `reach` of an index (at most 3 away)."""
    reach = min(3, reach)
    near = range(max(0, index - reach), min(len(edges) - 1, index + reach) + 1)
    return min(near, key=lambda i: (edges[i].slack_s, abs(i - index)))
