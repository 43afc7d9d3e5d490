from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effmark.compare import MetricComparison, calibrate, comparable, compare_records
from effmark.compare.comparison import comparison_json
from effmark.compare.units import process_value
from effmark.errors import SpecError
from effmark.gate import gate
from effmark.metrics import METRICS
from effmark.record import Environment, Measured, ModelFacts, Record
from effmark.report.comparison import comparison_markdown, comparison_text
from effmark.spec import Prefill

Make = Callable[..., Record]
Times = Callable[..., list[float]]


def _row(a: Record | Sequence[Record], b: Record | Sequence[Record], name: str = "tpot_s",
         margin: float = 0.02, paired: bool = False) -> MetricComparison:  # fmt: skip
    compared = compare_records(a, b, margin, metrics=[name], paired=paired)
    assert [m.metric for m in compared.metrics] == [name], compared.missing
    return compared.metrics[0]


def _processes(make_record: Make, make_times: Times, seed: int, count: int = 4, **told: float
               ) -> list[Record]:  # fmt: skip
    """Return records of several processes, each a little off, as processes are."""
    levels = random.Random(seed)
    scale = told.pop("scale", 0.1)
    return [
        make_record(make_times(levels.random(), scale=scale * levels.lognormvariate(0, 0.01)))
        for _ in range(count)
    ]


def test_slower_is_worse_and_faster_is_better(make_record: Make, make_times: Times) -> None:
    a = _processes(make_record, make_times, 1)
    b = _processes(make_record, make_times, 2, scale=0.11)
    assert _row(a, b).verdict == "worse"
    assert _row(b, a).verdict == "better"
    assert _row(a, b, "output_token_throughput").verdict == "worse"
    row = _row(a, b)
    assert row.low is not None
    assert row.high is not None
    assert row.low < 1.1 < row.high


def test_same_needs_proof_and_little_data_is_undecided(
    make_record: Make, make_times: Times
) -> None:
    a, b = (_processes(make_record, make_times, seed, count=12) for seed in (1, 2))
    assert _row(a, b).verdict == "same"
    few = _row(a[:3], b[:3], margin=0.005)
    assert few.verdict == "undecided"
    assert few.more is not None
    assert few.more > 0


def test_so_many_more_processes_do_decide(make_record: Make, make_times: Times) -> None:
    decided = 0
    for seed in range(20):
        sides = [_processes(make_record, make_times, 2 * seed + i, count=40) for i in (0, 1)]
        few = _row(sides[0][:3], sides[1][:3])
        if few.verdict == "undecided" and few.more is not None:
            n = 3 + 2 * few.more
            few = _row(sides[0][:n], sides[1][:n])
        decided += few.verdict != "undecided"
    assert decided >= 15


def test_equal_sides_are_never_better_or_worse(make_record: Make, make_times: Times) -> None:
    """A/A with what differs between processes larger than what differs within them."""
    wrong, cases = 0, 200
    for seed in range(cases):
        levels = random.Random(seed)
        sides = [
            [
                make_record(make_times(levels.random(), n=8, scale=levels.lognormvariate(-2, 0.1)))
                for _ in range(3)
            ]
            for _ in range(2)
        ]
        compared = compare_records(
            sides[0], sides[1], metrics=["ttft_s", "tpot_s", "output_token_throughput"]
        )
        wrong += any(m.verdict in ("better", "worse") for m in compared.metrics)
    assert wrong <= 0.05 * cases + 6  # 5 % and two standard errors


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_one_or_two_processes_a_side_decide_nothing_and_say_what_would(
    make_record: Make, make_times: Times, count: int, paired: bool
) -> None:
    a, b = (
        [make_record(make_times(seed + i, n=40, scale=scale)) for i in range(count)]
        for seed, scale in ((1, 0.1), (50, 0.3))
    )
    compared = compare_records(a, b, paired=paired)
    assert len(compared.metrics) > 5
    for row in compared.metrics:
        assert (row.verdict, row.p, row.more) == ("undecided", None, None)
        assert "--repetitions 3" in row.notes[-1]
        assert "gate --calibrate" in row.notes[-1]
        assert row.low is not None
        assert row.low <= row.ratio <= (row.high or 0)
    text = comparison_text(compared)
    assert "decide nothing" in text
    assert "more blocks would decide" not in text
    assert gate(a, b).verdict == "undecided"


def test_one_process_a_side_decides_what_is_no_matter_of_chance(make_record: Make) -> None:
    small, large = (
        make_record(measurements=(Measured(metric="model_size_b", unit="B", samples=(size,),
                                           source="tensors"),))
        for size in (100.0, 400.0)
    )  # fmt: skip
    assert _row(small, large, "model_size_b").verdict == "worse"


