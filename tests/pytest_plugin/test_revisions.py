"""`--effmark-compare git:REV`: measured before, or now in a worktree beside the checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from effmark.errors import PrerequisiteError
from effmark.pytest_plugin.worktree import Worktree
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


def test_a_test_that_the_saved_runs_left_out_is_measured_and_a_new_one_is_not_waited_for(
    pytester: pytest.Pytester, quick: Options
) -> None:
    pytester.makepyfile(test_it=TEST, test_that=TEST.replace("test_work", "test_other"))
    _commit(pytester, 100)
    gate = (*quick, "--effmark-compare=git:HEAD", "--effmark-gate", "-rs")
    pytester.runpytest_inprocess(*gate, "-k", "test_work").assert_outcomes(passed=1)
    both = pytester.runpytest_inprocess(*gate)
    both.assert_outcomes(passed=2)
    both.stdout.fnmatch_lines(["effmark: measuring git:HEAD in a worktree, process 1 of 1"])
    pytester.makepyfile(test_new=TEST.replace("test_work", "test_new"))
    more = pytester.runpytest_inprocess(*gate, "test_it.py", "test_that.py", "test_new.py")
    more.assert_outcomes(passed=2, skipped=1)
    more.stdout.no_fnmatch_line("*in a worktree*")
    more.stdout.fnmatch_lines(["SKIPPED*no baseline: 'git:HEAD' does not have this measurement*"])


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


def test_several_workers_do_not_measure_a_revision(
    pytester: pytest.Pytester, quick: Options
) -> None:
    pytester.makepyfile(test_it=TEST)
    _commit(pytester, 100)
    result = pytester.runpytest_inprocess(*quick, "-n2", "--effmark-compare=git:HEAD")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*revision 'HEAD' (*) was not measured; make up for it*"])


def test_the_command_of_a_worktree_leads_there_and_leaves_out_what_is_new(tmp_path: Path) -> None:
    checkout, tree = tmp_path / "checkout", tmp_path / "tree"
    for folder in (checkout / "tests", checkout / "new", tree / "tests"):
        folder.mkdir(parents=True)
    given = ["tests", "new", "new::x", f"-c={checkout}/a.ini", str(checkout / "tests"), "-k", "old"]
    led = Worktree(checkout, tree).arguments(given, checkout)
    assert led == ["tests", f"-c={tree}/a.ini", str(tree / "tests"), "-k", "old"]
    with pytest.raises(PrerequisiteError, match="is not there at that revision"):
        Worktree(checkout, tree).folder(checkout / "new")
