"""lm-eval tasks on an adapter: found, run, and turned into one answer per item."""

from __future__ import annotations

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effmark.adapter import Adapter
from effmark.errors import PrerequisiteError, SpecError
from effmark.record import ModelFacts
from effmark.registry import nearest
from effmark.spec import Tasks
from effmark.task_files import dump_task, read_task, task_files

__all__ = ["Evaluation", "evaluate_tasks", "fetch_task"]

_ITEM_METRICS = ("acc", "exact_match", "acc_norm")
"""What counts as an item being right, the first that a task has."""


@dataclass(frozen=True)
class Evaluation:
    """What lm-eval found."""

    right: tuple[float, ...]
    """1 or 0 per item, all tasks in order; a share where the task gives one."""
    task_of_item: tuple[str, ...]
    results: dict[str, dict[str, Any]]
    """lm-eval's own aggregates by task."""
    versions: dict[str, str]


def evaluate_tasks(
    adapter: Adapter,
    facts: ModelFacts,
    task: Tasks,
    cache: Path,
    sequences: int = 1,
) -> Evaluation:
    """Return the evaluation of a task or group on a loaded adapter.

    Args:
        adapter: Must score or generate, as the task asks.
        facts: The facts of its model.
        task: What to run and how.
        cache: Root under which lm-eval's data sets keep their files.
        sequences: Most prompts that the adapter continues together.

    Raises:
        PrerequisiteError: lm-eval is not installed.
        SpecError: no such task.
    """
    with _loaded(task, cache) as loaded:
        from lm_eval.evaluator import evaluate

        from effmark.quality.bridge import AdapterLM

        for one in loaded["tasks"].values():
            if one.config.num_fewshot is None or task.fewshot:
                one.set_config(key="num_fewshot", value=task.fewshot)
        model = AdapterLM(adapter, facts, sequences=sequences, context_tokens=task.context_tokens)
        found = evaluate(
            model,
            loaded,
            limit=task.limit,
            bootstrap_iters=0,
            log_samples=True,
            apply_chat_template=task.chat,
        )
    return _evaluation(found)


def fetch_task(task: Tasks, cache: Path) -> None:
    """Bring the data of a task into the cache; needs the network where it is not there yet.

    Raises:
        PrerequisiteError: lm-eval is not installed, or the data cannot be reached.
        SpecError: no such task.
    """
    with _loaded(task, cache):
        pass  # loading a task loads its data


@contextmanager
def _loaded(task: Tasks, cache: Path) -> Iterator[dict[str, Any]]:
    """Yield the tasks that a name stands for, by name, as lm-eval has loaded them."""
    os.environ.setdefault("HF_DATASETS_CACHE", str(cache / "datasets"))
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise PrerequisiteError(
            f"task {task.name!r} needs {error.name!r}; "
            "install it with: pip install 'effmark[quality]'"
        ) from error
    with _task_folder(task.name) as (folder, name):
        manager = TaskManager(
            include_path=str(folder) if folder else None, include_defaults=folder is None
        )
        if name not in manager.all_tasks:
            raise SpecError(
                f"no lm-eval task {task.name!r}; {nearest(name, list(manager.all_tasks))}"
            )
        try:
            loaded = manager.load([name])
        except ConnectionError as error:
            raise PrerequisiteError(
                f"task {task.name!r}: its data are not here and cannot be fetched: {error}; run "
                "it once where the hub can be reached, or name a local task file"
            ) from error
        yield loaded


@contextmanager
def _task_folder(name: str) -> Iterator[tuple[Path | None, str]]:
    """Yield a folder of task files with absolute data paths, or None for lm-eval's own tasks."""
    files = task_files(name)
    if not files:
        yield None, name
        return
    with tempfile.TemporaryDirectory(prefix="effmark-tasks-") as scratch:
        target = Path(scratch)
        for path in files:
            if path.suffix in (".yaml", ".yml"):
                (target / path.name).write_text(dump_task(_absolute(path)), encoding="utf-8")
            elif path.suffix == ".py":
                shutil.copy(path, target)
        yield target, _task_name(name, files[0])


def _task_name(name: str, path: Path) -> str:
    """Return the task or group that a file defines; any other name stands for itself."""
    if path.name != Path(name).name:
        return name
    table = read_task(path)
    found = table.get("task") if isinstance(table.get("task"), str) else table.get("group")
    if not isinstance(found, str):
        raise SpecError(f"task file {name!r} names no task or group; add `task: NAME`")
    return found


def _absolute(path: Path) -> dict[str, Any]:
    """Return a task file in which relative data files are absolute paths."""
    table = read_task(path)
    files = (table.get("dataset_kwargs") or {}).get("data_files")
    if isinstance(files, dict):
        for split, file in files.items():
            if isinstance(file, str) and "://" not in file:
                files[split] = str((path.parent / file).resolve())
    return table


def _evaluation(found: dict[str, Any]) -> Evaluation:
    right: list[float] = []
    names: list[str] = []
    for task, items in found["samples"].items():
        # one filter per task: an item that is looked at in two ways is still one item
        one = [item for item in items if item.get("filter") == items[0].get("filter")]
        for item in sorted(one, key=lambda item: int(item["doc_id"])):
            for key in _ITEM_METRICS:
                if key in item:
                    right.append(float(item[key]))
                    names.append(task)
                    break
    results = {
        task: {key: value for key, value in table.items() if _is_plain(value)}
        for task, table in found["results"].items()
    }
    versions = {task: str(version) for task, version in found.get("versions", {}).items()}
    plain = json.loads(json.dumps(results, default=float))
    return Evaluation(tuple(right), tuple(names), plain, versions)


def _is_plain(value: Any) -> bool:
    """Return whether a value of lm-eval's table is a number or a text."""
    return isinstance(value, str | int) or hasattr(value, "__float__")
