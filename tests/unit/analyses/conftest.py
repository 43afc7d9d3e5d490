"""Fields of known numbers: configurations whose cost and quality are chosen by the test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from effmark.analyses.field import Field, fields
from effmark.record import Block, Measured, ModelFacts, Record
from effmark.rows import make_rows
from effmark.spec import Decode, Tasks, Workload

Make = Callable[..., Record]


def facts(weights_b: int = 4000, parameters: int = 1000, flops: float = 2000.0) -> ModelFacts:
    return ModelFacts(
        parameters=parameters, weights_b=weights_b, file_b=weights_b, effective_bits=8.0,
        kernel="native", weights="trained", weights_source="bf16", flops_per_unit=flops,
    )  # fmt: skip


def noisy_blocks(ttft_s: float, step_s: float, tokens: int, *, seed: str, noise: float = 0.02,
                 count: int = 20) -> tuple[Block, ...]:  # fmt: skip
    """Blocks whose median is about right and whose scatter is `noise`."""
    random, found = Random(seed), []
    for n in range(count):
        factor = 1 + noise * random.gauss()
        steps = tuple(factor * (ttft_s + step_s * i) for i in range(tokens))
        found.append(Block(start_s=100.0 * n, end_s=100.0 * n + steps[-1], steps_s=steps))
    return tuple(found)


@pytest.fixture
def timed(make_record: Make) -> Make:
    """A decode record of one configuration, one workload, with scatter."""

    def make(
        adapter: str, precision: str, step_s: float, *, workload: Workload | None = None,
        ttft_s: float = 0.1, noise: float = 0.02, model: str = "toy", **changes: Any,
    ) -> Record:  # fmt: skip
        asked = workload or Decode(prompt_tokens=8, new_tokens=16)
        tokens = asked.new_tokens if isinstance(asked, Decode) else 1
        seed = f"{adapter} {precision} {asked.label}"
        blocks = noisy_blocks(ttft_s, step_s, tokens, seed=seed, noise=noise)
        record = make_record(adapter=adapter, precision=precision, model=model, facts=facts())
        cell = record.cell.model_copy(update={"workload": asked})
        body = {"cell": cell, "id": f"{seed} {model}", "blocks": blocks, **changes}
        return record.model_copy(update=body)

    return make


@pytest.fixture
def asked(timed: Make) -> Make:
    """A tasks record of one configuration with the given answers."""

    def make(adapter: str, precision: str, answers: Sequence[float], **changes: Any) -> Record:
        measured = Measured(metric="accuracy", unit="ratio", samples=tuple(answers),
                            estimator="mean", source="lm_eval")  # fmt: skip
        body = {"blocks": (), "measurements": (measured,), **changes}
        return timed(adapter, precision, 0.0, workload=Tasks(name="quiz"), **body)

    return make


@pytest.fixture
def field_of() -> Callable[..., Field]:
    """The one field that records make."""

    def make(*records: Record) -> Field:
        (found,) = fields(make_rows(records))
        return found

    return make
