"""The measuring loop: blocks until the steady state is known and the interval is narrow enough.

A block is one request or batch. Time is read here and nowhere else: the adapter hands over its
results, the device is idle at both ends. Raw blocks are kept, warm-up included, in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from effmark.errors import AdapterError
from effmark.probes.counters import ProcessCounters
from effmark.probes.energy import EnergyMeter
from effmark.record import Block, Measurement, Settings
from effmark.spec import Cell
from effmark.stopping import SequentialRule
from effmark.warmup import WarmupRule
from effmark.workloads.context import Findings
from effmark.workloads.energy_units import with_units

__all__ = ["Bench", "Measuring", "Timed", "Work", "timed_block"]

Work = Callable[[int, Callable[[], None]], None]
"""Does block number i and calls back each time that results have reached the host."""


class Synchronizes(Protocol):
    """What makes sure that a device is idle: an adapter, say."""

    def synchronize(self) -> None:
        """Return when all work given to the device is done."""


class Bench(Protocol):
    """What the measuring loop needs: a `Context` has it."""

    @property
    def adapter(self) -> Synchronizes:
        """What is measured."""

    @property
    def cell(self) -> Cell:
        """What was asked for."""

    @property
    def counters(self) -> ProcessCounters:
        """CPU time and instructions of this process."""

    @property
    def energy(self) -> EnergyMeter:
        """The energy of this process; only `with_energy` asks for it."""

    @property
    def settings(self) -> Settings:
        """How long and how precisely to measure."""

    @property
    def progress(self) -> Callable[[str], None]:
        """Told what is going on."""


def timed_block(context: Bench, work: Work, index: int, sequences: int, origin_s: float) -> Block:
    """Run one block between two moments at which the device is idle."""
    stamps: list[float] = []
    now = time.monotonic

    def stamp() -> None:
        stamps.append(now())

    context.adapter.synchronize()
    before = context.counters.read()
    start = now()
    work(index, stamp)
    context.adapter.synchronize()
    end = now()
    after = context.counters.read()
    if any(b < a for a, b in zip([start, *stamps], [*stamps, end], strict=True)):
        raise AdapterError(f"{context.cell.adapter}: the clock went backwards inside a block")
    return Block(
        start_s=start - origin_s,
        end_s=end - origin_s,
        steps_s=tuple(stamp - start for stamp in stamps),
        sequences=sequences,
        cpu_s=after.cpu_s - before.cpu_s,
        instructions=_difference(before.instructions, after.instructions),
        cycles=_difference(before.cycles, after.cycles),
    )


def _difference(before: int | None, after: int | None) -> int | None:
    return None if before is None or after is None else after - before


@dataclass(frozen=True)
class Timed:
    """What a timed workload does, block by block."""

    work: Work
    sequences: int
    """Sequences or images per block."""
    found: list[Measurement] = field(default_factory=list)
    """What the work measures beside time: filled by the first block, which is never counted."""


class Measuring:
    """A timed workload on its way: blocks one at a time, warm-up first, until enough is known."""

    def __init__(self, context: Bench, timed: Timed) -> None:
        self._context = context
        self._timed = timed
        self._origin = time.monotonic()
        whole_s = context.settings.budget_s
        self._warm_up_s = None if whole_s is None else whole_s / 3
        self._warm_up = WarmupRule(budget_s=self._warm_up_s)
        self._rule = self._new_rule(whole_s)
        self._blocks: list[Block] = []
        self._start = 0
        self._steady: Literal["reached", "never_reached", "unknown"] | None = None

    @property
    def warm(self) -> bool:
        """Return whether the warm-up is over."""
        return self._steady is not None

    @property
    def done(self) -> bool:
        """Return whether the precision is reached or the budget is used up."""
        return self.warm and self._rule.verdict() is not None

    def step(self) -> None:
        """Measure one more block."""
        index = len(self._blocks)
        self._context.progress(f"{'block' if self.warm else 'warm-up'} {index + 1}")
        block = timed_block(
            self._context, self._timed.work, index, self._timed.sequences, self._origin
        )
        self._blocks.append(block)
        if self.warm:
            self._rule.add(block.end_s - block.start_s, block.end_s)
        else:
            self._warm_up.add(block.end_s - block.start_s, block.end_s)
            self._look()

    def align(self, partners: int) -> None:
        """Count what was measured so far as warm-up, so that all partners start together.

        Args:
            partners: cells that take turns; the budget of all of them is spent in common.
        """
        self._start = len(self._blocks)
        whole_s = self._context.settings.budget_s
        spent_s = time.monotonic() - self._origin
        self._rule = self._new_rule(None if whole_s is None else spent_s + partners * whole_s)

    def findings(self) -> Findings:
        """Return all blocks and why measuring ended."""
        verdict = self._rule.verdict()
        assert verdict is not None
        return Findings(
            measurements=list(self._timed.found),
            warmup_blocks=self._blocks[: self._start],
            blocks=self._blocks[self._start :],
            stop=verdict.model_copy(update={"steady": self._steady}),
        )

    def with_energy(self) -> Findings:
        """Measure to the end with the energy probes watching the steady blocks."""
        energy = self._context.energy
        energy.rest(self._context.settings.budget_s)
        self._origin = time.monotonic()  # resting is no part of the budget
        while not self.warm:
            self.step()
        energy.start()
        start = time.monotonic()
        while not self.done:
            self.step()
        findings = self.findings()
        more = self._prolong(start + energy.wanted_s)
        readings, missing = energy.stop(self._origin)
        workload = self._context.cell.workload
        findings.energy = [with_units(r, [*findings.blocks, *more], workload) for r in readings]
        findings.energy_missing, findings.traces = missing, energy.traces
        return findings

    def _prolong(self, until_s: float) -> list[Block]:
        """Return blocks that only keep the load up, because a counter needs a longer window."""
        more: list[Block] = []
        while time.monotonic() < until_s:
            index = len(self._blocks) + len(more)
            timed = self._timed
            more.append(
                timed_block(self._context, timed.work, index, timed.sequences, self._origin)
            )
        return more

    def _new_rule(self, budget_s: float | None) -> SequentialRule:
        settings = self._context.settings
        return SequentialRule(
            settings.precision,
            budget_s=budget_s,
            min_blocks=settings.min_blocks,
            max_blocks=settings.max_blocks,
        )

    def _look(self) -> None:
        """Decide whether the steady state has begun; the very first block is never steady."""
        verdict = self._warm_up.verdict()
        if verdict is not None:
            self._start, self._steady = max(1, verdict.start), verdict.steady
        if self.warm:
            for block in self._blocks[self._start :]:
                self._rule.add(block.end_s - block.start_s, block.end_s)
