"""A window of a program: what happens between `with` and the end of its block, once or often."""

from __future__ import annotations

import time
from typing import Self

from effmark.callables.instruments import Instruments
from effmark.callables.take import NOT_ASKED, Take
from effmark.errors import SpecError
from effmark.metrics import metric
from effmark.probes.counters import CounterReading
from effmark.record import Block, EnergyReading, Measured, Measurement, Missing, Record, Settings
from effmark.spec import Cell
from effmark.workloads.context import Findings
from effmark.workloads.energy_units import with_units

__all__ = ["Window"]

_UNITS = ("output_tokens", "input_tokens", "images")


class Window:
    """A named window that can be entered again and again; every pass is a block of its record.

    A pass is neither repeated nor warmed up: what runs inside runs once. A pass that ends with an
    exception is not recorded.
    """

    def __init__(
        self,
        cell: Cell,
        instruments: Instruments,
        *,
        energy: bool = False,
    ) -> None:
        self._cell, self._instruments, self._asks_energy = cell, instruments, energy
        self._origin_s = time.monotonic()
        self._take: Take | None = None
        self._last: Take | None = None
        self._memory: list[Measurement] = []
        self._start_s = 0.0
        self._before = CounterReading(0.0, None, None)
        self._findings = Findings(energy_missing=[] if energy else [NOT_ASKED])
        self._work: list[dict[str, float]] = []
        self._now: dict[str, float] = {}

    def units(
        self,
        output_tokens: float | None = None,
        *,
        input_tokens: float | None = None,
        images: float | None = None,
    ) -> None:
        """Say how much work was done in this pass; costs are then also per unit of it.

        Raises:
            SpecError: outside of the window, or not above 0.
        """
        if self._take is None:
            raise SpecError(f"window {self._cell.workload.label!r}: units are told inside of it")
        given = dict(zip(_UNITS, (output_tokens, input_tokens, images), strict=True))
        for name, count in given.items():
            if count is not None and not 0 < count < float("inf"):
                raise SpecError(f"window: {name} {count!r}, wants a number above 0")
            if count is not None:
                self._now[name] = self._now.get(name, 0.0) + float(count)

    def __enter__(self) -> Self:
        if self._asks_energy:
            _ = self._instruments.energy.instruments
        self._take = Take(self._instruments).__enter__()
        self._now = {}
        if self._asks_energy:
            self._instruments.energy.start(once=True)
        self._before = self._instruments.counters.read()
        self._start_s = time.monotonic()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        end_s = time.monotonic()
        after = self._instruments.counters.read()
        take = self._take
        assert take is not None
        self._take, self._last = None, take
        try:
            readings, missing = self._energy_stopped()
        finally:
            take.__exit__(None, None, None)
        if kind is not None:
            return
        self._memory += take.memory
        self._keep(self._block(end_s, after), readings)
        self._findings.energy_missing += missing

    def _energy_stopped(self) -> tuple[list[EnergyReading], list[Missing]]:
        return self._instruments.energy.stop(self._origin_s) if self._asks_energy else ([], [])

    def _block(self, end_s: float, after: CounterReading) -> Block:
        before = self._before
        return Block(
            start_s=self._start_s - self._origin_s,
            end_s=end_s - self._origin_s,
            steps_s=(end_s - self._start_s,),
            cpu_s=after.cpu_s - before.cpu_s,
            instructions=_difference(before.instructions, after.instructions),
            cycles=_difference(before.cycles, after.cycles),
        )

    def _keep(self, block: Block, readings: list[EnergyReading]) -> None:
        """Keep a pass; its work counts by the share that lies inside each energy window."""
        self._findings.blocks.append(block)
        self._work.append(self._now)
        for reading in readings:
            whole = with_units(reading, [block], self._cell.workload)
            share = whole.units.get("calls", 0.0)
            units = {name: share * count for name, count in self._now.items()}
            both = {"units": {**whole.units, **units}}
            self._findings.energy.append(whole.model_copy(update=both))

    def record(self) -> Record | None:
        """Return the record of all passes, None where there was none."""
        if self._last is None or not self._findings.blocks:
            return None
        record = self._last.record(self._cell, Settings(), self._findings, self._per_unit())
        ours = {m.metric: m for m in self._memory}
        others = [m for m in record.measurements if m.metric not in ours]
        memory = [self._of_all_passes(m) for m in ours.values()]
        return record.model_copy(update={"measurements": (*others, *memory)})

    def _of_all_passes(self, last: Measurement) -> Measurement:
        """Return the samples of all passes of a measurement of memory; the largest counts."""
        same = [m for m in self._memory if m.metric == last.metric and isinstance(m, Measured)]
        if not same:
            return last
        return same[0].model_copy(update={"samples": tuple(s for m in same for s in m.samples)})

    def _per_unit(self) -> list[Measurement]:
        """Return throughput and costs per unit of work, where passes told their work."""
        found: list[Measurement] = []
        for unit, rate, cost in (
            ("output_tokens", "output_token_throughput", "output_token"),
            ("images", "image_throughput", "image"),
        ):
            pairs = zip(self._findings.blocks, self._work, strict=True)
            told = [(block, work[unit]) for block, work in pairs if unit in work]
            if told:
                seconds = [block.end_s - block.start_s for block, _ in told]
                found.append(_ratio(rate, [n for _, n in told], seconds, "clock"))
                found += _costs(cost, told)
        return found


def _costs(unit: str, told: list[tuple[Block, float]]) -> list[Measurement]:
    counts = [count for _, count in told]
    found: list[Measurement] = []
    cpu_s = [block.cpu_s for block, _ in told if block.cpu_s is not None]
    if len(cpu_s) == len(told):
        found.append(_ratio(f"cpu_s_per_{unit}", cpu_s, counts, "rusage"))
    else:
        detail = "CPU time was not read in every window"
        found.append(Missing(metric=f"cpu_s_per_{unit}", reason="not_present", detail=detail))
    instructions = [float(b.instructions) for b, _ in told if b.instructions is not None]
    name = f"instructions_per_{unit}"
    if len(instructions) == len(told):
        found.append(_ratio(name, instructions, counts, "perf"))
    else:
        detail = "no instruction counter on this machine"
        found.append(Missing(metric=name, reason="not_present", detail=detail))
    return found


def _ratio(name: str, above: list[float], below: list[float], source: str) -> Measured:
    return Measured(
        metric=name,
        unit=metric(name).unit,
        samples=tuple(above),
        weights=tuple(below),
        estimator="ratio",
        source=source,
    )


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before
