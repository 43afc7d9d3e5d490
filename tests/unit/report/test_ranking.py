from __future__ import annotations

import math
from random import Random
from statistics import fmean, stdev

import pytest

from effmark.ranking import (
    Contender,
    Rank,
    front_probability,
    paired_draws,
    ranks,
    sampling_error,
)
from effmark.samples import Samples
from effmark.stats import mean_interval


def exact(value: float) -> Contender:
    return Contender(value, 0.0)


def places(found: list[Rank]) -> list[tuple[int, int]]:
    return [(rank.low, rank.high) for rank in found]


def test_exact_ties_share_a_rank_and_the_next_one_is_skipped() -> None:
    found = ranks([exact(1.0), exact(1.0), exact(2.0)], "lower")
    assert places(found) == [(1, 2), (1, 2), (3, 3)]


def test_the_direction_of_a_metric_decides_who_is_first() -> None:
    assert places(ranks([exact(1.0), exact(2.0)], "higher")) == [(2, 2), (1, 1)]


def test_an_unclear_difference_shares_a_rank() -> None:
    found = ranks([Contender(1.0, 0.1), Contender(1.1, 0.1), Contender(9.0, 0.1)], "lower")
    assert places(found) == [(1, 2), (1, 2), (3, 3)]


def test_one_or_no_contender_has_a_plain_rank() -> None:
    assert ranks([], "lower") == []
    assert places(ranks([exact(3.0)], "lower")) == [(1, 1)]


def test_an_infinite_cost_is_last_and_ties_with_another_one() -> None:
    found = ranks([Contender(math.inf), exact(1.0), Contender(math.inf)], "lower")
    assert places(found) == [(2, 3), (1, 1), (2, 3)]


def test_a_rank_by_value_alone_says_so() -> None:
    assert [r.certain for r in ranks([Contender(1.0), exact(2.0)], "lower")] == [False, True]


@pytest.mark.parametrize("samples_count", [5, 30])
def test_equal_rows_are_rarely_put_in_any_order(samples_count: int) -> None:
    """The claim is 5 % for all pairs of a table together; few samples may cost a little more."""
    random, wrong, tables = Random(1), 0, 200
    for _ in range(tables):
        rows = []
        for _ in range(8):
            samples = [random.gauss(10, 1) for _ in range(samples_count)]
            told = mean_interval(samples, 0.95)
            rows.append(Contender(told.value, sampling_error(told.low, told.high, None)))
        wrong += any(rank.low > 1 for rank in ranks(rows, "lower"))
    assert wrong / tables <= (0.10 if samples_count == 5 else 0.06)


def test_items_that_are_hard_for_both_do_not_hide_a_difference() -> None:
    random = Random(2)
    hard = [random.gauss(0, 1) for _ in range(64)]
    good = Samples("bits_per_byte", [2 + h + random.gauss(0, 0.01) for h in hard], estimator="mean")
    bad = Samples("bits_per_byte", [v + 0.02 for v in good.values], estimator="mean")

    def told(samples: Samples, items: str) -> Contender:
        values = samples.values
        error = stdev(values) / math.sqrt(len(values))
        return Contender(fmean(values), error, tuple(paired_draws(samples, items)), items)

    paired = ranks([told(good, "text"), told(bad, "text")], "lower")
    apart = ranks([told(good, "text"), told(bad, "another text")], "lower")
    assert places(paired) == [(1, 1), (2, 2)]
    assert places(apart) == [(1, 2), (1, 2)]


def test_paired_draws_have_the_spread_of_the_estimate() -> None:
    random = Random(3)
    samples = Samples("accuracy", [random.gauss(5, 2) for _ in range(200)], estimator="mean")
    draws = paired_draws(samples, "task", 2000)
    assert stdev(draws) == pytest.approx(2 / math.sqrt(200), rel=0.15)
    assert fmean(draws) == pytest.approx(fmean(samples.values), abs=0.02)


def test_paired_draws_of_a_perplexity_are_exponentials_of_ratios() -> None:
    samples = Samples("perplexity", [2.0, 2.0], [1.0, 1.0], "exp_ratio")
    assert paired_draws(samples, "text", 3) == pytest.approx([math.exp(2)] * 3)


