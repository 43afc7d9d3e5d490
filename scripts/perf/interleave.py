"""A speed ratio under a load that comes and goes: runs one after the other, and interleaved.

Two precisions of effmark-1m on ONNX Runtime, each in its worker, parked while the other works.
Both ways measure as many blocks. What a run claims is the interval that it prints. What is true
shows in many runs: how far their ratios scatter, and how many intervals hold the common value.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import ExitStack
from statistics import median

from scripts.perf.burner import drifting_load
from scripts.perf.rounds import known, run_rounds
from scripts.perf.table import Line, Promise, finish

from effmark.cache import default_cache
from effmark.executors.station import Orders, Station
from effmark.executors.turns import take_turns
from effmark.plan import Plan, ProcessPlan, make_plan
from effmark.record import Record
from effmark.spec import Budget, Cell, CellGroup, Decode, Precision, Suite
from effmark.stats import Estimate, paired_ratio_interval, ratio_of_medians_interval

TITLE = "interleave: int4 / fp32 of effmark-1m on ONNX Runtime while load comes and goes"
BLOCKS = 60
ROUNDS = 10
MEMORY_B = 8 << 30


class Silent:
    """An observer that shows nothing."""

    def process(self, process: ProcessPlan, phase: str) -> None:
        """Show nothing."""

    def cell(self, cell: Cell, text: str) -> None:
        """Show nothing."""

    def record(self, record: Record) -> None:
        """Show nothing."""


def the_plan() -> Plan:
    """Return two processes with one cell of a fixed number of blocks each."""
    suite = Suite(
        suite="perf-interleave",
        version=1,
        why="two precisions side by side",
        models=("effmark-1m",),
        cells=(CellGroup(adapter="onnxruntime", precision=("fp32", "int4")),),
        workloads=(Decode(prompt_tokens=16, new_tokens=24),),
        precision=Precision(rel_half_width=1e-6),
        budget=Budget(min_blocks=BLOCKS, max_blocks=BLOCKS),
    )
    return make_plan(suite, default_cache())


def times(stations: Sequence[Station]) -> list[list[float]]:
    """Return the seconds of the blocks of each station, measured by turns."""
    found: dict[Station, list[float]] = {}
    for station, record in take_turns(stations, 0):
        if not isinstance(record, Record) or record.outcome != "ok":
            raise RuntimeError(f"a cell failed: {record}")
        found[station] = [block.end_s - block.start_s for block in record.blocks]
    return [found[station] for station in stations]


def both_ways(stations: Sequence[Station]) -> dict[str, list[Estimate]]:
    """Return the ratio with its interval of every run, by way."""
    found: dict[str, list[Estimate]] = {"sequential": [], "interleaved": []}

    def sequential(_: int) -> float:
        first, second = (times([station])[0] for station in stations)
        found["sequential"].append(ratio_of_medians_interval(first, second))
        return found["sequential"][-1].value

    def interleaved(_: int) -> float:
        first, second = times(stations)
        count = min(len(first), len(second))
        found["interleaved"].append(paired_ratio_interval(first[-count:], second[-count:]))
        return found["interleaved"][-1].value

    run_rounds({"sequential": sequential, "interleaved": interleaved}, ROUNDS)
    return found


def report(found: dict[str, list[Estimate]]) -> list[Line]:
    """Return ratios, widths and coverage of both ways, and how much tighter interleaving is."""
    lines, widths = [], {}
    centre = median(run.value for run in found["interleaved"])
    for way, runs in found.items():
        over_runs = paired_ratio_interval([1.0] * len(runs), [run.value for run in runs])
        widths[way] = over_runs.rel_half_width or 0.0
        claimed = median(run.rel_half_width or 0.0 for run in runs)
        held = sum((run.low or 0) <= centre <= (run.high or 0) for run in runs)
        lines += [
            Line(f"{way}: ratio over {len(runs)} runs", over_runs),
            Line("  half-width of that interval", known(100 * widths[way], len(runs)), "%"),
            Line("  half-width that one run claims", known(100 * claimed, len(runs)), "%"),
            Line("  claims that hold the common ratio", known(held / len(runs), len(runs))),
        ]
    tighter = widths["sequential"] / widths["interleaved"]
    promise = Promise(2.0, at_least=True)
    lines.append(Line("interleaved is tighter by", known(tighter, ROUNDS), "x", promise))
    return lines


def measure() -> list[Line]:
    """Return what both ways give under one load."""
    logging.disable(logging.WARNING)
    plan = the_plan()
    orders = Orders(plan.suite, plan.suite_ref, default_cache(), MEMORY_B, "make perf")
    with ExitStack() as stack:
        stations = []
        for process in plan.processes:
            station = Station(process, orders, Silent())
            stack.callback(station.close)
            station.prepare(process)
            station.load(None)
            stations.append(station)
        times(stations)  # warm
        with drifting_load():
            return report(both_ways(stations))


if __name__ == "__main__":
    finish(TITLE, measure())
