"""The real command: what it prints, what it keeps, how it resumes, what it refuses."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effmark.errors import PrerequisiteError
from effmark.sandbox import Sandbox

Command = Callable[..., "subprocess.CompletedProcess[str]"]

LINES: list[dict[str, Any]] = [
    {"task_id": "total", "completion": "    return sum(range(n))\n"},
    {"task_id": "total", "completion": "    return sum(range(n))\n"},
    {"task_id": "total", "completion": "    return 0\n"},
]


@pytest.fixture(scope="module", autouse=True)
def needs_a_sandbox() -> None:
    try:
        Sandbox(1).close()
    except PrerequisiteError as error:
        pytest.skip(str(error))


@pytest.fixture
def solutions(tmp_path: Path) -> Path:
    path = tmp_path / "writer.jsonl"
    path.write_text("\n".join(map(json.dumps, LINES)))
    return path


def test_scores_are_printed_kept_resumed_and_join_the_leaderboard(
    effmark: Command, solutions: Path, toy_folder: Path
) -> None:
    asked = ("score", "code", str(solutions), "--problems", str(toy_folder), "--clock", "cpu")
    first = effmark(*asked, "--json", "--k", "2")
    assert first.returncode == 0, first.stderr
    found = json.loads(first.stdout)
    assert found["problems"] == {"scored": 1, "of": 2}
    assert found["pass@1"]["value"] == pytest.approx(2 / 3)
    assert found["pass@2"]["value"] == 1.0
    assert 0.3 < found["eff@1"]["value"] < 1.4
    assert [(s["line"], s["verdict"]) for s in found["samples"]] == [
        (1, "passed"), (2, "passed"), (3, "wrong"),
    ]  # fmt: skip
    assert found["failures"] == {"wrong": 1}
    assert found["sandbox"]["layers"]
    assert "1/1 problems" in first.stderr

    again = json.loads(effmark(*asked, "--json").stdout)
    assert again["resumed_problems"] == 1
    assert again["samples"] == found["samples"]

    board = effmark("leaderboard", "--json")
    (row,) = json.loads(board.stdout)["rows"]
    assert row["model"] == "writer"
    assert row["workload"] == "code toy n3 cpu"
    assert row["metrics"]["pass_at_1"]["value"] == pytest.approx(2 / 3)
    assert row["metrics"]["eff_at_1"]["value"] == pytest.approx(found["eff@1"]["value"])
    assert board.stderr == ""


def test_half_a_surrogate_pair_is_the_verdict_of_its_sample_and_a_mark_no_fault(
    effmark: Command, solutions: Path, toy_folder: Path
) -> None:
    halves = [
        "    return sum(range(n))  # \ud83d\n",
        "    return sum(range(n + len('\udc80') - 1))\n",
    ]
    lines = [*LINES, *({"task_id": "total", "completion": text} for text in halves)]
    solutions.write_bytes("\n".join(map(json.dumps, lines)).encode("utf-16"))
    done = effmark("score", "code", str(solutions), "--problems", str(toy_folder), "--json")
    assert done.returncode == 0, done.stderr
    verdicts = [sample["verdict"] for sample in json.loads(done.stdout)["samples"]]
    assert verdicts == ["passed", "passed", "wrong", "error", "error"]


def test_text_says_how_much_of_the_set_was_scored(
    effmark: Command, solutions: Path, toy_folder: Path
) -> None:
    asked = ("score", "code", str(solutions), "--problems", str(toy_folder))
    done = effmark(*asked, "--per-problem")
    assert "toy 3: 1 of 2 problems, 3 samples" in done.stdout
    assert "  clock     " in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("  total ")]
    assert "0.667 [0.208, 0.939]" in line
    assert line.endswith("passed 2, wrong 1")
    assert "failures  wrong 1" in done.stdout
    assert "sandbox" in done.stdout


@pytest.mark.parametrize(
    ("lines", "options", "code", "said"),
    [
        (['{"task_id": "nope", "completion": ""}'], (), 2, "writer.jsonl:1: unknown task_id"),
        (["{}"], (), 2, "writer.jsonl:1: task_id must be text"),
        ([json.dumps(LINES[0])], ("--k", "2"), 2, "--k 2: problem 'total' has 1 samples"),
    ],
)
def test_a_wrong_request_is_one_line_and_an_exit_code(
    effmark: Command, solutions: Path, toy_folder: Path, lines: list[str], options: tuple[str, ...],
    code: int, said: str,
) -> None:  # fmt: skip
    solutions.write_text("\n".join(lines))
    done = effmark("score", "code", str(solutions), "--problems", str(toy_folder), *options)
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_an_answer_cost_is_printed_in_any_currency(effmark: Command, tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.jsonl"
    line = {"model": "m", "task_id": "q", "usd": 2.0, "energy_j": 8.0, "passed": True}
    hard = {**line, "task_id": "hard", "passed": False}
    ledger.write_text(f"{json.dumps(line)}\n{json.dumps(hard)}\n")
    text = effmark("score", "cost", str(ledger)).stdout
    assert "mean of problems  ∞" in text
    assert "1 of 2 problems unsolved" in text
    found = json.loads(effmark("score", "cost", str(ledger), "--currency", "j", "--json").stdout)
    assert found["models"]["m"]["dataset"]["value"] == 16.0
    refused = effmark("score", "cost", str(ledger), "--currency", "s")
    assert refused.returncode == 2
    assert "ledger.jsonl:1: no wall_s" in refused.stderr


def test_what_an_answer_cost_joins_the_leaderboard_infinite_or_not(
    effmark: Command, tmp_path: Path
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    lines = [
        {"model": model, "task_id": task, "usd": usd, "passed": passed}
        for model, task, usd, passed in (
            ("cheap", "a", 1.0, True), ("cheap", "b", 1.0, False),
            ("dear", "a", 9.0, True), ("dear", "b", 9.0, True), ("lost", "a", 1.0, False),
            ("lost", "b", 1.0, False),
        )
    ]  # fmt: skip
    ledger.write_text("\n".join(map(json.dumps, lines)))
    asked = ("score", "cost", str(ledger), "--baseline", "5", "--release-order", "cheap,dear,lost")
    done = effmark(*asked, "--family", "paid=cheap,dear", "--results", str(tmp_path / "kept"))
    assert done.returncode == 0, done.stderr
    assert "family paid: essentialness 0.400" in done.stdout
    assert "after cheap: 3 USD, 60 % of it, gain 40 %" in done.stdout
    board = effmark("leaderboard", str(tmp_path / "kept"), "--json")
    rows = {row["model"]: row["metrics"] for row in json.loads(board.stdout)["rows"]}
    assert {name: row["cost_of_pass_usd"]["value"] for name, row in rows.items()} == {
        "cheap": 2.0, "dear": 9.0, "lost": "inf",
    }  # fmt: skip
    assert rows["cheap"]["cost_of_pass_mean_usd"]["value"] == "inf"
    assert rows["dear"]["cost_of_pass_mean_usd"]["value"] == 9.0
    assert rows["dear"]["cost_of_pass_j"]["missing"] == "not_present"
    table = effmark("leaderboard", str(tmp_path / "kept"))
    assert table.returncode == 0, table.stderr
    assert "∞" in table.stdout
    for form in ("csv", "md"):
        assert effmark("leaderboard", str(tmp_path / "kept"), "--format", form).returncode == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--family", "paid"), "--family 'paid': wants NAME=MODEL,MODEL,…"),
        (("--usd-per-kwh", "0.3"), "--usd-per-kwh: give --usd-per-device-hour, too"),
        (("--release-order", "m"), "--release-order: progress starts from a human expert"),
    ],
)
def test_an_impossible_question_about_costs_is_one_line(
    effmark: Command, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    ledger.write_text(json.dumps({"model": "m", "task_id": "q", "usd": 2.0, "passed": True}))
    done = effmark("score", "cost", str(ledger), *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("option", ["--usd-per-device-hour", "--usd-per-kwh", "--baseline"])
def test_a_price_beyond_any_quantity_is_refused_by_name(
    effmark: Command, tmp_path: Path, option: str
) -> None:
    ledger = tmp_path / "ledger.jsonl"
    line = {"model": "m", "task_id": "q", "wall_s": 1e9, "energy_j": 1e30, "passed": True}
    ledger.write_text(json.dumps(line))
    done = effmark("score", "cost", str(ledger), "--usd-per-device-hour", "1", option, "1e308")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"'{option}': 1e+308 is not in the range" in done.stderr


def test_a_model_with_two_prices_is_refused_by_name(effmark: Command, tmp_path: Path) -> None:
    ledger, prices = tmp_path / "ledger.jsonl", tmp_path / "prices.yaml"
    line = {"model": "m", "task_id": "q", "prompt_tokens": 9, "completion_tokens": 9, "score": 1}
    ledger.write_text(json.dumps(line))
    row = {"name": "m/prompt", "unit": "USD/token", "source": "s", "date": "2026-01-01"}
    rows = [{**row, "price": price} for price in (1e-6, 2e-6)]
    prices.write_text(json.dumps({"version": "1", "rows": rows}))
    done = effmark("score", "cost", str(ledger), "--prices", str(prices))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("'m/prompt' has several prices, wants one\n")
