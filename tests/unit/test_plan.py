from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from effmark.errors import SpecError
from effmark.plan import make_plan
from effmark.spec import Suite


def suite(**changes: Any) -> Suite:
    body: dict[str, Any] = {
        "suite": "toy",
        "version": 1,
        "why": "a test",
        "models": ["effmark-1m"],
        "cells": [
            {"adapter": "synthetic_lm", "precision": ["int8", "int4"]},
            {"adapter": "synthetic_lm", "precision": ["fp32"]},
        ],
        "baseline": {"adapter": "synthetic_lm", "precision": "fp32"},
        "workloads": [{"decode": {"prompt_tokens": 4, "new_tokens": 4, "batch": [1, 2]}}],
        "quality": {"text": [{"name": "austen", "tokens": 100}]},
    }
    return Suite.model_validate({**body, **changes})


def test_the_baseline_runs_first_because_others_refer_to_it(tmp_path: Path) -> None:
    plan = make_plan(suite(), tmp_path)
    assert [p.cells[0].precision for p in plan.processes] == ["fp32", "int8", "int4"]
    assert [p.is_reference for p in plan.processes] == [True, False, False]


def test_cells_of_a_process_share_model_adapter_and_precision(tmp_path: Path) -> None:
    plan = make_plan(suite(), tmp_path)
    assert len(plan.cells) == 9
    assert all(len({c.process for c in p.cells}) == 1 for p in plan.processes)
    assert len({c.key for c in plan.cells}) == 9


def test_a_changed_suite_changes_every_key(tmp_path: Path) -> None:
    first = {c.key for c in make_plan(suite(), tmp_path).cells}
    edited = suite(precision={"rel_half_width": 0.5})
    assert not first & {c.key for c in make_plan(edited, tmp_path).cells}


def test_repetitions_are_processes_of_their_own(tmp_path: Path) -> None:
    plan = make_plan(suite(), tmp_path, repetitions=3)
    assert len(plan.processes) == 9
    assert len({c.key for c in plan.cells}) == 27


def test_a_process_is_told_the_longest_request_that_will_come(tmp_path: Path) -> None:
    process = make_plan(suite(), tmp_path).processes[0]
    assert process.context_tokens >= 128  # the window of the text
    assert process.batch == 2


def test_a_model_too_large_for_the_limit_is_a_problem_of_the_plan(tmp_path: Path) -> None:
    plan = make_plan(suite(limits={"memory_b": 1000}), tmp_path)
    assert all("of memory or more" in p.problem and "1.00 kB" in p.problem for p in plan.processes)


@pytest.mark.parametrize(
    ("only", "left"),
    [(["int4"], ["int4"]), (["synthetic_lm/int8"], ["int8"]), (["synthetic_lm"], None)],
)
def test_only_keeps_what_it_names(tmp_path: Path, only: list[str], left: list[str] | None) -> None:
    found = [p.cells[0].precision for p in make_plan(suite(), tmp_path, only=only).processes]
    assert found == (left or ["fp32", "int8", "int4"])


def test_workloads_for_gives_a_model_its_share(tmp_path: Path) -> None:
    plan = make_plan(suite(workloads_for={"effmark-1m": ["text"]}), tmp_path)
    assert {c.workload.kind for c in plan.cells} == {"text"}


def test_a_precision_that_an_adapter_lacks_is_named_with_the_nearest(tmp_path: Path) -> None:
    cells = [{"adapter": "synthetic_lm", "precision": "int5"}]
    with pytest.raises(SpecError, match="no precision 'int5'; did you mean 'int8'"):
        make_plan(suite(cells=cells, baseline=None), tmp_path)


def test_an_edited_text_is_a_new_cell(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    asked = {"text": [{"name": str(mine), "tokens": 100}]}
    mine.write_text("one")
    before = {c.key for c in make_plan(suite(quality=asked, workloads=()), tmp_path).cells}
    mine.write_text("two")
    after = {c.key for c in make_plan(suite(quality=asked, workloads=()), tmp_path).cells}
    assert not before & after


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        (
            {"text": [{"name": "austin", "tokens": 9}]},
            "no text named 'austin'; did you mean 'austen'",
        ),
        ({"tasks": [{"name": "effmark_minii"}]}, "did you mean 'effmark_mini'"),
        ({"text": [{"name": "./no.txt", "tokens": 9}]}, "no such file"),
    ],
)
def test_a_misspelt_text_or_task_is_an_error_of_the_plan(
    tmp_path: Path, quality: dict[str, Any], said: str
) -> None:
    with pytest.raises(SpecError, match=said):
        make_plan(suite(quality=quality), tmp_path)


def test_a_plan_downloads_nothing(tmp_path: Path) -> None:
    plan = make_plan(suite(models=["default"]), tmp_path, fetch=False)
    assert plan.processes[0].cells[0].model.path is None
    assert list(tmp_path.iterdir()) == []


def test_another_baseline_is_another_reference(tmp_path: Path) -> None:
    first = make_plan(suite(), tmp_path).processes[0].reference
    other = suite(baseline={"adapter": "synthetic_lm", "precision": "int8"})
    assert make_plan(other, tmp_path).processes[0].reference != first


def test_a_baseline_that_is_no_cell_is_refused() -> None:
    with pytest.raises(ValueError, match="is none of the cells"):
        suite(baseline={"adapter": "synthetic_lm", "precision": "none"})
