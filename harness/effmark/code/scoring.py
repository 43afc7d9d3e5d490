"""From samples to scores: verdicts per sample, eff@k and pass@k per problem."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from effmark.code.bout import Bout, Program, Rules
from effmark.code.preparing import prepare
from effmark.code.problems import Problem
from effmark.code.running import Ladder, climb, run_bouts
from effmark.code.solutions import Sample
from effmark.sandbox import Sandbox
from effmark.schema import Frozen
from effmark.scores import ReferenceTimes, differential_performance_score

__all__ = ["ProblemScore", "SampleScore", "Task", "Verdict", "score_tasks"]

Verdict = Literal[
    "passed",
    "wrong",
    "timeout",
    "memory",
    "overflow",
    "crash",
    "forbidden",
    "error",
    "exit",
    "output_limit",
    "lost",
]
"""How a sample ended; `lost` is the sandbox's fault and is not scored."""

_BATCH = 16
"""Problems whose inputs are held at the same time."""


class SampleScore(Frozen):
    """What one sample achieved."""

    task_id: str
    sample: int
    """Number among the samples of its problem, from 0."""
    line: int
    """Line of the solutions file."""
    verdict: Verdict
    passed: bool
    detail: str = ""
    score: float | None = None
    """Efficiency score e; None where time does not count or the sample was lost."""
    levels: tuple[float, ...] = ()
    """Score of each level."""
    stopped: str | None = None
    """What a sample that passed was stopped by: `timeout`, `memory`, `overflow`."""
    times: tuple[tuple[float, ...], ...] = ()
    """Per level the times of the finished cases, in the unit of the clock."""
    repeats: int = 0
    dps: float | None = None
    dps_norm: float | None = None


class ProblemScore(Frozen):
    """What the samples of one problem achieved."""

    task_id: str
    samples: tuple[SampleScore, ...]
    limit: float | None = None
    """Time limit in the unit of the clock."""
    reference: tuple[float | None, ...] = ()
    """Time of the reference on each level."""
    ladder: tuple[float, ...] = ()
    """Times of the references of DPS, slow to fast, on its one input."""

    @property
    def scored(self) -> list[SampleScore]:
        """Return the samples that were not lost."""
        return [sample for sample in self.samples if sample.verdict != "lost"]


@dataclass(frozen=True)
class Task:
    """A problem and its samples in the order of the file."""

    problem: Problem
    samples: tuple[Sample, ...]

    def programs(self) -> list[str]:
        """Return each sample as a program."""
        return [
            self.problem.program(sample.text, whole=_is_whole(sample, self.problem))
            for sample in self.samples
        ]


def _is_whole(sample: Sample, problem: Problem) -> bool:
    if sample.whole is not None:
        return sample.whole
    heads = tuple(f"{word} {problem.entry_point}{end}" for word in ("def", "async def")
                  for end in ("(", " "))  # fmt: skip
    return any(line.startswith(heads) for line in sample.text.splitlines())


def score_tasks(
    sandbox: Sandbox,
    tasks: Sequence[Task],
    rules: Rules,
    on_job: Callable[[], None] = lambda: None,
) -> Iterator[list[ProblemScore]]:
    """Yield the scores of the problems, a batch at a time."""
    for start in range(0, len(tasks), _BATCH):
        batch = tasks[start : start + _BATCH]
        prepared = prepare(sandbox, [task.problem for task in batch])
        texts = [task.programs() for task in batch]
        bouts = [
            Bout.begin(ready, rules, list(dict.fromkeys(programs)))
            for ready, programs in zip(prepared, texts, strict=True)
        ]
        run_bouts(sandbox, bouts, on_job)
        ladders = climb(sandbox, bouts, on_job)
        yield [
            _problem_score(task, programs, bout, ladder)
            for task, programs, bout, ladder in zip(batch, texts, bouts, ladders, strict=True)
        ]


def _problem_score(
    task: Task, texts: Sequence[str], bout: Bout, ladder: Ladder | None
) -> ProblemScore:
    programs = {program.text: program for program in bout.programs}
    reference = bout.limits()
    return ProblemScore(
        task_id=task.problem.id,
        samples=tuple(
            _sample_score(bout, programs[text], reference, ladder, sample, number)
            for number, (sample, text) in enumerate(zip(task.samples, texts, strict=True))
        ),
        limit=reference.limit_s if reference else None,
        reference=reference.levels_s if reference else (),
        ladder=ladder.costs if ladder else (),
    )


def _sample_score(
    bout: Bout,
    program: Program,
    reference: ReferenceTimes | None,
    ladder: Ladder | None,
    sample: Sample,
    number: int,
) -> SampleScore:
    about = {"task_id": bout.prepared.problem.id, "sample": number, "line": sample.line}
    if program.lost:
        return SampleScore(**about, verdict="lost", passed=False, detail=program.detail)
    if reference is None:
        passed = program.last_level == len(program.events)
        verdict = "passed" if passed else program.kind
        score = 0.0 if bout.graded else None  # nobody came as far as being timed
        return SampleScore(
            **about, verdict=verdict, passed=passed, detail=program.detail, score=score
        )
    found = bout.efficiency(program, reference)
    late = program.kind or ("timeout" if 0.0 in found.levels[1:] else "")
    dps = _dps(program, ladder) if found.passed and ladder else (None, None)
    return SampleScore(
        **about,
        verdict="passed" if found.passed else program.kind or "timeout",
        passed=found.passed,
        detail=program.detail,
        score=found.score,
        levels=found.levels,
        stopped=(late or None) if found.passed and min(found.levels[1:], default=1) == 0 else None,
        times=found.elapsed_s,
        repeats=max((len(r) for cases in program.events for r in cases), default=0),
        dps=dps[0],
        dps_norm=dps[1],
    )


def _dps(program: Program, ladder: Ladder) -> tuple[float, float]:
    """Return DPS and DPS_norm of a sample that passed."""
    cost = program.rung_cost
    times = program.events[ladder.level][ladder.case]
    finished = [time for time in times if not isinstance(time, str)]
    if cost is None and finished and len(finished) == len(times):
        cost = min(finished)
    found = differential_performance_score(cost, ladder.costs, ladder.scores)
    return found.dps, found.dps_norm
