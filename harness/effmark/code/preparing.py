"""From a problem to its cases: generators, references and tests run in the sandbox, once.

Cases are kept by the hash of everything that they follow from: generator, reference, seed and
level, the program that ran them, Python and the processor (its times are the first guess of the
limit). A kept case is data, read as JSON; what cannot be read is made again.
"""

from __future__ import annotations

import gzip
import json
import platform
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from effmark.cache import build_once, default_cache
from effmark.code.drivers import PREPARE, RECORD
from effmark.code.problems import Case, Problem
from effmark.environment import cpu_name
from effmark.errors import PrerequisiteError, SpecError
from effmark.sandbox import Job, JobResult, Limits, Sandbox
from effmark.schema import content_hash

__all__ = ["Prepared", "prepare"]

_LIMITS = Limits(wall_s=120, memory_b=4 << 30, values_b=512 << 20)


@dataclass(frozen=True)
class Prepared:
    """A problem with the cases of all its levels."""

    problem: Problem
    levels: tuple[tuple[Case, ...], ...]

    @property
    def slowest_s(self) -> float:
        """First guess of the reference's time: its slowest case of a level that counts."""
        return max(
            (
                case.reference_s
                for cases, weight in zip(self.levels, self.problem.hardness, strict=True)
                if weight
                for case in cases
            ),
            default=0.0,
        )


def prepare(
    sandbox: Sandbox, problems: Sequence[Problem], folder: Path | None = None
) -> list[Prepared]:
    """Return the problems with their cases, those kept in `folder` (default the user's cache).

    Raises:
        SpecError: a generator or a reference fails; no sample is to blame for that.
    """
    folder = folder or default_cache()
    found = {problem.id: _kept(problem, folder) for problem in problems}
    missing = [problem for problem in problems if found[problem.id] is None]
    found.update(_made(sandbox, missing))
    for problem in missing:
        _keep(problem, found[problem.id] or (), folder)
    return [Prepared(problem, found[problem.id] or ()) for problem in problems]


_Levels = tuple[tuple[Case, ...], ...]


def _made(sandbox: Sandbox, problems: Sequence[Problem]) -> dict[str, _Levels]:
    """Return the cases of problems, made in the sandbox."""
    places = [(problem, level) for problem in problems for level in _levels_of(problem)]
    results = sandbox.map([_job(problem, level) for problem, level in places])
    made = {
        (problem.id, level): _cases(problem, level, result)
        for (problem, level), result in zip(places, results, strict=True)
    }
    return {p.id: tuple(made[p.id, level] for level in _levels_of(p)) for p in problems}


def _levels_of(problem: Problem) -> range:
    return range(len(problem.hardness))


def _kept(problem: Problem, folder: Path) -> _Levels | None:
    """Return the cases that are written down, or that were made before; None if there are none."""
    if problem.cases:
        return tuple(problem.cases for _ in _levels_of(problem))
    try:
        raw = gzip.decompress((_entry(problem, folder) / _FILE).read_bytes())
        return tuple(tuple(Case(*case) for case in cases) for cases in json.loads(raw))
    except (OSError, EOFError, zlib.error, ValueError, TypeError):
        return None


def _keep(problem: Problem, levels: _Levels, folder: Path) -> None:
    entry = _entry(problem, folder)

    def write(target: Path) -> None:
        rows = [[_row(case) for case in cases] for cases in levels]
        raw = json.dumps(rows, ensure_ascii=False).encode("utf-8", "surrogatepass")
        (target / _FILE).write_bytes(gzip.compress(raw, compresslevel=1, mtime=0))

    try:
        build_once(folder, entry.parent.name, entry.name, write, "")
    except (OSError, PrerequisiteError):  # a cache that cannot be written costs only time
        return


def _row(case: Case) -> list[Any]:
    return [case.args, case.plain, case.expected, case.reference_s]


def _entry(problem: Problem, folder: Path) -> Path:
    jobs = [_job(problem, level) for level in _levels_of(problem)]
    content = [[job.driver, job.inputs] for job in jobs]
    machine = [platform.python_version(), _processor()]
    return folder / "problem-inputs" / content_hash([*machine, content])


_processor = cache(cpu_name)
_FILE = "cases.json.gz"


def _job(problem: Problem, level: int) -> Job:
    inputs: dict[str, Any] = {"reference": problem.reference, "entry_point": problem.entry_point}
    if problem.test:
        return Job("", RECORD, inputs | {"test": problem.test}, limits=_LIMITS)
    more = {"generator": problem.generator, "level": level, "shown": problem.shown}
    return Job("", PREPARE, inputs | more, limits=_LIMITS)


def _cases(problem: Problem, level: int, result: JobResult) -> tuple[Case, ...]:
    if result.status != "ok" or not result.values:
        why = result.reason or "it gave no cases"
        raise SpecError(f"problem {problem.id!r}: level {level} cannot be made: {why}")
    return tuple(Case(*json.loads(value)) for value in result.values)
