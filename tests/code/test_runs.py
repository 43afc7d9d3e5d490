"""Both suites of generated answers, end to end: the real command, runner and sandbox, and a model
that answers by rules, so that every number is known beforehand."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effmark.errors import PrerequisiteError
from effmark.record import Measured, Missing, Record
from effmark.sandbox import Sandbox
from effmark.scores import (
    architecture_from_config,
    decode_flops,
    eflops,
    prefill_flops,
    run_cost,
)
from effmark.store import read_records

Command = Callable[..., "subprocess.CompletedProcess[str]"]

CONFIG = {
    "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
    "intermediate_size": 128, "vocab_size": 256, "model_type": "llama",
}  # fmt: skip
# Adds right where the sum is below 10; samples are right where a + b + seed is even. Of programs it
# writes the one right in its first attempt, a wrong one in its second.
MODEL = f"""
import re

from effmark_adapters.null import NullAdapter
from effmark.record import ModelFacts

END = 0


class RuleAdapter(NullAdapter):
    name = "rule"
    precisions = ("none",)

    def facts(self):
        return ModelFacts(
            parameters=1000, weights_b=1000, file_b=1000, effective_bits=8.0, kernel="native",
            weights="trained", weights_source="rules", context_tokens=4096,
            config={{**{CONFIG!r}, "eos_token_id": END}},
        )

    def generate(self, generation, on_step):
        texts = [self._answer(self.decode(p), generation.sampling) for p in generation.prompts]
        for i in range(generation.new_tokens):
            if on_step([ord(t[i]) if i < len(t) else END for t in texts]):
                return

    def _answer(self, prompt, sampling):
        asked = re.search(r"(\\d+)\\+(\\d+)=$", prompt)
        if asked is None:
            wrong = sampling.seed % 2
            right = "    return sum(range(n))\\n" if "def total" in prompt else "    return 3\\n"
            return ("    return 0\\n" if wrong else right) + "\\nprint(1)"
        a, b = map(int, asked.groups())
        good = a + b < 10 if sampling.temperature == 0 else (a + b + sampling.seed) % 2 == 0
        return f"{{a + b if good else 99}}\\n"

    def log_probs(self, pairs):
        import numpy as np

        return [np.full((len(text), 256), -1.0, dtype=np.float32) for _, text in pairs]
"""
CODE = """
suite: rule-code
version: 1
why: what a known model's solutions are worth
models: [synthetic]
cells:
  - {{adapter: rule, precision: [none]}}
workloads:
  - code: {{problems: {problems}, n: 2, new_tokens: 60, temperature: 0.5, batch: 2}}
rates: {{usd_per_device_hour: 3.6, usd_per_kwh: 0.36, date: 2026-11, source: a test}}
budget: {{process_s: 1}}
"""
SUMS = """
suite: rule-sums
version: 1
why: what more samples of a known model buy
models: [synthetic]
cells:
  - {adapter: rule, precision: [none]}
workloads:
  - scaling: {questions: 40, n: 4, largest: 9, batch: 8}
budget: {process_s: 1}
"""


@pytest.fixture(scope="module", autouse=True)
def needs_a_sandbox() -> None:
    try:
        Sandbox(1).close()
    except PrerequisiteError as error:
        pytest.skip(str(error))


@pytest.fixture
def run(effmark: Command, tmp_path: Path) -> Callable[..., Record]:
    """Run a suite with the model installed as anybody else's would be; return its record."""
    installed = tmp_path / "site"
    info = installed / "effmark_rule-0.1.dist-info"
    info.mkdir(parents=True)
    (installed / "effmark_rule.py").write_text(MODEL)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: effmark-rule\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[effmark.adapters]\nrule = effmark_rule:RuleAdapter\n")
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))

    def of(suite: str) -> Record:
        (tmp_path / "suite.yaml").write_text(suite)
        done = effmark("run", "suite.yaml", PYTHONPATH=path)
        assert done.returncode == 0, done.stdout + done.stderr
        (record,) = read_records(tmp_path / "results")
        assert record.outcome == "ok", record.detail
        return record

    return of


def value(record: Record, name: str) -> Measured:
    found = record.measurement(name)
    assert isinstance(found, Measured), found
    return found


def rows_of(effmark: Command) -> dict[str, Any]:
    (row,) = json.loads(effmark("leaderboard", "--json").stdout)["rows"]
    metrics: dict[str, Any] = row["metrics"]
    return metrics


