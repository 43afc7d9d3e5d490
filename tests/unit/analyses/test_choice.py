from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

import pytest

from effmark.analyses.choice import best_choice, choice_odds
from effmark.analyses.field import Field
from effmark.analyses.finding import TooLittle
from effmark.analyses.limits import Limit, parse_limit
from effmark.analyses.worlds import world_values
from effmark.errors import SpecError
from effmark.ranking import Contender
from effmark.record import Record
from effmark.units import parse_quantity

Make = Callable[..., Record]


def answers(right: int, total: int = 200) -> Sequence[float]:
    return [1.0] * right + [0.0] * (total - right)


def three(timed: Make, asked: Make) -> list[Record]:
    """Slow and good, fast and middling, fastest and bad."""
    found = []
    for precision, step_s, right in (
        ("fp32", 0.04, 160),
        ("int8", 0.015, 130),
        ("int4", 0.005, 60),
    ):
        found += [timed("torch", precision, step_s), asked("torch", precision, answers(right))]
    return found


def test_the_best_that_keeps_to_the_limits_is_chosen_with_a_high_probability(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    field = field_of(*three(timed, asked))
    found = best_choice(field, [parse_limit("tpot_s=20ms", is_upper=True)], "accuracy")
    assert found.values["choice"] == "torch int8"
    assert found.values["probability"] > 0.95
    assert "Take torch int8 for the best accuracy" in found.conclusion
    assert "TPOT ≤ 20.0 ms" in found.conclusion


def test_without_limits_the_best_of_all_is_chosen(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    assert best_choice(field_of(*three(timed, asked)), ()).values["choice"] == "torch fp32"


def test_a_limit_that_nothing_keeps_names_no_choice(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    field = field_of(*three(timed, asked))
    found = best_choice(field, [parse_limit("tpot_s=1us", is_upper=True)], "accuracy")
    assert found.values["choice"] is None
    assert found.conclusion.startswith("None of 3 configurations keeps to TPOT ≤ 1.00 µs")


def test_a_metric_that_nobody_measured_is_too_little(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    limits = [parse_limit("energy_j_per_output_token=2", is_upper=True)]
    with pytest.raises(TooLittle, match=r"got 0 .*3 × J/token: not (measured|present)"):
        best_choice(field_of(*three(timed, asked)), limits, "accuracy")


def test_an_unclear_choice_shares_its_probability() -> None:
    worlds = [{"accuracy": [0.6, 0.5, 0.6, 0.5]}, {"accuracy": [0.5, 0.6, 0.6, 0.4]}]
    first, second = choice_odds(worlds, "accuracy", ())
    assert (first.best, second.best) == (0.75, 0.5)  # a tie is a win for both


def test_odds_count_only_worlds_that_keep_the_limits() -> None:
    worlds = [{"accuracy": [0.9, 0.9], "tpot_s": [0.01, 0.03]},
              {"accuracy": [0.5, 0.5], "tpot_s": [0.01, 0.01]}]  # fmt: skip
    first, second = choice_odds(worlds, "accuracy", [Limit("tpot_s", 0.02, is_upper=True)])
    assert (first.feasible, first.best, second.best) == (0.5, 0.5, 0.5)


def test_a_fact_is_no_merit(timed: Make, asked: Make, field_of: Callable[..., Field]) -> None:
    with pytest.raises(TooLittle, match="is a fact, not a merit"):
        best_choice(field_of(*three(timed, asked)), (), "flops_per_token")


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("20ms", "s", 0.02),
        ("0.02", "s", 0.02),
        ("2 mJ", "J/token", 2e-3),
        ("2 J/token", "J/token", 2),
        ("1.5GB", "B", 1.5e9),
        ("1 GiB", "B", 2**30),
        ("5%", "ratio", 0.05),
        ("3 µs", "s", 3e-6),
        ("40", "token/s", 40),
        ("1e3 token/s", "token/s", 1000),
    ],
)
def test_quantities_are_read_in_their_unit(text: str, unit: str, value: float) -> None:
    assert parse_quantity(text, unit) == pytest.approx(value)


@pytest.mark.parametrize(
    ("text", "unit"),
    [("20 J", "s"), ("", "s"), ("fast", "s"), ("5%", "s"), ("nan", "s"), ("2 XB", "B")],
)
def test_another_unit_is_refused(text: str, unit: str) -> None:
    with pytest.raises(ValueError, match="is no quantity in"):
        parse_quantity(text, unit)


def test_limits_name_what_is_wrong_with_them() -> None:
    with pytest.raises(SpecError, match="has no value; write METRIC=VALUE"):
        parse_limit("tpot_s", is_upper=True)
    with pytest.raises(SpecError, match="did you mean 'tpot_s'"):
        parse_limit("tpots=2", is_upper=True)
    with pytest.raises(SpecError, match="'zzz'; `effmark leaderboard --json` has those of all"):
        parse_limit("zzz=2", is_upper=True)
    with pytest.raises(SpecError, match="'2J' is no quantity in s"):
        parse_limit("tpot_s=2J", is_upper=True)


def test_equal_configurations_are_named_as_equals(
    timed: Make, asked: Make, field_of: Callable[..., Field]
) -> None:
    records = [timed("torch", p, 0.01) for p in ("fp32", "int8", "int4")]
    records += [
        asked("torch", p, answers(r)) for p, r in (("fp32", 150), ("int8", 150), ("int4", 40))
    ]
    found = best_choice(field_of(*records), ())
    assert found.conclusion.startswith("2 configurations share the best accuracy (0.750")
    assert "P(keeps limits)" not in found.tables[0].columns


def test_the_probability_of_a_choice_is_how_often_it_is_right() -> None:
    random, claimed, right, runs = Random(4), 0.0, 0, 400
    for run in range(runs):
        truths = [random.gauss(0, 3) for _ in range(3)]
        seen = [Contender(t + random.gauss(0, 0.7), 0.7) for t in truths]
        worlds = [{"accuracy": world_values(c, f"{run} {i}")} for i, c in enumerate(seen)]
        odds = choice_odds(worlds, "accuracy", ())
        chosen = max(range(3), key=lambda i: odds[i].best)
        claimed += odds[chosen].best
        right += truths[chosen] == max(truths)
    assert abs(claimed - right) / runs < 3 * 0.5 / runs**0.5, (claimed / runs, right / runs)
    assert 0.8 < right / runs < 0.98


def test_what_has_no_rank_is_pointed_to(timed: Make, field_of: Callable[..., Field]) -> None:
    records = [timed("torch", p, 0.01, validity="invalid") for p in ("fp32", "int4")]
    with pytest.raises(TooLittle, match=r"2 × TPOT: invalid\); --all lets in what has no rank"):
        best_choice(field_of(*records), (), "tpot_s")


def test_models_of_one_name_are_told_apart(timed: Make, field_of: Callable[..., Field]) -> None:
    one = timed("torch", "fp32", 0.01)
    model = one.cell.model.model_copy(update={"sha256": "f" * 64})
    cell = one.cell.model_copy(update={"model": model})
    other = one.model_copy(update={"cell": cell, "id": "other"})
    found = best_choice(field_of(one, other), (), "tpot_s")
    assert {row[0] for row in found.tables[0].rows} == {
        "toy 00000000 · torch fp32",
        "toy ffffffff · torch fp32",
    }
