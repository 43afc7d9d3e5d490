"""A callable, measured: calls in a row until a block is long enough, blocks until it is known."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from effmark.callables.bytecodes import bytecodes_of
from effmark.callables.instruments import Instruments
from effmark.callables.take import NOT_ASKED, Take
from effmark.probes.counters import ProcessCounters
from effmark.probes.energy import EnergyMeter
from effmark.record import Record, Settings
from effmark.spec import Cell
from effmark.workloads.blocks import Measuring, Timed

__all__ = ["measure_callable"]

SHORTEST_BLOCK_S = 1e-3
"""CPU time is counted in microseconds: 0.1 % of a block. The clock's own error is far smaller."""
RESOLUTIONS = 1000
"""Ticks of the clock in a block at least, where the clock is coarser than that."""
_GROWTH = 10


@dataclass(frozen=True)
class _Device:
    """What makes sure that the device is idle at both ends of a block."""

    synchronize: Callable[[], None]


@dataclass(frozen=True)
class _Bench:
    """What the measuring loop needs, made of the instruments of this process."""

    cell: Cell
    settings: Settings
    adapter: _Device
    instruments: Instruments

    @property
    def counters(self) -> ProcessCounters:
        return self.instruments.counters

    @property
    def energy(self) -> EnergyMeter:
        return self.instruments.energy

    @property
    def progress(self) -> Callable[[str], None]:
        return _quiet


def measure_callable(
    call: Callable[[], Any],
    cell: Cell,
    instruments: Instruments,
    *,
    settings: Settings,
    energy: bool = False,
    bytecodes: bool = False,
    calls: int | None = None,
    synchronize: Callable[[], None] = lambda: None,
) -> tuple[Record, Any]:
    """Return the record of a callable and what its first call returned.

    It is called many times: first to find out how many calls make a block that the clock can
    measure, then until warm-up is over and the interval is narrow enough or the budget is used up.
    An exception in any call ends the measurement and is the caller's.

    Args:
        call: what is measured.
        cell: its name.
        instruments: those of this process.
        settings: budget and precision.
        energy: whether to ask the energy probes.
        bytecodes: whether to count Python instructions, in a few more calls.
        calls: calls per block; None to find out.
        synchronize: waits until the device is idle, for work that a call only queues.
    """
    if energy:
        _ = instruments.energy.instruments  # started before the memory and the machine are watched
    with Take(instruments) as take:
        found, first = _calls_per_block(call, synchronize)
        row = calls or found
        bench = _Bench(cell, settings, _Device(synchronize), instruments)
        measuring = Measuring(bench, Timed(_in_a_row(call, row), row))
        if energy:
            findings = measuring.with_energy()
        else:
            while not measuring.done:
                measuring.step()
            findings = measuring.findings()
            findings.energy_missing = [NOT_ASKED]
    counted = [bytecodes_of(call)] if bytecodes else []
    return take.record(cell, settings, findings, counted), first


def _quiet(text: str) -> None:
    """Say nothing of what is going on."""


def _in_a_row(call: Callable[[], Any], calls: int) -> Callable[[int, Callable[[], None]], None]:
    def work(index: int, stamp: Callable[[], None]) -> None:
        for _ in itertools.repeat(None, calls):
            call()
        stamp()

    return work


def _calls_per_block(call: Callable[[], Any], synchronize: Callable[[], None]) -> tuple[int, Any]:
    """Return how many calls take long enough to be timed, and the result of the first."""
    wanted_s = max(SHORTEST_BLOCK_S, RESOLUTIONS * time.get_clock_info("monotonic").resolution)
    synchronize()
    start_s = time.monotonic()
    first = call()
    synchronize()
    taken_s = time.monotonic() - start_s
    calls = 1
    while taken_s < wanted_s:
        needed = math.ceil(calls * wanted_s / taken_s) if taken_s > 0 else calls * _GROWTH
        calls = max(calls + 1, min(calls * _GROWTH, needed))
        start_s = time.monotonic()
        for _ in itertools.repeat(None, calls):
            call()
        synchronize()
        taken_s = time.monotonic() - start_s
    return calls, first
