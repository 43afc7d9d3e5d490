"""Tasks by name, as lm-eval loads them: its own, those of installed suites, and task files."""

from __future__ import annotations

import logging
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, SpecError
from effmark.quality.items import check_data_files, said
from effmark.registry import nearest
from effmark.spec import Tasks
from effmark.task_files import dump_task, read_task, task_files

__all__ = ["loaded_tasks"]


@contextmanager
def loaded_tasks(task: Tasks, cache: Path) -> Iterator[dict[str, Any]]:
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
        check_data_files(task_files(task.name))
        _seed()
        try:
            loaded = manager.load([name])
        except ConnectionError as error:
            raise PrerequisiteError(
                f"task {task.name!r}: its data are not here and cannot be fetched: {error}; run "
                "it once where the hub can be reached, or name a local task file"
            ) from error
        except ImportError as error:
            raise PrerequisiteError(
                f"task {task.name!r} needs {error.name!r}; install it with: pip install"
                f" {error.name}"
            ) from error
        except Exception as error:  # lm-eval tries the first item, with whatever templates do
            raise SpecError(f"task {task.name!r}: lm-eval cannot load it: {said(error)}") from error
        yield loaded


def _seed() -> None:
    """Begin all random choices of tasks, shuffled answers say, as lm-eval's own command does."""
    import numpy as np
    from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED

    random.seed(DEFAULT_RANDOM_SEED)
    np.random.seed(DEFAULT_OTHER_SEED)


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