def test_one_sample_is_missing(make_record: Make) -> None:
    compared = compare_records(make_record([0.1]), make_record([0.2]), metrics=["tpot_s"])
    assert [m.reason for m in compared.missing] == ["one sample a side; run more processes"]


def test_constant_processes_are_exact(make_record: Make) -> None:
    a, b = ([make_record([step] * 4) for _ in range(3)] for step in (0.1, 0.2))
    assert _row(a, a).verdict == "same"
    assert _row(a, b).verdict == "worse"


def test_interleaved_blocks_are_paired_and_see_through_drift(
    make_record: Make, make_times: Times
) -> None:
    load = [1 + 0.5 * (i % 20) / 20 for i in range(40)]
    a = make_record([t * x for t, x in zip(make_times(1, n=40, sigma=0.005), load, strict=True)])
    b = make_record(
        [1.03 * t * x for t, x in zip(make_times(2, n=40, sigma=0.005), load, strict=True)]
    )
    for name in ("e2e_latency_s", "output_token_throughput"):
        paired, unpaired = _row(a, b, name, paired=True), _row(a, b, name)
        assert paired.per == "pair"
        assert paired.low is not None
        assert paired.high is not None
        assert unpaired.low is not None
        assert unpaired.high is not None
        assert unpaired.high - unpaired.low > 2 * (paired.high - paired.low), name
        assert not paired.low <= 1 <= paired.high


def test_several_processes_are_the_unit(make_record: Make, make_times: Times) -> None:
    wrong = 0
    for seed in range(40):
        levels = random.Random(seed)
        a, b = (
            [
                make_record(make_times(i, n=8, scale=0.1 * levels.lognormvariate(0, 0.05)))
                for i in range(4)
            ]
            for _ in range(2)
        )
        row = _row(a, b)
        assert (row.per, row.n_a, row.n_b) == ("process", 4, 4)
        wrong += row.verdict in ("better", "worse")
    assert wrong <= 5  # 5 % of 40, and two standard errors


def test_calibrated_noise_lets_one_process_decide_what_is_larger(
    make_record: Make, make_times: Times
) -> None:
    levels = random.Random(3)
    runs = [
        make_record(make_times(i, scale=0.1 * levels.lognormvariate(0, 0.05))) for i in range(12)
    ]
    calibration = calibrate(runs)
    tame = [
        compare_records(x, y, metrics=["tpot_s"], calibration=calibration)
        for x, y in itertools.pairwise(runs)
    ]
    assert sum(c.verdict("tpot_s") in ("better", "worse") for c in tame) <= 1
    slow = make_record(make_times(99, scale=0.2))
    found = compare_records(runs[0], slow, metrics=["tpot_s"], calibration=calibration)
    assert found.verdict("tpot_s") == "worse"
    noise = calibration.of("tpot_s")
    assert noise is not None
    assert noise.floor_ratio(1) > noise.floor_ratio(4) > 0
    assert noise.detectable_ratio(1, 0.02) > noise.detectable_ratio(4, 0.02) > 0.02


def _uneven(draw: random.Random, make_record: Make, tokens: int) -> Record:
    """Return a record whose blocks differ widely: a typical block says little of the sums."""
    times = [
        draw.lognormvariate(-2, draw.choice([0.05, 0.5, 1.5])) for _ in range(draw.randint(2, 25))
    ]
    cpu = [draw.choice([None, 0.0, 1.0]) for _ in times] if draw.random() < 0.3 else None
    record = make_record(times, tokens=tokens)
    blocks = [
        block.model_copy(update={
            "cpu_s": draw.lognormvariate(-2, 2) if cpu is None else cpu[i],
            "instructions": draw.randint(1, 10**9),
        })
        for i, block in enumerate(record.blocks)
    ]  # fmt: skip
    peak = Measured(metric="peak_memory_b", unit="B", samples=(draw.uniform(1e6, 1e9),),
                    estimator="max", source="proc")  # fmt: skip
    nats = tuple(draw.uniform(1, 9) for _ in range(draw.choice([5, 6])))
    told = [
        Measured(metric=name, unit=METRICS[name].unit, samples=nats, estimator=form,
                 weights=(2.0,) * len(nats), source="logits")
        for name, form in (("bits_per_byte", "ratio"), ("perplexity", "exp_ratio"))
    ]  # fmt: skip
    return record.model_copy(update={"blocks": tuple(blocks), "measurements": (peak, *told)})


