"""Interleaving: several workers alive, one at work, blocks in random order within each round.

Load that drifts while a run goes on meets all partners alike, so it cancels in paired ratios.
A parked worker waits in the kernel for its next message and uses no core.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Sequence

from effmark.executors.local import WorkerFailed
from effmark.executors.station import Orders, Station
from effmark.model_names import model_key
from effmark.plan import ProcessPlan
from effmark.record import Record

__all__ = ["parties", "take_turns"]

_FRAMEWORK_B = 1 << 30
"""What a worker holds beside its weights: imports, arenas, activations; about the largest seen."""


def parties(processes: Sequence[ProcessPlan], orders: Orders) -> Iterator[list[ProcessPlan]]:
    """Yield the processes of each model that are alive together, the baseline in every party."""
    models = list(dict.fromkeys(model_key(process.cells[0].model) for process in processes))
    for model in models:
        mine = [p for p in processes if model_key(p.cells[0].model) == model]
        baseline = [p for p in mine if p.is_reference]
        party = list(baseline)
        for process in (p for p in mine if not p.is_reference):
            if party != baseline and _memory_b([*party, process]) > orders.memory_b:
                yield party
                party = list(baseline)
            party.append(process)
        yield party


def _memory_b(party: Sequence[ProcessPlan]) -> int:
    return sum((process.memory_b or 0) * 2 + _FRAMEWORK_B for process in party)


def take_turns(
    stations: Sequence[Station], number: int
) -> Iterator[tuple[Station, Record | WorkerFailed]]:
    """Measure cell `number` of each station side by side; yield each one's record or failure.

    Everybody warms up first. Then, in rounds, everybody measures one block, in random order,
    until all are precise enough or the common budget is used up.
    """
    party = uuid.uuid4().hex
    order = random.Random(party)
    state: dict[Station, dict[str, bool]] = {}
    for station in stations:
        try:
            state[station] = station.begin(station.process.cells[number])
        except WorkerFailed as failure:
            yield station, failure
    yield from _rounds(state, order, "warm")
    for station in list(state):
        try:
            station.align(len(state))
        except WorkerFailed as failure:
            del state[station]
            yield station, failure
    yield from _rounds(state, order, "done")
    for station in state:
        try:
            yield station, station.finish(party)
        except WorkerFailed as failure:
            yield station, failure


def _rounds(
    state: dict[Station, dict[str, bool]], order: random.Random, until: str
) -> Iterator[tuple[Station, WorkerFailed]]:
    """Let everybody measure a block per round until all are `warm` or `done`."""
    while not all(flags[until] for flags in state.values()):
        turn = list(state)
        order.shuffle(turn)
        for station in turn:
            if until == "warm" and state[station]["warm"]:
                continue
            try:
                state[station] = station.step()
            except WorkerFailed as failure:
                del state[station]
                yield station, failure
