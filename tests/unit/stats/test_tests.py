from __future__ import annotations

import math
import random

import pytest

from effmark.stats.decisions import (
    benjamini_hochberg,
    check_margin,
    equivalence_p,
    holm,
    mcnemar,
)
from effmark.stats.ranks import (
    RankRatio,
    SignedRankRatio,
    StudentRatio,
    brunner_munzel,
    mann_whitney,
)
from effmark.stats.ratios import PairedRatio, QuantileRatio
from effmark.stats.segments import change_points


def _series(seed: int, n: int, scale: float = 1.0, sigma: float = 0.1) -> list[float]:
    source = random.Random(seed)
    return [scale * source.lognormvariate(0, sigma) for _ in range(n)]


@pytest.mark.parametrize(("n", "m"), [(3, 4), (8, 9), (15, 20), (60, 40)])
@pytest.mark.parametrize("decimals", [1, 12])
def test_mann_whitney_agrees_with_scipy(n: int, m: int, decimals: int) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    a = [round(v, decimals) for v in _series(1, n)]
    b = [round(v, decimals) for v in _series(2, m, 1.05)]
    tied = len({*a, *b}) < n + m
    if tied and n + m <= 24:
        method = scipy_stats.PermutationMethod(n_resamples=math.comb(n + m, n))
        if math.comb(n + m, n) > 30_000:
            pytest.skip("scipy would draw permutations instead of enumerating them")
    else:
        method = "exact" if n + m <= 24 else "asymptotic"
    expected = scipy_stats.mannwhitneyu(b, a, alternative="greater", method=method).pvalue
    assert mann_whitney(a, b) == pytest.approx(float(expected), abs=1e-9)


@pytest.mark.parametrize("n", [6, 20, 60])
def test_wilcoxon_agrees_with_scipy(n: int) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    a, b = _series(3, n), _series(4, n, 1.03)
    differences = [math.log(y / x) for x, y in zip(a, b, strict=True)]
    method = "exact" if n <= 30 else "approx"
    expected = scipy_stats.wilcoxon(
        differences, alternative="greater", method=method, correction=True
    )
    assert SignedRankRatio(a, b).p_above(1) == pytest.approx(float(expected.pvalue), abs=1e-9)


def test_brunner_munzel_agrees_with_scipy() -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    a, b = _series(5, 14), _series(6, 19, 1.1, 0.3)
    expected = float(scipy_stats.brunnermunzel(a, b).pvalue)
    assert brunner_munzel(a, b) == pytest.approx(expected)
    assert brunner_munzel([1.0, 1.0], [1.0, 1.0]) == 1


@pytest.mark.parametrize("n", [8, 40])
def test_an_interval_leaves_out_a_ratio_where_its_test_rejects_it(n: int) -> None:
    a, b = _series(7, n), _series(8, n, 1.05)
    for test in (RankRatio(a, b), SignedRankRatio(a, b), PairedRatio(b, a)):
        bounds = test.bounds(0.95)
        assert bounds is not None
        assert bounds[0] < test.value < bounds[1]
        assert test.p_above(bounds[0] * 0.999) <= 0.026
        assert test.p_below(bounds[1] * 1.001) <= 0.026
        assert min(test.p_above(bounds[0] * 1.01), test.p_below(bounds[1] * 0.99)) > 0.024


def test_too_few_samples_cannot_reach_a_p_and_have_no_bounds() -> None:
    test = RankRatio([1.0, 1.1, 1.2], [2.0, 2.1, 2.2])
    assert test.reachable_p == pytest.approx(0.1)
    assert test.bounds(0.95) is None
    pairs = SignedRankRatio([1.0] * 5, [2.0, 2.1, 2.2, 2.3, 2.4])
    assert pairs.reachable_p == pytest.approx(1 / 16)
    assert pairs.bounds(0.95) is None


def test_ratios_of_what_is_not_positive_are_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        RankRatio([0.0, 1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="equally many"):
        SignedRankRatio([1.0], [1.0, 2.0])
    with pytest.raises(ValueError, match="500 at most"):
        RankRatio([1.0] * 501, [1.0])


def test_equal_series_are_the_same_only_with_enough_samples() -> None:
    assert equivalence_p(RankRatio(_series(1, 200, 1, 0.02), _series(2, 200, 1, 0.02)), 0.02) < 0.01
    assert equivalence_p(RankRatio(_series(1, 6), _series(2, 6)), 0.02) > 0.05


@pytest.mark.parametrize("margin", [0.0, -0.02, 1.0, math.nan, math.inf])
def test_a_margin_that_is_none_is_refused(margin: float) -> None:
    with pytest.raises(ValueError, match="margin"):
        check_margin(margin)


def test_a_known_error_without_spread_is_certain() -> None:
    test = StudentRatio(1.05, 0.0, 3, "t")
    assert (test.p_above(1), test.p_below(1)) == (0, 1)
    assert test.bounds(0.95) == (1.05, 1.05)


def test_quantiles_of_two_series_compare() -> None:
    test = QuantileRatio(_series(1, 400), _series(2, 400, 1.5), 0.9)
    bounds = test.bounds(0.95)
    assert bounds is not None
    assert bounds[0] < 1.5 < bounds[1]
    assert test.p_above(1) < 0.001
    assert test.p_below(1) > 0.99


def test_holm_and_benjamini_hochberg_follow_their_definitions() -> None:
    p = [0.01, 0.04, 0.03, 0.005]
    assert holm(p) == pytest.approx([0.03, 0.06, 0.06, 0.02])  # R: p.adjust(p, "holm")
    assert benjamini_hochberg(p) == pytest.approx([0.02, 0.04, 0.04, 0.02])  # R: "BH"
    assert holm([]) == []
    with pytest.raises(ValueError, match="p-value"):
        holm([math.nan])


def test_mcnemar_looks_at_discordant_items_only() -> None:
    assert mcnemar([1, 1, 0, 0], [1, 1, 0, 0]) == 1
    assert mcnemar([0] * 8 + [1], [1] * 8 + [1]) == pytest.approx(2 / 2**8)
    with pytest.raises(ValueError, match="equally many"):
        mcnemar([1], [1, 0])


def test_changes_of_level_are_found_and_noise_is_not() -> None:
    pytest.importorskip("ruptures")
    source = random.Random(1)
    flat = [source.gauss(1, 0.03) for _ in range(80)]
    steps = [v * (1.1 if 30 <= i < 60 else 1) for i, v in enumerate(flat)]
    assert change_points(flat) == []
    cuts = change_points(steps)
    assert len(cuts) == 2
    assert abs(cuts[0] - 30) <= 1
    assert abs(cuts[1] - 60) <= 1
    assert change_points([1.0] * 50) == []
    assert change_points([1.0, 2.0]) == []


def test_false_changes_are_rare() -> None:
    pytest.importorskip("ruptures")
    found = 0
    for seed in range(100):
        source = random.Random(seed)
        found += bool(change_points([source.lognormvariate(0, 0.1) for _ in range(60)]))
    assert found <= 5
