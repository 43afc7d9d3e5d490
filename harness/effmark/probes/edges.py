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

import itertools
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
_LEISURE_S = 0.02
_MARGIN_S = 0.003
"""How long before an expected refresh fine reading begins, at least."""
_COARSE = 8
"""Reads per period between refreshes, so that a late wake-up costs an eighth of a period."""
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
    """Reads a counter again and again and remembers its refreshes."""

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
        self._value: float | None = None
        self._unchanged_s = 0.0
        self._margin_s = _MARGIN_S
        self._spacings: list[float] = []

    def start(self) -> None:
        """Forget the edges; the period stays known."""
        self.edges, self.backwards_s, self.stale_s = [], None, 0.0
        self._value = None

    @property
    def fast(self) -> bool:
        """Return whether the counter is refreshed faster than it is read."""
        return self.period_s is not None and self.period_s < _FAST_S

    @property
    def gap_s(self) -> float | None:
        """Return the longest time between two edges, None below two."""
        spacings = [b.time_s - a.time_s for a, b in zip(self.edges, self.edges[1:], strict=False)]
        return max(spacings, default=None)

    def poll(self) -> float:
        """Read once; return when to read again."""
        before = self._clock()
        value = self._read()
        after = self._clock()
        self.read_s = max(self.read_s, after - before)
        if self._value is None:
            self._value, self._unchanged_s = value, before
        elif value < self._value:
            self.backwards_s = self.backwards_s or after
            self._value = value
        elif value > self._value:
            self._moved(value, before, after)
        else:
            self._still(before)
        return self._next(after)

    def _moved(self, value: float, before: float, after: float) -> None:
        slack = after - self._unchanged_s
        middle = (after + self._unchanged_s) / 2
        if self.fast:  # the value may be one period old, the read itself takes its time
            assert self.period_s is not None
            slack, middle = after - before + self.period_s, (before + after) / 2
        elif self.edges:
            self._learn(middle - self.edges[-1].time_s)
            late = slack > 2 * _FINE_S + self.read_s
            self._margin_s = self._margin_s * 1.5 if late else max(_MARGIN_S, self._margin_s * 0.95)
        if len(self.edges) < _MOST:
            self.edges.append(Edge(value, middle, slack))
        self._value, self._unchanged_s = value, before

    def _still(self, before: float) -> None:
        self._unchanged_s = before
        if self.edges:
            self.stale_s = max(self.stale_s, before - self.edges[-1].time_s)

    def _learn(self, spacing_s: float) -> None:
        """Take one more spacing into the period; a missed refresh is a multiple of it."""
        if self.period_s is None or spacing_s < 1.5 * self.period_s:
            self._spacings = [*self._spacings[-30:], spacing_s]
        if len(self._spacings) >= _LEARN:
            self.period_s = statistics.median(self._spacings)
            if self.fast:
                self._spacings.clear()

    def _next(self, now: float) -> float:
        if self.fast:
            return now + _LEISURE_S
        if self.period_s is None or not self.edges:
            return now + _FINE_S
        margin = min(self._margin_s + self._jitter_s(), self.period_s / 2)
        last = self.edges[-1]
        awaited = last.earliest_s + self.period_s - margin
        if now >= awaited:
            return now + _FINE_S
        return min(awaited, now + self.period_s / _COARSE)

    def _jitter_s(self) -> float:
        """Return how far refreshes usually are from their period."""
        centre = self.period_s or 0.0
        return 2 * statistics.median(abs(s - centre) for s in self._spacings)


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
    return list(_windows(inside, count, random_from))


def _windows(edges: Sequence[Edge], count: int, dice: random.Random) -> list[tuple[Edge, Edge]]:
    last = len(edges) - 1
    step = last / count
    cuts = [_best_near(edges, round(i * step), max(0, int(step // 8))) for i in range(count + 1)]
    found = []
    for begin, end in itertools.pairwise(cuts):
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
