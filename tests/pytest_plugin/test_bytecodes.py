"""The count of executed Python instructions: the same wherever it is made, named for what it is."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from effmark.callables.bytecodes import bytecodes_of
from effmark.record import Measured, Missing

pytest_plugins = ["pytester"]


def _add(rounds: int) -> int:
    total = 0
    for number in range(rounds):
        total += number
    return total


def _counts(call: Callable[[], Any]) -> tuple[float, ...]:
    found = bytecodes_of(call)
    assert isinstance(found, Measured), found
    assert (found.source, found.unit) == ("bytecode", "count")
    return found.samples


def test_counts_repeat_and_grow_with_the_work() -> None:
    first, again = _counts(lambda: _add(100)), _counts(lambda: _add(100))
    assert len(set(first + again)) == 1
    (more, *_), (most, *_) = _counts(lambda: _add(200)), _counts(lambda: _add(300))
    assert more - first[0] == most - more > 300


def test_a_count_does_not_depend_on_how_often_the_code_ran_before() -> None:
    code = "def f(n):\n    s = 0\n    for i in range(n):\n        s += i\n    return s\n"
    spaces: list[dict[str, Any]] = [{}, {}]
    for space in spaces:
        exec(code, space)
    for _ in range(1000):  # the interpreter specialises code that runs often
        spaces[0]["f"](10)
    hot, cold = (_counts(partial(space["f"], 10)) for space in spaces)
    assert hot == cold


def test_a_count_is_the_same_in_another_process() -> None:
    code = (
        "from effmark.callables.bytecodes import bytecodes_of\n"
        "import json, random\n"
        "print(bytecodes_of(lambda: json.dumps({'a': [1, 2]}, indent=1)).samples)"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(said) == 1


def test_a_call_without_python_code_has_no_count() -> None:
    found = bytecodes_of([3, 1, 2].sort)
    assert isinstance(found, Missing)
    assert found.reason == "undefined"


def test_another_threads_work_is_not_counted() -> None:
    quiet = _counts(lambda: _add(10))
    stop = threading.Event()

    def spin() -> None:
        while not stop.is_set():
            _add(10)
            time.sleep(0)

    thread = threading.Thread(target=spin)
    thread.start()
    try:
        assert _counts(lambda: _add(10)) == quiet
    finally:
        stop.set()
        thread.join()


def test_a_failing_call_gives_its_error_and_leaves_the_interpreter_as_it_was() -> None:
    def fail() -> None:
        raise ValueError("its own")

    before = sys.gettrace(), gc.isenabled()
    with pytest.raises(ValueError, match="its own"):
        bytecodes_of(fail)
    assert (sys.gettrace(), gc.isenabled()) == before


def test_a_limit_on_bytecodes_holds_on_every_machine(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        def add(n):
            return sum(i for i in range(n))

        @pytest.mark.effmark(max_bytecodes=2000)
        def test_few(effmark):
            effmark(add, 100)
            assert effmark.last.bytecodes.source == "bytecode"

        @pytest.mark.effmark(max_bytecodes=2000)
        def test_many(effmark):
            effmark(add, 1000)

        @pytest.mark.effmark(max_bytecodes=2000)
        def test_none(effmark):
            effmark(sum, [1])

        @pytest.mark.effmark(max_bytecodes=2000)
        def test_window(effmark):
            with effmark.window("once"):
                add(10)

        def test_not_asked(effmark):
            effmark(add, 10)
            assert effmark.last.bytecodes.reason == "not_applicable"
        """
    )
    result = pytester.runpytest_inprocess(*quick, "-rs")
    result.assert_outcomes(passed=2, failed=1, skipped=2)
    result.stdout.fnmatch_lines_random(
        [
            "*call add: max_bytecodes: * k > 2.00 k",
            "SKIPPED*max_bytecodes=2000 cannot be judged: *no Python code ran, only C*",
            "SKIPPED*max_bytecodes=2000 cannot be judged: *a window runs once*",
            "*latency*bytecodes*",
        ]
    )
