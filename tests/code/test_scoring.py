"""Verdicts and scores of samples, run in the real sandbox."""

from __future__ import annotations

import pytest

from effmark.code.bout import Rules
from effmark.code.problems import ProblemSet
from effmark.code.scoring import ProblemScore, Task, score_tasks
from effmark.code.solutions import Sample
from effmark.sandbox import Sandbox

RIGHT = "    return sum(range(n))\n"
PATCHED = """\
import builtins, time
clock = time.thread_time
for name in ("time", "perf_counter", "process_time", "thread_time"):
    setattr(time, name, lambda: 0.0)
builtins.repr = lambda value: "0"

def total(n):
    for _ in range(60):
        found = 0
        for i in range(n):
            found += i
    return found
"""


def score(sandbox: Sandbox, problems: ProblemSet, name: str, *texts: str) -> ProblemScore:
    samples = tuple(Sample(name, text, None, i + 1) for i, text in enumerate(texts))
    task = Task(problems.problems[name], samples)
    ((found,),) = score_tasks(sandbox, [task], Rules(rounds=3))
    return found


@pytest.mark.parametrize(
    ("body", "verdict"),
    [
        (RIGHT, "passed"),
        ("    return 0\n", "wrong"),
        ("    return {n}\n", "wrong"),
        ("", "wrong"),
        ("    return (\n", "error"),
        ("    raise ValueError(n)\n", "error"),
        ("    raise SystemExit\n", "exit"),
        ("    import os; os._exit(0)\n", "exit"),
        ("    return len([0] * 10**12)\n", "memory"),
        ("    import ctypes; ctypes.string_at(0)\n", "crash"),
        ("    import subprocess; subprocess.run(['ls'])\n", "forbidden"),
        ("    while True: print('x' * 1000)\n", "output_limit"),
        ("    while True: pass\n", "timeout"),
        ("    return '\\ud800'\n", "wrong"),
    ],
)
def test_each_way_to_fail_has_its_own_verdict(
    sandbox: Sandbox, toy: ProblemSet, body: str, verdict: str
) -> None:
    (sample,) = score(sandbox, toy, "total", body).samples
    assert (sample.verdict, sample.passed) == (verdict, verdict == "passed"), sample.detail
    assert (sample.score or 0) > 0 if sample.passed else sample.score == 0


def test_a_solution_that_forges_answers_and_records_is_not_right(
    sandbox: Sandbox, toy: ProblemSet
) -> None:
    forged = """\
    import os, struct
    class Equal:
        def __eq__(self, other): return True
        def __repr__(self): return "0"
    return Equal()
"""
    (sample,) = score(sandbox, toy, "total", forged).samples
    assert sample.verdict == "wrong"


def test_patched_timers_gain_nothing(sandbox: Sandbox, toy: ProblemSet) -> None:
    found = score(sandbox, toy, "total", RIGHT, PATCHED)
    honest, patched = found.samples
    assert honest.verdict == patched.verdict == "passed"
    assert honest.score is not None
    assert patched.score is not None
    assert patched.score == 0.0 < honest.score


def test_work_hidden_in_the_module_is_charged(sandbox: Sandbox, toy: ProblemSet) -> None:
    text = "TABLE = [sum(range(i)) for i in range(8000)]\ndef total(n):\n    return sum(range(n))\n"
    found = score(sandbox, toy, "total", RIGHT, text)
    honest, hidden = found.samples
    assert honest.score is not None
    assert hidden.score is not None
    assert hidden.score < honest.score / 2


def test_slow_code_passes_with_a_low_score_and_the_lowest_rung(
    sandbox: Sandbox, toy: ProblemSet
) -> None:
    slow = """\
    for _ in range(10):
        found = 0
        for i in range(n):
            found += i
    return found
"""
    found = score(sandbox, toy, "total", RIGHT, slow)
    fast, late = found.samples
    assert (late.passed, late.stopped, late.score) == (True, "timeout", 0.0)
    assert late.dps == 50.0
    assert fast.dps is not None
    assert fast.dps >= late.dps  # 100 where nothing else runs on the machine
    assert len(found.ladder) == 2


def test_a_check_that_is_a_program_accepts_another_right_answer(
    sandbox: Sandbox, toy: ProblemSet
) -> None:
    other = "    return max(d for d in range(2, n // 2 + 1) if n % d == 0)\n"
    found = score(sandbox, toy, "divisor", other, "    return n\n")
    assert [sample.verdict for sample in found.samples] == ["passed", "wrong"]


def test_equal_texts_are_separate_samples(sandbox: Sandbox, toy: ProblemSet) -> None:
    found = score(sandbox, toy, "divisor", "    return n\n", "    return n\n")
    assert [(sample.sample, sample.line) for sample in found.samples] == [(0, 1), (1, 2)]
