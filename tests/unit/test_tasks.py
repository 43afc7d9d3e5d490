"""The lm-eval task group of our own: what its files hold, and that lm-eval reads them."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

REPOSITORY = Path(__file__).parents[2]
GROUP = REPOSITORY / "suites/effmark_suites/tasks/effmark_mini"
SUBTASKS = ("grammar", "facts", "arithmetic", "patterns")


def script() -> ModuleType:
    path = REPOSITORY / "scripts/make_tasks.py"
    spec = importlib.util.spec_from_file_location("make_tasks", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def items(name: str) -> list[dict[str, Any]]:
    lines = (GROUP / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def config(name: str) -> dict[str, Any]:
    """Return a task's configuration with its data file as an absolute path."""
    loaded: dict[str, Any] = yaml.safe_load((GROUP / f"{name}.yaml").read_text("utf-8"))
    files = loaded["dataset_kwargs"]["data_files"]
    loaded["dataset_kwargs"]["data_files"] = {k: str(GROUP / v) for k, v in files.items()}
    return loaded


def test_the_committed_files_are_exactly_what_the_script_makes() -> None:
    made = script().files()
    assert sorted(made) == sorted(path.name for path in GROUP.iterdir())
    assert all((GROUP / name).read_text("utf-8") == text for name, text in made.items())


def test_the_group_has_at_least_six_hundred_items_in_four_subtasks() -> None:
    group = yaml.safe_load((GROUP / "effmark_mini.yaml").read_text("utf-8"))
    assert group["task"] == [f"effmark_mini_{name}" for name in SUBTASKS]
    assert sum(len(items(name)) for name in SUBTASKS) >= 600


@pytest.mark.parametrize("name", SUBTASKS)
def test_every_item_has_different_choices_and_one_of_them_is_right(name: str) -> None:
    choices = 2 if name == "grammar" else 4
    for item in items(name):
        assert len(set(item["choices"])) == len(item["choices"]) == choices
        assert 0 <= item["gold"] < choices


@pytest.mark.parametrize("name", SUBTASKS)
def test_no_item_occurs_twice(name: str) -> None:
    seen = Counter((item["query"], *sorted(item["choices"])) for item in items(name))
    assert max(seen.values()) == 1


@pytest.mark.parametrize("name", SUBTASKS)
def test_always_answering_the_same_place_is_no_better_than_chance(name: str) -> None:
    golds = Counter(item["gold"] for item in items(name))
    expected = len(items(name)) / len(golds)
    assert all(abs(count - expected) < 4 * expected**0.5 for count in golds.values())


def test_sums_in_the_arithmetic_items_are_right() -> None:
    checked = 0
    for item in items("arithmetic"):
        *_, last = item["query"].splitlines()
        if last.endswith(" ="):
            a, sign, b, _ = last.split()
            value = {"+": int(a) + int(b), "-": int(a) - int(b), "x": int(a) * int(b)}[sign]
            assert item["choices"][item["gold"]] == str(value)
            checked += 1
    assert checked >= 60


@pytest.mark.filterwarnings("ignore")  # lm-eval and what it imports warn about themselves
@pytest.mark.parametrize("name", SUBTASKS)
def test_lm_eval_reads_a_subtask_and_finds_the_right_answer(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    pytest.importorskip("datasets")
    tasks = pytest.importorskip("lm_eval.tasks")
    manager = tasks.TaskManager(include_path=str(GROUP), include_defaults=False)
    task = manager.load([config(name)])["tasks"][f"effmark_mini_{name}"]
    documents = list(task.test_docs())
    assert len(documents) == len(items(name))
    for document, item in zip(documents, items(name), strict=True):
        assert task.doc_to_text(document) == item["query"]
        assert task.doc_to_choice(document) == item["choices"]
        assert task.doc_to_target(document) == item["gold"]
