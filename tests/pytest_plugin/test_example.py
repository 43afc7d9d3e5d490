"""The example of the documentation: equal code passes, a slowed function does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]


def test_the_example_lets_equal_code_pass_and_stops_a_slowed_function(
    pytester: pytest.Pytester, quick: tuple[str, ...], root: Path
) -> None:
    for file in (root / "examples/pytest").glob("*.py"):
        shutil.copy(file, pytester.path)
    gate = (*quick, "--effmark-compare=main", "--effmark-gate", "-rs")
    pytester.runpytest_inprocess(*quick, "--effmark-save=main").assert_outcomes(passed=1)
    same = pytester.runpytest_inprocess(*gate)
    same.assert_outcomes(passed=1)
    same.stdout.fnmatch_lines(["*test_counting_is_quick*×1 pass"])
    shutil.copy(pytester.path / "slower.py", pytester.path / "words.py")
    slowed = pytester.runpytest_inprocess(*gate)
    slowed.assert_outcomes(failed=1)
    slowed.stdout.fnmatch_lines(
        [
            "effmark: call count_words: max_bytecodes: ??? k > 40.0 k",
            "call count_words: worse than *: bytecodes/call 2?.? k -> ??? k, ratio *, exact*",
        ]
    )
