from __future__ import annotations

import math
import random

import pytest

from effmark.spec import Precision
from effmark.stopping import SequentialRule


def _run(rule: SequentialRule, values: list[float]) -> int:
    elapsed = 0.0
    for count, value in enumerate(values, 1):
        elapsed += value
        rule.add(value, elapsed)
        if rule.verdict() is not None:
            return count
    return len(values) + 1


def test_quiet_blocks_end_early_by_precision() -> None:
    source = random.Random(1)
    rule = SequentialRule(Precision())
    assert _run(rule, [source.gauss(1, 0.001) for _ in range(1000)]) == 10
    verdict = rule.verdict()
    assert verdict is not None
    assert verdict.rule == "precision"
    assert verdict.rel_half_width is not None
    assert verdict.rel_half_width < 0.02


def test_constant_blocks_end_by_precision_with_no_width() -> None:
    rule = SequentialRule(Precision())
    assert _run(rule, [0.5] * 100) == 10
    verdict = rule.verdict()
    assert verdict is not None
    assert (verdict.rule, verdict.rel_half_width) == ("precision", 0)


def test_noisy_blocks_go_on_until_the_interval_is_narrow() -> None:
    source = random.Random(1)
    wide, narrow = (
        _run(
            SequentialRule(Precision(rel_half_width=width)),
            [source.gauss(1, 0.05) for _ in range(1000)],
        )
        for width in (0.04, 0.01)
    )
    assert 10 < wide < narrow < 1000


def test_the_budget_ends_what_precision_does_not() -> None:
    source = random.Random(1)
    values = [source.lognormvariate(0, 1) for _ in range(1000)]
    rule = SequentialRule(Precision(), budget_s=20, min_blocks=5)
    count = _run(rule, values)
    verdict = rule.verdict()
    assert verdict is not None
    assert verdict.rule == "budget"
    assert sum(values[: count - 1]) < 20 <= sum(values[:count])


def test_the_fewest_blocks_are_measured_whatever_the_budget() -> None:
    rule = SequentialRule(Precision(), budget_s=0.1, min_blocks=4)
    assert _run(rule, [1.0, 2.0, 3.0, 4.0, 5.0]) == 4
    verdict = rule.verdict()
    assert verdict is not None
    assert (verdict.rule, verdict.rel_half_width) == ("budget", None)  # 4 blocks: no interval


def test_the_most_blocks_end_by_count() -> None:
    source = random.Random(1)
    rule = SequentialRule(Precision(), max_blocks=30)
    assert _run(rule, [source.lognormvariate(0, 1) for _ in range(100)]) == 30
    verdict = rule.verdict()
    assert verdict is not None
    assert verdict.rule == "count"


def test_blocks_of_no_time_never_reach_a_precision() -> None:
    rule = SequentialRule(Precision(), max_blocks=20)
    assert _run(rule, [0.0] * 50) == 20


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0])
def test_a_time_that_is_none_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="finite time"):
        SequentialRule(Precision()).add(value, 1.0)


def test_a_clock_that_goes_backwards_is_refused() -> None:
    rule = SequentialRule(Precision())
    rule.add(1.0, 2.0)
    with pytest.raises(ValueError, match=r"clock: went from 2\.0 s to 1\.0 s"):
        rule.add(1.0, 1.0)
    with pytest.raises(ValueError, match="clock"):
        rule.add(1.0, math.nan)


def test_impossible_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="budget"):
        SequentialRule(Precision(), budget_s=0)
    with pytest.raises(ValueError, match="blocks"):
        SequentialRule(Precision(), min_blocks=10, max_blocks=5)
