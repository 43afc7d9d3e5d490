from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from statistics import fmean, median

import pytest

from effmark.compare import calibrate
from effmark.compare.noise import against_noise, noise_of
from effmark.errors import SpecError
from effmark.gate import EXIT_CODES, gate, gate_json
from effmark.record import SCHEMA_VERSION, Advice, Record
from effmark.report.comparison import gate_markdown, gate_text
from effmark.stats.ranks import RankRatio

Make = Callable[..., Record]
Times = Callable[..., list[float]]

MARGIN, ALPHA = 0.02, 0.05


@pytest.fixture
def aa(make_record: Make, make_times: Times) -> Callable[[int, int, float], list[Record]]:
    """Return processes of equal work whose levels scatter by 1 %."""

    def make(seed: int, count: int, slower: float = 1.0) -> list[Record]:
        source = random.Random(seed)
        return [
            make_record(
                make_times(
                    100 * seed + i, n=12, scale=0.1 * slower * source.lognormvariate(0, 0.01)
                )
            )
            for i in range(count)
        ]

    return make


def test_exit_codes_are_those_of_the_contract() -> None:
    assert EXIT_CODES == {"pass": 0, "worse": 10, "undecided": 11, "not_comparable": 12}


def test_equal_work_passes_and_slower_work_does_not(
    aa: Callable[[int, int, float], list[Record]],
) -> None:
    calibration = calibrate(aa(1, 12, 1.0))
    passed = gate(aa(2, 3, 1.0), aa(3, 3, 1.0), 0.06, calibration=calibration)
    assert (passed.verdict, passed.exit_code) == ("pass", 0)
    worse = gate(aa(2, 3, 1.0), aa(3, 3, 1.2), 0.06, calibration=calibration)
    assert (worse.verdict, worse.exit_code) == ("worse", 10)
    faster = gate(aa(2, 3, 1.0), aa(3, 3, 0.8), 0.06, calibration=calibration)
    assert faster.exit_code == 0


def test_a_margin_below_the_noise_is_undecided_and_says_what_can_be_seen(
    aa: Callable[[int, int, float], list[Record]],
) -> None:
    calibration = calibrate(aa(1, 8, 1.0))
    result = gate(aa(2, 1, 1.0), aa(3, 1, 1.0), 0.005, calibration=calibration)
    assert (result.verdict, result.exit_code) == ("undecided", 11)
    assert "cannot see 0.5 % here, can see" in result.detail


def test_without_calibration_three_processes_a_side_are_the_least(
    aa: Callable[[int, int, float], list[Record]],
) -> None:
    alone = gate(aa(2, 1, 1.0), aa(3, 1, 2.0), metrics=["tpot_s"])
    assert alone.exit_code == 11
    assert "noise unknown" in alone.detail
    assert gate(aa(2, 3, 1.0), aa(3, 3, 2.0), metrics=["tpot_s"]).exit_code == 10


def test_what_does_not_compare_is_refused(
    aa: Callable[[int, int, float], list[Record]], make_record: Make
) -> None:
    for candidate in (
        make_record(outcome="crash", blocks=(), detail="died"),
        make_record(cpu="other"),
        make_record(precision="int4"),
    ):
        result = gate(aa(2, 1, 1.0), [candidate])
        assert (result.verdict, result.exit_code) == ("not_comparable", 12)
        assert result.checks == ()
    died = gate(aa(2, 1, 1.0), [make_record(outcome="crash", blocks=(), detail="died")])
    assert "crash: died" in died.detail


def test_invalid_records_are_refused_unless_told(
    aa: Callable[[int, int, float], list[Record]],
) -> None:
    why = Advice(code="throttled", severity="invalid", message="m", remedy="r")
    hot = [r.model_copy(update={"validity": "invalid", "advice": (why,)}) for r in aa(3, 3, 1.0)]
    refused = gate(aa(2, 3, 1.0), hot)
    assert refused.exit_code == 12
    assert "throttled" in refused.detail
    assert gate(aa(2, 3, 1.0), hot, 0.5, allow_invalid=True).exit_code == 0


