"""Generated solutions: JSON lines of the shapes that HumanEval, EvalPlus and ENAMEL tools write.

`{"task_id": …, "completion": …}` goes on where the prompt ends, unless it defines the function
itself; `{"task_id": …, "solution": …}` is a whole program. Unknown keys are ignored, and equal
texts are separate samples. A JSON array of arrays (ENAMEL) holds the samples of HumanEval/0, 1, ….
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from effmark.errors import SpecError
from effmark.regular_files import given_bytes
from effmark.strict_json import parse_json, text_lines

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
    raw = given_bytes(path, "solutions")
    lines = text_lines(raw, str(path))
    begun = list(itertools.islice(lines, 1))
    if begun and begun[0][1].lstrip().startswith("["):
        return list(_from_array(raw, path))
    samples = [
        _sample(line, f"{path}:{number}", number) for number, line in itertools.chain(begun, lines)
    ]
    if not samples:
        raise SpecError(f"solutions {str(path)!r}: no samples; give one JSON object a line")
    return samples


def _sample(raw: str, where: str, line: int) -> Sample:
    entry = parse_json(raw, where)
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
    rows = parse_json(raw, str(path))
    for number, texts in enumerate(rows):
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise SpecError(f"{path}: entry {number}: must be an array of texts")
        for text in texts:
            yield Sample(f"HumanEval/{number}", text, None, number + 1)
