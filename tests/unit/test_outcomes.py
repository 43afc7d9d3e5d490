"""What becomes of an exception in a worker: an outcome and one line of text."""

from __future__ import annotations

import pytest

from effmark.errors import OutOfMemoryError, PrerequisiteError, UnsupportedError
from effmark.runner import classify

CONFIG = "\n".join(f"  key_{n}: {n}," for n in range(2000))


@pytest.mark.parametrize(
    ("error", "outcome", "said"),
    [
        (ValueError(f"no such model type\n\nknown:\n{CONFIG}"), "crash",
         "ValueError: no such model type"),
        (RuntimeError("\n\n"), "crash", "RuntimeError:"),
        (KeyError(""), "crash", "KeyError: ''"),
        (UnsupportedError(f"torch: no head\n{CONFIG}"), "unsupported", "torch: no head"),
        (PrerequisiteError("install it"), "failed_setup", "install it"),
        (OutOfMemoryError(""), "oom", "out of memory"),
    ],
)  # fmt: skip
def test_a_record_says_one_line_of_what_a_framework_says(
    error: Exception, outcome: str, said: str
) -> None:
    assert classify(error) == (outcome, said)


def test_a_line_that_never_ends_is_cut() -> None:
    outcome, said = classify(RuntimeError("names: " + ", ".join("abcdef" for _ in range(9000))))
    assert outcome == "crash"
    assert said.startswith("RuntimeError: names: abcdef, ")
    assert (len(said), said[-1]) == (1000, "…")
