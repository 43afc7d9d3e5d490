from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from effmark.advice import advise
from effmark.record import (
    Block,
    EnergyReading,
    Environment,
    ModelFacts,
    Record,
    StopVerdict,
    SuiteRef,
)
from effmark.spec import Cell, Infer, ModelRef


@pytest.fixture
def record() -> Callable[..., Record]:
    def make(sigma: float = 0.01, n: int = 30, **changes: Any) -> Record:
        source, start, blocks = random.Random(1), 0.0, []
        for _ in range(n):
            time_s = source.lognormvariate(0, sigma)
            blocks.append(Block(start_s=start, end_s=start + time_s, steps_s=(time_s,)))
            start += time_s
        model = ModelRef(name="m", task="classifier", kind="synthetic", sha256="ab" * 32)
        cell = Cell(model=model, adapter="null", precision="fp32", device="cpu", threads=1,
                    workload=Infer(), suite_sha256="cd" * 32)  # fmt: skip
        state = changes.pop("state", {})
        environment = Environment(host="h", system="Linux", cpu="c", cores_count=2, memory_b=1,
                                  python="3.11", state=state)  # fmt: skip
        suite = SuiteRef(name="s", version=1, sha256="ef" * 32, profile="default")
        values: dict[str, Any] = {
            "id": "r", "run_id": "r", "process_id": "p", "created": "2026-01-01T00:00:00Z",
            "suite": suite, "cell": cell, "outcome": "ok", "environment": environment,
            "blocks": tuple(blocks), "stop": StopVerdict(rule="precision", steady="reached"),
        }  # fmt: skip
        return Record(**{**values, **changes})

    return make


def _codes(record: Record) -> list[tuple[str, str]]:
    return [(finding.code, finding.severity) for finding in advise(record)[1]]


def test_a_quiet_record_is_valid_without_advice(record: Callable[..., Record]) -> None:
    assert advise(record()) == ("valid", ())


@pytest.mark.parametrize(
    ("state", "code", "severity"),
    [
        ({"steal_ratio": 0.03}, "noisy_host", "suspect"),
        ({"foreign_cpu_ratio": 0.5}, "noisy_host", "suspect"),
        ({"throttle_s": 0.1}, "throttled", "invalid"),
        ({"clock_min_ratio": 0.7}, "throttled", "invalid"),
        ({"clock_change_ratio": 0.1}, "clock_changed", "suspect"),
        ({"quota_throttled_count": 3}, "cpu_quota", "invalid"),
        ({"foreign_pids_count": 1}, "shared_device", "invalid"),
        ({"mig": True}, "shared_device", "invalid"),
        ({"swap_in_b": 4096}, "swap_in_use", "suspect"),
        ({"device_exclusive": False}, "second_run", "suspect"),
        ({"governor": "powersave"}, "governor", "info"),
        ({"turbo": True}, "turbo", "info"),
    ],
)
def test_a_state_of_the_machine_is_named_with_its_remedy(
    record: Callable[..., Record], state: dict[str, Any], code: str, severity: str
) -> None:
    validity, findings = advise(record(state=state))
    assert [(f.code, f.severity) for f in findings] == [(code, severity)]
    assert validity == ("valid" if severity == "info" else severity)
    assert findings[0].remedy


@pytest.mark.parametrize(
    "state",
    [
        {"steal_ratio": 0.01, "psi_cpu_before_ratio": 0.5, "foreign_cpu_ratio": 0.01},
        {"throttle_s": 0, "clock_min_ratio": 0.99, "clock_change_ratio": 0.01},
        {"quota_throttled_count": 0, "foreign_pids_count": 0, "swap_in_b": 0},
        {"governor": "performance", "turbo": False, "mig": False},
        {"steal_ratio": "unknown"},
    ],
)
def test_a_quiet_or_unknown_state_gives_no_advice(
    record: Callable[..., Record], state: dict[str, Any]
) -> None:
    assert advise(record(state=state)) == ("valid", ())


def test_a_score_does_not_depend_on_a_busy_machine(record: Callable[..., Record]) -> None:
    score = record(blocks=(), state={"steal_ratio": 0.3, "throttle_s": 1.0})
    assert advise(score) == ("valid", ())


def test_blocks_tell_of_themselves(record: Callable[..., Record]) -> None:
    never = StopVerdict(rule="precision", steady="never_reached")
    assert _codes(record(stop=never)) == [("not_steady", "suspect")]
    assert _codes(record(n=5)) == [("too_few_samples", "suspect")]
    wide = record(sigma=0.6, stop=StopVerdict(rule="budget"))
    assert _codes(wide) == [("wide_spread", "suspect"), ("not_converged", "suspect")]
    stuck = (Block(start_s=0, end_s=0, steps_s=(0.0,)),) * 10
    assert _codes(record(blocks=stuck)) == [("below_clock_resolution", "invalid")]


def test_dependent_blocks_say_what_they_are_worth(record: Callable[..., Record]) -> None:
    source, level, start, blocks = random.Random(1), 0.0, 0.0, []
    for _ in range(300):
        level = 0.9 * level + source.gauss(0, 0.01)
        blocks.append(Block(start_s=start, end_s=start + 1 + level, steps_s=(1 + level,)))
        start += 1 + level
    assert ("dependent_samples", "info") in _codes(record(blocks=tuple(blocks)))


def test_emulation_and_random_weights_are_named(record: Callable[..., Record]) -> None:
    facts = ModelFacts(parameters=1, weights_b=4, file_b=4, effective_bits=32, kernel="emulated",
                       weights="random", weights_source="seed 0")  # fmt: skip
    assert _codes(record(facts=facts)) == [("emulated_kernel", "info"), ("random_weights", "info")]


@pytest.mark.parametrize(("check", "severity"), [(0.02, None), (-0.07, "info"), (0.2, "suspect")])
def test_estimates_and_disagreeing_sensors_are_named(
    record: Callable[..., Record], check: float, severity: str | None
) -> None:
    reading = EnergyReading(joules=1, source="model_estimate", scope="machine", probe="x",
                            device_id="0", start_s=0, end_s=1, cross_check_rel=check)  # fmt: skip
    expected = [("estimate_only", "info")]
    if severity:
        expected.append(("energy_cross_check", severity))
    assert _codes(record(energy=(reading,))) == expected


def test_a_failed_record_gets_no_advice_on_numbers(record: Callable[..., Record]) -> None:
    assert advise(record(outcome="crash", blocks=())) == ("valid", ())
