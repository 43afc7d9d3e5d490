"""Rows of known numbers, hostile names, and reports written by hand as the formats describe."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from effmark.record import EnergyReading, Environment, Measured, Missing, Record
from effmark.rows import Row, make_rows
from effmark.spec import Tasks

Make = Callable[..., Record]
Rows = Callable[..., Sequence[Row]]

HOSTILE = "a`b|c</script><b>&\"'\\ \x1b[31m\n../../etc\u202e: [x] #y"


@pytest.fixture
def here() -> Environment:
    return Environment(host="box", system="Linux 6", cpu="Test CPU", cores_count=4, memory_b=2**34,
                       python="3.11.7", git_revision="abc123", git_dirty=False)  # fmt: skip


@pytest.fixture
def full(make_record: Make, here: Environment) -> Make:
    """A decode record with scatter, measured energy and one number that is missing."""

    def make(**changes: Any) -> Record:
        record = make_record(
            **{
                key: changes.pop(key)
                for key in ("model", "adapter", "precision", "step_s")
                if key in changes
            }
        )
        blocks = [
            block.model_copy(update={
                "steps_s": tuple(s * (1 + 0.01 * (n % 5)) for s in block.steps_s),
                "end_s": block.start_s + block.steps_s[-1] * (1 + 0.01 * (n % 5)),
            })
            for n, block in enumerate(record.blocks)
        ]  # fmt: skip
        reading = EnergyReading(joules=10.0, source="hw_counter", scope="package", probe="rapl",
                                device_id="0", start_s=0.0, end_s=20.0,
                                units={"output_tokens": 100.0})  # fmt: skip
        body = {
            "blocks": tuple(blocks), "environment": here, "energy": (reading,), "elapsed_s": 3.5,
            "measurements": (*record.measurements, Missing(metric="pss_b", reason="not_permitted",
                                                           detail="/proc is hidden; run as owner")),
            **changes,
        }  # fmt: skip
        return record.model_copy(update=body)

    return make


@pytest.fixture
def rows(full: Make) -> Rows:
    def make(**changes: Any) -> Sequence[Row]:
        return make_rows([full(**changes)])

    return make


@pytest.fixture
def task(full: Make) -> Make:
    """An accuracy record: 30 of 40 right."""

    def make(name: str = "gsm8k", **changes: Any) -> Record:
        record = full(**changes)
        cell = record.cell.model_copy(update={"workload": Tasks(name=name, limit=40)})
        right = Measured(metric="accuracy", unit="ratio", samples=(1.0,) * 30 + (0.0,) * 10,
                         estimator="mean", source="lm_eval")  # fmt: skip
        body = {"cell": cell, "blocks": (), "energy": (), "measurements": (right,), "id": "task"}
        return record.model_copy(update=body)

    return make


def _llama_entry(**changes: Any) -> dict[str, Any]:
    return {
        "build_commit": "0badcafe", "build_number": 7000, "cpu_info": "Test CPU", "gpu_info": "",
        "backends": "CPU", "model_filename": "/models/tiny-1B-Q4_K_M.gguf",
        "model_type": "llama 1B Q4_K - Medium", "model_size": 800_000_000,
        "model_n_params": 1_000_000_000, "n_batch": 2048, "n_ubatch": 512, "n_threads": 4,
        "type_k": "f16", "type_v": "f16", "n_gpu_layers": -1, "flash_attn": -1, "use_mmap": True,
        "n_prompt": 512, "n_gen": 0, "n_depth": 0, "test_time": "2026-03-01T10:00:00Z",
        "avg_ns": 2_000_000_000, "stddev_ns": 1, "avg_ts": 256.0, "stddev_ts": 0.1,
        "samples_ns": [1_900_000_000, 2_000_000_000, 2_100_000_000],
        "samples_ts": [269.5, 256.0, 243.8], **changes,
    }  # fmt: skip


@pytest.fixture
def llama_entry() -> Callable[..., dict[str, Any]]:
    return _llama_entry


def _optimum_report(**changes: Any) -> dict[str, Any]:
    def latency(*values: float) -> dict[str, Any]:
        return {"unit": "s", "values": list(values), "count": len(values), "total": sum(values),
                "mean": sum(values) / len(values), "p50": 0, "p90": 0, "p95": 0, "p99": 0,
                "stdev": 0, "stdev_": 0}  # fmt: skip

    memory = {"unit": "MB", "max_ram": 1500.5, "max_global_vram": None, "max_process_vram": None,
              "max_reserved": None, "max_allocated": None}  # fmt: skip
    report = {
        "load_model": {"memory": memory, "latency": latency(2.5), "throughput": None,
                       "energy": None, "efficiency": None},
        "prefill": {"memory": memory, "latency": latency(0.2, 0.21, 0.19), "throughput": None,
                    "energy": None, "efficiency": None},
        "decode": {"memory": {**memory, "max_ram": 1600.0}, "latency": latency(0.9, 0.93, 0.87),
                   "throughput": {"unit": "tokens/s", "value": 20.0}, "energy": None,
                   "efficiency": None},
        "generate": {"memory": memory, "latency": latency(1.1, 1.14, 1.06), "throughput": None,
                     "energy": {"unit": "kWh", "cpu": 1e-6, "ram": 0, "gpu": 0, "total": 2e-6},
                     "efficiency": None},
        "per_token": {"memory": None, "latency": latency(*[0.1] * 27), "throughput": None,
                      "energy": None, "efficiency": None},
    }  # fmt: skip
    config = {
        "name": "run", "launcher": {"name": "process"},
        "backend": {"name": "pytorch", "version": "2.9.0", "model": "org/tiny", "device": "cpu",
                    "task": "text-generation", "torch_dtype": "bfloat16", "torch_compile": True,
                    "model_kwargs": {"revision": "main"}},
        "scenario": {"name": "inference", "input_shapes": {"batch_size": 2, "sequence_length": 16},
                     "generate_kwargs": {"max_new_tokens": 10, "min_new_tokens": 10}},
        "environment": {"cpu": " Test CPU", "cpu_count": 8, "cpu_ram_mb": 16000.0,
                        "system": "Linux", "platform": "Linux-6-x86", "python_version": "3.11.7",
                        "transformers_version": "5.0.0", "gpu": ["Test GPU"]},
    }  # fmt: skip
    return {"config": config, "report": report, **changes}


@pytest.fixture
def optimum_report() -> Callable[..., dict[str, Any]]:
    return _optimum_report


@pytest.fixture
def report_file(tmp_path: Path) -> Callable[[Any], Path]:
    """Write a report."""

    def write(body: Any, name: str = "report.json") -> Path:
        path = tmp_path / name
        path.write_text(body if isinstance(body, str) else json.dumps(body))
        return path

    return write


@pytest.fixture
def hostile() -> str:
    return HOSTILE
