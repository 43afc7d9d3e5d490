from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from effmark.record import Block, Measured, Missing, Record, SuiteRef
from effmark.samples import Samples, estimate, metric_samples
from effmark.spec import Cell, Decode, Infer, ModelRef, Prefill
from effmark.stats import Estimate, TooFew


@pytest.fixture
def record() -> Callable[..., Record]:
    def make(
        workload: Decode | Prefill | Infer,
        blocks: tuple[Block, ...],
        *measured: Measured | Missing,
    ) -> Record:
        model = ModelRef(name="m", task="lm", kind="synthetic", sha256="ab" * 32)
        cell = Cell(model=model, adapter="null", precision="fp32", device="cpu", threads=1,
                    workload=workload, suite_sha256="cd" * 32)  # fmt: skip
        suite = SuiteRef(name="s", version=1, sha256="ef" * 32, profile="default")
        return Record(id="r", run_id="r", process_id="p", created="2026-01-01T00:00:00Z",
                      suite=suite, cell=cell, outcome="ok", blocks=blocks,
                      measurements=measured)  # fmt: skip

    return make


def _value(found: dict[str, Samples | Missing], name: str) -> float:
    samples = found[name]
    assert isinstance(samples, Samples)
    result = estimate(samples)
    assert isinstance(result, Estimate)
    return result.value


def test_decode_metrics_follow_their_definitions(record: Callable[..., Record]) -> None:
    block = Block(start_s=0, end_s=1.5, steps_s=(0.4, 0.6, 1.0), sequences=2, cpu_s=3.0,
                  instructions=600)  # fmt: skip
    found = metric_samples(record(Decode(prompt_tokens=10, new_tokens=3, batch=2), (block,)))
    expected = {
        "ttft_s": 0.4,
        "tpot_s": 0.3,
        "e2e_latency_s": 1.0,
        "output_token_throughput": 6.0,
        "decode_token_throughput": 2 * 2 / 0.6,
        "prefill_token_throughput": 2 * 10 / 0.4,
        "cpu_s_per_output_token": 0.5,
        "instructions_per_output_token": 100.0,
    }
    assert {name: _value(found, name) for name in expected} == pytest.approx(expected)
    itl = found["itl_s"]
    assert isinstance(itl, Samples)
    assert list(itl.values) == pytest.approx([0.2, 0.4])
    assert itl.groups == [0, 0]


def test_one_token_has_no_gap_and_says_so(record: Callable[..., Record]) -> None:
    block = Block(start_s=0, end_s=1, steps_s=(0.9,))
    found = metric_samples(record(Prefill(prompt_tokens=10), (block,)))
    for name in ("tpot_s", "itl_s", "decode_token_throughput", "tpot_p99_s"):
        missing = found[name]
        assert isinstance(missing, Missing)
        assert missing.reason == "undefined"
    assert _value(found, "ttft_s") == 0.9


def test_images_are_counted_per_block(record: Callable[..., Record]) -> None:
    blocks = tuple(
        Block(start_s=i, end_s=i + 0.5, steps_s=(0.5,), sequences=4, instructions=400)
        for i in range(8)
    )
    found = metric_samples(record(Infer(batch=4), blocks))
    assert _value(found, "latency_s") == 0.5
    assert _value(found, "image_throughput") == 8
    assert _value(found, "instructions_per_image") == 100
    missing = found["cpu_s_per_image"]
    assert isinstance(missing, Missing)
    assert missing.reason == "not_supported"


def test_a_percentile_without_enough_blocks_says_how_many_it_needs(
    record: Callable[..., Record],
) -> None:
    blocks = tuple(Block(start_s=i, end_s=i + 0.5 + i / 100, steps_s=(0.5,)) for i in range(10))
    samples = metric_samples(record(Infer(), blocks))["latency_p99_s"]
    assert isinstance(samples, Samples)
    assert estimate(samples) == TooFew(10, 368, "p99")


def test_a_clock_that_stands_still_gives_no_throughput(record: Callable[..., Record]) -> None:
    block = Block(start_s=0, end_s=0, steps_s=(0.0,))
    missing = metric_samples(record(Infer(), (block,)))["image_throughput"]
    assert isinstance(missing, Missing)
    assert missing.reason == "undefined"


def test_measurements_of_their_own_come_as_they_are(record: Callable[..., Record]) -> None:
    text = Measured(metric="bits_per_byte", unit="bit/B", samples=(8.0, 2.0), weights=(4.0, 1.0),
                    estimator="ratio", source="logits")  # fmt: skip
    right = Measured(metric="accuracy", unit="ratio", samples=(1.0, 0.0, 1.0, 1.0),
                     estimator="mean", source="lm_eval")  # fmt: skip
    peak = Measured(metric="peak_memory_b", unit="B", samples=(5.0, 9.0), estimator="max",
                    source="proc")  # fmt: skip
    absent = Missing(metric="device_memory_b", reason="not_present", detail="no accelerator")
    found = metric_samples(record(Decode(prompt_tokens=1, new_tokens=1), (), text, right, peak,
                                  absent))  # fmt: skip
    assert found["device_memory_b"] is absent
    assert _value(found, "bits_per_byte") == 2
    assert _value(found, "accuracy") == 0.75
    assert _value(found, "peak_memory_b") == 9
    accuracy = found["accuracy"]
    assert isinstance(accuracy, Samples)
    result = estimate(accuracy)
    assert isinstance(result, Estimate)
    assert result.method == "Wilson"
    assert set(found) == {"bits_per_byte", "accuracy", "peak_memory_b", "device_memory_b"}


def test_a_cost_of_which_nothing_came_is_infinite_and_not_an_error() -> None:
    found = estimate(Samples("cost_of_pass_j", [3.0, 4.0], [0.0, 0.0], "ratio", serial=False))
    assert isinstance(found, Estimate)
    assert (found.value, found.low) == (math.inf, None)
    assert "nothing came of it" in found.reason
