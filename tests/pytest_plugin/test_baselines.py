from __future__ import annotations

import pytest

pytest_plugins = ["pytester"]

# A sleep, a wide margin and a wider slow-down: the verdict is certain on a machine under load.
TEST = """
    import time, pytest

    def work():
        time.sleep({seconds})

    @pytest.mark.effmark(within="90%")
    def test_work(effmark):
        effmark(work)
"""
NEW = """
    def test_new(effmark):
        effmark(work)
"""
RUNS = 5


def _save(pytester: pytest.Pytester, quick: tuple[str, ...], runs: int) -> None:
    for _ in range(runs):
        result = pytester.runpytest_inprocess(*quick, "--effmark-save", "baseline")
        result.assert_outcomes(passed=1)


def test_a_slowed_function_fails_an_equal_one_does_not_and_what_cannot_be_told_is_skipped(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    gate = (*quick, "--effmark-gate", "-rs")
    pytester.makepyfile(test_it=TEST.format(seconds=0.02))
    _save(pytester, quick, 1)
    early = pytester.runpytest_inprocess(*gate)
    early.assert_outcomes(skipped=1)
    early.stdout.fnmatch_lines(
        ["SKIPPED*undecided: latency * ms -> * ms, ratio *, Student's t, assumed noise; only a "
         "loss beyond ×5.5 fails: 1 run is saved, too few to know by how much equal runs differ "
         "here; save 4 more: pytest --effmark-save baseline --effmark-runs 4"]
    )  # fmt: skip

    _save(pytester, quick, RUNS - 1)
    same = pytester.runpytest_inprocess(*quick)  # the limit of the marker needs no option
    assert "failed" not in same.parseoutcomes()  # where load hides it, it is undecided
    same.stdout.fnmatch_lines(["*against baseline*", "*test_work*×*"])

    pytester.makepyfile(test_it=TEST.format(seconds=0.3) + NEW)
    slow = pytester.runpytest_inprocess(*gate)
    slow.assert_outcomes(failed=1, skipped=1)
    slow.stdout.fnmatch_lines(
        [
            "effmark: call work: worse than 'baseline': latency * ms -> * ms, ratio *"
            "(95 % interval * to *), accepted 1.9, Student's t, calibrated noise",
            "*changed*",
            "*test_work*×* worse*",
            "SKIPPED*no baseline: 'baseline' does not have this measurement*",
        ]
    )
    unmarked = TEST.replace('@pytest.mark.effmark(within="90%")', "")
    pytester.makepyfile(test_it=unmarked.format(seconds=0.3))
    shown = pytester.runpytest_inprocess(*quick, "--effmark-compare", "baseline")
    shown.assert_outcomes(passed=1)
    shown.stdout.fnmatch_lines(["*test_work*×*"])


@pytest.mark.parametrize("name", ["../up", "git:--help", "git:nowhere"])
def test_a_name_that_is_no_name_is_refused_before_anything_runs(
    pytester: pytest.Pytester, quick: tuple[str, ...], name: str
) -> None:
    pytester.makepyfile(test_it=TEST.format(seconds=0.01))
    result = pytester.runpytest_inprocess(*quick, f"--effmark-compare={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
