"""How much faster scoring code is than a fresh sandboxed interpreter per test, as JSON.

    python scripts/perf/code_scoring.py ENAMEL.csv SOLUTIONS [--every 8] [--tests 20]

Scores every n-th problem as `effmark score code` does, then runs some of the very same tests (one
case, once, of a sample or its reference) each in a sandbox started for it alone, and multiplies by
their number. SOLUTIONS is a JSONL file, or an array of arrays as ENAMEL's tools write it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from effmark.code.bout import Bout, Rules
from effmark.code.evaluation import Evaluation, make_tasks
from effmark.code.preparing import prepare
from effmark.code.scoring import Task
from effmark.code.sets import find_problems
from effmark.code.solutions import read_solutions
from effmark.sandbox import Sandbox


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


def measure(problems: str, solutions: Path, every: int, tests: int) -> dict[str, Any]:
    """Return both ways' seconds and the scores."""
    problem_set = find_problems(problems)
    tasks = make_tasks(problem_set, read_solutions(solutions), solutions)[::every]
    evaluation = Evaluation(problem_set, tasks, Rules(), [1])
    took_s = scored(evaluation)
    each = [s for task in tasks[:: max(1, len(tasks) // 5)] for s in fresh_s(task, tests // 5)]
    count = tests_count(evaluation)
    with Sandbox() as sandbox:
        workers = sandbox.workers
    fresh_all_s = sum(each) / len(each) * count / workers
    document = evaluation.document()
    return {
        "problems_count": len(tasks),
        "tests_count": count,
        "scoring_s": took_s,
        "fresh_test_s": sum(each) / len(each),
        "fresh_all_s": fresh_all_s,
        "speedup_ratio": fresh_all_s / took_s,
        "pass@1": document["pass@1"],
        "eff@1": document["eff@1"],
    }


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("problems")
    parser.add_argument("solutions", type=Path)
    parser.add_argument("--every", type=int, default=8)
    parser.add_argument("--tests", type=int, default=20)
    options = parser.parse_args()
    found = measure(options.problems, options.solutions, options.every, options.tests)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
