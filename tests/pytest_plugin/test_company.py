"""The plugin next to others: silent unless used, several processes, other machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from itertools import groupby

import pytest

from effmark.probes.lock import device_lock
from effmark.pytest_plugin.summary import markdown_summary

pytest_plugins = ["pytester"]


def test_loading_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import pytest, sys; before = set(sys.modules); import effmark.pytest_plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == {"effmark", "effmark.pytest_plugin"}


def test_a_run_that_does_not_use_it_sees_nothing_of_it(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_plain():
            assert not {"pydantic", "psutil", "effmark.metrics"} & set(sys.modules)
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*effmark*= *")
    assert not (pytester.path / ".effmark").exists()


@pytest.mark.parametrize("module", ["fcntl", "resource"])
def test_a_machine_without_posix_modules_skips_with_the_reason(
    pytester: pytest.Pytester, quick: tuple[str, ...], module: str
) -> None:
    pytester.makeconftest(f"import sys\nsys.modules[{module!r}] = None")
    pytester.makepyfile(
        """
        import pytest

        def test_measures(effmark):
            effmark(sum, [1])

        @pytest.mark.effmark(max_latency_s=1, missing="fail")
        def test_strict(effmark):
            effmark(sum, [1])
        """
    )
    result = pytester.runpytest_subprocess(*quick, "-rs", "-p", "no:benchmark", "-p", "no:xdist")
    result.assert_outcomes(skipped=1, errors=1)
    result.stdout.fnmatch_lines([f"SKIPPED*no module '{module}' here*"])


def test_a_kernel_without_perf_events_skips_limits_on_instructions_only(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makeconftest("import effmark.perf_events as p\np._SYSCALL_NUMBERS.clear()")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.effmark(max_instructions=1e15)
        def test_instructions(effmark):
            effmark(sum, [1])

        @pytest.mark.effmark(max_latency_s=100)
        def test_latency(effmark):
            effmark(sum, [1])
        """
    )
    result = pytester.runpytest_subprocess(*quick, "-rs")
    result.assert_outcomes(skipped=1, passed=1)
    result.stdout.fnmatch_lines(["SKIPPED*max_instructions=1e+15 cannot be judged*no perf events*"])


def test_xdist_workers_measure_one_at_a_time(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import os, time, pytest

        @pytest.mark.parametrize("number", range(4))
        def test_turn(effmark, number):
            def work():
                with open("turns", "a") as file:
                    file.write(f"{number}\\n")
                time.sleep(0.005)
            effmark(work)
        """
    )
    result = pytester.runpytest_subprocess(*quick, "-n", "2", "--effmark-save", "base")
    result.assert_outcomes(passed=4)
    turns = (pytester.path / "turns").read_text().split()
    assert len([number for number, _ in groupby(turns)]) == 4  # nobody came in between
    result.stdout.fnmatch_lines(["*test_turn?3? · work*"])
    assert len(list((pytester.path / ".effmark").rglob("*.jsonl"))) == 2


def test_a_measurement_that_finds_no_turn_is_refused_with_the_reason(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        def test_busy(effmark):
            effmark(sum, [1])

        def test_busy_benchmark(benchmark):
            benchmark(sum, [1])
        """
    )
    with device_lock("in-process") as ours:
        assert ours
        result = pytester.runpytest_inprocess(*quick, "-rs", "--effmark-lock-wait", "0")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(["SKIPPED*another measurement on this machine did not end*"])


