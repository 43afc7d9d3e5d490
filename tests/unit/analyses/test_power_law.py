from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

import pytest

from effmark.analyses.agreement import kendall, spearman
from effmark.analyses.exponents import exponent, exponents
from effmark.analyses.field import Field
from effmark.analyses.finding import TooLittle
from effmark.analyses.law import law
from effmark.analyses.power_law import fit_power_law
from effmark.analyses.proxies import proxies, verdict
from effmark.record import ModelFacts, Record
from effmark.rows import Number
from effmark.spec import Decode

Make = Callable[..., Record]
RUNS = 400


def normal(random: Random) -> float:
    return random.gauss(0, 0.2)


def skewed(random: Random) -> float:
    return 0.2 * (random.expovariate(1) - 1)


@pytest.mark.parametrize("points", [5, 8, 14])
@pytest.mark.parametrize("noise", [normal, skewed])
def test_the_bootstrap_interval_covers_the_true_exponent(
    points: int, noise: Callable[[Random], float], capsys: pytest.CaptureFixture[str]
) -> None:
    random, hits = Random(points), 0
    sizes = [10 ** (3 * i / (points - 1)) for i in range(points)]
    for _ in range(RUNS):
        costs = [2 * s**0.7 * math.exp(noise(random)) for s in sizes]
        found = fit_power_law(sizes, costs, resamples=299)
        hits += found.low <= 0.7 <= found.high
    bound = 3 * math.sqrt(0.95 * 0.05 / RUNS)
    with capsys.disabled():
        print(f"\n{noise.__name__}, {points} points: coverage {hits / RUNS:.3f}, "
              f"wanted 0.95 within {bound:.3f} (binomial, 3 sigma)")  # fmt: skip
    assert abs(hits / RUNS - 0.95) <= bound


def test_an_exact_law_is_found_exactly() -> None:
    sizes = [1.0, 3.0, 10.0, 30.0, 50.0]
    found = fit_power_law(sizes, [5 * s**1.5 for s in sizes])
    assert found.exponent == pytest.approx(1.5)
    assert (found.low, found.high) == pytest.approx((1.5, 1.5))
    assert found.factor == pytest.approx(5)
    assert found.spread == pytest.approx(1)
    assert found.r_squared == pytest.approx(1)
    assert found.at(4.0) == pytest.approx(40)


def test_nothing_is_extrapolated() -> None:
    found = fit_power_law([1.0, 2.0, 4.0, 6.0, 8.0], [1.0, 2.1, 3.9, 6.1, 8.2])
    assert found.at(0.99) is None
    assert found.at(8.01) is None


def test_too_few_points_and_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="4 points at 4 sizes, wants 5 at 3 or more"):
        fit_power_law([1, 2, 3, 4], [1, 2, 3, 4])
    with pytest.raises(ValueError, match="5 points at 2 sizes"):
        fit_power_law([1, 1, 2, 2, 2], [1, 2, 3, 4, 5])
    with pytest.raises(ValueError, match="wants finite numbers above 0"):
        fit_power_law([1, 2, 3, 4, 5], [1, 0, 3, 4, 5])


def test_equal_numbers_give_equal_intervals() -> None:
    x, y = [1.0, 2.0, 4.0, 6.0, 8.0], [1.0, 2.1, 3.9, 6.1, 8.2]
    assert fit_power_law(x, y) == fit_power_law(x, y)


def test_rank_intervals_cover_the_true_correlation() -> None:
    # of a bivariate normal: Spearman = 6 / pi x asin(rho / 2), Kendall = 2 / pi x asin(rho)
    random, rho, n, runs = Random(2), 0.6, 30, 400
    wanted = {spearman: 6 / math.pi * math.asin(rho / 2), kendall: 2 / math.pi * math.asin(rho)}
    for measure, truth in wanted.items():
        hits = 0
        for _ in range(runs):
            x = [random.gauss() for _ in range(n)]
            y = [rho * a + math.sqrt(1 - rho * rho) * random.gauss() for a in x]
            found = measure(x, y)
            assert found is not None
            assert found.low is not None
            assert found.high is not None
            hits += found.low <= truth <= found.high
        assert 0.91 <= hits / runs <= 0.99, (measure, hits)


