"""The files of an lm-eval task that is not one of lm-eval's own: which they are, and what they say.

A task file may name others: the file that it includes, its data, its functions in Python and, where
it is a group, its members, which stand beside it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from effmark.errors import SpecError
from effmark.registry import suite_folders
from effmark.regular_files import given_bytes
from effmark.strict_json import decoded_text
from effmark.strict_yaml import StrictLoader, parse_yaml

__all__ = ["dump_task", "read_task", "task_files"]

_SUFFIXES = (".yaml", ".yml")


def task_files(name: str) -> list[Path]:
    """Return the files of a local task, the named one first; none for a task of lm-eval's own.

    Args:
        name: a group that a suite brings, a task in one, or a path that ends in `.yaml`.

    Raises:
        SpecError: no such file, not YAML, or a name that is nearly that of a suite's task.
    """
    if name.endswith(_SUFFIXES):
        path = Path(name).resolve()
        if not path.is_file():
            raise SpecError(f"task file {name!r}: no such file")
        return _closure(path)
    known = {p.name: p for f in suite_folders() for p in sorted(f.glob("tasks/*")) if p.is_dir()}
    members = {} if name in known else _members(known.values())
    folder = known.get(name) or members.get(name)
    if folder is not None:
        return sorted(path for path in folder.iterdir() if path.is_file())
    close = difflib.get_close_matches(name, [*known, *members], n=1, cutoff=0.75)
    if close:
        raise SpecError(f"no task named {name!r}; did you mean {close[0]!r}?")
    return []


def _members(folders: Iterable[Path]) -> dict[str, Path]:
    """Return the folders of the tasks that stand in groups of suites, by name."""
    found = {}
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            name = read_task(path).get("task")
            if isinstance(name, str):
                found[name] = folder
    return found


def read_task(path: Path) -> dict[str, Any]:
    """Return what a task file says; functions stay the names that they are.

    Raises:
        SpecError: the file is not YAML, or not a table.
    """
    where = f"task file {str(path)!r}"
    table = parse_yaml(decoded_text(given_bytes(path, "task file"), where), where, _Loader).data
    if not isinstance(table, dict):
        raise SpecError(f"task file {str(path)!r}: not a table of keys and values")
    return table


def dump_task(table: dict[str, Any]) -> str:
    """Return a task file as text."""
    return yaml.dump(table, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def _closure(path: Path) -> list[Path]:
    """Return a task file and all files beside it that it depends on."""
    found, waiting = [], [path]
    while waiting:
        file = waiting.pop()
        if file in found or not file.is_file():
            continue
        found.append(file)
        if file.suffix in _SUFFIXES:
            waiting += _named(file, read_task(file))
    return found


def _named(path: Path, table: dict[str, Any]) -> list[Path]:
    """Return the files that a task file names."""
    named = sorted(path.parent.glob("*.py"))
    if isinstance(table.get("include"), str):
        named.append(path.parent / table["include"])
    data = (table.get("dataset_kwargs") or {}).get("data_files") or {}
    for entry in data.values() if isinstance(data, dict) else [data]:
        named += [path.parent / e for e in (entry if isinstance(entry, list) else [entry])]
    if "group" in table:
        named += [p for p in sorted(path.parent.iterdir()) if p.suffix in _SUFFIXES and p != path]
    return named


class _Function(str):
    """`!function module.name` of lm-eval: kept as it is, never looked up here."""


class _Loader(StrictLoader):
    pass


class _Dumper(yaml.SafeDumper):
    pass


def _function(loader: _Loader, node: yaml.ScalarNode) -> _Function:
    return _Function(loader.construct_scalar(node))


_Loader.add_constructor("!function", _function)
_Dumper.add_representer(
    _Function, lambda dumper, value: dumper.represent_scalar("!function", str(value))
)
