"""What a right answer cost: against the original authors' numbers, and on bad ledgers."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest

from effmark.code.cost import cost_document, tries_of
from effmark.code.cost_records import cost_records
from effmark.code.ledger import read_attempts, read_scores
from effmark.code.prices import Prices, read_prices
from effmark.errors import SpecError
from effmark.record import Missing
from effmark.rows import Number, make_rows

LINE = {
    "model": "m",
    "task_id": "q",
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "usd_per_prompt_token": 1e-6,
    "usd_per_completion_token": 2e-6,
    "wall_s": 3600.0,
    "energy_j": 3.6e6,
    "work_flop": 7.0,
    "score": 1,
}


def document(folder: Path, lines: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    path = folder / "ledger.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines))
    currency = options.pop("currency", "usd")
    prices = options.pop("prices", Prices())
    models = tries_of(read_attempts(path, {}), prices, currency)
    return cost_document(models, currency, **options)


def test_calls_of_an_attempt_are_added_up_in_every_currency(tmp_path: Path) -> None:
    lines = [LINE, {**LINE, "score": None}]
    spent = {
        currency: document(tmp_path, lines, currency=currency)["models"]["m"]["dataset"]["value"]
        for currency in ("usd", "j", "s", "flop")
    }
    assert spent == {"usd": pytest.approx(4e-4), "j": 7.2e6, "s": 7200.0, "flop": 14.0}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_ledgers_scores_and_prices_may_begin_with_a_byte_order_mark(
    tmp_path: Path, encoding: str
) -> None:
    files = {
        "ledger.jsonl": json.dumps(LINE) + "\n" + json.dumps({**LINE, "sample": 1}),
        "scores.json": json.dumps({"samples": [{"task_id": "q", "sample": 0, "passed": True,
                                                "verdict": "passed"}]}),
        "prices.yaml": "version: 1\nrows: [{name: m/prompt, price: 2, unit: USD/Mtoken, date: d, "
                       "source: s}]\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert len(read_attempts(tmp_path / "ledger.jsonl", {})) == 2
    assert read_scores(tmp_path / "scores.json") == {("q", 0): 1.0}
    assert read_prices(tmp_path / "prices.yaml") == ({"m/prompt": 2e-6}, "1")


def test_cached_tokens_have_a_price_of_their_own(tmp_path: Path) -> None:
    line = {**LINE, "cached_tokens": 60, "usd_per_cached_token": 1e-7}
    found = document(tmp_path, [line])["models"]["m"]["spent"]
    assert found == pytest.approx(40e-6 + 6e-6 + 100e-6)


def test_own_hardware_is_priced_by_the_hour_and_the_kilowatt_hour(tmp_path: Path) -> None:
    prices = Prices(usd_per_device_hour=2.0, devices=3, usd_per_kwh=0.5)
    own = {**{k: v for k, v in LINE.items() if not k.startswith("usd")}, "model": "own"}
    found = document(tmp_path, [own, LINE], prices=prices)["models"]
    assert found["own"]["spent"] == pytest.approx(6.5)
    assert found["m"]["spent"] == pytest.approx(2e-4), "it is sold by the token"


def test_an_unsolved_problem_makes_the_mean_infinite_but_not_the_data_set(tmp_path: Path) -> None:
    lines = [LINE, {**LINE, "task_id": "hard", "score": 0}]
    found = document(tmp_path, lines, baseline=1.0)
    model = found["models"]["m"]
    assert model["mean_of_problems"]["value"] == "inf"
    assert model["unsolved_count"] == 1
    assert model["dataset"]["value"] == pytest.approx(4e-4)
    assert model["per_problem"]["hard"] == "inf"
    assert found["frontier"]["models_only"]["value"] == "inf"
    assert found["frontier"]["with_baseline"]["per_problem"]["hard"] == 1.0
    assert json.dumps(found, allow_nan=False)


def test_without_a_success_everything_is_infinite_and_nothing_fails(tmp_path: Path) -> None:
    found = document(tmp_path, [{**LINE, "passed": False, "score": None}])
    assert found["models"]["m"]["dataset"]["value"] == "inf"
    assert found["essentialness"]["m"]["missing"] == "undefined"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"usd_per_prompt_token": -1}, "1: usd_per_prompt_token must be finite and at least 0"),
        ({"usd_per_prompt_token": None}, "price of 'm' per prompt token is unknown"),
        (
            {"usd_per_prompt_token": 0, "usd_per_completion_token": 0},
            "all tokens of 'm' are free: an unknown price is left out, never 0",
        ),
        ({"usd": -1}, "usd must be finite and at least 0"),
        ({"energy_j": 1e308}, "energy_j must be at most 1e+40, got 1e+308"),
        ({"usd_per_prompt_token": 10**60}, "usd_per_prompt_token must be at most 1e+40"),
        ({"cached_tokens": 5}, "price of 'm' per cached token is unknown"),
        ({"cached_tokens": 500}, "cached_tokens must be part of prompt_tokens"),
        ({"completion_tokens": None}, "no completion_tokens"),
        ({"score": 2}, "score must be in [0, 1]"),
        ({"score": None}, "no 'score' or 'passed' for 'q' attempt 0"),
        ({"sample": -1}, "sample must be a whole number from 0"),
        ({"model": 5}, "model must be text"),
        ({"energy_j": "much"}, "energy_j must be a number"),
    ],
)
def test_what_is_unknown_or_impossible_is_refused_by_line(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError) as error:
        document(tmp_path, [{**LINE, **change}])
    assert said in str(error.value)
    assert "ledger.jsonl:1" in str(error.value)


def test_a_table_of_prices_fills_in_what_the_lines_do_not_say(tmp_path: Path) -> None:
    table = tmp_path / "prices.yaml"
    row = "{{name: m/{}, price: {}, unit: USD/Mtoken, date: 2026-01, source: test}}"
    rows = "".join(f"  - {row.format(*one)}\n" for one in (("prompt", 1), ("completion", 2)))
    table.write_text(f"version: 4\nrows:\n{rows}")
    per_token, version = read_prices(table)
    line = {k: v for k, v in LINE.items() if not k.startswith("usd")}
    found = document(tmp_path, [line], prices=Prices(per_token), prices_version=version)
    assert found["models"]["m"]["spent"] == pytest.approx(2e-4)
    assert found["prices_version"] == "4"
    table.write_text(table.read_text().replace("price: 1", "price: -1"))
    with pytest.raises(SpecError, match="leave out what is unknown"):
        read_prices(table)


def test_progress_follows_the_releases_from_the_human_expert(tmp_path: Path) -> None:
    lines = [
        {"model": "old", "task_id": "a", "usd": 4.0, "score": 1},
        {"model": "old", "task_id": "b", "usd": 1.0, "score": 0},
        {"model": "new", "task_id": "a", "usd": 2.0, "score": 1},
        {"model": "new", "task_id": "b", "usd": 3.0, "score": 1},
    ]
    found = document(tmp_path, lines, baseline=8.0, release_order=["old", "new"])
    assert found["progress"] == [
        {"model": "old", "frontier": 6.0, "normalised": 0.75, "relative_gain": 0.25},
        {"model": "new", "frontier": 2.5, "normalised": 0.3125,
         "relative_gain": pytest.approx(7 / 12)},
    ]  # fmt: skip
    with pytest.raises(SpecError, match="give --baseline"):
        document(tmp_path, lines, release_order=["old", "new"])
    with pytest.raises(SpecError, match="no model 'newest' in the ledger"):
        document(tmp_path, lines, baseline=8.0, release_order=["newest"])
    with pytest.raises(SpecError, match="stands twice"):
        document(tmp_path, lines, baseline=8.0, release_order=["new", "new"])


def test_a_family_can_be_essential_where_none_of_its_members_is(tmp_path: Path) -> None:
    lines = [
        {"model": model, "task_id": "a", "usd": usd, "score": 1}
        for model, usd in (("small", 1.0), ("smaller", 1.0), ("large", 4.0))
    ]
    families = {"light": ["small", "smaller"]}
    found = document(tmp_path, lines, families=families)["essentialness"]
    assert found == {"small": 0.0, "smaller": 0.0, "large": 0.0, "light": 0.75}
    with pytest.raises(SpecError, match="--family light: no model 'tiny'"):
        document(tmp_path, lines, families={"light": ["tiny"]})


def test_a_record_has_every_currency_that_the_calls_tell_and_says_why_others_are_missing(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.jsonl"
    hard = {**LINE, "task_id": "hard", "score": 0, "sample": 1}
    lines = [{k: v for k, v in line.items() if k != "energy_j"} for line in (LINE, hard)]
    path.write_text("\n".join(map(json.dumps, lines)))
    (record,) = cost_records(read_attempts(path, {}), Prices(), path, "effmark score cost")
    joules = record.measurement("cost_of_pass_j")
    assert isinstance(joules, Missing)
    assert "no energy_j" in joules.detail
    numbers = make_rows([record])[0].metrics
    found = {name: n.value for name, n in numbers.items() if isinstance(n, Number)}
    assert found == {
        "cost_of_pass_usd": pytest.approx(4e-4), "cost_of_pass_mean_usd": math.inf,
        "cost_of_pass_s": 7200.0, "cost_of_pass_mean_s": math.inf,
        "cost_of_pass_flop": 14.0, "cost_of_pass_mean_flop": math.inf,
    }  # fmt: skip
    usd = numbers["cost_of_pass_usd"]
    assert isinstance(usd, Number)
    assert usd.low == pytest.approx(2e-4)
    assert (usd.high, usd.n) == (math.inf, 2)
    assert "1 of 2 problems unsolved" in usd.method
    assert record.notes["unsolved"] == "1 of 2 problems"
    assert record.cell.workload.label.endswith("prices of the ledger")


def test_nothing_solved_is_infinite_with_a_finite_lower_bound_and_never_a_zero(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.jsonl"
    lines = [{"model": "m", "task_id": str(i), "usd": 1.0, "passed": False} for i in range(20)]
    path.write_text("\n".join(map(json.dumps, lines)))
    (record,) = cost_records(read_attempts(path, {}), Prices(), path, "")
    usd = make_rows([record])[0].metrics["cost_of_pass_usd"]
    assert isinstance(usd, Number)
    assert (usd.value, usd.high) == (math.inf, math.inf)
    assert usd.low == pytest.approx(1 / 0.161, rel=0.01)  # Wilson: 0 of 20 may be 16 %


def test_everything_solved_leaves_room_for_what_was_not_seen(tmp_path: Path) -> None:
    lines = [{"model": "m", "task_id": str(i), "usd": 2.0, "passed": True} for i in range(20)]
    found = document(tmp_path, lines)["models"]["m"]["dataset"]
    assert (found["value"], found["low"]) == (2.0, 2.0)
    assert found["high"] == pytest.approx(2 / 0.839, rel=0.01)  # Wilson: 20 of 20 may be 84 %


def test_verdicts_can_come_from_scored_samples(tmp_path: Path) -> None:
    scored = tmp_path / "scored.json"
    sample = {"task_id": "q", "sample": 0, "passed": True, "verdict": "passed"}
    scored.write_text(json.dumps({"samples": [sample]}))
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text(json.dumps({**LINE, "score": None}))
    (attempt,) = read_attempts(ledger, read_scores(scored))
    assert attempt.score == 1.0
    with pytest.raises(SpecError, match="not the JSON"):
        read_scores(ledger)


SCORED = {"task_id": "q", "sample": 0, "passed": True, "verdict": "passed"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"passed": "false"}, "samples.1: passed must be true or false, got 'false'"),
        ({"passed": 1}, "samples.1: passed must be true or false, got 1"),
        ({"passed": None}, "samples.1: passed must be true or false, got None"),
        ({"sample": "1"}, "samples.1: sample must be a whole number from 0, got '1'"),
        ({"sample": True}, "samples.1: sample must be a whole number from 0, got True"),
        ({"sample": 1.0}, "samples.1: sample must be a whole number from 0, got 1.0"),
        ({"sample": -1}, "samples.1: sample must be a whole number from 0, got -1"),
        ({"task_id": 3}, "samples.1: task_id must be text, got 3"),
        ({"passed": False}, "samples.1: passed is False, but its verdict is 'passed'"),
        (
            {"sample": 0, "passed": False, "verdict": "wrong"},
            "samples.1: 'q' sample 0 stands twice, once passed and once not",
        ),
    ],
)
def test_a_verdict_of_the_scores_is_what_it_says_or_nothing(
    change: dict[str, object], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "scored.json"
    path.write_text(json.dumps({"samples": [SCORED, {**SCORED, "sample": 1, **change}]}))
    with pytest.raises(SpecError, match=re.escape(said)):
        read_scores(path)


def test_a_key_that_stands_twice_is_no_score(tmp_path: Path) -> None:
    path = tmp_path / "scored.json"
    path.write_text(json.dumps({"samples": [SCORED]}).replace("{", '{"passed": false, ', 2))
    with pytest.raises(SpecError, match="key 'passed' stands twice"):
        read_scores(path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"model": "m", "task_id": "q", "usd": 1, "usd": 2, "passed": true}', "'usd' stands twi"),
        (
            '{"model": "m", "task_id": "q", "joules": 1, "energy_j": 2, "passed": true}',
            "both 'joules' and 'energy_j', which mean the same",
        ),
        ('{"model": "m", "task_id": "q", "usd": 1, "passed": "false"}', "passed must be a number"),
        ('{"model": "m", "task_id": "q", "usd": 1%s, "passed": true}' % ("0" * 400), "usd must be"),
    ],
)
def test_a_line_of_a_ledger_that_says_two_things_is_refused(
    line: str, said: str, tmp_path: Path
) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(line)
    with pytest.raises(SpecError, match=said):
        read_attempts(path, {})


def test_families_agree_with_the_authors(tmp_path: Path, shared_dir: Path) -> None:
    oracle = json.loads((shared_dir / "oracles" / "cost_of_pass.json").read_text())
    for family in oracle["families"]:
        lines = [
            {"model": model, "task_id": str(record["q"]), "sample": number, **record}
            for model, records in family["records"].items()
            for number, record in enumerate(records)
            if record["completed"]
        ]
        expected = family["expected"]
        found = document(tmp_path, lines, baseline=family["baseline_usd"])["frontier"]
        for mine, theirs in (
            ("with_baseline", "per_problem_with_baseline"),
            ("models_only", "per_problem_lm_only"),
        ):
            if isinstance(expected[theirs], dict):
                for problem, value in expected[theirs].items():
                    got = found[mine]["per_problem"].get(problem, "inf")
                    wanted = math.inf if value is None or isinstance(value, str) else value
                    if mine == "with_baseline" or math.isfinite(wanted):
                        assert float(got) == pytest.approx(wanted, rel=1e-9)
