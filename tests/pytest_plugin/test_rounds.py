"""`--effmark-runs N`: one command is N runs, each in a process of its own."""

from __future__ import annotations

import sys

import pytest

from effmark.pytest_plugin.rounds import round_command
from effmark.store import read_records

pytest_plugins = ["pytester"]

TEST = """
    import os, time, pytest

    def work():
        with open("pids", "a") as file:
            file.write(f"{os.getpid()}\\n")
        time.sleep(0.01)

    @pytest.mark.effmark(metrics=("bytecodes_per_call",))  # which no load of the machine moves
    def test_work(effmark):
        effmark(work)

    def test_plain():
        with open("plain", "a") as file:
            file.write("ran")
"""


def test_one_save_of_several_runs_is_a_baseline_and_equal_runs_pass(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(test_it=TEST)
    saved = pytester.runpytest_inprocess(*quick, "--effmark-save=main", "--effmark-runs=5")
    saved.assert_outcomes(passed=2)
    saved.stdout.fnmatch_lines(
        ["effmark: measuring in process 4 of 5", "*saved as 'main' in *: 5 runs, their spread is*"]
    )
    records = list(read_records(pytester.path / ".effmark"))
    assert len({record.process_id for record in records}) == len(records) == 5
    assert len(set((pytester.path / "pids").read_text().split())) == 5
    assert (pytester.path / "plain").read_text() == "ran"  # what measures nothing runs once
    same = pytester.runpytest_inprocess(
        *quick, "--effmark-compare=main", "--effmark-gate", "--effmark-runs=2", "-k", "work", "-rs"
    )
    same.assert_outcomes(passed=1)
    same.stdout.fnmatch_lines(["effmark: measuring in process 1 of 2", "*test_work*×*pass"])


def test_a_round_that_does_not_come_to_its_end_is_told(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import os, sys

        def test_work(effmark):
            if any(a.startswith("--effmark-round") for a in sys.argv):
                os._exit(7)
            effmark(sum, [1])
        """
    )
    result = pytester.runpytest_inprocess(*quick, "--effmark-runs=3")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*effmark: a fresh process ended with 7:*"])


def test_a_round_that_measures_nothing_says_so(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_work(effmark):
            assert not any(a.startswith("--effmark-round") for a in sys.argv)
            effmark(sum, [1])
        """
    )
    result = pytester.runpytest_inprocess(*quick, "--effmark-runs=2")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["effmark: a fresh process measured nothing: *1 failed*"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--effmark-runs=0",), "*--effmark-runs 0, wants 1 or more*"),
        (("--effmark-runs=2", "-n", "2"), "*in one process after the other; leave out -n*"),
    ],
)
def test_runs_that_cannot_be_are_refused(
    pytester: pytest.Pytester, quick: tuple[str, ...], options: tuple[str, ...], said: str
) -> None:
    pytester.makepyfile(test_it=TEST)
    result = pytester.runpytest_inprocess(*quick, *options)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([said])


def test_a_round_is_this_command_again_and_nothing_stops_it_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = ["-x", "tests/efficiency", "--effmark-save", "main"]
    monkeypatch.setattr(sys, "argv", ["/usr/bin/pytest"])
    command = round_command(given, has_xdist=True)
    assert command[:4] == (sys.executable, "-P", "-m", "pytest")
    assert command[4:] == (*given, "--effmark-runs=1", "--maxfail=0", "-n0")
    monkeypatch.setattr(sys, "argv", ["/lib/pytest/__main__.py"])
    assert round_command(given, has_xdist=False)[1:3] == ("-m", "pytest")
