"""effmark's own hot paths, gated by instruction counts.

Two kinds of gates: against a baseline of the base revision, made on the same machine by
`pytest tests/gates --effmark-save gates`; and by growth, which needs no baseline: twice the work
may cost little more than twice the instructions. Without a counter all of them skip and say why.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from effmark.callables.subject import call_cell
from effmark.pytest_plugin.fixture import Effmark
from effmark.record import Block, Missing, Record, SuiteRef
from effmark.rows import make_rows
from effmark.samples import metric_samples
from effmark.stats import median_interval
from effmark.store import decode, encode

LINEAR = 2.3
"""Twice the work; n log n gives 2.2 at these sizes."""


def _record(blocks: int, make_record: Callable[..., Record]) -> Record:
    return make_record(blocks=blocks, tokens=8)


def _line(blocks: int, make_record: Callable[..., Record]) -> bytes:
    return encode(_record(blocks, make_record).model_dump(mode="json"))


def _growth(effmark: Effmark, small: Callable[[], object], large: Callable[[], object]) -> float:
    """Return how many times more instructions the larger work takes."""
    counts = []
    for name, work in (("small", small), ("large", large)):
        number = effmark.measure(work, name=name).instructions
        if isinstance(number, Missing):
            pytest.skip(f"no instruction counts: {number.detail}")
        counts.append(number.value)
    return counts[1] / counts[0]


gated = pytest.mark.effmark(
    metrics=("instructions_per_call",), within="5%", of="gates", budget_s=0.2
)
quick = pytest.mark.effmark(budget_s=0.2)


@gated
def test_a_record_is_read_from_its_line(
    effmark: Effmark, make_record: Callable[..., Record]
) -> None:
    line = _line(100, make_record)
    effmark.measure(lambda: Record.model_validate(decode(line)), name="read record")


@gated
def test_samples_become_an_interval(effmark: Effmark) -> None:
    values = [1.0 + (i * 7919 % 101) / 1000 for i in range(200)]
    effmark.measure(lambda: median_interval(values, serial=True), name="median interval")


@gated
def test_records_become_rows(effmark: Effmark, make_record: Callable[..., Record]) -> None:
    records = [make_record(precision=f"p{i}", blocks=20) for i in range(10)]
    effmark.measure(lambda: make_rows(records), name="rows")


@gated
def test_an_empty_call_is_measured(effmark: Effmark) -> None:
    """What a call costs in the inner loop: the loop and the call, nothing else."""
    effmark.measure(int, name="empty call", calls=10_000)


@quick
def test_reading_a_record_is_linear_in_its_blocks(
    effmark: Effmark, make_record: Callable[..., Record]
) -> None:
    small, large = (_line(n, make_record) for n in (200, 400))
    ratio = _growth(effmark, lambda: decode(small), lambda: decode(large))
    assert ratio < LINEAR


@quick
def test_samples_of_a_record_are_linear_in_its_blocks(effmark: Effmark) -> None:
    def of(count: int) -> Record:
        blocks = tuple(Block(start_s=i, end_s=i + 0.5, steps_s=(0.5,)) for i in range(count))
        suite = SuiteRef(name="gates", version=1, sha256="0" * 64, profile="default")
        return Record(
            id="r", run_id="r", process_id="p", created="2026-11-22T00:00:00+00:00", suite=suite,
            cell=call_cell("gates", "f"), outcome="ok", blocks=blocks,
        )  # fmt: skip

    small, large = of(500), of(1000)
    ratio = _growth(effmark, lambda: metric_samples(small), lambda: metric_samples(large))
    assert ratio < LINEAR