def test_solutions_of_a_model_are_scored_with_the_ledger_of_what_they_took(
    run: Callable[..., Record], effmark: Command, toy_folder: Path, tmp_path: Path
) -> None:
    record = run(CODE.format(problems=toy_folder))
    assert value(record, "pass_at_1").group == ("divisor", "total")
    assert value(record, "pass_at_1").samples == (0.0, 0.5)
    efficiency = value(record, "eff_at_1").samples
    assert efficiency[0] == 0
    assert 0.1 < efficiency[1] < 0.8  # one of two samples is as good as the reference

    ledger = [json.loads(line) for line in record.notes["ledger"].split("\n")]
    assert [(c["task_id"], c["sample"], c["passed"]) for c in ledger] == [
        ("divisor", 0, False), ("total", 0, True), ("divisor", 1, False), ("total", 1, False),
    ]  # fmt: skip
    arch = architecture_from_config(CONFIG)
    for call in ledger:
        n, g = call["prompt_tokens"], call["completion_tokens"]
        assert n == len((toy_folder / f"{call['task_id']}.py").read_text().split('"""\\\n')[1]
                        .split('\n"""')[0].replace("\\", "")) + 1  # fmt: skip
        work = prefill_flops(arch, n).total + decode_flops(arch, g - 1, context=n).total
        assert call["work_flop"] == work
    flop = value(record, "cost_of_pass_flop")
    assert flop.weights == (0.0, 0.5)
    assert sum(flop.samples) == pytest.approx(sum(c["work_flop"] for c in ledger) / 2)

    found = rows_of(effmark)
    seconds = sum(c["wall_s"] for c in ledger) / 2
    hours_usd = run_cost(seconds, 1, 3.6)
    assert found["cost_of_pass_s"]["value"] == pytest.approx(seconds / 0.5)
    assert found["cost_of_pass_usd"]["value"] >= hours_usd / 0.5 * (1 - 1e-9)
    assert found["cost_of_pass_mean_usd"]["value"] == "inf"
    per_joule = record.measurement("eff_at_1_per_j")
    joules = record.measurement("cost_of_pass_j")
    if isinstance(joules, Missing):
        assert isinstance(per_joule, Missing)
    else:
        assert isinstance(per_joule, Measured)
        assert joules is not None
        assert per_joule.weights == pytest.approx(joules.samples)

    (model,) = json.loads(
        effmark("score", "cost", "results", "--json", "--usd-per-device-hour", "3.6").stdout
    )["models"].items()
    assert model[0] == "synthetic rule none"
    assert model[1]["dataset"]["value"] == pytest.approx(hours_usd / 0.5)


def test_more_samples_of_a_model_are_priced_in_tokens_joules_flops_and_eflops(
    run: Callable[..., Record], effmark: Command
) -> None:
    record = run(SUMS)
    answers = json.loads(record.notes["answers"])
    assert value(record, "accuracy").samples == tuple(
        float(text != "99") for text in answers["greedy"]
    )
    assert value(record, "coverage").samples == (1.0,) * 40  # of two seeds one is even
    points = json.loads(record.notes["curve"])
    assert [(p["samples"], p["choice"]) for p in points[:5]] == [
        (1, "greedy"), (1, "majority"), (1, "weighted"), (1, "best_of_n"), (1, "coverage"),
    ]  # fmt: skip
    by_name = {(p["samples"], p["choice"]): p for p in points}
    one, all_four = by_name[1, "coverage"], by_name[4, "coverage"]
    assert one["value"] == 0.5
    assert (all_four["value"], all_four["high"]) == (1.0, 1.0)
    assert all_four["low"] == pytest.approx(0.912, abs=1e-3)  # Wilson: 40 of 40
    for key in ("tokens", "new_tokens", "work_flop"):
        assert all_four[key] == pytest.approx(4 * one[key])
    prompt = round(one["prompt_tokens"])
    each = round(all_four["new_tokens"] / 4)
    expected = eflops(1000, 4, 2, 16, 2, prompt, each, trials=4).total
    assert all_four["eflop"] == pytest.approx(expected)
    assert by_name[4, "weighted"]["tokens"] > by_name[4, "majority"]["tokens"]
    assert json.loads(record.notes["saturation"])["coverage"] in (2, 4)
    assert value(record, "tokens_per_answer").samples == (by_name[4, "majority"]["tokens"],)
    assert rows_of(effmark)["coverage"]["low"] == pytest.approx(0.912, abs=1e-3)

    ledger = [json.loads(line) for line in record.notes["ledger"].split("\n")]
    assert len(ledger) == 160
    assert sum(call["passed"] for call in ledger) == 80
    assert sum(c["prompt_tokens"] + c["completion_tokens"] for c in ledger) == pytest.approx(
        40 * by_name[4, "majority"]["tokens"]
    )
    seconds = rows_of(effmark)["cost_of_pass_s"]["value"]
    assert seconds == pytest.approx(sum(call["wall_s"] for call in ledger) / 80)

    shown = effmark("score", "scaling")
    assert shown.returncode == 0, shown.stderr
    assert "synthetic · rule none · scaling sums to 9 q40 n4" in shown.stdout
    assert "any right (pass@k)  1.000 [0.912, 1.000]" in shown.stdout
    assert "more samples are not shown to help beyond: majority" in shown.stdout
    document = json.loads(effmark("score", "scaling", record.id[:8], "--json").stdout)
    assert document["points"] == points


def test_a_results_folder_without_a_curve_is_one_line(effmark: Command, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    done = effmark("score", "scaling")
    assert (done.returncode, done.stdout) == (2, "")
    assert "no curve of test-time scaling; run: effmark run tts-arith" in done.stderr
