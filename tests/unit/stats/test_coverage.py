"""Simulations with fixed seeds: the stated 95 % are 95 %, and a naive rule's are not."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from itertools import islice
from statistics import fmean

import pytest

from effmark.spec import Precision
from effmark.stats import (
    TooFew,
    block_bootstrap_interval,
    bootstrap_interval,
    hierarchical_interval,
    mean_interval,
    median_interval,
    paired_ratio_interval,
    percentile_interval,
    proportion_interval,
    ratio_interval,
    ratio_of_medians_interval,
)
from effmark.stats.ranks import RankRatio, SignedRankRatio
from effmark.stopping import SequentialRule

Noise = Callable[[random.Random], Iterator[float]]
NoiseCase = tuple[str, Noise, float, float, float]

RUNS = 1000


def _share(hits: Iterator[bool]) -> float:
    return fmean([float(hit) for hit in hits])


def test_the_median_after_sequential_stopping_keeps_its_coverage(noise: NoiseCase) -> None:
    _, generate, median, _, target = noise

    def covers(seed: int) -> bool:
        rule = SequentialRule(Precision(rel_half_width=target))
        values = generate(random.Random(seed))
        while rule.verdict() is None:
            rule.add(next(values), float(len(rule.values)))
        found = median_interval(rule.values, serial=True)
        return (
            found.low is not None and found.high is not None and found.low <= median <= found.high
        )

    assert 0.93 <= _share(covers(seed) for seed in range(RUNS)) <= 0.98  # order statistics: above


def test_naive_peeking_fails_the_same_test(noise: NoiseCase) -> None:
    name, generate, _, mean, target = noise

    def covers(seed: int) -> bool:
        n, total, square, middle, half = 0, 0.0, 0.0, 0.0, math.inf
        for value in islice(generate(random.Random(seed)), 1000):
            n, total, square = n + 1, total + value, square + value * value
            middle = total / n
            spread = math.sqrt(max(square - n * middle * middle, 0.0) / max(n - 1, 1))
            half = 1.96 * spread / math.sqrt(n)
            if n >= 5 and half <= target * middle:
                break
        return abs(middle - mean) <= half

    assert _share(covers(seed) for seed in range(RUNS)) < 0.93, name


@pytest.mark.parametrize("n", [6, 15, 60])
def test_a_median_of_independent_samples_is_covered(n: int, noise: NoiseCase) -> None:
    name, generate, median, _, _ = noise
    if name == "autocorrelated":
        pytest.skip("not independent")

    def covers(seed: int) -> bool:
        found = median_interval(list(islice(generate(random.Random(seed)), n)))
        assert found.low is not None
        assert found.high is not None
        return found.low <= median <= found.high

    assert 0.93 <= _share(covers(seed) for seed in range(RUNS)) <= 0.975


def test_dependence_is_allowed_for_where_it_can_be_seen(noise: NoiseCase) -> None:
    _, generate, median, mean, _ = noise
    hits = [0, 0, 0]
    for seed in range(RUNS):
        values = list(islice(generate(random.Random(seed)), 100))
        for index, (found, truth) in enumerate(
            (
                (median_interval(values, serial=True), median),
                (mean_interval(values, serial=True), mean),
                (ratio_interval(values, [1.0] * 100, serial=True), mean),
            )
        ):
            assert found.low is not None
            assert found.high is not None
            hits[index] += found.low <= truth <= found.high
    assert all(0.93 * RUNS <= hit <= 0.985 * RUNS for hit in hits), hits


def test_a_percentile_with_its_fewest_samples_is_covered() -> None:
    truth = 0.9

    def covers(seed: int) -> bool:
        source = random.Random(seed)
        found = percentile_interval([source.random() for _ in range(36)], 0.9)
        assert not isinstance(found, TooFew)
        assert found.low is not None
        assert found.high is not None
        return found.low <= truth <= found.high

    assert 0.93 <= _share(covers(seed) for seed in range(2 * RUNS)) <= 0.975


def test_tokens_of_a_request_count_as_a_group() -> None:
    def intervals(seed: int) -> tuple[bool, bool]:
        source = random.Random(seed)
        values: list[float] = []
        for _ in range(20):
            level = source.lognormvariate(0, 0.1)
            values += [level * source.lognormvariate(0, 0.05) for _ in range(15)]
        groups = [i // 15 for i in range(300)]
        grouped, pooled = median_interval(values, groups=groups), median_interval(values)
        assert pooled.low is not None
        assert pooled.high is not None
        covered = grouped.low is None or grouped.low <= 1 <= (grouped.high or 0)  # None: no claim
        return covered, pooled.low <= 1 <= pooled.high

    results = [intervals(seed) for seed in range(500)]
    assert fmean([float(g) for g, _ in results]) >= 0.92
    assert fmean([float(p) for _, p in results]) < 0.7


@pytest.mark.parametrize("method", ["bca", "percentile", "expanded"])
def test_bootstrapped_means_are_covered(method: str) -> None:
    def covers(seed: int) -> bool:
        source = random.Random(seed)
        values = [source.gauss(5, 1) for _ in range(30)]
        found = bootstrap_interval(values, method=method, resamples=400)  # type: ignore[arg-type]
        assert found.low is not None
        assert found.high is not None
        return found.low <= 5 <= found.high

    assert 0.915 <= _share(covers(seed) for seed in range(400)) <= 0.98


def test_the_process_is_the_unit_of_the_hierarchical_bootstrap() -> None:
    def intervals(seed: int) -> tuple[bool, bool]:
        source = random.Random(seed)
        processes = []
        for _ in range(8):
            level = source.gauss(1, 0.05)
            processes.append([level + source.gauss(0, 0.02) for _ in range(10)])
        two = hierarchical_interval(processes, fmean, resamples=200)
        one = mean_interval([v for blocks in processes for v in blocks])
        assert None not in (two.low, two.high, one.low, one.high)
        return two.low <= 1 <= two.high, one.low <= 1 <= one.high  # type: ignore[operator]

    results = [intervals(seed) for seed in range(300)]
    assert fmean([float(two) for two, _ in results]) >= 0.90  # 0.933 of 600 with 400 draws
    assert fmean([float(one) for _, one in results]) < 0.75


def test_a_block_bootstrap_covers_where_a_plain_one_does_not() -> None:
    def intervals(seed: int) -> tuple[bool, bool]:
        source, state, values = random.Random(seed), 0.0, []
        for _ in range(120):
            state = 0.5 * state + source.gauss(0, 1)
            values.append(state)
        block = block_bootstrap_interval(values, resamples=200)
        plain = bootstrap_interval(values, method="percentile", resamples=200)
        assert None not in (block.low, block.high, plain.low, plain.high)
        return block.low <= 0 <= block.high, plain.low <= 0 <= plain.high  # type: ignore[operator]

    results = [intervals(seed) for seed in range(300)]
    assert fmean([float(block) for block, _ in results]) >= 0.89
    assert fmean([float(plain) for _, plain in results]) < 0.8


@pytest.mark.parametrize("n", [8, 25])
def test_ratios_of_independent_series_are_covered(n: int) -> None:
    hits = [0, 0, 0, 0]
    for seed in range(300):
        source = random.Random(seed)
        a = [source.lognormvariate(0, 0.1) for _ in range(n)]
        b = [1.1 * source.lognormvariate(0, 0.1) for _ in range(n)]
        medians, pairs = ratio_of_medians_interval(a, b), paired_ratio_interval(a, b)
        for index, bounds in enumerate(
            (
                (medians.low, medians.high),
                (pairs.low, pairs.high),
                RankRatio(a, b).bounds(0.95),
                SignedRankRatio(a, b).bounds(0.95),
            )
        ):
            assert bounds is not None
            assert bounds[0] is not None
            assert bounds[1] is not None
            hits[index] += bounds[0] <= 1.1 <= bounds[1]
    assert all(0.92 * 300 <= hit <= 0.99 * 300 for hit in hits), hits


@pytest.mark.parametrize("share", [0.02, 0.3, 0.5])
def test_shares_are_covered(share: float) -> None:
    def covers(seed: int) -> bool:
        source = random.Random(seed)
        found = proportion_interval(sum(source.random() < share for _ in range(60)), 60)
        assert found.low is not None
        assert found.high is not None
        return found.low <= share <= found.high

    assert 0.92 <= _share(covers(seed) for seed in range(RUNS)) <= 0.985
