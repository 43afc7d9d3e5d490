"""pytest-benchmark's `benchmark` fixture: its rounds gain CPU time, instructions and memory.

Its runner is wrapped, so that counters are read before and after each round, outside of what it
times. Where a release of it has no runner to wrap, only memory and energy are added.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from effmark.callables import Instruments, Round, call_cell, record_rounds
from effmark.callables.bytecodes import BYTECODES, bytecodes_of
from effmark.callables.take import Take
from effmark.pytest_plugin.fixture import numbers_of
from effmark.record import EnergyReading, Missing, Record
from effmark.rows import Number

__all__ = ["BenchmarkWatch"]

_KEPT = ("cpu_s_per_call", "instructions_per_call", "bytecodes_per_call", "peak_memory_b",
         "energy_j_per_call")  # fmt: skip


class BenchmarkWatch:
    """One use of the `benchmark` fixture, from before the test to after it."""

    def __init__(
        self, fixture: Any, instruments: Instruments, *, energy: bool, bytecodes: bool = False
    ) -> None:
        self._fixture, self._instruments = fixture, instruments
        self._energy, self._bytecodes = energy, bytecodes
        self._call: Callable[[], Any] | None = None
        self._rounds: list[Round] = []
        self._take = Take(instruments)
        self._readings: list[EnergyReading] = []
        self._missing: list[Missing] = []
        self._origin_s = 0.0

    def __enter__(self) -> BenchmarkWatch:
        make = getattr(self._fixture, "_make_runner", None)
        if make is not None:
            self._fixture._make_runner = lambda *a: self._counted(make(*a), a)
        if self._energy:
            _ = self._instruments.energy.instruments
        self._take.__enter__()
        self._origin_s = time.monotonic()
        if self._energy:
            self._instruments.energy.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._energy:
            self._readings, self._missing = self._instruments.energy.stop(self._origin_s)
        self._take.__exit__(None, None, None)
        self._fixture.__dict__.pop("_make_runner", None)

    def record(self, test: str) -> Record | None:
        """Return the record of the rounds, with figures put into `extra_info`; None for none."""
        stats = getattr(self._fixture, "stats", None)
        timed = getattr(getattr(stats, "stats", None), "data", ())
        rounds = self._rounds[len(self._rounds) - len(timed) :] if timed else []
        if not rounds or len(rounds) != len(timed):
            return None
        record = record_rounds(self._take, call_cell(test, "benchmark"), rounds)
        record = self._with_bytecodes(record)
        if self._energy:
            record = self._with_energy(record)
        self._fixture.extra_info["effmark"] = _figures(record)
        return record

    def _with_energy(self, record: Record) -> Record:
        """Add energy per call: that of the whole window by all calls in it, warm-up included."""
        calls = float(sum(r.calls for r in self._rounds))
        readings = tuple(r.model_copy(update={"units": {"calls": calls}}) for r in self._readings)
        return record.model_copy(
            update={"energy": readings, "energy_missing": tuple(self._missing)}
        )

    def _with_bytecodes(self, record: Record) -> Record:
        """Add the Python instructions of a call, counted in a few more of them."""
        if not self._bytecodes:
            return record
        pedantic = Missing(
            metric=BYTECODES,
            reason="not_applicable",
            detail="benchmark.pedantic says itself how often a function may be called",
        )
        counted = pedantic if self._call is None else bytecodes_of(self._call)
        return record.model_copy(update={"measurements": (*record.measurements, counted)})

    def _counted(self, runner: Callable[..., Any], given: tuple[Any, ...]) -> Callable[..., Any]:
        """Return a runner that counts what a round costs.

        Args:
            runner: pytest-benchmark's.
            given: what it was made of: the function, its arguments and keyword arguments.
        """
        counters = self._instruments.counters
        if "pedantic" not in str(getattr(self._fixture, "_mode", "")) and len(given) == 3:
            function, arguments, keywords = given
            self._call = partial(function, *arguments, **keywords)

        def run(loops_range: Any, *args: Any) -> Any:
            before = counters.read()
            start_s = time.monotonic()
            found = runner(loops_range, *args)
            after = counters.read()
            duration_s = found[0] if isinstance(found, tuple) else found
            counted = before.instructions is not None and after.instructions is not None
            self._rounds.append(
                Round(
                    start_s,
                    duration_s,
                    len(loops_range) if loops_range else 1,
                    after.cpu_s - before.cpu_s,
                    (after.instructions or 0) - (before.instructions or 0) if counted else None,
                )
            )
            return found

        return run


def _figures(record: Record) -> dict[str, Any]:
    """Return the figures as JSON data: a number with its unit, or why there is none."""
    found: dict[str, Any] = {}
    for name, number in numbers_of(record).items():
        if name not in _KEPT:
            continue
        if isinstance(number, Number):
            found[name] = {"value": number.value, "unit": number.unit, "source": number.source}
        else:
            found[name] = {"missing": number.reason, "detail": number.detail}
    return found
