from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from effmark.compare import Comparison, compare_records
from effmark.spec import Limits
from effmark.store import Journal, read_records

Command = Callable[..., "subprocess.CompletedProcess[str]"]
SuiteOf = Callable[..., Path]


def test_interleaved_cells_share_their_rounds(
    effmark: Command, suite_of: SuiteOf, tmp_path: Path
) -> None:
    suite = suite_of(
        "{adapter: synthetic_lm, precision: [fp32, int4], options: {tpot_s: 0.001}}",
        "{adapter: synthetic_lm, precision: fp32, options: {fail: segfault, fail_at: 12}}",
    )
    done = effmark("run", str(suite), "--interleave", "quality={}")
    assert done.returncode == 4, done.stderr
    records = list(read_records(tmp_path / "results"))
    good = [r for r in records if not r.cell.options.get("fail")]
    first = [r for r in good if r.cell.workload.label.endswith("b1")]
    assert len(first) == 2
    assert first[0].interleaved == first[1].interleaved != ""
    assert len(first[0].blocks) == len(first[1].blocks) >= 6
    assert first[0].energy == ()
    assert first[0].energy_missing[0].reason == "not_applicable"
    bad = [r for r in records if r.cell.options.get("fail")]
    assert {r.outcome for r in bad} == {"crash"}


def test_compare_pairs_what_took_turns(effmark: Command, suite_of: SuiteOf, tmp_path: Path) -> None:
    suite = suite_of("{adapter: synthetic_lm, precision: [fp32, int4], options: {tpot_s: 0.001}}")
    effmark("run", str(suite), "--interleave", "quality={}")
    ids = [r.id for r in read_records(tmp_path / "results") if r.cell.workload.label.endswith("b1")]
    done = effmark("compare", *ids, "--metric", "e2e_latency_s", "--json")
    assert done.returncode == 0, done.stderr
    (comparison,) = json.loads(done.stdout)
    (metric,) = comparison["metrics"]
    assert metric["metric"] == "e2e_latency_s"
    assert "pair" in json.dumps(metric).lower()


def test_gate_exit_codes(effmark: Command, suite_of: SuiteOf, tmp_path: Path) -> None:
    small = [
        "quality={}",
        "workloads=[{decode: {prompt_tokens: 4, new_tokens: 4}}]",
    ]
    fast = suite_of("{adapter: sleep, precision: none, options: {step_s: 0.004}}")
    a, b, slow_results = tmp_path / "a", tmp_path / "b", tmp_path / "slow"
    for results in (a, b):
        effmark("run", str(fast), *small, "--repetitions", "3", "--results", str(results))
    slow = suite_of("{adapter: sleep, precision: none, options: {step_s: 0.008}}")
    effmark("run", str(slow), *small, "--repetitions", "3", "--results", str(slow_results))
    only = ["--metric", "tpot_s", "--margin", "0.3"]
    assert effmark("gate", str(a), str(b), *only).returncode in (0, 11)  # a busy machine: undecided
    refused = effmark("gate", str(a), str(slow_results), *only)
    assert refused.returncode == 12, refused.stdout
    assert effmark("gate", str(a), "nothing-like-this").returncode == 5
    assert effmark("gate", str(a), str(b), "--margin", "-1").returncode == 2


def test_rerun_repeats_a_cell_and_compares(effmark: Command, toy: Path, tmp_path: Path) -> None:
    effmark("run", str(toy), "--only", "fp32")
    first = next(iter(read_records(tmp_path / "results")))
    done = effmark("rerun", first.id[:10], "--json")
    assert done.returncode == 0, done.stderr
    again = list(read_records(tmp_path / "results"))[-1]
    assert again.cell.key == first.cell.key
    assert again.id != first.id
    assert json.loads(done.stdout)["a"]


def test_a_rerun_keeps_limits_says_what_ran_and_leaves_the_old_record_beside_the_new(
    effmark: Command, toy: Path, tmp_path: Path
) -> None:
    effmark("run", str(toy), "--only", "fp32")
    results = tmp_path / "results"
    first = next(iter(read_records(results)))
    old = first.model_copy(
        update={
            "id": "0ld" + first.id[3:],
            "cell": first.cell.model_copy(update={"adapter_version": "effmark 0.0.1"}),
            "settings": first.settings.model_copy(update={"limits": Limits(cell_s=77)}),
        }
    )
    with Journal(results, "toy", 1) as journal:
        journal.append(old)
    done = effmark("rerun", old.id)
    assert done.returncode == 0, done.stderr
    *before, again = read_records(results)
    assert old in before
    assert again.cell.adapter_version == first.cell.adapter_version
    assert again.settings.limits.cell_s == 77
    rows = json.loads(effmark("leaderboard", "--json").stdout)["rows"]
    shown = [row["records"] for row in rows if row["workload"] == first.cell.workload.label]
    assert sorted(shown) == sorted([[again.id], [old.id]])


def test_eval_runs_a_local_task_file(effmark: Command, tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"q": "a", "choices": ["b", "c"], "gold": 0}\n' * 4)
    (tmp_path / "mine.yaml").write_text(
        "task: mine\ndataset_path: json\ndataset_kwargs:\n  data_files: {test: items.jsonl}\n"
        "output_type: multiple_choice\ntest_split: test\ndoc_to_text: '{{q}}'\n"
        "doc_to_choice: '{{choices}}'\ndoc_to_target: '{{gold}}'\n"
        "metric_list:\n  - {metric: acc, aggregation: mean, higher_is_better: true}\n"
    )
    done = effmark("eval", "--adapter", "llama-cpp", "--precision", "f16", "--model", "effmark-1m",
                   "--tasks", str(tmp_path / "mine.yaml"), "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert 0 <= json.loads(done.stdout)["mine"]["acc,none"] <= 1


@pytest.mark.slow
def test_equal_runs_on_a_busy_machine_get_no_more_wrong_verdicts_than_stated(
    effmark: Command, suite_of: SuiteOf, tmp_path: Path
) -> None:
    """A/A live, two busy loops beside it: sides of one process and of three."""
    suite = suite_of("{adapter: synthetic_lm, precision: fp32, options: {tpot_s: 0.001}}")
    small = ["quality={}", "workloads=[{decode: {prompt_tokens: 4, new_tokens: 8}}]"]
    burn = [subprocess.Popen([sys.executable, "-c", "while 1: pass"]) for _ in range(2)]
    try:
        for run in range(10):
            effmark("run", str(suite), *small, "--repetitions", "3", "--results", f"r{run}")
    finally:
        for process in burn:
            process.kill()
            process.wait()
    sides = [list(read_records(tmp_path / f"r{run}")) for run in range(10)]
    pairs = list(itertools.combinations(sides, 2))
    wrong = sum(_decides(compare_records(a, b)) for a, b in pairs)
    alone = [compare_records(one, two) for a, b in pairs for one, two in zip(a, b, strict=True)]
    assert not any(_decides(found) for found in alone)
    assert wrong <= 0.05 * len(pairs) + 3  # pairs share runs: about one standard error more


def _decides(found: Comparison) -> bool:
    chance = [m for m in found.metrics if m.per != "exact"]
    return any(m.verdict in ("better", "worse") for m in chance)
