"""Suites as files: found by name or path, parsed with errors that name file, line and remedy."""

from __future__ import annotations

import copy
import difflib
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from effmark.errors import SpecError
from effmark.registry import list_suites, nearest, suite_folders
from effmark.regular_files import given_bytes
from effmark.spec import Suite, Tasks, Text, Workload
from effmark.strict_json import decoded_text
from effmark.strict_yaml import parse_yaml
from effmark.task_files import task_files

__all__ = ["data_file", "find_suite", "load_suite", "pinned", "text_file"]


def find_suite(name: str) -> Path:
    """Return the file of a suite: an installed name or a path that ends in .yaml."""
    if name.endswith((".yaml", ".yml")) or "/" in name:
        path = Path(name)
        if not path.is_file():
            raise SpecError(f"suite {name!r}: no such file")
        return path
    known = list_suites()
    if name not in known:
        raise SpecError(f"no suite named {name!r}; {nearest(name, list(known))}")
    return known[name]


def data_file(*parts: str) -> Path:
    """Return a file or folder that an installed suite package brings, the first that exists."""
    for folder in suite_folders():
        path = folder.joinpath(*parts)
        if path.exists():
            return path
    raise SpecError(f"no installed suite package brings {'/'.join(parts)!r}")


def load_suite(path: Path, profile: str = "default", overrides: Sequence[str] = ()) -> Suite:
    """Return the suite in a file, at a profile, with `key.path=value` overrides applied.

    Raises:
        SpecError: one line with file, line number, key, what is wrong and what would be right.
    """
    text = decoded_text(given_bytes(path, "suite"), f"suite {str(path)!r}")
    found = parse_yaml(text, str(path))
    data, lines = found.data, found.lines
    if not isinstance(data, dict):
        raise SpecError(f"{path}:1: a suite is a mapping that starts with 'suite: NAME'")
    prefix = _apply_profile(path, data, profile, lines)
    written = copy.deepcopy(data)
    for override in overrides:
        _apply_override(data, override)
    suite = _checked({**data, "profile": profile})
    if isinstance(suite, Suite):
        return suite
    where, said = suite
    blamed = _blamed(overrides, where, {**written, "profile": profile})
    raise SpecError(f"{blamed or f'{path}:{_line(where, lines, prefix)}'}: {_plain(said)}")