def test_thousands_of_items_are_condensed_without_changing_the_value() -> None:
    samples = Samples("accuracy", [1.0, 0.0] * 5000, estimator="mean")
    assert fmean(paired_draws(samples, "task")) == pytest.approx(0.5, abs=0.01)


def test_one_sample_has_no_error_and_a_counted_number_has_none_at_all() -> None:
    one = Samples("load_s", [1.0])
    assert sampling_error(None, None, one) is None
    assert sampling_error(None, None, one, exact=True) == 0.0


def test_too_few_samples_for_an_interval_still_have_a_wide_error() -> None:
    three = Samples("tpot_s", [1.0, 1.1, 0.9])
    error = sampling_error(None, None, three)
    assert error is not None and error > stdev(three.values) / math.sqrt(3)


def test_a_dominated_point_is_never_on_the_front() -> None:
    points = [(exact(1.0), exact(0.9)), (exact(2.0), exact(0.8)), (exact(3.0), exact(0.95))]
    assert front_probability(points, ("lower", "higher")) == [1.0, 0.0, 1.0]


def test_equal_points_are_both_on_the_front() -> None:
    points = [(exact(1.0), exact(0.9)), (exact(1.0), exact(0.9))]
    assert front_probability(points, ("lower", "higher")) == [1.0, 1.0]


def test_two_points_that_noise_cannot_tell_apart_share_the_front() -> None:
    points = [(Contender(1.0, 0.1), exact(0.9)), (Contender(1.0, 0.1), exact(0.9))]
    first, second = front_probability(points, ("lower", "higher"))
    assert 0.3 < first < 0.7 and 0.3 < second < 0.7


def test_no_points_have_no_front() -> None:
    assert front_probability([], ("lower", "higher")) == []


def many(random: Random, count: int) -> list[Contender]:
    """Return contenders of every kind: alone, exact, infinite, paired in two groups."""
    shared = {name: [random.gauss(0, 1) for _ in range(50)] for name in ("a", "b")}
    found = []
    for index in range(count):
        value = round(random.gauss(10, 3), 1)
        items = ("", "", "a", "b")[index % 4]
        own = [value + common + random.gauss(0, 0.2) for common in shared.get(items, ())]
        error = (None, 0.0, 1.5)[index % 3]
        found.append(Contender(math.inf if index % 97 == 5 else value, error, tuple(own), items))
    return found


def test_thousands_rank_as_a_few_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large tables compare many pairs at once; the ranks are those of one pair after the other."""
    pytest.importorskip("numpy")
    contenders = many(Random(4), 400)
    at_once = ranks(contenders, "lower")
    monkeypatch.setattr("effmark.ranking.places.numpy_for", lambda _: None)
    assert ranks(contenders, "lower") == at_once


def test_turns_that_were_slow_for_both_do_not_hide_a_difference() -> None:
    random = Random(5)
    weather = [1 + abs(random.gauss(0, 0.3)) for _ in range(40)]
    fast = Samples("tpot_s", [w * (1 + random.gauss(0, 0.01)) for w in weather])
    slow = Samples("tpot_s", [1.05 * w * (1 + random.gauss(0, 0.01)) for w in weather])

    def told(samples: Samples, turns: str) -> Contender:
        draws = paired_draws(samples, turns)
        return Contender(fmean(draws), stdev(draws), tuple(draws), turns)

    paired = ranks([told(fast, "turns"), told(slow, "turns")], "lower")
    apart = ranks([told(fast, "turns"), told(slow, "other turns")], "lower")
    assert places(paired) == [(1, 1), (2, 2)]
    assert places(apart) == [(1, 2), (1, 2)]


def test_neighbouring_blocks_are_drawn_together() -> None:
    """A series that wanders slowly is worth less than as many independent samples."""
    random, level, wandering = Random(6), 0.0, []
    for _ in range(300):
        level = 0.95 * level + random.gauss(0, 1)
        wandering.append(100 + level)
    serial = paired_draws(Samples("tpot_s", wandering), "turns", 400)
    as_if_independent = paired_draws(Samples("tpot_s", wandering, serial=False), "turns", 400)
    assert stdev(serial) > 1.5 * stdev(as_if_independent)
