"""Which clock a machine has for billing code."""

from __future__ import annotations

from effmark.code.bout import Clock
from effmark.errors import PrerequisiteError
from effmark.perf_events import CounterAbsent, open_counter

__all__ = ["choose_clock"]


def choose_clock(asked: str) -> Clock:
    """Return the clock that was asked for; for `auto` instructions where they can be counted.

    Raises:
        PrerequisiteError: instructions were asked for and this machine does not count them.
    """
    if asked == "cpu":
        return "cpu"
    counter = open_counter(enabled=False)
    if not isinstance(counter, CounterAbsent):
        counter.close()
        return "instructions"
    if asked == "instructions":
        raise PrerequisiteError(f"--clock instructions: {counter.detail}; use --clock cpu")
    return "cpu"
