"""Generated solutions: JSON lines of the shapes that HumanEval, EvalPlus and ENAMEL tools write.

`{"task_id": …, "completion": …}` goes on where the prompt ends, unless it defines the function
itself; `{"task_id": …, "solution": …}` is a whole program. Unknown keys are ignored, and equal
texts are separate samples. A JSON array of arrays (ENAMEL) holds the samples of HumanEval/0, 1, ….
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effmark.errors import SpecError

__all__ = ["Sample", "read_solutions"]


@dataclass(frozen=True)
class Sample:
    """One generated solution."""

    task_id: str
    text: str
    whole: bool | None
    """Whether the text is a whole program; None: look whether it defines the function."""
    line: int
    """Line of the file, from 1; of an array, the position of its task."""


def read_solutions(path: Path) -> list[Sample]:
    """Return the samples of a file in its order.

    Raises:
        SpecError: the file or a line of it is not what it should be; the line is named.
    """
    raw = _content(path)
    if raw.lstrip()[:1] == b"[":
        return list(_from_array(raw, path))
    samples = [
        _sample(line, f"{path}:{number}", number)
        for number, line in enumerate(raw.split(b"\n"), start=1)
        if line.strip()
    ]
    if not samples:
        raise SpecError(f"solutions {str(path)!r}: no samples; give one JSON object a line")
    return samples


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error) as error:
        raise SpecError(f"solutions {str(path)!r} cannot be read: {error}") from error


def _parse(raw: bytes, where: str) -> Any:
    try:
        return json.loads(raw.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise SpecError(f"{where}: not UTF-8: byte {error.object[error.start]:#04x}") from error
    except ValueError as error:
        raise SpecError(f"{where}: not JSON: {error}") from error
    except RecursionError as error:
        raise SpecError(f"{where}: not a sample: nested too deep") from error


def _sample(raw: bytes, where: str, line: int) -> Sample:
    entry = _parse(raw, where)
    if not isinstance(entry, dict):
        raise SpecError(f"{where}: not an object, got {type(entry).__name__}")
    task_id = entry.get("task_id")
    if not isinstance(task_id, str):
        raise SpecError(f"{where}: task_id must be text, got {task_id!r}")
    for key, whole in (("solution", True), ("completion", None)):
        text = entry.get(key)
        if isinstance(text, str):
            return Sample(task_id, text, whole, line)
        if text is not None:
            raise SpecError(f"{where}: {key} must be text, got {type(text).__name__}")
    raise SpecError(f"{where}: neither 'completion' nor 'solution' in it")


def _from_array(raw: bytes, path: Path) -> Iterator[Sample]:
    rows = _parse(raw, str(path))
    for number, texts in enumerate(rows):
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise SpecError(f"{path}: entry {number}: must be an array of texts")
        for text in texts:
            yield Sample(f"HumanEval/{number}", text, None, number + 1)