def test_rank_agreement_at_the_edges() -> None:
    assert spearman([1, 2, 3], [5, 5, 5]) is None
    perfect = spearman([1, 2, 3, 4, 5, 6], [1, 4, 9, 16, 25, 36])
    assert perfect is not None
    assert (perfect.value, perfect.low, perfect.reason) == (1.0, None, "a perfect order")
    few = kendall([1, 2, 3], [1, 3, 2])
    assert few is not None
    assert few.low is None
    ties = spearman([1, 1, 2, 3], [1, 2, 2, 3])
    assert ties is not None
    assert ties.value == pytest.approx(5 / 6)  # mid-ranks 1.5 1.5 3 4 and 1 2.5 2.5 4


def facts_of(weights_b: int, parameters: int = 1000) -> ModelFacts:
    return ModelFacts(
        parameters=parameters, weights_b=weights_b, file_b=weights_b, effective_bits=8,
        kernel="native", weights="trained", weights_source="bf16", flops_per_unit=2.0 * parameters,
    )  # fmt: skip


def sizes(timed: Make) -> list[Record]:
    found = []
    for index, adapter in enumerate(("a", "b", "c", "d", "e", "f", "g")):
        weights = 1000 * 2**index
        record = timed(adapter, "int8", 1e-5 * weights**0.8 * (1.1 if index % 2 else 0.9))
        found.append(record.model_copy(update={"facts": facts_of(weights)}))
    return found


def test_bytes_order_the_times_that_they_cause(timed: Make, field_of: Callable[..., Field]) -> None:
    found = proxies(field_of(*sizes(timed)), ["tpot_s"])
    assert found.values["weight bytes ~ tpot_s"]["spearman"] == 1.0
    assert "parameters ~ tpot_s" not in found.values
    constant = next(row for row in found.tables[0].rows if row[0] == "FLOPs")
    assert constant[5] == "the same FLOPs for all"
    assert found.conclusion.startswith("weight bytes order TPOT best, Spearman 1.00")


def test_a_proxy_that_is_the_same_for_all_has_no_verdict() -> None:
    assert verdict([5.0] * 5, [1.0, 2.0, 3.0, 4.0, 5.0]) is None


def test_three_configurations_validate_no_proxy(
    timed: Make, field_of: Callable[..., Field]
) -> None:
    with pytest.raises(TooLittle, match="needs 5 configurations"):
        proxies(field_of(*sizes(timed)[:3]), ["tpot_s"])


def test_a_column_is_a_power_of_another(timed: Make, field_of: Callable[..., Field]) -> None:
    found = law(field_of(*sizes(timed)), "weights_b", "tpot_s")
    assert found.values["low"] < 0.8 < found.values["high"]
    assert "over 7 configurations" in found.conclusion


def test_prompt_exponents_come_from_series_that_change_nothing_else(
    timed: Make, field_of: Callable[..., Field]
) -> None:
    records = [
        timed("torch", precision, 0.01, ttft_s=1e-3 * prompt**power,
              workload=Decode(prompt_tokens=prompt, new_tokens=16))
        for precision, power in (("fp32", 1.0), ("int4", 0.5)) for prompt in (32, 64, 128, 192, 256)
    ]  # fmt: skip
    found = exponents(field_of(*records))
    assert (found.values["size"], found.values["metric"]) == ("prompt_tokens", "ttft_s")
    values = found.values["exponents"]
    assert values["torch fp32"] == pytest.approx(1, abs=0.05)
    assert values["torch int4"] == pytest.approx(0.5, abs=0.05)


def test_two_sizes_give_a_slope_whose_interval_is_that_of_the_measurements() -> None:
    random, hits, runs = Random(1), 0, 500
    for _ in range(runs):
        found = exponent([10.0, 100.0], [_noisy(v, random) for v in (1.0, 10**0.5)])
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.5 <= found.high
        assert found.method == "errors"
    assert abs(hits / runs - 0.95) < 3 * math.sqrt(0.95 * 0.05 / runs), hits


def _noisy(value: float, random: Random, error: float = 0.1) -> Number:
    seen, half = value * math.exp(random.gauss(0, error)), 1.96 * error
    return Number(seen, seen * math.exp(-half), seen * math.exp(half), "s", 20, "clock", "")


def test_one_size_has_no_exponent(timed: Make, field_of: Callable[..., Field]) -> None:
    with pytest.raises(TooLittle, match="needs the same runtime and precision at two or more"):
        exponents(field_of(timed("torch", "fp32", 0.01)))
