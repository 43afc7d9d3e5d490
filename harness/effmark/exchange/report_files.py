"""The JSON of a report: whole, by lines, or as much of it as was written before the tool died."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from effmark.errors import SpecError
from effmark.exchange.foreign import LeftOut
from effmark.regular_files import given_bytes
from effmark.strict_json import decoded_text, parse_json

__all__ = ["read_entries", "read_json"]


def read_json(path: Path) -> Any:
    """Return the JSON of a report.

    Raises:
        SpecError: no such file, or not JSON.
    """
    return parse_json(_text(path), f"report {str(path)!r}")


def read_entries(path: Path) -> Iterator[tuple[str, Any] | LeftOut]:
    """Yield the entries of a report with their places: of a list, of lines, or a single one.

    What cannot be read is left out by name: a torn line, the end of a list that was cut off.

    Raises:
        SpecError: no such file, or no entry can be read.
    """
    text = _text(path)
    try:
        body = parse_json(text, f"report {str(path)!r}")
    except SpecError:
        kept = list(_of_torn_list(text) if text.lstrip()[:1] == "[" else _of_lines(text))
        if all(isinstance(entry, LeftOut) for entry in kept):
            raise
        yield from kept
        return
    entries = body if isinstance(body, list) else [body]
    yield from ((f"entry {index}", entry) for index, entry in enumerate(entries))


def _text(path: Path) -> str:
    return decoded_text(given_bytes(path, "report"), f"report {str(path)!r}")


def _of_lines(text: str) -> Iterator[tuple[str, Any] | LeftOut]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                yield f"line {number}", parse_json(line, f"line {number}")
            except SpecError as error:
                yield LeftOut(str(error))


def _of_torn_list(text: str) -> Iterator[tuple[str, Any] | LeftOut]:
    """Yield the whole entries of a list that was cut off, and where the torn one begins."""
    decoder, at, index = json.JSONDecoder(), text.index("[") + 1, 0
    while True:
        at += len(text[at:]) - len(text[at:].lstrip(" \t\r\n,"))
        try:
            _, end = decoder.raw_decode(text, at)
            yield f"entry {index}", parse_json(text[at:end], f"entry {index}")
        except (ValueError, RecursionError, SpecError):
            line = text.count("\n", 0, at) + 1
            yield LeftOut(f"entry {index}, line {line}: not JSON, or cut off; the list ends here")
            return
        at, index = end, index + 1
