"""Records as a run would write them, made up for tests; never shown as results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import pytest

from effmark.record import (
    Advice,
    Block,
    EnergyReading,
    Environment,
    Measured,
    Measurement,
    Missing,
    ModelFacts,
    Record,
    StopVerdict,
    SuiteRef,
    Trace,
)
from effmark.rows import Row, make_rows
from effmark.spec import Cell, Decode, Infer, Labels, ModelRef, Prefill, Tasks, Text, Workload

SUITE = SuiteRef(name="llm-int4", version=1, sha256="5" * 64, profile="default")
BITS = {
    "fp32": 32.0,
    "bf16": 16.0,
    "f16": 16.0,
    "int8": 8.13,
    "q8_0": 8.5,
    "int4": 4.6,
    "q4_0": 4.9,
}
SPEED = {"torch": 1.0, "onnxruntime": 1.5, "openvino": 1.9, "llama-cpp": 2.1}
PRECISION_SPEED = {"fp32": 1.0, "bf16": 0.8, "f16": 1.5, "int8": 1.9, "q8_0": 2.0, "int4": 2.4,
                   "q4_0": 2.6}  # fmt: skip
LOSS = {"fp32": 0.0, "bf16": 0.0004, "f16": 0.0002, "int8": 0.003, "q8_0": 0.002, "int4": 0.06,
        "q4_0": 0.08}  # fmt: skip
CONFIG = {
    "vocab_size": 8192, "hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 6,
    "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 32,
    "tie_word_embeddings": True, "model_type": "llama", "hidden_act": "silu",
}  # fmt: skip
WORKLOADS: tuple[Workload, ...] = (
    Decode(prompt_tokens=32, new_tokens=64, batch=1),
    Decode(prompt_tokens=32, new_tokens=64, batch=4),
    Prefill(prompt_tokens=256),
    Text(name="austen", tokens=4096),
    Tasks(name="effmark_mini", limit=25),
)


def machine(host: str = "bench-1", cpu: str = "AMD EPYC 7763", **state: Any) -> Environment:
    return Environment(
        host=host,
        system="Linux 6.12",
        cpu=cpu,
        cores_count=2,
        memory_b=16 * 2**30,
        python="CPython 3.11.9",
        packages={"torch": "2.13.0", "onnxruntime": "1.31.1", "openvino": "2026.4.1"},
        git_revision="0123456789abcdef0123456789abcdef01234567",
        git_dirty=False,
        variables={"OMP_NUM_THREADS": "2"},
        state={"governor": "performance", **state},
        unknown={"temperature_c": "no thermal zone"},
    )


COST_AND_QUALITY = (WORKLOADS[0], WORKLOADS[3], WORKLOADS[4])

PEAKS: dict[str, Any] = {"peak_bandwidth_b_per_s": 2.1e10, "peak_flop_per_s": 1.4e11}


def facts(precision: str, parameters: int = 4_200_000, **changes: Any) -> ModelFacts:
    bits = BITS.get(precision, 32.0)
    size = int(parameters * bits / 8)
    fields: dict[str, Any] = {
        "parameters": parameters,
        "weights_b": size,
        "file_b": size + 4096,
        "effective_bits": bits,
        "kernel": "native",
        "weights": "trained",
        "weights_source": "bf16",
        "kv_bytes_per_token": 6144,
        "flops_per_unit": 2.0 * parameters,
        "context_tokens": 1024,
        "config": CONFIG,
        "quantisation": {"matrices": int(bits), "embedding": 8, "group_size": 32},
        "runtime": {"version": "1.0", "threads": 2},
    }
    return ModelFacts(**{**fields, **changes})


def generation_blocks(
    random: Random, step_s: float, prompt: int, new: int, batch: int, count: int
) -> list[Block]:
    clock, blocks = 0.0, []
    for _ in range(count):
        drift = 1 + random.gauss(0, 0.015)
        now, steps = step_s * (1 + prompt / 24) * drift, []
        for position in range(new):
            steps.append(now)
            now += step_s * drift * (1 + position / 900) * (1 + abs(random.gauss(0, 0.04)))
        blocks.append(
            Block(
                start_s=clock,
                end_s=clock + steps[-1] + 1e-5,
                steps_s=tuple(steps),
                sequences=batch,
                cpu_s=1.9 * steps[-1],
                instructions=int(9e8 * new),
                cycles=None,
            )
        )
        clock += steps[-1] + 2e-4
    return blocks


def energy(blocks: Sequence[Block], watts: float, source: str) -> tuple[EnergyReading, ...]:
    readings = []
    for group in range(0, len(blocks), max(1, len(blocks) // 6)):
        part = blocks[group : group + max(1, len(blocks) // 6)]
        start, end = part[0].start_s, part[-1].end_s
        tokens = float(sum(len(b.steps_s) * b.sequences for b in part))
        readings.append(
            EnergyReading(
                joules=watts * (end - start) * (1 + 0.01 * (group % 3)),
                source=source,
                scope="package",
                probe="rapl" if source == "hw_counter" else "codecarbon",
                device_id="cpu:0",
                start_s=start,
                end_s=end,
                units={"output_tokens": tokens, "requests": float(len(part))},
            )
        )
    return tuple(readings)


def traces(blocks: Sequence[Block]) -> tuple[Trace, ...]:
    """Return memory that grows with a gap in it, and power that wavers."""
    span = blocks[-1].end_s - blocks[0].start_s
    slots = 40
    memory = [None if i == 20 else 2.2e8 + 1e6 * i for i in range(slots)]
    power = [34.0 + (i % 5) for i in range(slots)]
    told = {"start_s": blocks[0].start_s, "slot_s": span / slots, "period_s": span / slots}
    return (
        Trace(quantity="memory_b", source="proc", keeps="max", values=tuple(memory), **told),
        Trace(quantity="power_w", source="rapl", keeps="mean", values=tuple(power), **told),
    )


def scalars(loaded: ModelFacts, random: Random) -> list[Measurement]:
    def one(metric: str, unit: str, value: float, source: str) -> Measured:
        return Measured(metric=metric, unit=unit, samples=(value,), source=source)

    return [
        one("load_s", "s", 0.4 + random.random(), "clock"),
        one("model_size_b", "B", float(loaded.weights_b), "tensors"),
        one("effective_bits", "bit", loaded.effective_bits, "tensors"),
        Measured(metric="peak_memory_b", unit="B", estimator="max", source="proc",
                 samples=(2.2e8 + loaded.weights_b * (1.4 + 0.1 * random.random()),)),
    ]  # fmt: skip


def quality(workload: Workload, precision: str, skill: float) -> list[Measurement]:
    """Return what quality a model of this skill shows; items are hard for all alike."""
    items, own = Random(workload.label), Random(f"{workload.label} {precision} {skill}")
    loss = LOSS.get(precision, 0.0)
    if isinstance(workload, Text):
        windows = workload.tokens // workload.context_tokens
        sizes = [items.uniform(850, 1150) for _ in range(windows)]
        bits = [
            size * (skill + loss + items.gauss(0, 0.12) + own.gauss(0, 0.0006)) for size in sizes
        ]
        tokens = tuple(256.0 for _ in sizes)
        return [
            Measured(metric="bits_per_byte", unit="bit/B", estimator="ratio", source="logits",
                     samples=tuple(bits), weights=tuple(sizes)),
            Measured(metric="perplexity", unit="ratio", estimator="exp_ratio", source="logits",
                     samples=tuple(0.6931 * b for b in bits), weights=tokens),
            Measured(metric="kl_divergence", unit="nat", estimator="ratio", source="logits",
                     samples=tuple(256 * (loss * 0.4 + abs(own.gauss(0, 1e-5))) for _ in sizes),
                     weights=tokens),
            Measured(metric="top1_agreement", unit="ratio", estimator="ratio", source="logits",
                     samples=tuple(256 * (1 - loss) - own.random() for _ in sizes),
                     weights=tokens),
        ]  # fmt: skip
    difficulty = [items.random() for _ in range(625)]
    right = tuple(float(d < 1.42 - 0.4 * skill - loss + own.gauss(0, 0.01)) for d in difficulty)
    return [
        Measured(metric="accuracy", unit="ratio", estimator="mean", source="lm_eval",
                 samples=right, group=tuple(f"task{i % 5}" for i in range(625)))
    ]  # fmt: skip


def record(
    model: str = "effmark-4m",
    adapter: str = "torch",
    precision: str = "fp32",
    workload: Workload = WORKLOADS[0],
    *,
    blocks: int = 24,
    step_s: float = 0.004,
    skill: float = 1.9,
    parameters: int = 4_200_000,
    energy_source: str = "hw_counter",
    environment: Environment | None = None,
    suite: SuiteRef = SUITE,
    fact_changes: dict[str, Any] | None = None,
    **changes: Any,
) -> Record:
    """Return a record; keywords that Record has replace its fields."""
    random = Random(f"{model} {adapter} {precision} {workload.label}")
    loaded = facts(precision, parameters, **(fact_changes or {}))
    step = step_s / SPEED.get(adapter, 1.0) / PRECISION_SPEED.get(precision, 1.0)
    measurements = scalars(loaded, random)
    timed: list[Block] = []
    if isinstance(workload, Decode | Prefill):
        new = workload.new_tokens if isinstance(workload, Decode) else 1
        slower = step * (1 + 0.4 * (workload.batch - 1))
        timed = generation_blocks(
            random, slower, workload.prompt_tokens, new, workload.batch, blocks + 3
        )
    elif isinstance(workload, Infer):
        timed = [
            Block(start_s=i * 0.002, end_s=i * 0.002 + 0.0015 * (1 + random.random() / 9),
                  steps_s=(), sequences=workload.batch, cpu_s=0.003)
            for i in range(blocks + 3)
        ]  # fmt: skip
    if isinstance(workload, Text | Tasks | Labels):
        measurements += quality(workload, precision, skill)
    steady = timed[3:]
    fields: dict[str, Any] = {
        "id": f"{random.getrandbits(128):032x}",
        "run_id": "a" * 32,
        "process_id": f"{model} {adapter} {precision}",
        "created": "2026-11-22T10:00:00+00:00",
        "suite": suite,
        "cell": Cell(
            model=ModelRef(name=model, task="lm", kind="hf", sha256=f"{hash_of(model):064x}"),
            adapter=adapter,
            adapter_version=f"effmark-adapters {adapter} 0.1.0",
            precision=precision,
            device="cpu",
            threads=2,
            workload=workload,
            suite_sha256=suite.sha256,
        ),
        "is_baseline": (adapter, precision) == ("torch", "fp32"),
        "outcome": "ok",
        "facts": loaded,
        "environment": environment or machine(**PEAKS),
        "measurements": tuple(measurements),
        "energy": energy(steady, 34.0, energy_source) if steady else (),
        "energy_missing": (),
        "traces": traces(steady) if steady else (),
        "warmup_blocks": tuple(timed[:3]),
        "blocks": tuple(steady),
        "stop": StopVerdict(rule="precision", rel_half_width=0.012, steady="reached"),
        "command": "effmark run llm-int4 --results results",
        "elapsed_s": 12.5,
    }
    return Record(**{**fields, **changes})


def hash_of(name: str) -> int:
    return sum(ord(c) * 257**i for i, c in enumerate(name[:20]))


def failed(outcome: str, detail: str, **where: Any) -> Record:
    """Return the record of a cell that gave no numbers."""
    return record(**where, outcome=outcome, detail=detail, blocks=0).model_copy(
        update={"blocks": (), "warmup_blocks": (), "energy": (), "measurements": (), "facts": None}
    )


def demo() -> list[Record]:
    """Return a results folder as the flagship suite leaves it: two models, four runtimes."""
    found = []
    combinations = [
        ("torch", "fp32"), ("torch", "bf16"), ("torch", "int8"), ("torch", "int4"),
        ("onnxruntime", "fp32"), ("onnxruntime", "int8"), ("onnxruntime", "int4"),
        ("openvino", "fp32"), ("openvino", "int8"), ("openvino", "int4"),
        ("llama-cpp", "f16"), ("llama-cpp", "q8_0"), ("llama-cpp", "q4_0"),
    ]  # fmt: skip
    for model, parameters, skill in (
        ("effmark-4m", 4_200_000, 1.9),
        ("effmark-1m", 1_100_000, 2.2),
    ):
        for adapter, precision in combinations:
            for workload in WORKLOADS if model == "effmark-4m" else COST_AND_QUALITY:
                found.append(
                    record(model, adapter, precision, workload, parameters=parameters, skill=skill,
                           step_s=0.004 * (parameters / 4.2e6) ** 0.7)
                )  # fmt: skip
    place: dict[str, Any] = {"model": "effmark-4m", "adapter": "openvino", "precision": "bf16"}
    found.append(failed("unsupported", "openvino has no bf16 on this CPU", **place))
    place = {"model": "effmark-1m", "adapter": "llama-cpp", "precision": "q8_0"}
    found.append(
        record(**place, workload=Text(name="austen", tokens=4096)).model_copy(
            update={
                "measurements": tuple(
                    Missing(metric=m, reason="not_supported",
                            detail="the wheel gives no log-probabilities; pip install "
                                   "'effmark[llama-cpp-native]'")
                    for m in ("bits_per_byte", "kl_divergence")
                )
            }
        )
    )  # fmt: skip
    for precision in ("fp32", "int4"):
        found += [
            record("default", "torch", precision, workload, parameters=134_000_000, step_s=0.04,
                   blocks=4, skill=1.1, energy_source="model_estimate",
                   fact_changes={"weights_source": "dequantised Q4_1"},
                   validity="suspect" if precision == "int4" else "valid",
                   advice=(
                       Advice(code="steal", severity="suspect",
                              message="3.1 % of the CPU time was stolen by the hypervisor",
                              remedy="measure on a machine without neighbours"),
                   ) if precision == "int4" else ())
            for workload in WORKLOADS
        ]  # fmt: skip
    found.append(record("effmark-4m", "torch", "random", fact_changes={"weights": "random"}))
    found.append(record("effmark-4m", "torch", "emulated", step_s=0.001,
                        fact_changes={"kernel": "emulated"}))  # fmt: skip
    found.append(record("effmark-4m", "torch", "broken", step_s=0.0001, validity="invalid",
                        advice=(Advice(code="clock", severity="invalid",
                                       message="the clock was throttled for 40 % of the window",
                                       remedy="cool the machine"),)))  # fmt: skip
    return found


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Record]:
    return record


@pytest.fixture(scope="session")
def make_failed() -> Callable[..., Record]:
    return failed


@pytest.fixture(scope="session")
def demo_records() -> list[Record]:
    return demo()


@pytest.fixture(scope="session")
def demo_rows(demo_records: list[Record]) -> list[Row]:
    return make_rows(demo_records)


@pytest.fixture
def other_machine() -> Environment:
    return machine("bench-2", "Intel Xeon 8481C")
