"""One evaluation: a file of solutions against a problem set; resumable, and what it publishes."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from effmark.code.bout import ALPHA, Rules
from effmark.code.problems import ProblemSet
from effmark.code.scoring import ProblemScore, Task, score_tasks
from effmark.code.solutions import Sample
from effmark.code.summary import KS, problem_value, summary
from effmark.errors import SpecError, StoreError
from effmark.regular_files import open_regular
from effmark.sandbox import Sandbox
from effmark.schema import content_hash
from effmark.store import decode, encode

__all__ = ["Evaluation", "Progress", "make_tasks", "usable_ks"]

Progress = Callable[[int, int, int], None]
"""Hears problems done, problems in all, and jobs run."""


def make_tasks(problems: ProblemSet, samples: Sequence[Sample], path: Path) -> list[Task]:
    """Return the problems that occur among the samples, in the order of the set.

    Raises:
        SpecError: a sample's task id is not in the set; its line is named.
    """
    found: dict[str, list[Sample]] = {}
    for sample in samples:
        problem = problems.find(sample.task_id)
        if problem is not None:
            found.setdefault(problem.id, []).append(sample)
        elif sample.task_id not in problems.skipped:
            some = ", ".join(list(problems.problems)[:3])
            raise SpecError(
                f"{path}:{sample.line}: unknown task_id {sample.task_id!r}; problem set "
                f"{problems.name!r} has {some} …"
            )
    if not found:
        raise SpecError(f"{path}: no sample of a problem that {problems.name!r} scores")
    return [
        Task(problem, tuple(found[name]))
        for name, problem in problems.problems.items()
        if name in found
    ]


def usable_ks(tasks: Sequence[Task], asked: Sequence[int]) -> list[int]:
    """Return the k to report: those asked for, and the usual ones that all problems allow.

    Raises:
        SpecError: a k that was asked for is above the samples of a problem, which is named.
    """
    poorest = min(tasks, key=lambda task: len(task.samples))
    fewest = len(poorest.samples)
    for k in asked:
        if k > fewest:
            raise SpecError(
                f"--k {k}: problem {poorest.problem.id!r} has {fewest} samples; give k <= {fewest}"
            )
    return sorted({*asked, *(k for k in KS if k <= fewest)})


@dataclass
class Evaluation:
    """Scores of one file of solutions, problem by problem."""

    problems: ProblemSet
    tasks: list[Task]
    rules: Rules
    ks: list[int]
    journal: Path | None = None
    """Where finished problems are kept, so that an interrupted run goes on."""
    scores: dict[str, ProblemScore] = field(default_factory=dict)
    resumed: int = 0
    """Problems that were read from the journal."""
    level: str = ""
    layers: tuple[str, ...] = ()

    def run(self, sandbox: Sandbox, progress: Progress) -> None:
        """Score what is not scored yet; every problem is kept as soon as it is done."""
        self.level, self.layers = sandbox.level, sandbox.layers
        self._resume()
        left = [task for task in self.tasks if task.problem.id not in self.scores]
        jobs = 0

        def count() -> None:
            nonlocal jobs
            jobs += 1
            progress(len(self.scores), len(self.tasks), jobs)

        progress(len(self.scores), len(self.tasks), 0)
        for batch in score_tasks(sandbox, left, self.rules, count):
            self._keep(batch)
            self.scores.update({score.task_id: score for score in batch})
            progress(len(self.scores), len(self.tasks), jobs)

    @property
    def ordered(self) -> list[ProblemScore]:
        """Return the scores in the order of the tasks."""
        return [self.scores[task.problem.id] for task in self.tasks]

    def document(self) -> dict[str, Any]:
        """Return what `effmark score code --json` prints."""
        return {
            "problem_set": {
                "name": self.problems.name,
                "version": self.problems.version,
                "sha256": self.problems.sha256,
                "source": self.problems.source,
            },
            "problems": {"scored": len(self.tasks), "of": len(self.problems.problems)},
            "samples_count": sum(len(task.samples) for task in self.tasks),
            "clock": self.rules.clock,
            "alpha": ALPHA,
            "sandbox": {"level": self.level, "layers": list(self.layers)},
            "python": platform.python_version(),
            "resumed_problems": self.resumed,
            **summary(self.ordered, self.ks),
            "failures": self.failures(),
            "per_problem": {
                score.task_id: {
                    **problem_value(score, self.ks),
                    "limit": score.limit,
                    "reference": list(score.reference),
                    "ladder": list(score.ladder),
                }
                for score in self.ordered
            },
            "samples": [
                sample.model_dump(mode="json") for score in self.ordered for sample in score.samples
            ],
        }

    def failures(self) -> dict[str, int]:
        """Return how many samples ended in each way other than passing."""
        found: dict[str, int] = {}
        for score in self.ordered:
            for sample in score.samples:
                if sample.verdict != "passed":
                    found[sample.verdict] = found.get(sample.verdict, 0) + 1
        return dict(sorted(found.items()))

    def _keys(self) -> Iterator[tuple[str, str]]:
        """Yield the id of each task and the hash of what its score depends on."""
        shared = [
            self.problems.sha256,
            self.rules.clock,
            self.rules.wall_s,
            self.level,
            platform.python_version(),
        ]
        for task in self.tasks:
            yield task.problem.id, content_hash([*shared, task.problem.id, task.programs()])

    def _resume(self) -> None:
        if self.journal is None or not self.journal.is_file():
            return
        keys = {key: name for name, key in self._keys()}
        for raw in self.journal.read_bytes().splitlines(keepends=True):
            body = decode(raw)
            if body is None or body.get("key") not in keys:
                continue
            try:
                score = ProblemScore.model_validate(body["score"])
            except ValidationError:
                continue  # written by another version: scored again
            self.scores[score.task_id] = score
        self.resumed = len(self.scores)

    def _keep(self, batch: Sequence[ProblemScore]) -> None:
        if self.journal is None:
            return
        keys = dict(self._keys())
        try:
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            target = open_regular(self.journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            with os.fdopen(target, "ab") as handle:
                for score in batch:
                    body = {"key": keys[score.task_id], "score": score.model_dump(mode="json")}
                    handle.write(encode(body))
        except OSError as error:
            raise StoreError(f"{str(self.journal)!r} cannot be written: {error}") from error
