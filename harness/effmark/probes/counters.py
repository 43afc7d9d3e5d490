"""CPU time and user-mode instructions of this process, all threads, read around a block.

Physics: `getrusage` sums user and system time of all threads, ended ones included, at about
microsecond resolution; children that do part of the work count, too, whether they live or have
ended, and those of the instruments do not (`kin`). The instruction counter is opened before any
framework starts its threads and inherited by them (`inherit`), so it counts every thread that
exists by then or later, and forked children until they become another program (Linux 5.13): the
sampler is one. It counts user mode only and is blind to waiting, to cache misses and to
accelerators.
"""

from __future__ import annotations

from dataclasses import dataclass

from effmark.perf_events import CounterAbsent, InstructionCounter, open_counter
from effmark.probes.kin import WorkTime

__all__ = ["CounterReading", "ProcessCounters"]


@dataclass(frozen=True, slots=True)
class CounterReading:
    """Counts since some fixed moment; differences are what matters."""

    cpu_s: float
    instructions: int | None
    cycles: int | None


class ProcessCounters:
    """The counters of this process; open it before importing a framework."""

    def __init__(self) -> None:
        self._instructions = open_counter(event="instructions", enabled=True, until_exec=True)
        self._time = WorkTime()
        self._cycles = open_counter(event="cycles", enabled=True, until_exec=True)

    @property
    def absent(self) -> CounterAbsent | None:
        """Return why there is no instruction counter, or None where there is one."""
        return self._instructions if isinstance(self._instructions, CounterAbsent) else None

    def read(self) -> CounterReading:
        """Return the counts now."""
        return CounterReading(
            cpu_s=self._time.read(),
            instructions=_value(self._instructions),
            cycles=_value(self._cycles),
        )

    def close(self) -> None:
        """Give the counters back."""
        for counter in (self._instructions, self._cycles):
            if isinstance(counter, InstructionCounter):
                counter.close()


def _value(counter: InstructionCounter | CounterAbsent) -> int | None:
    """Return a count, or None where there is no counter or the kernel shared it out over time."""
    if isinstance(counter, CounterAbsent):
        return None
    reading = counter.read()
    return None if reading.was_multiplexed else reading.value
