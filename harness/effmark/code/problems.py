"""Problem sets: what a problem is, effmark's own form of a set, and finding a set by name.

Nothing here runs a problem's code: generators, references and checkers are text for the sandbox.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from effmark.errors import SpecError
from effmark.registry import suite_folders
from effmark.regular_files import given_bytes
from effmark.schema import content_hash
from effmark.strict_json import decoded_text
from effmark.strict_yaml import parse_yaml

__all__ = ["Case", "Problem", "ProblemSet", "Rung", "load_folder", "own_folder"]


@dataclass(frozen=True)
class Case:
    """One call: its arguments and the right output, as text."""

    args: str
    """The list of arguments as JSON, or as Python literal where JSON would lose something."""
    plain: bool
    """Whether `args` is JSON."""
    expected: str
    """The output of the reference, in the form that the problem shows outputs in."""
    reference_s: float = 0.0
    """CPU seconds that the reference took when the case was made; a first guess only."""


@dataclass(frozen=True)
class Rung:
    """One reference of a ladder, from slow to fast."""

    name: str
    program: str
    score: float
    """Cumulative percentage that DPS gives to whoever is as fast."""


@dataclass(frozen=True)
class Problem:
    """One task: how to call a solution, where its inputs come from, what is right."""

    id: str
    entry_point: str
    prompt: str
    reference: str
    """A program that defines the entry point; the last rung where there is a ladder."""
    shown: str
    """How outputs become text: `json` or `repr`."""
    checker: str = ""
    """A program that defines ``effmark_check(args, expected, output)``."""
    generator: str = ""
    """A program that defines ``effmark_cases(level)``; empty where cases are written down."""
    hardness: tuple[float, ...] = (0,)
    """Weight of each level; all zero: correctness only."""
    cases: tuple[Case, ...] = ()
    """The only level's cases, where they are written down."""
    test: str = ""
    """A test that can only be run whole: its calls are recorded, outputs replayed to it."""
    ladder: tuple[Rung, ...] = ()

    @property
    def graded(self) -> bool:
        """Whether time counts."""
        return any(self.hardness)

    def program(self, text: str, *, whole: bool) -> str:
        """Return a sample as a program: after the prompt, which brings imports and helpers."""
        if not whole:
            return self.prompt + text
        if "from __future__" in text:
            return text
        return f"{self.prompt}\n    pass\n\n{text}" if self.prompt else text


@dataclass(frozen=True)
class ProblemSet:
    """Problems under one name and version."""

    name: str
    version: str
    sha256: str
    """Hash of everything that scores depend on."""
    source: str
    """Where it was read from."""
    problems: dict[str, Problem] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    """Ids that belong to the set but are not scored, and why."""

    def find(self, task_id: str) -> Problem | None:
        """Return a problem by its id, with or without the name of the set before it."""
        found = self.problems.get(task_id)
        return found or self.problems.get(task_id.removeprefix(f"{self.name}/"))


_EXACT = """
def effmark_check(args, expected, output):
    if isinstance(expected, bool) or isinstance(output, bool):
        return expected is output
    if isinstance(expected, list) and isinstance(output, list):
        return len(expected) == len(output) and all(
            effmark_check(args, a, b) for a, b in zip(expected, output)
        )
    if isinstance(expected, dict) and isinstance(output, dict):
        return expected.keys() == output.keys() and all(
            effmark_check(args, expected[key], output[key]) for key in expected
        )
    return expected == output
"""
_CLOSE = """
import math

def effmark_check(args, expected, output):
    number = isinstance(output, (int, float)) and not isinstance(output, bool)
    return number and math.isclose(output, expected, rel_tol=1e-9)
"""
_PROGRAM = """
effmark_check = check
"""
_GENERATE = """

def effmark_cases(level):
    from random import Random as _Random

    return generate(level, _Random(f"%d/%s/{level}"))
"""
_LITERALS = ("ENTRY_POINT", "PROMPT", "CHECK")


def own_folder() -> Path:
    """Return the folder of effmark's own problems, from the installed suites."""
    for folder in suite_folders():
        if (folder / "problems" / "effmark" / "set.yaml").is_file():
            return folder / "problems" / "effmark"
    raise SpecError("no problem set 'effmark' among the installed suites; reinstall effmark")


def load_folder(folder: Path) -> ProblemSet:
    """Return a set in effmark's own form: `set.yaml` and one Python file a problem.

    Raises:
        SpecError: the folder is not such a set; the sentence names file and key.
    """
    about = _read_about(folder / "set.yaml")
    texts = {path.stem: _read(path) for path in sorted(folder.glob("*.py"))}
    if not texts:
        raise SpecError(f"problem set {str(folder)!r}: no problems (*.py)")
    return ProblemSet(
        name=str(about["name"]),
        version=str(about["version"]),
        sha256=content_hash([about, texts]),
        source=str(folder),
        problems={name: _problem(name, text, about, folder) for name, text in texts.items()},
    )


def _read(path: Path) -> str:
    return decoded_text(given_bytes(path, "problem"), f"problem {str(path)!r}")


def _read_about(path: Path) -> dict[str, Any]:
    about = parse_yaml(_read(path), str(path)).data
    for key in ("name", "version", "seed", "hardness", "references"):
        if not isinstance(about, dict) or key not in about:
            raise SpecError(f"{path}: no {key!r}; a problem set needs it")
    found: dict[str, Any] = about
    return found


def _problem(name: str, text: str, about: dict[str, Any], folder: Path) -> Problem:
    try:
        found = _literals(text)
        entry_point, prompt, check = (found[key] for key in _LITERALS)
        ladder = _ladder(text, about["references"], entry_point)
        checker = {"exact": _EXACT, "close": _CLOSE, "program": text + _PROGRAM}[check]
    except (SyntaxError, ValueError, KeyError, StopIteration) as error:
        what = f"{type(error).__name__}: {error}"
        raise SpecError(f"{folder / name}.py: not a problem: {what}; see README.md") from error
    return Problem(
        id=name,
        entry_point=entry_point,
        prompt=prompt,
        reference=ladder[-1].program,
        shown="json",
        checker=checker,
        generator=text + _GENERATE % (int(about["seed"]), name),
        hardness=tuple(about["hardness"]),
        ladder=ladder,
    )


def _literals(text: str) -> dict[str, str]:
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in _LITERALS:
                found[name] = str(ast.literal_eval(node.value))
    return found


def _ladder(text: str, names: list[str], entry_point: str) -> tuple[Rung, ...]:
    return tuple(
        Rung(name, _reference_program(text, name, entry_point), 100 * (i + 1) / len(names))
        for i, name in enumerate(names)
    )


def _reference_program(text: str, name: str, entry_point: str) -> str:
    """Return one reference of a problem file as a program of its own."""
    tree = ast.parse(text)
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == name)
    used = {n.id for n in ast.walk(function) if isinstance(n, ast.Name)}
    imports = [
        ast.unparse(n)
        for n in tree.body
        if isinstance(n, ast.Import | ast.ImportFrom)
        and used & {a.asname or a.name for a in n.names}
    ]
    source = ast.get_source_segment(text, function)
    return "\n".join([*imports, f"{source}", f"{entry_point} = {name}", ""])