def _plain(text: str) -> str:
    """Return text that a terminal can show: no control characters, no words without end."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return _ENDLESS.sub(lambda word: f"{word[0][:_LONGEST_WORD]}…", shown)


_LONGEST_WORD = 100
_ENDLESS = re.compile(rf"\S{{{_LONGEST_WORD + 1},}}")


_TRUTHS = frozenset(("chat", "trust_remote_code", "options"))
"""Keys under which true and false may stand; elsewhere pydantic would make numbers of them."""


def _checked(data: dict[str, Any]) -> Suite | tuple[tuple[str | int, ...], str]:
    """Return the suite, or where it is wrong and what is wrong there."""
    wrong = next(_truths(data), None)
    if wrong is not None:
        dotted = ".".join(map(str, wrong))
        return wrong, f"{dotted}: true and false are neither numbers nor text; quote what is text"
    try:
        return Suite.model_validate(data)
    except ValidationError as error:
        return _first_error(error)


def _truths(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the places at which true or false stands for something else."""
    if isinstance(value, bool):
        yield at
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key not in _TRUTHS:
                yield from _truths(inner, (*at, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _truths(inner, (*at, index))


def _apply_profile(
    path: Path, data: dict[str, Any], profile: str, lines: dict[Any, int]
) -> dict[str, tuple[str | int, ...]]:
    """Replace top-level keys by those of a profile; return where replaced keys stand."""
    profiles = data.pop("profiles", None) or {}
    if not isinstance(profiles, dict):
        line = lines.get(("profiles",), 1)
        raise SpecError(f"{path}:{line}: profiles must be a mapping of names, got {profiles!r}")
    if profile != "default" and profile not in profiles:
        known = ["default", *(name for name in profiles if name != "default")]
        raise SpecError(f"{path}: no profile {profile!r}; {nearest(profile, known)}")
    chosen = profiles.get(profile) or {}
    if not isinstance(chosen, dict):
        line = lines.get(("profiles", profile), 1)
        raise SpecError(f"{path}:{line}: profile {profile!r} must be a mapping, got {chosen!r}")
    data.update(chosen)
    return {key: ("profiles", profile, key) for key in chosen}


def _apply_override(data: dict[str, Any], override: str) -> None:
    """Set `a.b=value` in the document; the value is YAML."""
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise SpecError(
            f"override {override!r:.80} is not KEY=VALUE, precision.rel_half_width=0.05 say"
        )
    *parents, last = key.split(".")
    at: Any = data
    for parent in parents:
        at = at[_index(at, parent, override)] if isinstance(at, list) else at.setdefault(parent, {})
        if not isinstance(at, dict | list):
            raise SpecError(f"override {override!r:.80}: {parent!r} holds a value, not a mapping")
    parsed = parse_yaml(value, f"override {override!r:.80}").data
    if isinstance(at, list):
        at[_index(at, last, override)] = parsed
    else:
        at[last] = parsed


def _index(at: list[Any], part: str, override: str) -> int:
    """Return the position in a list that a part of an override's key names."""
    if not part.isdecimal() or int(part[:9]) >= len(at):
        raise SpecError(
            f"override {override!r:.80}: {part!r:.80} is no position in a list of {len(at)}, "
            "0 is the first"
        )
    return int(part)


def _first_error(error: ValidationError) -> tuple[tuple[str | int, ...], str]:
    """Return where a suite is wrong, and what is wrong there."""
    # a misspelt key makes the right one missing too; the misspelling is what to mend
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    where = _without_tags(first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    if where[-3:-2] == ("options",):  # pydantic names the first kind of value that it tried
        where, message = where[:-1], "Input should be a finite number, text, true or false"
    dotted = ".".join(f"{part!s:.80}" for part in where) or "suite"
    if first["type"] == "extra_forbidden":
        message = f"unknown key {_suggestion(str(where[-1]), where[:-1])}"
    elif first["type"] != "missing" and not isinstance(first["input"], dict | list):
        message = f"{message}, got {first['input']!r:.80}"
        if first["input"] is None:
            message += "; null is a word of YAML, the name needs quotes: 'null'"
    return where, f"{dotted}: {message}"


def _line(
    where: tuple[str | int, ...],
    lines: dict[Any, int],
    prefix: dict[str, tuple[str | int, ...]],
) -> int:
    """Return the line of the file on which a place of a suite stands, or the nearest above it."""
    full = (*prefix[str(where[0])], *where[1:]) if where and str(where[0]) in prefix else where
    return next((lines[full[:n]] for n in range(len(full), -1, -1) if full[:n] in lines), 1)


def _blamed(
    overrides: Sequence[str], where: tuple[str | int, ...], written: dict[str, Any]
) -> str | None:
    """Return the override that brought in what is wrong at a place, None where the file did."""
    wrong = tuple(str(part) for part in where)
    for override in reversed(overrides):
        key = override.partition("=")[0].split(".")
        given = tuple(str(part) for part in _without_tags(tuple(key)))
        if wrong[: len(given)] == given:
            return f"override {override!r:.80}"
        if given[: len(wrong)] == wrong and _is_suite(written):
            return f"override {override!r:.80}"
    return None


def _is_suite(data: dict[str, Any]) -> bool:
    return isinstance(_checked(data), Suite)


def _without_tags(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """Return a location without the part that pydantic adds for the member of a union."""
    return tuple(p for i, p in enumerate(loc) if not (i == 2 and loc[0] == "workloads"))


def _suggestion(key: str, parents: tuple[str | int, ...]) -> str:
    known = sorted(_fields_at(parents))
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"{key!r:.80}; " + (
        f"did you mean {close[0]!r}?" if close else f"known: {', '.join(known)}"
    )


def _fields_at(parents: tuple[str | int, ...]) -> set[str]:
    """Return the keys that are known at a place of a suite, as far as its models tell."""
    candidates: list[type[BaseModel]] = [Suite]
    for part in parents:
        if isinstance(part, str):
            fields = [m.model_fields[part] for m in candidates if part in m.model_fields]
            candidates = [m for field in fields for m in _models_in(field.annotation)]
    return {name for model in candidates for name in model.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    arguments = getattr(annotation, "__args__", ())
    return [model for argument in arguments for model in _models_in(argument)]


def text_file(name: str) -> Path:
    """Return the file of a held-out text: a path, or a name that a suite package brings.

    Raises:
        SpecError: no such text.
    """
    if "/" in name or name.endswith(".txt"):
        path = Path(name)
        if not path.is_file():
            raise SpecError(f"text {name!r}: no such file")
        return path
    known = {path.stem: path for f in suite_folders() for path in sorted(f.glob("text/*.txt"))}
    if name not in known:
        raise SpecError(f"no text named {name!r}; {nearest(name, list(known))}")
    return known[name]


def pinned(workload: Workload) -> Workload:
    """Return a workload with the hash of the local data that it reads, so that edits count.

    Raises:
        SpecError: there is no such text, or a task's name is a local one misspelt.
    """
    if isinstance(workload, Text):
        return workload.model_copy(update={"sha256": _hash([text_file(workload.name)])})
    if isinstance(workload, Tasks):
        return workload.model_copy(update={"sha256": _hash(task_files(workload.name))})
    return workload


def _hash(files: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest() if files else ""
