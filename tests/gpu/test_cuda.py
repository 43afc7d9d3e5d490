from __future__ import annotations

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = pytest.mark.gpu

SUITE = """\
suite: cuda
version: 1
why: the CUDA path on a real device
models: [effmark-1m]
cells:
  - {adapter: torch, precision: [fp32, bf16, int8], device: "cuda:0"}
baseline: {adapter: torch, precision: fp32}
workloads:
  - decode: {prompt_tokens: 32, new_tokens: 32, batch: [1, 4]}
  - prefill: {prompt_tokens: 128}
quality:
  text: [{name: austen, tokens: 512}]
budget: {process_s: 10}
"""


@pytest.fixture(autouse=True)
def device() -> None:
    if importlib.util.find_spec("torch") is None:
        pytest.skip("torch is not installed")
    import torch

    if not torch.cuda.is_available():
        pytest.skip(f"torch {torch.__version__} sees no CUDA device")


def test_a_suite_runs_on_a_cuda_device(effmark: Command, tmp_path: Path) -> None:
    suite = tmp_path / "cuda.yaml"
    suite.write_text(SUITE)
    done = effmark("run", str(suite), timeout_s=900)
    assert done.returncode == 0, done.stderr
    rows = json.loads(effmark("leaderboard", "--json").stdout)["rows"]
    assert {row["device"] for row in rows} == {"cuda:0"}
    assert {row["outcome"] for row in rows} == {"ok"}
    for row in rows:
        if row["workload"].startswith("decode"):
            assert row["metrics"]["ttft_s"]["value"] > 0
            energy = row["metrics"]["energy_j_per_output_token"]
            assert energy.get("source") in ("hw_counter", "hw_power_integrated"), energy
