"""How much faster scoring code is than a fresh sandboxed interpreter per test, and how right.

    python -m scripts.perf.code_scoring [ENAMEL.csv SOLUTIONS] [--every 1] [--tests 20]

Scores the problems as `effmark score code` does, then runs some of the very same tests (one case,
once, of a sample or its reference) each in a sandbox started for it alone, and multiplies by their
number. Inputs of problems are made before the clock starts, for both ways. Without arguments it
takes HumanEval's canonical solutions and ENAMEL's problems from `$EFFMARK_TEST_DATA` (else
`shared` beside the checkout), for which ENAMEL's authors publish pass@1 and eff@1.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any

from scripts.perf.rounds import known
from scripts.perf.table import Line, Promise, finish

from effmark.code.bout import Bout, Rules
from effmark.code.evaluation import Evaluation, make_tasks
from effmark.code.preparing import prepare
from effmark.code.scoring import Task
from effmark.code.sets import find_problems
from effmark.code.solutions import read_solutions
from effmark.sandbox import Sandbox
from effmark.stats import Estimate, mean_interval

TITLE = "code_scoring: HumanEval's canonical solutions on ENAMEL's problems, CPU clock"
PUBLISHED_PASS, PUBLISHED_EFF = 0.908, 0.458
"""Qiu et al., ICLR 2025, table of pass@1 and eff@1; theirs is wall time on another machine."""
FASTER = 5.0


def scored(evaluation: Evaluation) -> float:
    """Return the seconds that scoring took."""
    started_s = time.perf_counter()
    with Sandbox() as sandbox:
        evaluation.run(sandbox, lambda done, total, jobs: None)
    return time.perf_counter() - started_s


def tests_count(evaluation: Evaluation) -> int:
    """Return how many single runs of a case the scores stand on, references included."""
    count = 0
    for score in evaluation.ordered:
        for sample in score.samples:
            timed = [len(cases) for cases in sample.times]
            count += sum(timed[:1]) + 2 * sum(timed[1:]) * max(1, sample.repeats)
    return count


def fresh_s(task: Task, tests: int) -> list[float]:
    """Return the seconds of single tests, each in a sandbox of its own."""
    with Sandbox(1) as sandbox:
        (prepared,) = prepare(sandbox, [task.problem])
    bout = Bout.begin(prepared, Rules(), task.programs()[:1])
    found = []
    for number in range(tests):
        level = number % len(prepared.levels)
        case = number % len(prepared.levels[level])
        job = bout.timing_job(bout.programs[0].text, level, case, bout.stop_s + 1)
        started_s = time.perf_counter()
        with Sandbox(1) as sandbox:
            sandbox.run(job)
        found.append(time.perf_counter() - started_s)
    return found


def measure(problems: str, solutions: Path, every: int, tests: int) -> list[Line]:
    """Return the speed relative to fresh interpreters, and the distance to published scores."""
    problem_set = find_problems(problems)
    tasks = make_tasks(problem_set, read_solutions(solutions), solutions)[::every]
    evaluation = Evaluation(problem_set, tasks, Rules(), [1])
    with Sandbox() as sandbox:
        prepare(sandbox, [task.problem for task in tasks])
        workers = sandbox.workers
    took_s = scored(evaluation)
    each = [s for task in tasks[:: max(1, len(tasks) // 5)] for s in fresh_s(task, tests // 5)]
    count = tests_count(evaluation)
    fresh = mean_interval(each)
    document = evaluation.document()
    return [
        Line("problems", known(len(tasks))),
        Line("single runs of a case", known(count)),
        Line("scoring them all", known(took_s), "s"),
        Line("one of them in a fresh sandboxed interpreter", fresh, "s"),
        Line(
            "faster than fresh interpreters",
            fresh.scaled(count / workers / took_s),
            "x",
            Promise(FASTER, at_least=True),
        ),
        *_published(document, "pass@1", PUBLISHED_PASS, 0.001),
        *_published(document, "eff@1", PUBLISHED_EFF, 0.10),
    ]


def _published(document: dict[str, Any], name: str, published: float, most: float) -> list[Line]:
    found, n = document[name], document["problems"]["scored"]
    value = Estimate(found["value"], found["low"], found["high"], n, "problems resampled", 0.95)
    distance = known(abs(found["value"] - published))
    return [
        Line(name, value),
        Line(f"{name}: distance to the published {published}", distance, promise=Promise(most)),
    ]


def _data() -> Path:
    given = os.environ.get("EFFMARK_TEST_DATA")
    return (Path(given) if given else Path(__file__).parents[3] / "shared") / "data" / "enamel"


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("problems", nargs="?", default=str(_data() / "enamel.csv"))
    parser.add_argument(
        "solutions", nargs="?", type=Path, default=_data() / "humaneval-canonical.json"
    )
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--tests", type=int, default=20)
    options = parser.parse_args()
    if not options.solutions.is_file():
        print(f"{TITLE}\n  skipped: no {options.solutions.name}; set EFFMARK_TEST_DATA")
        sys.exit(0)
    finish(TITLE, measure(options.problems, options.solutions, options.every, options.tests))


if __name__ == "__main__":
    main()
