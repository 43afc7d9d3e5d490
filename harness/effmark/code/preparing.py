"""From a problem to its cases: generators, references and tests run in the sandbox, once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from effmark.code.drivers import PREPARE, RECORD
from effmark.code.problems import Case, Problem
from effmark.errors import SpecError
from effmark.sandbox import Job, JobResult, Limits, Sandbox

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


def prepare(sandbox: Sandbox, problems: Sequence[Problem]) -> list[Prepared]:
    """Return the problems with their cases.

    Raises:
        SpecError: a generator or a reference fails; no sample is to blame for that.
    """
    places = [
        (problem, level)
        for problem in problems
        if not problem.cases
        for level in range(len(problem.hardness))
    ]
    results = sandbox.map([_job(problem, level) for problem, level in places])
    made = {
        (problem.id, level): _cases(problem, level, result)
        for (problem, level), result in zip(places, results, strict=True)
    }
    return [
        Prepared(
            problem,
            tuple(
                problem.cases or made[problem.id, level] for level in range(len(problem.hardness))
            ),
        )
        for problem in problems
    ]


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
