"""The pure parts of the scripts that measure the harness; nothing here looks at a clock."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from effmark.stats import Estimate

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _repository_on_path(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(ROOT)
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "scripts"]:
        del sys.modules[name]


def section(name: str) -> Any:
    return importlib.import_module(f"scripts.perf.{name}")


def between(low: float | None, value: float, high: float | None) -> Estimate:
    return Estimate(value, low, high, 9, "given", 0.95)


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (between(0.97, 0.99, 1.0), "kept"),
        (between(0.90, 0.97, 0.99), "undecided"),
        (between(0.90, 0.95, 0.97), "broken"),
        (between(None, 0.95, None), "broken"),
    ],
)
def test_a_promise_is_broken_only_when_the_whole_interval_breaks_it(
    found: Estimate, verdict: str
) -> None:
    assert section("table").Promise(0.98, at_least=True).verdict(found) == verdict


def test_an_upper_bound_looks_at_the_lower_end() -> None:
    promise = section("table").Promise(1.0)
    assert promise.verdict(between(0.9, 1.1, 1.3)) == "undecided"
    assert promise.verdict(between(1.05, 1.1, 1.3)) == "broken"


def test_a_table_has_a_title_and_aligned_columns() -> None:
    table = section("table")
    lines = [
        table.Line("one", between(1.0, 2.0, 3.0), "s", table.Promise(5.0)),
        table.Line("another", between(None, 20.0, None)),
    ]
    title, first, second = table.render("title", lines).splitlines()
    assert title == "title"
    assert first.split() == ["one", "2", "s", "[1,", "3]", "n=9", "<=", "5:", "kept"]
    assert first.index("n=9") == second.index("n=9")


def test_a_broken_promise_ends_with_its_own_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    table = section("table")
    with pytest.raises(SystemExit) as ended:
        table.finish("title", [table.Line("x", between(2, 3, 4), "", table.Promise(1.0))])
    assert ended.value.code == table.BROKEN
    assert "broken" in capsys.readouterr().out


def test_every_task_runs_once_per_round_and_the_order_changes() -> None:
    order: list[str] = []

    def task(name: str, number: int) -> float:
        order.append(name)
        return float(number)

    found = section("rounds").run_rounds({name: partial(task, name) for name in "abc"}, 6)
    assert found == {name: [0.0, 1.0, 2.0, 3.0, 4.0, 5.0] for name in "abc"}
    rounds = {tuple(order[i : i + 3]) for i in range(0, 18, 3)}
    assert len(rounds) > 1
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    found = section("rounds").ratio_of([2.0, 40.0, 9.0], [1.0, 10.0, 3.0])
    assert found.value == 3.0
    assert (found.low, found.high) == (None, None)


def test_every_section_is_a_module_with_a_title_and_measure() -> None:
    for name in section("run").SECTIONS:
        module = section(name)
        if name != "energy":  # which prints the table of the script that it calls
            assert callable(module.measure)
            assert module.TITLE.startswith(f"{name}: ")


def test_an_unknown_section_is_refused_with_the_known_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["run.py", "decoed"])
    with pytest.raises(SystemExit):
        section("run").main()
    assert "no section 'decoed'; there are overhead, startup" in capsys.readouterr().err


def test_effmark_help_and_list_import_no_framework() -> None:
    for arguments in (["--help"], ["list"]):
        assert section("startup").imported_frameworks(arguments) == []


def test_answers_are_compared_number_by_number_and_texts_as_wholes() -> None:
    largest = section("lm_eval").largest_difference
    assert largest([(-1.0, True), (-2.0, False)], [(-1.0, True), (-2.5, False)]) == 0.5
    assert largest([(-1.0, True)], [(-1.0, False)]) == 1.0
    assert largest(["a", "b"], ["a", "c"]) == 1.0
    assert largest(["a"], ["a"]) == 0.0


def test_requests_hold_every_choice_of_the_chosen_items() -> None:
    pytest.importorskip("lm_eval")
    asked = section("lm_eval").choices(2)
    items = {(request.doc["query"], tuple(request.doc["choices"])) for request in asked}
    assert len(items) == 8
    assert len(asked) == sum(len(choices) for _, choices in items)


def test_interleaving_is_reported_as_the_ratio_of_the_widths_over_runs() -> None:
    module = section("interleave")
    steady = [between(0.9, 1.0 + 0.01 * sign, 1.1) for sign in (-1, 1) * 4]
    wild = [between(0.9, 1.0 + 0.04 * sign, 1.1) for sign in (-1, 1) * 4]
    lines = module.report({"sequential": wild, "interleaved": steady})
    assert lines[-1].found.value == pytest.approx(4.0, rel=0.01)
    assert lines[-1].verdict == "kept"


def test_the_drifting_load_ends_with_its_block() -> None:
    import psutil

    before = {child.pid for child in psutil.Process().children()}
    with section("burner").drifting_load():
        busy = {child.pid for child in psutil.Process().children()} - before
        assert len(busy) == os.cpu_count()
    assert not busy & set(psutil.pids())


def test_bare_loops_exist_for_every_setup() -> None:
    module = section("decode")
    assert {name for name, _ in module.SETUPS} == set(module.LOOPS)
