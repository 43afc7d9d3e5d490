"""effmark's own hot paths, gated by counted instructions, which no noise of a machine moves.

Three kinds of gates, on every machine and in every run of the tests:

* budgets of executed Python instructions (`max_bytecodes`), the measured count and a tenth;
* growth: twice the work may cost little more than twice the instructions;
* what crosses into C, and is invisible to a count of Python instructions, by CPU instructions
  where the machine has a counter; a skip with the reason where it has none.

Against another revision, within 5 %:
`pytest tests/gates --effmark-compare git:main --effmark-gate`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from effmark.callables.loop import _in_a_row
from effmark.callables.subject import call_cell
from effmark.gate import gate
from effmark.probes.counters import ProcessCounters
from effmark.pytest_plugin.fixture import Effmark
from effmark.record import Block, Missing, Record, SuiteRef
from effmark.rows import make_rows
from effmark.samples import metric_samples
from effmark.stats import median_interval
from effmark.store import decode, encode
from effmark.workloads.blocks import timed_block

LINEAR = 2.3
"""Twice the work; n log n gives 2.2 at these sizes."""
SLACK = 1.1
"""The budgets were counted on Python 3.11; 3.12 and 3.13 take up to a fifth less."""
Make = Callable[..., Record]


def budget(bytecodes: float) -> pytest.MarkDecorator:
    """Allow a test's measurement so many executed Python instructions, and a little."""
    return pytest.mark.effmark(max_bytecodes=SLACK * bytecodes, budget_s=0.1)


def _of_call(count: int) -> Record:
    blocks = tuple(Block(start_s=i, end_s=i + 0.5, steps_s=(0.5,)) for i in range(count))
    suite = SuiteRef(name="gates", version=1, sha256="0" * 64, profile="default")
    return Record(
        id="r", run_id="r", process_id="p", created="2026-11-22T00:00:00+00:00", suite=suite,
        cell=call_cell("gates", "f"), outcome="ok", blocks=blocks,
    )  # fmt: skip


def _line(blocks: int, make_record: Make) -> bytes:
    return encode(make_record(blocks=blocks, tokens=8).model_dump(mode="json"))


class _Still:
    """A bench on which nothing ever waits."""

    def __init__(self) -> None:
        self.adapter, self.counters, self.cell = self, ProcessCounters(), None

    def synchronize(self) -> None:
        """Return at once."""


@budget(8 * 10_000)
def test_the_loop_around_a_call_stays_as_short_as_it_is(effmark: Effmark) -> None:
    """What is timed beside the callable itself: step, store, load, call, drop, jump."""
    row = _in_a_row(int, 10_000)
    effmark.measure(lambda: row(0, lambda: None), name="row of 10,000 calls")


@budget(4_030)
def test_a_block_costs_little_around_what_it_times(effmark: Effmark) -> None:
    bench: Any = _Still()

    def work(index: int, stamp: Callable[[], None]) -> None:
        for _ in range(100):
            stamp()

    effmark.measure(lambda: timed_block(bench, work, 0, 1, 0.0), name="block of 100 stamps")
    bench.counters.close()


@budget(25_000)
def test_samples_become_an_interval(effmark: Effmark) -> None:
    values = [1.0 + (i * 7919 % 101) / 1000 for i in range(200)]
    effmark.measure(lambda: median_interval(values, serial=True), name="median interval")


@budget(402_000)
def test_records_become_rows(effmark: Effmark, make_record: Make) -> None:
    records = [make_record(precision=f"p{i}", blocks=20) for i in range(10)]
    effmark.measure(lambda: make_rows(records), name="rows")


@budget(945_000)
def test_a_gate_judges(effmark: Effmark, make_record: Make) -> None:
    before, after = (
        [make_record(process_id=f"{side}{i}", step_s=0.01 + i / 1e5) for i in range(5)]
        for side in "ab"
    )
    effmark.measure(lambda: gate(before, after), name="gate")


@budget(182)
def test_a_record_becomes_a_line(effmark: Effmark, make_record: Make) -> None:
    body = make_record(blocks=100, tokens=8).model_dump(mode="json")
    effmark.measure(lambda: encode(body), name="encode")


def _growth(effmark: Effmark, *works: Callable[[], object], cpu: bool = False) -> float:
    """Return how many times more instructions the larger work takes."""
    counts = []
    for name, work in zip(("small", "large"), works, strict=True):
        found = effmark.measure(work, name=name, bytecodes=not cpu)
        number = found.instructions if cpu else found.bytecodes
        if isinstance(number, Missing):
            pytest.skip(f"no instruction counts: {number.detail}")
        counts.append(number.value)
    return counts[1] / counts[0]


quick = pytest.mark.effmark(budget_s=0.1)


@quick
def test_samples_of_a_record_are_linear_in_its_blocks(effmark: Effmark) -> None:
    small, large = _of_call(500), _of_call(1000)
    assert _growth(effmark, lambda: metric_samples(small), lambda: metric_samples(large)) < LINEAR


@quick
def test_rows_are_linear_in_their_records(effmark: Effmark, make_record: Make) -> None:
    records = [make_record(precision=f"p{i}", blocks=10) for i in range(40)]
    assert _growth(effmark, lambda: make_rows(records[:20]), lambda: make_rows(records)) < LINEAR


@quick
def test_reading_a_record_is_linear_in_its_blocks(effmark: Effmark, make_record: Make) -> None:
    """Read by C code: only CPU instructions see it."""
    small, large = (_line(n, make_record) for n in (200, 400))
    growth = _growth(
        effmark,
        lambda: Record.model_validate(decode(small)),
        lambda: Record.model_validate(decode(large)),
        cpu=True,
    )
    assert growth < LINEAR
