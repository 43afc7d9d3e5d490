"""What the harness itself costs per timed unit, against two other timers on work that is nothing.

CPU time of this process, not wall time: the work is one thread that never waits, and other
people's load then matters little. `step` is a time stamp within a request; `block` is a request
with its counters, rules and record; the other timers are asked to time every call on its own.
What they cost when they time thousands of calls at once, and tell nothing about each, is below.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from scripts.perf.rounds import median_of, ratio_of, run_rounds
from scripts.perf.table import Line, Promise, finish

from effmark.adapter import LoadRequest
from effmark.cache import default_cache
from effmark.models import resolve_model
from effmark.probes.counters import ProcessCounters
from effmark.probes.energy import EnergyMeter
from effmark.record import Settings
from effmark.registry import adapter_class
from effmark.spec import Cell, Decode, Precision
from effmark.workloads import Context
from effmark.workloads.blocks import Measuring, timed_block
from effmark.workloads.generation import decode

TITLE = "overhead: CPU per timed unit, work that does nothing"
STEPS = 20_000
CALLS = 300
ROUNDS = 15


def nothing() -> None:
    """Do nothing; what the other timers time."""


def cpu_us_per(units: int, work: Callable[[], Any]) -> float:
    """Return the CPU microseconds per unit of work that consists of so many."""
    start = time.process_time()
    work()
    return (time.process_time() - start) / units * 1e6


def null_context(new_tokens: int) -> Context:
    """Return what a workload on the null adapter is given."""
    model = resolve_model("synthetic", default_cache())
    adapter = adapter_class("null")()
    adapter.load(LoadRequest(model=model, precision="none", cache=default_cache()))
    cell = Cell(
        model=model,
        adapter="null",
        adapter_version="",
        precision="none",
        device="cpu",
        threads=1,
        workload=Decode(prompt_tokens=1, new_tokens=new_tokens),
        suite_sha256="0" * 64,
    )
    return Context(
        adapter=adapter,
        facts=adapter.facts(),
        cell=cell,
        cache=default_cache(),
        counters=ProcessCounters(),
        energy=cast(EnergyMeter, None),  # only whole cells ask for energy, not blocks
        settings=Settings(precision=Precision(rel_half_width=1e-9), max_blocks=10 * CALLS),
        is_reference=False,
        reference="",
        progress=lambda _: None,
    )


def of_steps() -> float:
    """Return the cost of a time stamp: a request of many steps, all included, per step."""
    context = null_context(STEPS)
    timed = decode(context)
    return cpu_us_per(STEPS, lambda: timed_block(context, timed.work, 0, 1, 0.0))


def of_blocks() -> float:
    """Return the cost of a block of one step: clock, counters, record, warm-up, stopping rule."""
    context = null_context(1)
    measuring = Measuring(context, decode(context))

    def work() -> None:
        for _ in range(CALLS):
            measuring.step()

    return cpu_us_per(CALLS, work)


def of_torch(calls: int, each: int) -> float:
    """Return what torch's Timer costs per unit when it times `each` calls at once."""
    from torch.utils.benchmark import Timer

    timer = Timer("f()", globals={"f": nothing})

    def work() -> None:
        for _ in range(calls):
            timer.timeit(each)

    return cpu_us_per(calls * each, work)


def of_pytest_benchmark(rounds: int, iterations: int) -> float:
    """Return what pytest-benchmark costs per unit when it times `iterations` calls at once."""
    from pytest_benchmark.fixture import BenchmarkFixture

    untyped: Any = BenchmarkFixture
    fixture = untyped(
        SimpleNamespace(name="nothing", nodeid="nothing"),
        disable_gc=False,
        timer=SimpleNamespace(target=time.perf_counter),
        min_rounds=1,
        min_time=0,
        max_time=1,
        precision=1e-7,
        confidence=95,
        warmup=False,
        warmup_iterations=1,
        calibration_precision=10,
        add_stats=lambda _: None,
        logger=logging.getLogger(),
        warner=None,
        disabled=False,
        cprofile=None,
        cprofile_loops=None,
        cprofile_dump=None,
    )
    work = partial(fixture.pedantic, nothing, rounds=rounds, iterations=iterations)
    return cpu_us_per(rounds * iterations, work)


def measure() -> list[Line]:
    """Return costs and their ratios."""
    tasks: dict[str, Callable[[int], float]] = {
        "step": lambda _: of_steps(),
        "block": lambda _: of_blocks(),
        "torch": lambda _: of_torch(CALLS, 1),
        "pytest": lambda _: of_pytest_benchmark(STEPS, 1),
        "torch_bulk": lambda _: of_torch(1, STEPS),
        "pytest_bulk": lambda _: of_pytest_benchmark(1, STEPS),
    }
    for task in tasks.values():
        task(0)  # imports
    found = run_rounds(tasks, ROUNDS)
    names = {
        "step": "effmark, one time stamp (step)",
        "pytest": "pytest-benchmark, each call timed",
        "torch": "torch.utils.benchmark, each call timed",
        "block": "effmark, one block with counters and rules",
        "pytest_bulk": f"pytest-benchmark, {STEPS} calls timed at once",
        "torch_bulk": f"torch.utils.benchmark, {STEPS} calls timed at once",
    }
    limits = {"step": Promise(1.0)}
    lines = [
        Line(what, median_of(found[name]), "us", limits.get(name)) for name, what in names.items()
    ]
    for name in ("pytest", "torch"):
        lines.append(
            Line(f"step / {names[name]}", ratio_of(found["step"], found[name]), "", Promise(1.0))
        )
    return lines


if __name__ == "__main__":
    finish(TITLE, measure())
