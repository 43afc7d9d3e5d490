"""How many Python bytecode instructions a call executes: a count that every machine can make.

The interpreter announces each instruction before it executes it: through `sys.monitoring` from
Python 3.12 on, through opcode events of a trace function before. The same code on the same data
and the same version of Python gives the same count, whatever else the machine does. It is not a
count of CPU instructions: a C function counts as the one instruction that calls it, however long
it works, other threads are not looked at, and waiting is invisible. Counted calls are 20 to 100
times slower, so they are separate from those that are timed.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from types import CodeType, FrameType
from typing import Any

from effmark.metrics import metric
from effmark.record import Measured, Measurement, Missing

__all__ = ["BYTECODES", "SOURCE", "bytecodes_of"]

BYTECODES = "bytecodes_per_call"
SOURCE = "bytecode"
"""Never `perf`: no number of the processor."""
CALLS = 3
"""Calls that are counted, to show whether they agree; two where a call takes long."""
LONG_S = 5.0
"""Time for counting after which two calls are enough."""
_TOOLS = (4, 3, 2)
"""Tool numbers to try: 0 is the debugger's, 1 is coverage's, 5 the optimiser's (PEP 669)."""


def bytecodes_of(call: Callable[[], Any]) -> Measurement:
    """Return the instructions of each of a few calls, or why they cannot be counted."""
    try:
        if not _counter_is_right():
            return _missing("failed", "this interpreter does not announce every instruction")
        start_s = time.monotonic()
        counts = [float(_count(call)), float(_count(call))]
        while len(counts) < CALLS and time.monotonic() - start_s < LONG_S:
            counts.append(float(_count(call)))
    except _CounterTakenError as error:
        return _missing("not_present", str(error))
    if not any(counts):
        return _missing("undefined", "no Python code ran, only C; there is nothing to count")
    return Measured(
        metric=BYTECODES, unit=metric(BYTECODES).unit, samples=tuple(counts), source=SOURCE
    )


class _CounterTakenError(Exception):
    """Others hold everything that could count."""


def _missing(reason: Any, detail: str) -> Missing:
    return Missing(metric=BYTECODES, reason=reason, detail=detail)


def _count(call: Callable[[], Any]) -> int:
    """Return the instructions of one call in this thread, without any of the collector's."""
    with _no_collections():
        if sys.version_info >= (3, 12):
            return _count_by_monitoring(call)
        return _count_by_trace(call)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep finalizers out of the count: a collection begins when it will."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _count_by_trace(call: Callable[[], Any]) -> int:
    count = 0

    def inside(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        if event == "opcode":
            count += 1
        return inside

    def enter(frame: FrameType, event: str, arg: Any) -> Any:
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return inside

    before = sys.gettrace()  # a debugger's or coverage's
    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(before)
    return count


def _count_by_monitoring(call: Callable[[], Any]) -> int:
    monitoring: Any = getattr(sys, "monitoring")  # noqa: B009 - not there in the oldest Python
    tool = next((number for number in _TOOLS if monitoring.get_tool(number) is None), None)
    if tool is None:
        raise _CounterTakenError("all tool numbers of sys.monitoring are taken by other tools")
    count = 0
    ours, thread, ident = sys._getframe().f_code, threading.get_ident(), threading.get_ident

    def executed(code: CodeType, offset: int) -> None:
        nonlocal count
        if code is not ours and ident() == thread:
            count += 1

    event = monitoring.events.INSTRUCTION
    monitoring.use_tool_id(tool, "effmark")
    try:
        monitoring.register_callback(tool, event, executed)
        monitoring.set_events(tool, event)
        try:
            call()
        finally:
            monitoring.set_events(tool, 0)
    finally:
        monitoring.register_callback(tool, event, None)
        monitoring.free_tool_id(tool)
    return count


@cache
def _counter_is_right() -> bool:
    """Return whether a loop of known growth is counted as such, twice the same."""
    one, two, three, again = (_count(partial(_loop, rounds)) for rounds in (10, 20, 30, 10))
    return 0 < two - one == three - two and one == again


def _loop(rounds: int) -> int:
    total = 0
    while total < rounds:
        total += 1
    return total
