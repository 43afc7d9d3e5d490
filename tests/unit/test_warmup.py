from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest

from effmark.warmup import WarmupRule, steady_start


def _noise(source: random.Random, n: int) -> list[float]:
    return [source.lognormvariate(0, 0.03) for _ in range(n)]


def _starts(shape: Callable[[int], float], n: int = 60) -> list[int | None]:
    found = []
    for seed in range(100):
        values = _noise(random.Random(seed), n)
        found.append(steady_start([v * shape(i) for i, v in enumerate(values)]))
    return found


def test_level_noise_is_steady_from_the_first_block() -> None:
    assert _starts(lambda i: 1.0).count(0) >= 97


def test_slow_first_blocks_are_cut_off() -> None:
    starts = _starts(lambda i: 2.0 if i < 5 else 1.0)
    assert sum(s is not None and 5 <= s <= 12 for s in starts) >= 95


def test_fast_first_blocks_are_cut_off_as_on_a_machine_that_heats_up() -> None:
    starts = _starts(lambda i: 0.7 if i < 8 else 1.0)
    assert sum(s is not None and 8 <= s <= 16 for s in starts) >= 95


def test_a_decay_is_cut_off_where_it_has_faded() -> None:
    starts = _starts(lambda i: 1 + math.exp(-i / 4))
    assert sum(s is not None and 8 <= s <= 30 for s in starts) >= 90


def test_a_lasting_drift_never_reaches_a_steady_state() -> None:
    assert _starts(lambda i: 1 + 0.01 * i).count(None) >= 95


def test_a_single_interrupt_is_not_a_phase() -> None:
    starts = _starts(lambda i: 30.0 if i == 3 else 1.0)
    assert starts.count(0) >= 88
    assert None not in starts


def test_a_drift_too_small_to_matter_is_steady() -> None:
    quiet = [1 + 1e-5 * i + 1e-7 * (i % 3) for i in range(60)]
    assert steady_start(quiet) == 0


def test_constant_blocks_are_steady() -> None:
    assert steady_start([0.1] * 20) == 0


def test_too_few_blocks_say_nothing() -> None:
    assert steady_start([1.0] * 5) is None


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_a_time_that_is_none_is_refused(bad: float) -> None:
    with pytest.raises(ValueError, match=r"samples|warm-up"):
        steady_start([1.0, bad, 1.0, 1.0, 1.0, 1.0])


def test_long_series_are_condensed() -> None:
    source = random.Random(1)
    values = [v * (2 if i < 500 else 1) for i, v in enumerate(_noise(source, 5000))]
    start = steady_start(values)
    assert start is not None
    assert 475 <= start <= 600


def _verdict(rule: WarmupRule, values: list[float]) -> int:
    elapsed = 0.0
    for count, value in enumerate(values, 1):
        elapsed += value
        rule.add(value, elapsed)
        if rule.verdict() is not None:
            return count
    raise AssertionError("no verdict")


def test_the_rule_ends_at_its_second_look_where_all_is_level() -> None:
    ends = [_verdict(WarmupRule(), _noise(random.Random(seed), 60)) for seed in range(100)]
    assert ends.count(9) >= 85
    assert max(ends) <= 48


def test_the_rule_waits_for_the_end_of_the_warm_up() -> None:
    values = _noise(random.Random(1), 60)
    rule = WarmupRule()
    count = _verdict(rule, [v * (3 if i < 6 else 1) for i, v in enumerate(values)])
    verdict = rule.verdict()
    assert verdict is not None
    assert verdict.steady == "reached"
    assert 6 <= verdict.start < count == verdict.blocks


def test_the_rule_gives_up_at_its_limit_and_says_so() -> None:
    drifting = [1 + 0.05 * i for i in range(100)]
    rule = WarmupRule(max_blocks=40)
    assert _verdict(rule, drifting) == 40
    verdict = rule.verdict()
    assert verdict is not None
    assert (verdict.steady, verdict.start) == ("never_reached", 20)


def test_the_rule_gives_up_when_its_budget_is_used_up() -> None:
    rule = WarmupRule(budget_s=2)
    assert _verdict(rule, [1.0] * 10) == 2
    verdict = rule.verdict()
    assert verdict is not None
    assert (verdict.steady, verdict.start) == ("unknown", 1)
    with pytest.raises(ValueError, match="6 or more"):
        WarmupRule(max_blocks=3)
