from __future__ import annotations

import math
import random
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effmark.stats import (
    Estimate,
    TooFew,
    block_bootstrap_interval,
    bootstrap_interval,
    effective_n,
    hierarchical_interval,
    mean_interval,
    median_interval,
    needed_samples,
    paired_ratio_interval,
    percentile_interval,
    proportion_interval,
    ratio_interval,
    ratio_of_medians_interval,
)
from effmark.stats.distributions import binomial_cdf, t_cdf, t_quantile

INTERVALS: dict[str, Callable[[Sequence[float]], Estimate]] = {
    "median": median_interval,
    "median, serial": lambda x: median_interval(x, serial=True),
    "mean": mean_interval,
    "mean, serial": lambda x: mean_interval(x, serial=True),
    "ratio": lambda x: ratio_interval(x, [2.0] * len(x)),
    "ratio of medians": lambda x: ratio_of_medians_interval(x, x),
    "paired ratio": lambda x: paired_ratio_interval(x, x),
    "bootstrap": lambda x: bootstrap_interval(x, resamples=100),
    "block bootstrap": lambda x: block_bootstrap_interval(x, resamples=100),
    "hierarchical": lambda x: hierarchical_interval([x], resamples=100),
}
each_interval = pytest.mark.parametrize("name", sorted(INTERVALS))


def test_importing_statistics_imports_no_numpy() -> None:
    code = (
        "import sys, effmark.stats, effmark.samples, effmark.stopping, effmark.warmup,"
        "effmark.compare, effmark.gate, effmark.history, effmark.advice;"
        "print([m for m in ('numpy', 'scipy', 'ruptures') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("q", "needed"), [(0.5, 6), (0.9, 36), (0.95, 72), (0.99, 368), (0.999, 3688), (0.1, 36)]
)
def test_a_percentile_below_its_fewest_samples_says_how_many_it_needs(
    q: float, needed: int
) -> None:
    source = random.Random(1)
    samples = [source.random() for _ in range(needed)]
    assert needed_samples(q) == needed
    assert isinstance(percentile_interval(samples, q), Estimate)
    few = percentile_interval(samples[1:], q)
    assert few == TooFew(needed - 1, needed, f"p{100 * q:g}")
    assert f"needs {needed}" in few.detail


@each_interval
def test_one_sample_has_a_value_and_no_interval(name: str) -> None:
    found = INTERVALS[name]([3.0])
    assert (found.low, found.high) == (None, None)
    assert found.n == 1
    assert "one" in found.reason or "1 samples" in found.reason
    assert found.half_width is None
    assert found.rel_half_width is None


@each_interval
def test_constant_samples_have_a_flagged_interval_of_no_width(name: str) -> None:
    if name == "hierarchical":
        found = hierarchical_interval([[3.0] * 5, [3.0] * 5], resamples=50)
    else:
        found = INTERVALS[name]([3.0] * 30)
    assert found.low == found.high == pytest.approx(found.value)
    assert found.reason == "constant samples"
    assert found.rel_half_width == 0


@each_interval
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_sample_that_is_no_number_is_refused_by_its_index(name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=r"sample 3 is (nan|inf|-inf), wants a finite number"):
        INTERVALS[name]([1.0, 2.0, 3.0, bad, 5.0, 6.0, 7.0])


@each_interval
def test_no_samples_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="too few, 0"):
        INTERVALS[name]([])


@each_interval
def test_equal_samples_give_equal_intervals(name: str) -> None:
    source = random.Random(5)
    samples = [source.lognormvariate(0, 0.2) for _ in range(40)]
    assert INTERVALS[name](samples) == INTERVALS[name](tuple(samples))


@pytest.mark.parametrize("confidence", [0.0, 0.5, 1.0, 95.0, math.nan])
def test_a_confidence_that_is_none_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        median_interval([1.0, 2.0], confidence)


