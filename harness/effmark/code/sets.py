"""Problem sets by name or path."""

from __future__ import annotations

from pathlib import Path

from effmark.code.enamel import load_enamel
from effmark.code.humaneval import load_humaneval, package_file
from effmark.code.problems import ProblemSet, load_folder, own_folder
from effmark.errors import SpecError

__all__ = ["find_problems"]


def find_problems(name: str) -> ProblemSet:
    """Return a problem set: `effmark`, `humaneval`, a folder, a `.csv` or a `.jsonl[.gz]` file.

    Raises:
        SpecError: there is no such set, or it is not what it should be.
        PrerequisiteError: the package that brings it is not installed.
    """
    if name == "effmark":
        return load_folder(own_folder())
    if name == "humaneval":
        return load_humaneval(package_file())
    path = Path(name)
    if path.is_dir():
        return load_folder(path)
    if path.is_file() and path.suffix == ".csv":
        return load_enamel(path)
    if path.is_file() and path.name.endswith((".jsonl", ".jsonl.gz")):
        return load_humaneval(path)
    raise SpecError(
        f"problem set {name!r}: no such set; give humaneval, effmark, a folder with set.yaml, an "
        "ENAMEL .csv or a HumanEval .jsonl[.gz]"
    )
