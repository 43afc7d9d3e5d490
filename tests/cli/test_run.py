from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from effmark.store import Damage, read_records

Command = Callable[..., "subprocess.CompletedProcess[str]"]
SuiteOf = Callable[..., Path]


def rows(command: Command) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(command("leaderboard", "--json").stdout)["rows"]
    return found


def test_a_run_records_every_cell_and_ends_with_zero(effmark: Command, toy: Path) -> None:
    done = effmark("run", str(toy))
    assert done.returncode == 0, done.stderr
    found = rows(effmark)
    assert len(found) == 6
    assert {row["outcome"] for row in found} == {"ok"}
    decode = next(r for r in found if r["workload"] == "decode p8 n8 b1")
    assert decode["metrics"]["ttft_s"]["value"] > 0
    text = next(r for r in found if r["workload"].startswith("text") and r["precision"] == "int4")
    assert text["metrics"]["kl_divergence"]["value"] == pytest.approx(0, abs=1e-6)
    assert text["metrics"]["top1_agreement"]["value"] == 1
    timed = [r for r in read_records(toy.parent / "results") if r.blocks]
    assert len(timed) == 4
    assert all(r.warmup_blocks for r in timed), "the first block is never a measurement"


def test_the_sleep_adapter_proves_the_chain(effmark: Command, suite_of: SuiteOf) -> None:
    suite = suite_of("{adapter: sleep, precision: none, options: {step_s: 0.004, first_s: 0.03}}")
    assert effmark("run", str(suite), "workloads=[{decode: {prompt_tokens: 4, new_tokens: 6}}]",
                   "quality={}").returncode == 0  # fmt: skip
    metrics = rows(effmark)[0]["metrics"]
    # a step is never shorter than asked, however busy the machine is
    assert metrics["ttft_s"]["low"] >= 0.03
    assert metrics["tpot_s"]["low"] >= 0.004
    assert metrics["itl_s"]["low"] >= 0.004
    # and longer only by what each sleep really took: gaps fill the time between first and last
    (record,) = read_records(suite.parent / "results")
    for block in record.blocks:
        gaps = [b - a for a, b in itertools.pairwise(block.steps_s)]
        assert min(gaps) >= 0.004
        assert 0.03 + math.fsum(gaps) <= block.steps_s[-1] <= block.end_s - block.start_s
    typical = statistics.median((b.steps_s[-1] - b.steps_s[0]) / 5 for b in record.blocks)
    assert metrics["tpot_s"]["value"] == typical


def test_the_same_command_resumes(effmark: Command, toy: Path, tmp_path: Path) -> None:
    effmark("run", str(toy), "--only", "fp32")
    before = len(list(read_records(tmp_path / "results")))
    effmark("run", str(toy))
    after = list(read_records(tmp_path / "results"))
    assert (before, len(after)) == (3, 6)
    effmark("run", str(toy))
    assert len(list(read_records(tmp_path / "results"))) == 6


@pytest.mark.parametrize(
    ("options", "outcome", "said"),
    [
        ("fail: oom", "oom", "out of memory, as scripted"),
        ("fail: crash", "crash", "failed, as scripted"),
        ("fail: segfault", "crash", "SIGSEGV"),
        ("fail: exit", "crash", "exit status 0 without a result"),
        ("fail: hang", "timeout", "no end within 2 s"),
        ("speed: 1", "unsupported", "unknown option 'speed'"),
    ],
)
def test_a_failure_is_a_recorded_outcome_and_the_rest_goes_on(
    effmark: Command, suite_of: SuiteOf, options: str, outcome: str, said: str
) -> None:
    suite = suite_of(
        f"{{adapter: synthetic_lm, precision: int4, options: {{{options}}}}}",
        "{adapter: synthetic_lm, precision: fp32}",
    )
    done = effmark("run", str(suite), "limits.cell_s=2", "quality={}",
                   "workloads=[{decode: {prompt_tokens: 4, new_tokens: 4}}]")  # fmt: skip
    found = {row["precision"]: row for row in rows(effmark)}
    assert found["int4"]["outcome"] == outcome
    assert said in found["int4"]["detail"]
    assert found["fp32"]["outcome"] == "ok"
    assert done.returncode == (0 if outcome == "unsupported" else 4)


