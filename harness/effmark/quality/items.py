"""Items that cannot be asked or scored are named: the task, the file and line, the field."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from effmark.errors import EffmarkError, SpecError
from effmark.regular_files import given_bytes
from effmark.strict_json import encoding_of, parse_json, text_lines

__all__ = ["check_data_files", "naming_items", "said"]

_TEMPLATES = ("doc_to_text", "doc_to_choice", "doc_to_target")
_SHOWN = re.compile(r"{{-?\s*(\w+)[\w.\[\]'\"]*\s*(?:\|\s*(?:trim|strip|string)\s*)?-?}}")
"""A field that a template shows as it is: `{{question}}`, `{{choices.text}}`."""

_HALF = re.compile(r"[\ud800-\udfff]")


def check_data_files(files: list[Path]) -> None:
    """Refuse JSON lines that cannot be read, by file and line.

    Raises:
        SpecError: a line is not a JSON object, or a file has none.
    """
    for path in files:
        if path.suffix in (".jsonl", ".json"):
            _check_lines(path)


def _check_lines(path: Path) -> None:
    where = f"task data {str(path)!r}"
    raw = given_bytes(path, "task data")
    if path.suffix == ".json" and _is_one_value(raw):
        return
    _, encoding = encoding_of(raw)
    if encoding != "utf-8":
        raise SpecError(
            f"{where}: {encoding.upper()[:6]}, which lm-eval does not read; wants UTF-8"
        )
    count = 0
    for number, line in text_lines(raw, where):
        count += 1
        item = parse_json(line, f"{where}:{number}")
        if not isinstance(item, dict):
            raise SpecError(f"{where}:{number}: not an object with fields")
        if _HALF.search(json.dumps(item, ensure_ascii=False)):
            raise SpecError(f"{where}:{number}: half a surrogate pair, which no text can hold")
    if not count:
        raise SpecError(f"{where}: no items; it needs one JSON object per line")


def _is_one_value(raw: bytes) -> bool:
    """Return whether a file is one JSON value: a list of items, or a table of lists."""
    try:
        return isinstance(parse_json(raw, ""), list | dict)
    except SpecError:
        return False


def naming_items(task: Any) -> None:
    """Make a task say which item it is, where it cannot be made into a prompt or scored."""
    number = -1
    build, construct, score = task.fewshot_context, task.construct_requests, task.process_results
    needed = _needed_fields(task)

    def named_build(doc: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal number
        number += 1
        for field, template in needed.items():
            if isinstance(doc, dict) and doc.get(field) is None:
                raise SpecError(f"{_where(task, number)}: {template} shows {field!r}, it has none")
        return _named(task, number, doc, build, doc, *args, **kwargs)

    def named_construct(doc: Any, *args: Any, **kwargs: Any) -> Any:
        return _named(task, number, doc, construct, doc, *args, **kwargs)

    scored = -1

    def named_score(doc: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal scored
        scored += 1  # all items in order, once for each way of reading the answers
        return _named(task, scored % (number + 1), doc, score, doc, *args, **kwargs)

    task.fewshot_context = named_build
    task.construct_requests = named_construct
    task.process_results = named_score


def _named(
    task: Any, number: int, doc: Any, method: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    """Return what a method of a task returns; what it raises gets the name of the item."""
    try:
        return method(*args, **kwargs)
    except EffmarkError:
        raise
    except Exception as error:  # templates and functions of a task file raise whatever they like
        raise SpecError(f"{_where(task, number)}: {_cause(task, doc, error)}") from error


def _cause(task: Any, doc: Any, error: Exception) -> str:
    """Return which template of a task fails on an item, else what was raised."""
    for name in _TEMPLATES:
        try:
            getattr(task, name)(doc)
        except Exception as found:  # noqa: BLE001 - the same templates, tried one by one
            return f"{name}: {said(found)}"
    return said(error)


def said(error: BaseException) -> str:
    """Return the kind of an error and the first line of what it says; so of what caused it."""
    first = (str(error).splitlines() or [""])[0]
    own = f"{type(error).__name__}: {first}" if first else type(error).__name__
    return own if error.__cause__ is None else f"{own}; {said(error.__cause__)}"


def _where(task: Any, number: int) -> str:
    """Return what names an item: file and line where it is a line of a local file."""
    name = f"task {task.config.task!r}"
    path = _data_file(task)
    if path is not None and path.suffix == ".jsonl":
        numbers = [at for at, _ in text_lines(given_bytes(path, "task data"), name)]
        if number < len(numbers):
            return f"{name}: {str(path)!r}:{numbers[number]}"
    return f"{name}: item {number} counted from 0"


def _data_file(task: Any) -> Path | None:
    """Return the local file whose rows are the items, one to one; None where there is none."""
    config = task.config
    files = (config.dataset_kwargs or {}).get("data_files")
    split = config.test_split or config.validation_split
    if config.dataset_path != "json" or config.process_docs or not isinstance(files, dict):
        return None
    file = files.get(split)
    return Path(file) if isinstance(file, str) and Path(file).is_file() else None


def _needed_fields(task: Any) -> dict[str, str]:
    """Return the fields that a local task's templates show whatever they hold, with the template.

    lm-eval fills what a row lacks with None and shows the word `None`.
    """
    if _data_file(task) is None:
        return {}
    found: dict[str, str] = {}
    for name in _TEMPLATES:
        template = getattr(task.config, name)
        if isinstance(template, str) and "{%" not in template:
            shown = _SHOWN.findall(template) if "{{" in template else [template]
            found |= {field: name for field in shown if field in (task.features or ())}
    return found
