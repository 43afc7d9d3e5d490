"""The measuring loop: blocks until the steady state is known and the interval is narrow enough.

A block is one request or batch. Time is read here and nowhere else: the adapter hands over its
results, the device is idle at both ends. Raw blocks are kept, warm-up included, in order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from effmark.errors import AdapterError
from effmark.record import Block
from effmark.stopping import SequentialRule
from effmark.warmup import WarmupRule
from effmark.workloads.context import Context, Findings
from effmark.workloads.energy_units import with_units

__all__ = ["Work", "measure_blocks", "timed_block"]

Work = Callable[[int, Callable[[], None]], None]
"""Does block number i and calls back each time that results have reached the host."""


def timed_block(context: Context, work: Work, index: int, sequences: int, origin_s: float) -> Block:
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


def measure_blocks(context: Context, work: Work, sequences: int, findings: Findings) -> None:
    """Fill findings with warm-up blocks, steady blocks, energy and the reason for stopping."""
    origin = time.monotonic()
    settings = context.settings

    def block(index: int) -> Block:
        return timed_block(context, work, index, sequences, origin)

    warm = _warm_up(context, block)
    findings.warmup_blocks = warm.blocks[: warm.start]
    findings.blocks = warm.blocks[warm.start :]
    rule = SequentialRule(
        settings.precision,
        budget_s=settings.budget_s,
        min_blocks=settings.min_blocks,
        max_blocks=settings.max_blocks,
    )
    for done in findings.blocks:
        rule.add(done.end_s - done.start_s, done.end_s)
    context.energy.start()
    while (stop := rule.verdict()) is None:
        index = len(findings.warmup_blocks) + len(findings.blocks)
        context.progress(f"block {index + 1}")
        findings.blocks.append(block(index))
        rule.add(findings.blocks[-1].end_s - findings.blocks[-1].start_s, findings.blocks[-1].end_s)
    readings, missing = context.energy.stop(origin)
    workload = context.cell.workload
    findings.energy.extend(with_units(r, findings.blocks, workload) for r in readings)
    findings.energy_missing.extend(missing)
    findings.stop = stop.model_copy(update={"steady": warm.steady})


@dataclass(frozen=True)
class _Warm:
    """The first blocks, and from which of them on they count."""

    blocks: list[Block]
    start: int
    steady: Literal["reached", "never_reached", "unknown"]


def _warm_up(context: Context, block: Callable[[int], Block]) -> _Warm:
    """Run blocks until the steady state is seen or a third of the budget is gone."""
    whole_s = context.settings.budget_s
    budget_s = None if whole_s is None else whole_s / 3
    rule = WarmupRule(budget_s=budget_s)
    blocks: list[Block] = []
    while (verdict := rule.verdict()) is None:
        if blocks and budget_s is not None and blocks[-1].end_s >= budget_s:
            return _Warm(blocks, 1, "unknown")  # the very first block is never steady
        context.progress(f"warm-up {len(blocks) + 1}")
        blocks.append(block(len(blocks)))
        rule.add(blocks[-1].end_s - blocks[-1].start_s, blocks[-1].end_s)
    return _Warm(blocks, verdict.start, verdict.steady)
