"""`--effmark-compare git:REV`: measured before, or now in a worktree beside the checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from effmark.store import read_records

pytest_plugins = ["pytester"]

CODE = """
def work():
    return sum(i for i in range({rounds}))
"""
TEST = """
    import sys
    sys.dont_write_bytecode = True
    import pytest
    from code_of_mine import work

    @pytest.mark.effmark(metrics=("bytecodes_per_call",))
    def test_work(effmark):
        effmark(work)
"""
Options = tuple[str, ...]


def _git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def _commit(pytester: pytest.Pytester, rounds: int) -> str:
    pytester.makepyfile(code_of_mine=CODE.format(rounds=rounds))
    _git(pytester.path, "init", "-q")
    _git(pytester.path, "add", "*.py")
    _git(pytester.path, "commit", "-q", "-m", str(rounds))
    return _git(pytester.path, "rev-parse", "HEAD")


def test_a_revision_that_was_not_measured_is_measured_beside_the_checkout_and_kept(
    pytester: pytest.Pytester, quick: Options
) -> None:
    pytester.makepyfile(test_it=TEST)
    commit = _commit(pytester, 100)
    gate = (*quick, "--effmark-compare=git:HEAD", "--effmark-gate", "-rs")
    pytester.makepyfile(code_of_mine=CODE.format(rounds=200))
    slower = pytester.runpytest_inprocess(*gate, "--effmark-runs=2")
    slower.assert_outcomes(failed=1)
    slower.stdout.fnmatch_lines(
        [
            "effmark: measuring git:HEAD in a worktree, process 1 of 2",
            "effmark: measuring in process 1 of 2",
            "effmark: measuring git:HEAD in a worktree, process 2 of 2",
            "*worse than 'git:HEAD': bytecodes/call *, ratio 1.9*exact",
            "*checkout: as committed -> uncommitted changes",
        ]
    )
    records = list(read_records(pytester.path / ".effmark"))
    revisions = {(r.environment.git_revision, r.environment.git_dirty) for r in records
                 if r.environment}  # fmt: skip
    assert (len(records), revisions) == (2, {(commit, False)})
    assert len(_git(pytester.path, "worktree", "list").splitlines()) == 1

    _git(pytester.path, "checkout", "-q", "code_of_mine.py")
    same = pytester.runpytest_inprocess(*gate)
    same.assert_outcomes(passed=1)
    same.stdout.no_fnmatch_line("*in a worktree*")
    same.stdout.fnmatch_lines(["*test_work*×1 pass"])


def test_a_revision_that_would_import_from_the_checkout_is_not_measured(
    pytester: pytest.Pytester, quick: Options
) -> None:
    here = str(pytester.path)
    pytester.makepyfile(test_it=TEST, conftest=f"import sys\nsys.path.insert(0, {here!r})")
    _commit(pytester, 100)
    result = pytester.runpytest_inprocess(
        *quick, "--import-mode=importlib", "--effmark-compare=git:HEAD", "--effmark-gate", "-rs"
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "effmark: git:HEAD cannot be measured: *code_of_mine*comes from the checkout*",
            "SKIPPED*no baseline*revision 'HEAD' (*) was not measured; make up for it: git*",
        ]
    )


def test_tests_that_a_revision_does_not_have_yet_have_no_baseline(
    pytester: pytest.Pytester, quick: Options
) -> None:
    _commit(pytester, 100)
    pytester.makepyfile(test_it=TEST)
    result = pytester.runpytest_inprocess(
        *quick, "test_it.py", "--effmark-compare=git:HEAD", "--effmark-gate", "-rs"
    )
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["effmark: git:HEAD cannot be measured: *test_it.py*"])


def test_several_workers_do_not_measure_a_revision(
    pytester: pytest.Pytester, quick: Options
) -> None:
    pytester.makepyfile(test_it=TEST)
    _commit(pytester, 100)
    result = pytester.runpytest_inprocess(*quick, "-n2", "--effmark-compare=git:HEAD")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*revision 'HEAD' (*) was not measured; make up for it*"])
