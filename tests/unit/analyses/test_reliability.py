from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from random import Random
from statistics import fmean

import pytest

from effmark.analyses.field import Field
from effmark.analyses.finding import TooLittle
from effmark.analyses.reliability import needed_items, reliability, resolution, steps
from effmark.record import Record
from effmark.scores import dior
from effmark.spec import Decode

Make = Callable[..., Record]


def answers(share: float, total: int, seed: str) -> list[float]:
    random = Random(seed)
    return [float(random.random() < share) for _ in range(total)]


def test_a_clear_order_is_reliable_and_needs_few_items(
    asked: Make, field_of: Callable[..., Field]
) -> None:
    records = [
        asked("torch", p, answers(s, 400, p))
        for p, s in (("fp32", 0.9), ("int8", 0.6), ("int4", 0.2))
    ]
    found = reliability(field_of(*records))
    assert found.values["dior"] == 1.0
    assert found.values["leader_flips"] == 0.0
    assert found.values["enough"] in (20, 50, 100)
    assert "would do for DIoR 0.9" in found.conclusion


def test_equal_configurations_have_no_reliable_order(
    asked: Make, field_of: Callable[..., Field]
) -> None:
    records = [asked("torch", p, answers(0.5, 60, p)) for p in ("fp32", "bf16", "int8", "int4")]
    found = reliability(field_of(*records))
    assert found.values["enough"] is None
    assert found.values["leader_flips"] > 0.1
    assert "needs more items than there are" in found.conclusion


def test_identical_answers_cannot_be_told_apart(
    asked: Make, field_of: Callable[..., Field]
) -> None:
    same = answers(0.5, 40, "same")
    found = reliability(field_of(*(asked("torch", p, same) for p in ("fp32", "int4"))))
    assert found.values["dior"] is None
    assert found.conclusion == "On 40 items no two of 2 configurations can be told apart."


def test_redraws_without_any_order_do_not_count_as_agreement(
    asked: Make, field_of: Callable[..., Field]
) -> None:
    first = answers(0.5, 40, "x")
    second = [1 - first[0], *first[1:]]  # a single answer differs: most redraws show no order
    found = reliability(field_of(asked("torch", "fp32", first), asked("torch", "int4", second)))
    assert found.values["dior"] == 1.0
    assert found.values["undefined"] > 0.3
    assert found.values["enough"] is None
    assert "of redraws show none" in found.conclusion


def test_times_are_ranked_over_workloads(timed: Make, field_of: Callable[..., Field]) -> None:
    records = [
        timed("torch", precision, step_s, workload=Decode(prompt_tokens=p, new_tokens=16))
        for precision, step_s in (("fp32", 0.04), ("int4", 0.01))
        for p in (8, 16, 32, 64)
    ]
    found = reliability(field_of(*records))
    assert (found.values["columns"], found.values["count"]) == ("workloads", 4)
    assert found.values["dior"] == 1.0


def test_one_configuration_has_no_order(asked: Make, field_of: Callable[..., Field]) -> None:
    with pytest.raises(TooLittle, match="needs two configurations"):
        reliability(field_of(asked("torch", "fp32", answers(0.5, 40, "x"))))


def test_the_needed_items_give_the_wanted_power() -> None:
    random = Random(11)
    a = [float(random.random() < 0.6) for _ in range(4000)]
    b = [x if random.random() < 0.7 else float(random.random() < 0.5) for x in a]
    n = needed_items(a, b, 0.05)
    seen = 0
    for _ in range(400):  # a true difference of 0.05 is put in, the noise is that of the pairs
        chosen = random.choices(range(len(a)), k=n)
        differences = [a[i] - b[i] for i in chosen]
        centre = fmean(a) - fmean(b)
        spread = math.sqrt(fmean((d - fmean(differences)) ** 2 for d in differences) / n)
        seen += abs(fmean(differences) - centre + 0.05) > 1.96 * spread
    assert abs(seen / 400 - 0.8) < 0.07, seen


def test_twice_the_resolution_needs_four_times_the_items() -> None:
    a, b = [1.0, 0.0, 1.0, 1.0] * 30, [0.0, 0.0, 1.0, 0.0] * 30
    wide = resolution(a, b)
    assert needed_items(a, b, wide) == len(a)
    assert needed_items(a, b, wide / 2) == 4 * len(a)


def test_the_last_step_is_the_published_dior(shared_dir: Path) -> None:
    path = shared_dir / "oracles" / "dior_formula.json"
    if not path.is_file():
        pytest.skip("no DIoR oracle")
    case = next(c for c in json.loads(path.read_text())["cases"] if len(c["scores"]) > 2)
    found = dior(case["scores"], case["resample_indices"])
    last = steps(case["scores"])[-1]
    assert last.found.win_rates == found.win_rates
    assert last.size == len(case["scores"][0])
