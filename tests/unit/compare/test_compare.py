from __future__ import annotations

import itertools
import json
import random
from collections.abc import Callable, Sequence

import pytest

from effmark.compare import MetricComparison, calibrate, comparable, compare_records
from effmark.compare.comparison import comparison_json
from effmark.errors import SpecError
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


def test_slower_is_worse_and_faster_is_better(make_record: Make, make_times: Times) -> None:
    a, b = make_record(make_times(1)), make_record(make_times(2, scale=0.11))
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
    a, b = (make_record(make_times(seed, n=200, sigma=0.01)) for seed in (1, 2))
    assert _row(a, b).verdict == "same"
    few = _row(make_record(make_times(1, n=8)), make_record(make_times(2, n=8)), margin=0.005)
    assert few.verdict == "undecided"
    assert few.more is not None
    assert few.more > 0


def test_so_many_more_samples_do_decide(make_record: Make, make_times: Times) -> None:
    decided = 0
    for seed in range(20):
        few = _row(make_record(make_times(seed, n=10)), make_record(make_times(seed + 100, n=10)))
        if few.verdict != "undecided" or few.more is None:
            decided += 1
            continue
        n = 10 + 2 * few.more
        more = _row(make_record(make_times(seed, n=n)), make_record(make_times(seed + 100, n=n)))
        decided += more.verdict != "undecided"
    assert decided >= 15


def test_equal_records_are_never_better_or_worse(make_record: Make, make_times: Times) -> None:
    wrong = 0
    for seed in range(200):
        a, b = make_record(make_times(2 * seed, n=20)), make_record(make_times(2 * seed + 1, n=20))
        compared = compare_records(a, b, metrics=["ttft_s", "tpot_s", "output_token_throughput"])
        wrong += any(m.verdict in ("better", "worse") for m in compared.metrics)
    assert wrong <= 0.05 * 200 + 6  # 5 % and two standard errors


def test_three_samples_cannot_give_a_verdict_and_say_so(make_record: Make) -> None:
    row = _row(make_record([0.1, 0.101, 0.102]), make_record([0.2, 0.201, 0.202]))
    assert row.verdict == "undecided"
    assert (row.low, row.high) == (None, None)
    assert any("p below" in note for note in row.notes)


def test_one_sample_is_missing_and_constant_samples_are_exact(make_record: Make) -> None:
    compared = compare_records(make_record([0.1]), make_record([0.2]), metrics=["tpot_s"])
    assert [m.reason for m in compared.missing] == ["one sample a side; run more processes"]
    assert _row(make_record([0.1] * 10), make_record([0.1] * 10)).verdict == "same"
    assert _row(make_record([0.1] * 10), make_record([0.2] * 10)).verdict == "worse"


def test_interleaved_blocks_are_paired_and_see_through_drift(
    make_record: Make, make_times: Times
) -> None:
    load = [1 + 0.5 * (i % 20) / 20 for i in range(40)]
    a = make_record([t * x for t, x in zip(make_times(1, n=40, sigma=0.005), load, strict=True)])
    b = make_record(
        [1.03 * t * x for t, x in zip(make_times(2, n=40, sigma=0.005), load, strict=True)]
    )
    paired, unpaired = _row(a, b, paired=True), _row(a, b)
    assert (paired.verdict, unpaired.verdict) == ("worse", "undecided")
    assert paired.per == "pair"
    assert paired.low is not None
    assert paired.high is not None
    if unpaired.low is not None and unpaired.high is not None:
        assert unpaired.high - unpaired.low > 2 * (paired.high - paired.low)


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


def test_calibrated_noise_keeps_one_process_from_a_false_verdict(
    make_record: Make, make_times: Times
) -> None:
    levels = random.Random(3)
    runs = [
        make_record(make_times(i, scale=0.1 * levels.lognormvariate(0, 0.05))) for i in range(12)
    ]
    wild = [compare_records(x, y, metrics=["tpot_s"]) for x, y in itertools.pairwise(runs)]
    calibration = calibrate(runs)
    tame = [
        compare_records(x, y, metrics=["tpot_s"], calibration=calibration)
        for x, y in itertools.pairwise(runs)
    ]
    assert sum(c.verdict("tpot_s") in ("better", "worse") for c in wild) >= 6
    assert sum(c.verdict("tpot_s") in ("better", "worse") for c in tame) <= 1
    noise = calibration.of("tpot_s")
    assert noise is not None
    assert noise.floor_ratio(1) > noise.floor_ratio(4) > 0
    assert noise.detectable_ratio(1, 0.02) > noise.detectable_ratio(4, 0.02) > 0.02


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
    a, b = make_record(make_times(1, n=200)), make_record(make_times(2, n=200, scale=0.12))
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
    forced = compare_records(a, b, allow=["device_class"])
    assert forced.verdict("tpot_s") == "same"


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
    compared = compare_records(make_record(make_times(1)), make_record(make_times(2, scale=0.11)))
    assert json.loads(json.dumps(comparison_json(compared), allow_nan=False))["margin"] == 0.02
    text, markdown = comparison_text(compared), comparison_markdown(compared)
    assert "worse" in text
    assert "within 2 %" in text
    assert markdown.startswith("<!-- effmark -->")
    assert "| TPOT |" in markdown