def test_ratios_refuse_what_they_cannot_divide() -> None:
    with pytest.raises(ValueError, match="above 0"):
        ratio_interval([1.0, 2.0], [0.0, 0.0])
    with pytest.raises(ValueError, match="2 numerators for 1"):
        ratio_interval([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="numbers above 0"):
        ratio_of_medians_interval([0.0, 1.0], [1.0, 1.0])
    with pytest.raises(ValueError, match="numbers above 0"):
        paired_ratio_interval([-1.0, 1.0], [1.0, 1.0])


def test_a_denominator_that_may_be_zero_leaves_the_ratio_without_bounds() -> None:
    found = ratio_interval([1.0, 1.0, 1.0], [-5.0, 1.0, 6.0])
    assert found.low is None
    assert "denominator" in found.reason


@pytest.mark.parametrize(("successes", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_impossible_shares_are_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="proportion"):
        proportion_interval(successes, n)


def test_a_share_of_none_or_all_keeps_a_width() -> None:
    none, every = proportion_interval(0, 20), proportion_interval(20, 20)
    assert none.low == 0
    assert none.high == pytest.approx(0.1611, abs=1e-3)  # R: binom.confint(0, 20, "wilson")
    assert every.high == 1
    assert every.low == pytest.approx(1 - 0.1611, abs=1e-3)


def test_dependent_samples_are_worth_fewer() -> None:
    source, state, values = random.Random(3), 0.0, []
    for _ in range(2000):
        state = 0.8 * state + source.gauss(0, 1)
        values.append(state)
    assert 2000 / 9 * 0.6 < effective_n(values) < 2000 / 9 * 1.5
    independent = [source.gauss(0, 1) for _ in range(2000)]
    assert effective_n(independent) > 1500


def test_too_dependent_samples_have_no_percentile() -> None:
    found = percentile_interval([float(i) for i in range(100)], 0.9, serial=True)
    assert isinstance(found, TooFew)


def test_an_estimate_scales_and_inverts_with_its_bounds() -> None:
    found = Estimate(2.0, 1.0, 4.0, 9, "m", 0.95)
    assert found.scaled(10) == Estimate(20.0, 10.0, 40.0, 9, "m", 0.95)
    assert found.inverted() == Estimate(0.5, 0.25, 1.0, 9, "m", 0.95)
    with pytest.raises(ValueError, match="cannot invert"):
        Estimate(0.0, None, None, 9, "m", 0.95).inverted()


@given(
    st.lists(st.floats(1e-3, 1e3), min_size=6, max_size=60),
    st.floats(0.1, 10),
)
@settings(max_examples=60, deadline=None)
def test_an_interval_holds_its_median_and_follows_the_unit(
    samples: list[float], factor: float
) -> None:
    found = median_interval(samples)
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.value <= found.high
    scaled = median_interval([s * factor for s in samples])
    assert scaled.low == pytest.approx(found.low * factor)
    assert scaled.high == pytest.approx(found.high * factor)


def test_numpy_and_pure_python_draw_the_same_bootstrap(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numpy")
    source = random.Random(8)
    samples = [source.random() for _ in range(60)]
    with_numpy = bootstrap_interval(samples, resamples=1000)
    monkeypatch.setattr("effmark.stats.bootstrap.numpy_for", lambda count: None)
    without = bootstrap_interval(samples, resamples=1000)
    assert with_numpy.low == pytest.approx(without.low, rel=1e-12)
    assert with_numpy.high == pytest.approx(without.high, rel=1e-12)


@pytest.mark.parametrize("df", [1, 2.5, 7, 30, 400, 1e6])
@pytest.mark.parametrize("p", [0.6, 0.975, 0.9999])
def test_student_s_t_agrees_with_scipy(df: float, p: float) -> None:
    scipy_stats = pytest.importorskip("scipy.stats")
    assert t_quantile(p, df) == pytest.approx(float(scipy_stats.t.ppf(p, df)), rel=1e-5)
    assert t_cdf(-1.5, df) == pytest.approx(float(scipy_stats.t.cdf(-1.5, df)), rel=1e-5)


def test_the_binomial_distribution_is_exact() -> None:
    for k in range(-1, 13):
        exact = sum(math.comb(12, i) * 0.3**i * 0.7 ** (12 - i) for i in range(k + 1))
        assert binomial_cdf(k, 12, 0.3) == pytest.approx(exact, abs=1e-12)