def test_bad_requests_are_refused(
    aa: Callable[[int, int, float], list[Record]], make_record: Make
) -> None:
    one = aa(1, 1, 1.0)
    for margin in (0, -1, math.nan):
        with pytest.raises(SpecError, match="margin"):
            gate(one, one, margin)
    with pytest.raises(SpecError, match="no records"):
        gate([], one)
    with pytest.raises(SpecError, match="no direction"):
        gate(one, one, metrics=["flops_per_token"])
    with pytest.raises(SpecError, match=f"schema version {SCHEMA_VERSION + 1}"):
        gate(one, [make_record(schema_version=SCHEMA_VERSION + 1)])
    with pytest.raises(SpecError, match="one of each"):
        calibrate([*aa(1, 5, 1.0), make_record(precision="int4")])


def test_the_result_reads_as_json_text_and_markdown(
    aa: Callable[[int, int, float], list[Record]],
) -> None:
    result = gate(aa(2, 3, 1.0), aa(3, 3, 1.5))
    assert json.loads(json.dumps(gate_json(result), allow_nan=False))["exit_code"] == 10
    assert gate_text(result).startswith("worse:")
    assert "| TPOT |" in gate_markdown(result)


def test_false_alarms_on_simulated_noise_stay_below_the_stated_rate() -> None:
    alarms = found = 0
    for seed in range(2000):
        source = random.Random(seed)
        values = [source.lognormvariate(0, 0.03) for _ in range(16)]
        noise = noise_of("tpot_s", values[:10])
        test = against_noise(values[10:13], values[13:], noise, interleaved=True)
        alarms += test.p_above(1 + 1e-9) < ALPHA  # the hardest case: no margin at all
        slower = [v * 1.12 for v in values[13:]]
        found += (
            against_noise(values[10:13], slower, noise, interleaved=True).p_above(1 + MARGIN)
            < ALPHA
        )
    assert alarms / 2000 <= ALPHA + 2 * math.sqrt(ALPHA / 2000)
    assert found / 2000 >= 0.8  # and it does see what it should


@pytest.mark.parametrize("name", ["hashing", "interpreter", "memory", "objects"])
def test_false_alarms_on_recorded_noise_stay_below_the_stated_rate(name: str) -> None:
    path = Path(__file__).parents[2] / "data" / "noise" / f"{name}.json"
    processes = json.loads(path.read_text(encoding="utf-8"))["processes"]
    medians = [median(times) for times in processes]
    source = random.Random(1)
    ours, runs = 0, 1000
    for _ in range(runs):
        start = source.randrange(len(medians) - 15)
        noise = noise_of("tpot_s", medians[start : start + 10])
        turns = medians[start + 10 : start + 16]
        source.shuffle(turns)
        test = against_noise(turns[:3], turns[3:], noise, interleaved=True)
        ours += test.p_above(1 + MARGIN) < ALPHA
    pairs = [source.sample(processes, 2) for _ in range(100)]
    naive = fmean([float(RankRatio(a, b).p_above(1 + MARGIN) < ALPHA) for a, b in pairs])
    assert ours / runs <= ALPHA
    assert naive > 2 * ALPHA  # blocks of one process, as other tools compare them


def test_drift_between_sides_that_did_not_take_turns_counts() -> None:
    rising = [1 + 0.02 * i for i in range(16)]
    noise = noise_of("tpot_s", rising[:10])
    assert noise.drift > 0.5
    assert noise.error(3, 3) > 1.5 * noise.error(3, 3, interleaved=True)


def test_calibration_states_the_alarms_that_it_would_have_raised() -> None:
    source = random.Random(2)
    values = [source.lognormvariate(0, 0.05) for _ in range(20)]
    assert noise_of("tpot_s", values).false_alarm_rate(values, MARGIN) <= ALPHA
