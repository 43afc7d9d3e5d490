"""Synthetic journals of any size, written by the real writer: many models, machines and runs."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from random import Random
from typing import Any, Literal

from effmark.record import Block, Environment, Measured, ModelFacts, Record, SuiteRef
from effmark.spec import Cell, Decode, ModelRef, Prefill, Tasks, Text
from effmark.store import Journal

__all__ = ["synthetic_records", "write_journals"]

ADAPTERS = ("torch", "llama-cpp", "onnxruntime", "openvino", "executorch")
PRECISIONS = ("fp32", "bf16", "int8", "int4-g128", "Q4_K_M")
BITS = {"fp32": 32.0, "bf16": 16.0, "int8": 8.1, "int4-g128": 4.25, "Q4_K_M": 4.8}
WORKLOADS = (
    Decode(prompt_tokens=32, new_tokens=16),
    Prefill(prompt_tokens=256),
    Text(name="plain", tokens=2048),
    Tasks(name="sums", limit=32),
)
MACHINES = 10
PER_JOURNAL = 5000
PER_MODEL = MACHINES * len(ADAPTERS) * len(PRECISIONS) * len(WORKLOADS)
SHA = "5" * 64


def write_journals(results: Path, count: int, seed: int = 0) -> None:
    """Append that many records to journals in a folder."""
    records = synthetic_records(count, seed)
    while chunk := list(islice(records, PER_JOURNAL)):
        with Journal(results, "synthetic", 1) as journal:
            journal.append(*chunk)


def synthetic_records(count: int, seed: int = 0) -> Iterator[Record]:
    """Yield records of models in every adapter, precision, workload and machine, no two alike.

    Values are drawn at random around what model, precision and machine suggest.
    """
    random = Random(seed)
    models = [_model(i) for i in range(-(-count // PER_MODEL))]
    machines = [_machine(i) for i in range(MACHINES)]
    suite = SuiteRef(name="synthetic", version=1, sha256=SHA, profile="default")
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    cells = product(machines, models, ADAPTERS, PRECISIONS, WORKLOADS)
    for number in range(count):
        told = next(cells, None)
        if told is None:
            cells = product(machines, models, ADAPTERS, PRECISIONS, WORKLOADS)
            told = next(cells)
        yield _record(number, seed, random, suite, start, *told)


def _model(number: int) -> ModelRef:
    return ModelRef(name=f"model-{number}", task="lm", kind="hf", sha256=f"{number:064x}")


def _machine(number: int) -> Environment:
    return Environment(host=f"host-{number}", system="Linux", cpu=f"CPU {number}", cores_count=8,
                       memory_b=2**36, python="3.12", git_revision=f"{number:040x}")  # fmt: skip


def _record(
    number: int, seed: int, random: Random, suite: SuiteRef, start: datetime.datetime,
    machine: Environment, model: ModelRef, adapter: str, precision: str, workload: Any,
) -> Record:  # fmt: skip
    cell = Cell.model_construct(
        model=model, adapter=adapter, adapter_version="1.0", precision=precision, device="cpu",
        threads=8, options={}, workload=workload, suite_sha256=SHA, repetition=0,
    )  # fmt: skip
    bits, size = BITS[precision], 1 + int(model.sha256[-4:], 16)
    step_s = 1e-4 * size * (0.3 + bits / 32) * random.lognormvariate(0, 0.1)
    timed = workload.kind in ("decode", "prefill")
    run = number // PER_JOURNAL
    return Record.model_construct(
        id=f"{random.getrandbits(128):032x}", run_id=f"{seed:08x}{run:024x}",
        process_id=f"{number // 4:032x}",
        created=(start + datetime.timedelta(seconds=number)).isoformat(),
        suite=suite, cell=cell, environment=machine, is_baseline=False,
        outcome="ok" if random.random() < 0.97 else "oom",
        validity="suspect" if random.random() < 0.3 else "valid",
        facts=_facts(size, bits),
        blocks=_blocks(random, step_s, getattr(workload, "new_tokens", 1)) if timed else (),
        measurements=_measurements(random, workload, size, bits),
        elapsed_s=3.0, command="effmark run synthetic",
    )  # fmt: skip


def _facts(size: int, bits: float) -> ModelFacts:
    weights = size * 10_000_000
    return ModelFacts.model_construct(
        parameters=weights, weights_b=int(weights * bits / 8), file_b=weights, effective_bits=bits,
        kernel="native", weights="trained", weights_source="bf16", kv_bytes_per_token=size * 512,
    )  # fmt: skip


def _blocks(random: Random, step_s: float, tokens: int) -> tuple[Block, ...]:
    found, now = [], 0.0
    for _ in range(8):
        step = step_s * random.lognormvariate(0, 0.02)
        steps = tuple(5 * step + step * i for i in range(tokens))
        end = now + steps[-1]
        found.append(Block.model_construct(start_s=now, end_s=end, steps_s=steps, cpu_s=steps[-1]))
        now = end + 1e-4
    return tuple(found)


def _measurements(random: Random, workload: Any, size: int, bits: float) -> tuple[Measured, ...]:
    memory = size * 1e7 * bits / 8 * random.lognormvariate(0, 0.05)
    found = [_measured("peak_memory_b", "B", (memory,))]
    found.append(_measured("effective_bits", "bit", (bits,)))
    skill = 0.5 + 0.3 * random.random() - 0.5 / bits
    if workload.kind == "text":
        nats = tuple(300 * (1.2 - skill) * random.lognormvariate(0, 0.1) for _ in range(16))
        found.append(_measured("bits_per_byte", "bit/B", nats, (512.0,) * 16, "ratio"))
    if workload.kind == "tasks":
        right = tuple(float(random.random() < skill) for _ in range(32))
        found.append(_measured("accuracy", "ratio", right, None, "mean"))
    return tuple(found)


def _measured(
    metric: str, unit: str, samples: tuple[float, ...], weights: tuple[float, ...] | None = None,
    estimator: Literal["max", "mean", "ratio"] = "max",
) -> Measured:  # fmt: skip
    return Measured.model_construct(
        metric=metric, unit=unit, samples=samples, weights=weights, estimator=estimator,
        source="logits" if metric == "bits_per_byte" else "lm_eval" if metric == "accuracy" else
        "proc",
    )  # fmt: skip
