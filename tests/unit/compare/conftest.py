from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from effmark.record import Block, Environment, Measured, ModelFacts, Record, SuiteRef
from effmark.spec import Cell, Decode, ModelRef


def _blocks(times_s: Sequence[float], tokens: int) -> tuple[Block, ...]:
    """Return blocks whose tokens come at equal distances, the first one after one of them."""
    blocks, start = [], 0.0
    for time_s in times_s:
        steps = tuple(time_s * (i + 1) / tokens for i in range(tokens))
        blocks.append(
            Block(start_s=start, end_s=start + time_s, steps_s=steps, instructions=10_000 * tokens)
        )
        start += time_s
    return tuple(blocks)


@pytest.fixture
def make_record() -> Callable[..., Record]:
    count = iter(range(1_000_000))

    def make(times_s: Sequence[float] = (0.1,) * 12, tokens: int = 4, **changes: Any) -> Record:
        number = next(count)
        cell = Cell(
            model=ModelRef(name="m", task="lm", kind="synthetic", sha256="ab" * 32),
            adapter=changes.pop("adapter", "null"),
            precision=changes.pop("precision", "fp32"),
            device="cpu",
            threads=2,
            workload=changes.pop("workload", Decode(prompt_tokens=8, new_tokens=tokens)),
            suite_sha256="cd" * 32,
        )
        environment = Environment(
            host="h",
            system="Linux 6",
            cpu=changes.pop("cpu", "c"),
            cores_count=2,
            memory_b=1,
            python="3.11",
        )
        values: dict[str, Any] = {
            "id": f"r{number}",
            "run_id": "run",
            "process_id": f"p{number}",
            "created": "2026-01-01T00:00:00Z",
            "suite": SuiteRef(name="s", version=1, sha256="ef" * 32, profile="default"),
            "cell": cell,
            "outcome": "ok",
            "environment": environment,
            "blocks": _blocks(times_s, tokens),
        }
        return Record(**{**values, **changes})

    return make


@pytest.fixture
def make_times() -> Callable[..., list[float]]:
    def make(seed: int, n: int = 30, scale: float = 0.1, sigma: float = 0.02) -> list[float]:
        source = random.Random(seed)
        return [scale * source.lognormvariate(0, sigma) for _ in range(n)]

    return make


@pytest.fixture
def make_facts() -> Callable[..., ModelFacts]:
    def make(**changes: Any) -> ModelFacts:
        values: dict[str, Any] = {
            "parameters": 10,
            "weights_b": 40,
            "file_b": 40,
            "effective_bits": 32,
            "kernel": "native",
            "weights": "trained",
            "weights_source": "fp32",
        }
        return ModelFacts(**{**values, **changes})

    return make


@pytest.fixture
def make_accuracy() -> Callable[[Sequence[int]], Measured]:
    def make(right: Sequence[int]) -> Measured:
        return Measured(
            metric="accuracy",
            unit="ratio",
            samples=tuple(float(r) for r in right),
            estimator="mean",
            source="lm_eval",
            group=("task",) * len(right),
        )

    return make