def test_numbers_reach_junit_the_job_summary_and_the_comment_and_names_are_only_names(
    pytester: pytest.Pytester, quick: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("name", ["<script>|*x*"])
        def test_names(effmark, name):
            effmark.measure(sum, ([1],), name=name)
        """
    )
    summary = pytester.path / "summary.md"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    pytester.runpytest_inprocess(
        *quick, "--junitxml=out.xml", "--effmark-markdown=comment.md"
    ).assert_outcomes(passed=1)
    tree = ElementTree.parse(pytester.path / "out.xml")
    values = {p.get("name"): p.get("value") for p in tree.iter("property")}
    assert float(values["effmark.call <script>|*x*.latency_s"] or 0) > 0
    text = summary.read_text()
    assert text.startswith("before\n<!-- effmark pytest -->")
    assert text.removeprefix("before\n") == (pytester.path / "comment.md").read_text()
    assert "<script>" not in text
    assert "&lt;script&gt;\\|\\*x\\*" in text


@pytest.mark.parametrize("what", ["missing folder", "pipe"])
def test_a_summary_that_cannot_be_written_is_a_warning(
    pytester: pytest.Pytester, quick: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    pytester.makepyfile("def test_it(effmark): effmark.measure(sum, ([1],))")
    target = pytester.path / "nowhere" / "summary.md"
    if what == "pipe":
        target = pytester.path / "pipe"
        os.mkfifo(target)
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(target))
    result = pytester.runpytest_inprocess(*quick, f"--effmark-markdown={target}")
    result.assert_outcomes(passed=1)
    assert result.ret == 0
    for name in ("GITHUB_STEP_SUMMARY", "--effmark-markdown"):
        result.stdout.fnmatch_lines([f"effmark: {name}={target} not written: No such *"])


def test_the_benchmark_fixture_gains_figures_and_its_json_stays_valid(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.effmark(max_latency_s=100)
        def test_rounds(benchmark):
            benchmark.extra_info["mine"] = 1
            assert benchmark(lambda: sum([1, 2])) == 3

        def test_pedantic(benchmark):
            benchmark.pedantic(sum, args=([1],), rounds=3, iterations=2, warmup_rounds=1)
        """
    )
    result = pytester.runpytest_inprocess(
        *quick, "--benchmark-json=out.json", "--benchmark-max-time=0.05", "--effmark-energy",
        "--effmark-bytecodes",
    )  # fmt: skip
    result.assert_outcomes(passed=2)
    found = json.loads((pytester.path / "out.json").read_text())
    one, two = found["benchmarks"]
    assert one["extra_info"]["mine"] == 1
    assert one["extra_info"]["effmark"]["cpu_s_per_call"]["unit"] == "s"
    assert one["extra_info"]["effmark"]["peak_memory_b"]["value"] > 0
    assert {"value", "source"} <= set(one["extra_info"]["effmark"]["energy_j_per_call"])
    assert set(one["extra_info"]["effmark"]["instructions_per_call"]) & {"value", "missing"}
    assert one["extra_info"]["effmark"]["bytecodes_per_call"]["source"] == "bytecode"
    assert two["stats"]["rounds"] == 3
    assert two["extra_info"]["effmark"]["bytecodes_per_call"]["missing"] == "not_applicable"


def test_it_works_without_pytest_benchmark_and_beside_a_disabled_one(
    pytester: pytest.Pytester, quick: tuple[str, ...]
) -> None:
    pytester.makepyfile("def test_alone(effmark):\n    effmark(sum, [1])")
    pytester.runpytest_inprocess(*quick, "-p", "no:benchmark").assert_outcomes(passed=1)
    pytester.makepyfile("def test_off(benchmark):\n    assert benchmark(sum, [1]) == 1")
    pytester.runpytest_inprocess(*quick, "--benchmark-disable").assert_outcomes(passed=1)


def test_a_long_summary_still_fits_a_comment_and_begins_with_what_is_worse() -> None:
    row = {
        "test": "tests/a_folder/test_with_a_name.py::test_of_a_usual_length", "name": "call work",
        "validity": "valid", "outcome": "ok", "advice": [], "missing": {}, "detail": "",
        "shown": {"latency_s": "1.23 ms ±4 %", "cpu_s_per_call": "1.2 ms", "peak_memory_b": "1 GB"},
        "values": {}, "verdict": "pass", "judged": "latency_s", "ratio": 1.0, "low": 0.9,
        "high": 1.1, "of": "main", "processes": 1, "blocks": 10, "calls": 3,
    }  # fmt: skip
    by_counts = {**row, "detail": "exact; by bytecodes/call alone; latency: too noisy"}
    text = markdown_summary([row] * 4998 + [by_counts] * 2 + [{**row, "verdict": "worse"}])
    assert len(text) < 65_536
    assert "1 worse, 5000 pass" in text
    assert text.splitlines()[5].endswith("worse |")
    assert "… and 4801 more measurements" in text
    assert "2 pass by counted instructions alone, the first of them because latency" in text
