"""Which clock a machine has for billing code."""

from __future__ import annotations

from functools import cache

from effmark.code.bout import Clock
from effmark.errors import PrerequisiteError
from effmark.perf_events import CounterAbsent, open_counter

__all__ = ["choose_clock", "why_no_instructions"]


def choose_clock(asked: str) -> Clock:
    """Return the clock that was asked for; for `auto` instructions where they can be counted.

    Raises:
        PrerequisiteError: instructions were asked for and this machine does not count them.
    """
    if asked == "cpu":
        return "cpu"
    absent = why_no_instructions()
    if not absent:
        return "instructions"
    if asked == "instructions":
        raise PrerequisiteError(f"--clock instructions: {absent}; use --clock cpu")
    return "cpu"


@cache
def why_no_instructions() -> str:
    """Return why this machine does not count user instructions, or nothing where it does."""
    counter = open_counter(enabled=False)
    if isinstance(counter, CounterAbsent):
        return counter.detail
    counter.close()
    return ""