@settings(max_examples=150, deadline=None, derandomize=True, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(seed=st.integers(0, 2**32))
def test_what_is_shown_is_what_is_tested(seed: int, make_record: Make) -> None:
    draw = random.Random(seed)
    count, tokens = draw.choice([1, 1, 2, 3, 4]), draw.randint(2, 5)
    a, b = ([_uneven(draw, make_record, tokens) for _ in range(count)] for _ in range(2))
    names = [n for n, row in METRICS.items() if row.direction != "none"]
    calibration = calibrate([_uneven(draw, make_record, tokens) for _ in range(5)])
    known = calibration if draw.random() < 0.3 else None
    compared = compare_records(a, b, metrics=names, paired=draw.random() < 0.3, calibration=known)
    json.dumps(comparison_json(compared), allow_nan=False)
    assert compared.metrics
    for row in compared.metrics:
        assert row.ratio == pytest.approx(row.b / row.a, rel=1e-12)
        for side, value in ((a, row.a), (b, row.b)):
            shown = [process_value(record, row.metric) or 0.0 for record in side]
            assert min(shown) * (1 - 1e-9) <= value <= max(shown) * (1 + 1e-9)
        if row.low is not None and row.high is not None:
            assert row.low <= row.ratio * (1 + 1e-9)
            assert row.ratio <= row.high * (1 + 1e-9)
        if row.verdict in ("better", "worse"):
            assert (row.verdict == "better") == ((row.b < row.a) == (row.direction == "lower"))
            assert row.per in ("process", "item", "exact")
        if row.verdict == "same":
            assert 1 / 1.02 <= row.b / row.a <= 1.02


def test_sums_are_compared_as_sums(make_record: Make) -> None:
    """Throughput halved by a few long blocks is no `same`, though the typical block is equal."""
    draw = random.Random(4)
    steady = [[0.1 * draw.lognormvariate(0, 0.002) for _ in range(40)] for _ in range(8)]
    stalls = [[*times[:36], 1.0, 1.1, 1.2, 1.0] for times in steady[4:]]
    a = [make_record(times) for times in steady[:4]]
    b = [make_record(times) for times in stalls]
    row = _row(a, b, "output_token_throughput")
    assert row.b / row.a == pytest.approx(row.ratio)
    assert row.ratio < 0.55
    assert row.verdict == "worse"
    assert _row(a, b, "e2e_latency_s").verdict == "same"


def test_accuracy_on_shared_items_is_paired(
    make_record: Make, make_accuracy: Callable[[Sequence[int]], Measured]
) -> None:
    base = [1, 0] * 40
    better = [1] * 12 + base[12:]
    a, b = (make_record(measurements=(make_accuracy(x),)) for x in (base, better))
    row = _row(a, b, "accuracy")
    assert (row.test, row.per, row.n_a) == ("McNemar", "item", 80)
    assert row.p == pytest.approx(2 / 2**6)
    assert row.verdict == "better"
    assert _row(a, a, "accuracy").verdict == "same"


def test_items_that_are_not_shared_are_not_compared(
    make_record: Make, make_accuracy: Callable[[Sequence[int]], Measured]
) -> None:
    a, b = (make_record(measurements=(make_accuracy([1] * n),)) for n in (30, 31))
    compared = compare_records(a, b, metrics=["accuracy"])
    assert [m.reason for m in compared.missing] == ["items differ: 30 and 31"]


def test_no_right_answer_gives_no_ratio(
    make_record: Make, make_accuracy: Callable[[Sequence[int]], Measured]
) -> None:
    a, b = (make_record(measurements=(make_accuracy([x] * 20),)) for x in (0, 1))
    compared = compare_records(a, b, metrics=["accuracy"])
    assert "above 0" in compared.missing[0].reason


def _text(metric: str, estimator: str, samples: Sequence[float]) -> Measured:
    return Measured.model_validate(
        {
            "metric": metric, "unit": METRICS[metric].unit, "samples": tuple(samples),
            "weights": (100.0,) * len(samples), "estimator": estimator, "source": "logits",
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "estimator"), [("bits_per_byte", "ratio"), ("perplexity", "exp_ratio")]
)
def test_chunks_of_a_text_are_paired(make_record: Make, metric: str, estimator: str) -> None:
    source = random.Random(1)
    nats = [source.uniform(100, 300) for _ in range(30)]
    worse = [n * source.uniform(1.02, 1.04) for n in nats]
    a, b = (make_record(measurements=(_text(metric, estimator, x),)) for x in (nats, worse))
    row = _row(a, b, metric)
    assert row.per == "item"
    assert row.verdict == "worse"
    assert row.low is not None
    assert row.low > 1.01


def test_counted_numbers_compare_exactly(make_record: Make) -> None:
    a, b = (
        make_record(
            measurements=(
                Measured(metric="model_size_b", unit="B", samples=(size,), source="tensors"),
            )
        )
        for size in (100.0, 50.0)
    )
    row = _row(a, b, "model_size_b")
    assert (row.verdict, row.p, row.test) == ("better", None, "exact")
    assert _row(a, a, "model_size_b").verdict == "same"


def test_a_percentile_is_compared_where_it_is_asked_for(
    make_record: Make, make_times: Times
) -> None:
    a, b = (
        [make_record(make_times(i, n=200, scale=scale)) for i in range(3)] for scale in (0.1, 0.12)
    )
    assert _row(a, b, "e2e_latency_p90_s").verdict == "worse"
    assert compare_records(a, b).verdict("e2e_latency_p90_s") is None


@pytest.mark.parametrize(
    ("changes", "field", "scope"),
    [
        ({"workload": Prefill(prompt_tokens=8)}, "workload", "all"),
        ({"cpu": "other"}, "device_class", "speed"),
        ({"outcome": "crash"}, "outcome", "all"),
        ({"adapter": "sleep"}, "adapter", "subject"),
        ({"precision": "int4"}, "precision", "subject"),
    ],
)
def test_a_differing_field_is_named(
    make_record: Make, changes: dict[str, object], field: str, scope: str
) -> None:
    found = comparable(make_record(), make_record(**changes))
    assert (field, scope) in [(d.field, d.scope) for d in found]


def test_equal_records_have_no_differences(make_record: Make) -> None:
    assert comparable(make_record(), make_record()) == ()


def test_a_failed_baseline_is_refused(make_record: Make) -> None:
    compared = compare_records(make_record(outcome="oom", blocks=()), make_record())
    assert compared.metrics == ()
    assert [(d.field, d.a) for d in compared.refused] == [("outcome", "oom")]
    assert "not comparable" in comparison_text(compared)


def test_another_machine_spoils_speed_only(
    make_record: Make, make_accuracy: Callable[[Sequence[int]], Measured]
) -> None:
    accuracy = make_accuracy([1, 0] * 20)
    a, b = make_record(measurements=(accuracy,)), make_record(measurements=(accuracy,), cpu="x")
    compared = compare_records(a, b)
    assert [m.metric for m in compared.metrics] == ["accuracy"]
    assert all("device_class" in m.reason for m in compared.missing)
    forced = compare_records([a] * 3, [b] * 3, allow=["device_class"])
    assert forced.verdict("tpot_s") == "undecided"


def test_emulated_kernels_spoil_speed(
    make_record: Make, make_facts: Callable[..., ModelFacts]
) -> None:
    a, b = make_record(facts=make_facts()), make_record(facts=make_facts(kernel="emulated"))
    assert ("facts.kernel", "speed") in [(d.field, d.scope) for d in comparable(a, b)]


def test_an_unknown_machine_does_not_compare(make_record: Make) -> None:
    found = comparable(make_record(environment=None), make_record())
    assert [d.field for d in found] == ["environment"]
    assert isinstance(make_record().environment, Environment)


@pytest.mark.parametrize("margin", [0.0, -0.1, 1.0, float("nan")])
def test_a_bad_margin_is_refused(make_record: Make, margin: float) -> None:
    with pytest.raises(SpecError, match="margin"):
        compare_records(make_record(), make_record(), margin)


def test_bad_requests_are_refused(make_record: Make) -> None:
    with pytest.raises(SpecError, match="alpha"):
        compare_records(make_record(), make_record(), alpha=0)
    with pytest.raises(SpecError, match="no records"):
        compare_records([], make_record())
    with pytest.raises(SpecError, match="unknown"):
        compare_records(make_record(), make_record(), metrics=["speed"])
    with pytest.raises(SpecError, match="schema version 99"):
        compare_records(make_record(schema_version=99), make_record())
    with pytest.raises(SpecError, match="several cells"):
        compare_records([make_record(), make_record(precision="int4")], make_record())
    with pytest.raises(SpecError, match="wants 5 or more"):
        calibrate([make_record()] * 3)


def test_a_comparison_reads_as_json_text_and_markdown(make_record: Make, make_times: Times) -> None:
    a, b = ([make_record(make_times(i, scale=scale)) for i in range(3)] for scale in (0.1, 0.11))
    compared = compare_records(a, b)
    assert json.loads(json.dumps(comparison_json(compared), allow_nan=False))["margin"] == 0.02
    text, markdown = comparison_text(compared), comparison_markdown(compared)
    assert "worse" in text
    assert "within 2 %" in text
    assert markdown.startswith("<!-- effmark -->")
    assert "| TPOT |" in markdown
