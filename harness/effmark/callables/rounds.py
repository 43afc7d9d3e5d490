"""Rounds that another tool has timed, as a record: times are that tool's, the rest is ours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from effmark.callables.take import NOT_ASKED, Take
from effmark.record import Block, Record, Settings
from effmark.spec import Cell
from effmark.workloads.context import Findings

__all__ = ["Round", "record_rounds"]

MOST_BLOCKS = 1000
"""More rounds than that are merged with their neighbours, so that records stay small."""


@dataclass(frozen=True, slots=True)
class Round:
    """One round of calls."""

    start_s: float
    duration_s: float
    calls: int
    cpu_s: float
    instructions: int | None


def record_rounds(take: Take, cell: Cell, rounds: Sequence[Round]) -> Record:
    """Return the record of rounds that were timed while `take` was under way."""
    size = math.ceil(len(rounds) / MOST_BLOCKS)
    origin_s = rounds[0].start_s
    groups = (rounds[i : i + size] for i in range(0, len(rounds), size))
    blocks = [_block(group, origin_s) for group in groups]
    findings = Findings(blocks=blocks, energy_missing=[NOT_ASKED])
    return take.record(cell, Settings(), findings)


def _block(group: Sequence[Round], origin_s: float) -> Block:
    start_s = group[0].start_s - origin_s
    duration_s = math.fsum(r.duration_s for r in group)
    counted = [r.instructions for r in group if r.instructions is not None]
    return Block(
        start_s=start_s,
        end_s=start_s + duration_s,
        steps_s=(duration_s,),
        sequences=sum(r.calls for r in group),
        cpu_s=math.fsum(r.cpu_s for r in group),
        instructions=sum(counted) if len(counted) == len(group) else None,
    )
