"""The verdict of a test from records of known numbers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from effmark.callables import call_cell
from effmark.callables.subject import SUITE
from effmark.environment import capture_environment
from effmark.pytest_plugin.baselines import Baselines
from effmark.record import Block, Measured, Record

JITTER = (0.99, 1.01, 1.0, 1.005, 0.995, 1.002)
Make = Callable[..., Record]


@pytest.fixture
def make() -> Make:
    """A record of a callable of known time and instructions."""
    environment = capture_environment({})

    def record(run: str, latency_s: float, instructions: int | None = None) -> Record:
        blocks = tuple(
            Block(start_s=i, end_s=i + latency_s, steps_s=(latency_s,), instructions=instructions)
            for i in range(10)
        )
        return Record(
            id=run, run_id=run, process_id=run, created="2026-11-22T00:00:00+00:00", suite=SUITE,
            cell=call_cell("test_it.py::test_work", "work"), outcome="ok", blocks=blocks,
            environment=environment,
        )  # fmt: skip

    return record


def _saved(folder: Path, records: list[Record]) -> Baselines:
    baselines = Baselines(folder, folder)
    with baselines.journal("base") as journal:
        for record in records:
            journal.append(record)
    return baselines


def test_quiet_saves_find_a_small_loss_and_pass_an_equal_run(tmp_path: Path, make: Make) -> None:
    quiet = [make(f"run{i}", 0.1 * j) for i, j in enumerate(JITTER)]
    baselines = _saved(tmp_path, quiet)
    same = baselines.judge([make("now", 0.1)], "base", 0.05)
    worse = baselines.judge([make("now", 0.12)], "base", 0.05)
    assert (same.verdict, worse.verdict) == ("pass", "worse")
    assert worse.low is not None
    assert worse.low < 1.2 < (worse.high or 0)
    assert "latency 100 ms -> 120 ms, ratio 1.2" in worse.detail


def test_instruction_counts_decide_where_wall_time_is_too_noisy(tmp_path: Path, make: Make) -> None:
    noisy = [make(f"run{i}", 0.1 * j**60, 10_000 + i) for i, j in enumerate(JITTER)]
    baselines = _saved(tmp_path, noisy)
    same = baselines.judge([make("now", 0.1, 10_003)], "base", 0.05)
    assert same.verdict == "pass"
    assert "by instr/call alone; latency: cannot see 5 % here" in same.detail
    worse = baselines.judge([make("now", 0.1, 12_000)], "base", 0.05)
    assert (worse.verdict, worse.metric) == ("worse", "instructions_per_call")
    asleep = baselines.judge([make("now", 10.0, 10_003)], "base", 0.05)
    assert (asleep.verdict, asleep.metric) == ("worse", "latency_s")


def test_a_loss_that_is_no_proof_among_many_tests_is_undecided(tmp_path: Path, make: Make) -> None:
    quiet = [make(f"run{i}", 0.1 * j) for i, j in enumerate(JITTER)]
    baselines = _saved(tmp_path, quiet)
    alone = baselines.judge([make("now", 0.11)], "base", 0.05)
    among = baselines.judge([make("now", 0.11)], "base", 0.05, tests=10_000)
    assert (alone.verdict, among.verdict) == ("worse", "undecided")
    assert "no proof among 10000 tests" in among.detail


def test_another_machine_does_not_compare_and_a_changed_package_is_told(
    tmp_path: Path, make: Make
) -> None:
    quiet = [make(f"run{i}", 0.1 * j) for i, j in enumerate(JITTER)]
    baselines = _saved(tmp_path, quiet)
    record = make("now", 0.2)
    assert record.environment is not None
    other = record.environment.model_copy(update={"cpu": "another"})
    elsewhere = baselines.judge([record.model_copy(update={"environment": other})], "base", 0.05)
    assert elsewhere.verdict == "not comparable"
    assert "device_class differs" in elsewhere.detail
    newer = record.environment.model_copy(update={"packages": {"torch": "9"}})
    found = baselines.judge([record.model_copy(update={"environment": newer})], "base", 0.05)
    assert found.verdict == "worse"
    assert any(line.startswith("packages.") for line in found.changed)


def test_one_saved_run_fails_only_what_is_slower_by_far_and_says_what_is_wanting(
    tmp_path: Path, make: Make
) -> None:
    baselines = _saved(tmp_path, [make("run", 0.1)])
    same = baselines.judge([make("now", 0.1)], "base", 0.05)
    worse = baselines.judge([make("now", 0.2)], "base", 0.05)
    gross = baselines.judge([make("now", 0.5)], "base", 0.05)
    assert (same.verdict, worse.verdict, gross.verdict) == ("undecided", "undecided", "worse")
    assert "only a loss beyond ×3 fails: 1 run is saved" in same.detail
    assert "save 4 more: pytest --effmark-save base --effmark-runs 4" in same.detail
    assert gross.detail.endswith("Student's t, assumed noise")
    among = baselines.judge([make("now", 0.5)], "base", 0.05, tests=100)
    assert among.verdict == "undecided"


def test_several_processes_on_each_side_need_no_assumption(tmp_path: Path, make: Make) -> None:
    baselines = _saved(tmp_path, [make(f"run{i}", 0.1 * JITTER[i]) for i in range(3)])
    again = [make(f"now{i}", 0.1 * JITTER[i + 3]) for i in range(3)]
    slower = [make(f"now{i}", 0.13 * JITTER[i + 3]) for i in range(3)]
    same, worse = (baselines.judge(side, "base", 0.05) for side in (again, slower))
    assert (same.verdict, worse.verdict) == ("pass", "worse")
    assert "Student's t over processes" in worse.detail


def _counted(record: Record, *counts: float) -> Record:
    number = Measured(metric="bytecodes_per_call", unit="count", samples=counts, source="bytecode")
    return record.model_copy(update={"measurements": (number,)})


def test_equal_counts_of_bytecodes_decide_from_one_saved_run_on(tmp_path: Path, make: Make) -> None:
    baselines = _saved(tmp_path, [_counted(make("run", 0.1), 1000, 1000, 1000)])
    same = baselines.judge([_counted(make("now", 0.13), 1010, 1010)], "base", 0.05)
    worse = baselines.judge([_counted(make("now", 0.1), 1100, 1100)], "base", 0.05)
    assert (same.verdict, worse.verdict) == ("pass", "worse")
    assert "k -> 1.01 k, ratio 1.01, accepted 1.05, exact" in same.detail
    assert "by bytecodes/call alone; latency: only a loss beyond ×3 fails" in same.detail
    asleep = baselines.judge([_counted(make("now", 10.0), 1000, 1000)], "base", 0.05)
    assert (asleep.verdict, asleep.metric) == ("worse", "latency_s")


def test_counts_of_two_versions_of_python_do_not_compare(tmp_path: Path, make: Make) -> None:
    saved = _counted(make("run", 0.1), 1000, 1000)
    assert saved.environment is not None
    older = saved.environment.model_copy(update={"python": "CPython 3.9.1"})
    baselines = _saved(tmp_path, [saved.model_copy(update={"environment": older})])
    now = _counted(make("now", 0.1), 1200, 1200)
    asked = baselines.judge([now], "base", 0.05, ("bytecodes_per_call",))
    assert asked.verdict == "undecided"
    assert "counted on CPython 3." in asked.detail
    by_time = baselines.judge([now], "base", 0.05)
    assert (by_time.verdict, by_time.metric) == ("undecided", "latency_s")


def test_of_a_baseline_from_several_machines_this_ones_counts(tmp_path: Path, make: Make) -> None:
    here = [make(f"run{i}", 0.1 * j) for i, j in enumerate(JITTER)]
    environment = here[0].environment
    assert environment is not None
    elsewhere = environment.model_copy(update={"cpu": "another"})
    there = [make(f"there{i}", 0.5).model_copy(update={"environment": elsewhere}) for i in range(5)]
    baselines = _saved(tmp_path, [*here, *there])
    assert baselines.judge([make("now", 0.1)], "base", 0.05).verdict == "pass"
    assert baselines.judge([make("now", 0.12)], "base", 0.05).verdict == "worse"


def test_counts_that_differ_between_calls_are_no_proof(tmp_path: Path, make: Make) -> None:
    baselines = _saved(tmp_path, [_counted(make("run", 0.1), 1000, 1200, 1000)])
    found = baselines.judge([_counted(make("now", 0.1), 1060, 1060)], "base", 0.05)
    assert found.verdict == "undecided"
    uncounted = baselines.judge([make("now", 0.1)], "base", 0.05)
    assert "bytecodes" not in uncounted.detail