def test_a_cell_that_goes_on_and_on_ends_at_its_limit(effmark: Command, suite_of: SuiteOf) -> None:
    suite = suite_of("{adapter: synthetic_lm, precision: fp32, options: {tpot_s: 0.05}}")
    effmark("run", str(suite), "limits.cell_s=3", "budget.process_s=600", "quality={}",
            "precision.rel_half_width=1e-9")  # fmt: skip
    assert {row["outcome"] for row in rows(effmark)} == {"timeout"}


def test_a_quality_cell_that_came_before_its_reference_is_measured_again(
    effmark: Command, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EFFMARK_CACHE", str(tmp_path / "cache"))
    only_quality = ("workloads=[]", "budget.process_s=1")
    effmark("run", str(toy), "--only", "int4", *only_quality)
    (row,) = rows(effmark)
    assert row["metrics"]["kl_divergence"]["missing"] == "not_present"
    effmark("run", str(toy), *only_quality)
    found = {row["precision"]: row["metrics"]["kl_divergence"] for row in rows(effmark)}
    assert found["fp32"]["value"] == 0
    assert found["int4"]["value"] >= 0


def test_a_folder_that_cannot_be_written_is_known_before_anything_is_measured(
    effmark: Command, toy: Path, tmp_path: Path
) -> None:
    (tmp_path / "results").write_text("a file")
    done = effmark("run", str(toy))
    assert done.returncode == 5
    assert "cannot be written" in done.stderr
    assert "tpot" not in done.stdout + done.stderr


def test_a_task_file_does_not_depend_on_its_neighbours(effmark: Command, tmp_path: Path) -> None:
    from effmark.task_files import task_files

    task = tmp_path / "mine.yaml"
    task.write_text("task: mine\ninclude: base.yaml\ndoc_to_text: !function look.it\n")
    for name in ("base.yaml", "look.py"):
        (tmp_path / name).write_text("")
    (tmp_path / "base.yaml").write_text("output_type: multiple_choice\n")
    (tmp_path / "other.yaml").write_text("a: [1, 2\n")
    assert {path.name for path in task_files(str(task))} == {"mine.yaml", "base.yaml", "look.py"}
    task.write_text("task: [mine\n")
    done = effmark(
        "eval", "--adapter", "synthetic_lm", "--model", "synthetic", "--tasks", str(task)
    )
    assert done.returncode == 2
    assert "mine.yaml':2: not YAML" in done.stderr


def test_nan_from_an_adapter_is_never_a_number(effmark: Command, suite_of: SuiteOf) -> None:
    suite = suite_of("{adapter: synthetic_lm, precision: fp32, options: {fail: nan}}")
    effmark("run", str(suite), "workloads=[]")
    (row,) = rows(effmark)
    assert row["outcome"] == "crash"
    assert "NaN" in row["detail"]
    assert "bits_per_byte" not in row["metrics"]


def start(suite: Path, results: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "effmark", "run", str(suite), "--results", str(results)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip


def records_in(results: Path) -> int:
    return len(list(read_records(results))) if results.exists() else 0


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_loses_at_most_the_cell_in_flight(
    effmark: Command, toy: Path, tmp_path: Path, sent: signal.Signals
) -> None:
    results = tmp_path / "results"
    running = start(toy, results)
    while records_in(results) < 2:
        assert running.poll() is None
        time.sleep(0.02)
    children = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(sent)
    running.wait(timeout=30)
    kept = records_in(results)
    assert kept >= 2
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive, "a worker outlived its run"
    damage = Damage()
    assert effmark("run", str(toy)).returncode == 0
    final = list(read_records(results, damage))
    assert len({record.cell.key for record in final}) == 6
    assert len(final) == 6, "nothing that was recorded is measured again"
    assert damage.places == []


def test_two_runs_at_once_share_a_results_folder(toy: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    both = [start(toy, results), start(toy, results)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    damage = Damage()
    assert len({r.cell.key for r in read_records(results, damage)}) == 6
    assert damage.places == []


def test_the_parent_burns_no_cpu_while_a_cell_measures(suite_of: SuiteOf, tmp_path: Path) -> None:
    suite = suite_of("{adapter: sleep, precision: none, options: {step_s: 0.5}}")
    running = start(suite, tmp_path / "results")
    parent = psutil.Process(running.pid)
    while not parent.children():
        assert running.poll() is None
        time.sleep(0.05)
    time.sleep(3)  # imports and start-up are over
    before = parent.cpu_times()
    time.sleep(5)
    after = parent.cpu_times()
    running.kill()
    running.wait()
    assert (after.user + after.system) - (before.user + before.system) <= 0.05 + 5 * 0.01


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "llm-int5"], 2, "no suite named 'llm-int5'; did you mean 'llm-int4'?"),
        (["run", "TOY", "--only", "torhc"], 2, "--only 'torhc' matches nothing"),
        (["run", "TOY", "--profile", "smok"], 2, "no profile 'smok'"),
        (["run", "TOY", "--model", "no/where/at/all"], 2, "no model 'no/where/at/all'"),
        (["run", "TOY", "baseline=null", "cells=[{adapter: torhc, precision: fp32}]"], 2,
         "no adapter named 'torhc'; did you mean 'torch'?"),
        (["run", "TOY", "baseline=null", "cells=[{adapter: synthetic_lm, precision: int5}]"], 2,
         "has no precision 'int5'; did you mean 'int8'?"),
        (["run", "TOY", "nonsense"], 2, "override 'nonsense' is not KEY=VALUE"),
        (["leaderboard", "nowhere"], 5, "no such folder"),
        (["rnu"], 2, "did you mean 'run'?"),
        (["show", "x"], 5, "no such folder"),
    ],
)  # fmt: skip
def test_a_wrong_request_is_one_line(
    effmark: Command, toy: Path, arguments: list[str], code: int, said: str
) -> None:
    done = effmark(*[str(toy) if a == "TOY" else a for a in arguments])
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_read_only_results_folder_is_a_clear_error(
    effmark: Command, toy: Path, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    done = effmark("run", str(toy), "--results", str(blocked / "results"))
    assert done.returncode == 5
    assert "cannot be written" in done.stderr


def test_a_run_that_measured_nothing_is_no_success_and_says_what_would_help(
    effmark: Command, suite_of: SuiteOf, tmp_path: Path
) -> None:
    """A machine on which only the core is installed: the frameworks are hidden."""
    for name in ("torch", "onnxruntime"):
        text = f"raise ModuleNotFoundError('No module named {name}', name='{name}')"
        (tmp_path / "hidden").mkdir(exist_ok=True)
        (tmp_path / "hidden" / f"{name}.py").write_text(text)
    path = os.pathsep.join(filter(None, [str(tmp_path / "hidden"), os.environ.get("PYTHONPATH")]))
    suite = suite_of("{adapter: onnxruntime, precision: [fp32, int8]}")
    text = suite.read_text().replace("[synthetic]", "[digits]")
    text = text.replace("text: [{name: austen, tokens: 300}]", "labels: [{name: digits}]")
    suite.write_text(re.sub("decode:.*", "infer: {batch: [1, 2, 3]}", text))
    done = effmark("run", str(suite), PYTHONPATH=path)
    assert done.returncode == 3, done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("effmark: nothing could be measured: ")
    assert last.endswith("pip install 'effmark[onnx]'")
    assert done.stdout.count("failed setup") == 1
    assert "8 cells" in done.stdout
    assert (tmp_path / "results" / "index.html").is_file()


def test_a_run_in_which_no_runtime_could_do_it_is_no_success(
    effmark: Command, suite_of: SuiteOf
) -> None:
    done = effmark("run", str(suite_of("{adapter: onnxruntime, precision: fp32}")))
    assert done.returncode == 4, done.stderr
    assert "nothing could be measured: 3 cells unsupported, the first: onnx" in done.stderr


def test_plan_runs_nothing(effmark: Command, toy: Path, tmp_path: Path) -> None:
    done = effmark("plan", str(toy))
    assert done.returncode == 0
    assert "6 cells in 2 processes" in done.stdout
    assert not (tmp_path / "results").exists()
    planned = json.loads(effmark("plan", str(toy), "--json").stdout)
    assert [len(p["cells"]) for p in planned["processes"]] == [3, 3]


def test_help_and_list_import_no_framework() -> None:
    script = (
        "import sys, runpy\n"
        "sys.argv = ['effmark', *sys.argv[1:]]\n"
        "try:\n    runpy.run_module('effmark', run_name='__main__')\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'numpy', 'transformers', 'onnxruntime', 'openvino', 'scipy', 'pandas'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    for arguments in (["--help"], ["list"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "adapters" in done.stdout or "leaderboard" in done.stdout


def test_a_record_can_be_shown_whole(effmark: Command, toy: Path) -> None:
    effmark("run", str(toy), "--only", "fp32")
    (record_id,) = rows(effmark)[0]["records"]
    shown = json.loads(effmark("show", record_id[:8]).stdout)
    assert shown["id"] == record_id
    assert shown["environment"]["cpu"]
    assert shown["command"].startswith("effmark run ")


def _kill_first_worker(run: subprocess.Popen[bytes]) -> None:
    """Kill the worker that prepares artefacts, as the kernel does for want of memory."""
    while True:
        assert run.poll() is None, "the run ended without a worker"
        for child in psutil.Process(run.pid).children():
            with contextlib.suppress(psutil.Error):
                if "effmark.worker" in child.cmdline():
                    child.kill()
                    return
        time.sleep(0.005)


def test_a_failed_preparation_touches_only_what_is_unfinished_and_a_later_success_replaces_it(
    effmark: Command, toy: Path, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    assert effmark("run", str(toy)).returncode == 0
    (journal,) = results.glob("*/*.jsonl")
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:-1]))
    finished = {r.cell.key for r in read_records(results)}
    running = start(toy, results)
    _kill_first_worker(running)
    assert running.wait(timeout=120) == 4
    failed = [r for r in read_records(results) if r.outcome == "crash"]
    assert len(failed) == 1
    assert failed[0].cell.key not in finished
    assert failed[0].environment is not None
    (known,) = {r.environment.device_class for r in read_records(results) if r.environment}
    assert failed[0].environment.device_class == known
    assert sorted(row["outcome"] for row in rows(effmark)) == ["crash", *["ok"] * 5]
    assert effmark("run", str(toy)).returncode == 0
    assert records_in(results) == 7, "the finished cells were not measured again"
    assert [row["outcome"] for row in rows(effmark)] == ["ok"] * 6
    assert "<error" not in effmark("export", "junit", "-o", "-").stdout


def test_fresh_failures_are_what_was_asked_for(effmark: Command, toy: Path, tmp_path: Path) -> None:
    results = tmp_path / "results"
    assert effmark("run", str(toy), "--only", "fp32").returncode == 0
    suite = [sys.executable, "-m", "effmark", "run", str(toy), "--only", "fp32", "--fresh"]
    running = subprocess.Popen(
        [*suite, "--results", str(results)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _kill_first_worker(running)
    assert running.wait(timeout=120) == 4
    assert {row["outcome"] for row in rows(effmark)} == {"crash"}
    assert effmark("run", str(toy), "--only", "fp32").returncode == 0
    assert {row["outcome"] for row in rows(effmark)} == {"ok"}
