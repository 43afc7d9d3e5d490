from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest

from effmark.analyses.field import Field
from effmark.analyses.finding import TooLittle
from effmark.analyses.speedups import geometric_mean, speedups
from effmark.record import Record
from effmark.rows import Number
from effmark.spec import Decode

Make = Callable[..., Record]


def ratio(value: float, error: float | None = 0.01) -> Number:
    half = None if error is None else 1.959963984540054 * error
    low, high = (None, None) if half is None else (value * math.exp(-half), value * math.exp(half))
    return Number(value, low, high, "ratio", 20, "clock", "")


def test_the_geometric_mean_does_not_care_who_is_the_baseline() -> None:
    values = [1.5, 0.5, 4.0]
    up = geometric_mean([ratio(v) for v in values])
    down = geometric_mean([ratio(1 / v) for v in values])
    assert up.value * down.value == pytest.approx(1)
    assert up.others is not None
    assert down.others is not None
    assert up.others[0] * down.others[1] == pytest.approx(1)


def test_the_measured_interval_covers_the_true_geometric_mean() -> None:
    random, truth, hits, runs = Random(3), [2.0, 3.0, 0.8], 0, 1000
    for _ in range(runs):
        found = geometric_mean([ratio(t * math.exp(random.gauss(0, 0.05)), 0.05) for t in truth])
        assert found.measured is not None
        hits += found.measured[0] <= math.exp(sum(map(math.log, truth)) / 3) <= found.measured[1]
    assert abs(hits / runs - 0.95) < 3 * math.sqrt(0.95 * 0.05 / runs), hits


def test_an_unknown_error_leaves_no_interval() -> None:
    found = geometric_mean([ratio(2.0), ratio(3.0, None)])
    assert found.measured is None
    assert found.others is None  # two workloads tell nothing of others
    assert found.value == pytest.approx(math.sqrt(6))


def test_speedups_stand_beside_their_geometric_mean(
    timed: Make, field_of: Callable[..., Field]
) -> None:
    records = []
    for prompt in (8, 16, 32):
        workload = Decode(prompt_tokens=prompt, new_tokens=16)
        records.append(timed("torch", "fp32", 0.04, workload=workload, is_baseline=True))
        records.append(timed("torch", "int4", 0.01, workload=workload))
    found = speedups(field_of(*records))
    assert found.values["geometric_means"]["torch int4"] == pytest.approx(4, rel=0.03)
    assert "torch int4 is the fastest: 4" in found.conclusion
    assert found.tables[0].columns[1:4] == (
        "decode p8 n16 b1",
        "decode p16 n16 b1",
        "decode p32 n16 b1",
    )


def test_without_a_baseline_there_is_no_speedup(
    timed: Make, field_of: Callable[..., Field]
) -> None:
    with pytest.raises(TooLittle, match="needs the suite's baseline"):
        speedups(field_of(timed("torch", "fp32", 0.04), timed("torch", "int4", 0.01)))
