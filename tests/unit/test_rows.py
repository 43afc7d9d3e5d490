from __future__ import annotations

import json
import math
from collections.abc import Callable

import pytest

from effmark.metrics import METRICS
from effmark.record import EnergyReading, Environment, Measured, Missing, Record
from effmark.rows import Number, make_rows, row_json
from effmark.scores import architecture_from_config, decode_flops_per_token
from effmark.spec import Text

Make = Callable[..., Record]


def number(record: Record, name: str, *others: Record) -> Number:
    rows = make_rows([*others, record])
    found = rows[-1].metrics[name]
    assert isinstance(found, Number), found
    return found


def test_latencies_follow_their_definitions(make_record: Make) -> None:
    record = make_record(ttft_s=0.5, step_s=0.25, tokens=5)
    assert number(record, "ttft_s").value == 0.5
    assert number(record, "tpot_s").value == 0.25
    assert number(record, "e2e_latency_s").value == 1.5
    assert number(record, "output_token_throughput").value == pytest.approx(5 / 1.5)
    assert number(record, "decode_token_throughput").value == pytest.approx(4)
    assert number(record, "prefill_token_throughput").value == pytest.approx(8 / 0.5)


def test_one_token_has_no_tpot(make_record: Make) -> None:
    found = make_rows([make_record(tokens=1)])[0].metrics["tpot_s"]
    assert isinstance(found, Missing)
    assert found.reason == "undefined"


def test_a_percentile_without_enough_samples_says_how_many_it_needs(make_record: Make) -> None:
    found = make_rows([make_record(blocks=10)])[0].metrics["ttft_p99_s"]
    assert isinstance(found, Missing)
    assert found.reason == "too_few_samples"
    assert "368" in found.detail


def test_speed_up_and_compression_are_relative_to_the_baseline(make_record: Make) -> None:
    base = make_record(is_baseline=True)
    facts = base.facts
    assert facts is not None
    small = facts.model_copy(update={"weights_b": 1000, "effective_bits": 8.0})
    record = make_record(precision="int8", step_s=0.005, facts=small)
    assert number(record, "speedup", base).value == pytest.approx(2)
    assert number(record, "compression_ratio", base).value == 4


def test_energy_is_divided_by_what_was_done_in_its_window(make_record: Make) -> None:
    reading = EnergyReading(
        joules=10, source="hw_counter", scope="package", probe="p", device_id="0", start_s=0,
        end_s=2, units={"output_tokens": 5.0, "requests": 1.0},
    )  # fmt: skip
    record = make_record(energy=(reading,))
    assert number(record, "energy_j_per_output_token").value == 2
    assert number(record, "tokens_per_j").value == 0.5
    assert number(record, "mean_power_w").value == 5
    assert number(record, "energy_j_per_output_token").source == "hw_counter"


def test_an_estimate_is_used_only_where_nothing_was_measured(make_record: Make) -> None:
    body = {"probe": "p", "device_id": "0", "start_s": 0, "end_s": 1}
    units = {"output_tokens": 1.0}
    guess = EnergyReading(joules=99, source="model_estimate", scope="machine", units=units, **body)
    real = EnergyReading(joules=3, source="hw_counter", scope="package", units=units, **body)
    both = make_record(energy=(guess, real))
    assert number(both, "energy_j_per_output_token").value == 3
    alone = number(make_record(energy=(guess,)), "energy_j_per_output_token")
    assert (alone.value, alone.source) == (99, "model_estimate")


def test_scopes_are_never_summed(make_record: Make) -> None:
    body = {"probe": "p", "device_id": "0", "start_s": 0, "end_s": 1, "source": "hw_counter"}
    units = {"output_tokens": 10.0}
    readings = tuple(
        EnergyReading(joules=joules, scope=scope, units=units, **body)
        for scope, joules in (("package", 100.0), ("dram", 20.0), ("psys", 150.0))
    )
    record = make_record(energy=readings)
    assert number(record, "energy_j_per_output_token").value == 10


def test_no_energy_is_missing_with_its_reason(make_record: Make) -> None:
    why = Missing(metric="energy", reason="not_permitted", detail="rapl: mode 0400")
    found = make_rows([make_record(energy_missing=(why,))])[0].metrics["energy_j_per_output_token"]
    assert found == Missing(metric="energy_j_per_output_token", reason="not_permitted",
                            detail="rapl: mode 0400")  # fmt: skip


def test_information_capacity_comes_from_the_text_and_the_architecture(make_record: Make) -> None:
    config = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
              "intermediate_size": 128, "vocab_size": 256}  # fmt: skip
    base = make_record()
    assert base.facts is not None
    bits = Measured(metric="bits_per_byte", unit="bit/B", samples=(40.0, 44.0),
                    weights=(10.0, 11.0), estimator="ratio", source="logits")  # fmt: skip
    nats = Measured(metric="perplexity", unit="ratio", samples=(27.7, 30.5),
                    weights=(4.0, 4.0), estimator="exp_ratio", source="logits")  # fmt: skip
    record = make_record(
        facts=base.facts.model_copy(update={"config": config}),
        cell=base.cell.model_copy(update={"workload": Text(name="austen", tokens=9)}),
        blocks=0, measurements=(bits, nats),
    )  # fmt: skip
    assert number(record, "bits_per_byte").value == pytest.approx(4)
    found = number(record, "information_capacity")
    log2_flops = math.log2(decode_flops_per_token(architecture_from_config(config), 1024))
    # text: mean over windows of 8 x 10 / 4 and 8 x 11 / 4 bits; model: 84 bits on 8 tokens
    assert found.value == pytest.approx((21 - 10.5) / log2_flops)
    assert found.method.startswith("no bias 0; text austen t9 c128, FLOPs over 1024 tokens;")
    biased = number(record, "information_capacity_biased")
    assert biased.value == pytest.approx((21 - 10.5 - 27) / log2_flops)
    assert biased.method.startswith("authors' bias 'other' -27; text austen t9 c128,")
    theirs = record.cell.model_copy(update={"workload": Text(name="data/mixed.txt", tokens=9)})
    biased = number(record.model_copy(update={"cell": theirs}), "information_capacity_biased")
    assert biased.value == pytest.approx((21 - 10.5 - 24) / log2_flops)


def test_published_rows_hold_every_number_or_its_reason(make_record: Make) -> None:
    rows = make_rows([make_record(blocks=10)])
    published = row_json(rows[0])
    assert {"model", "adapter", "precision", "workload", "device", "outcome", "validity"} <= set(
        published
    )
    for name, found in published["metrics"].items():
        assert name in METRICS
        assert set(found) >= {"missing", "detail"} or set(found) >= {
            "value", "low", "high", "unit", "n", "source",
        }  # fmt: skip
    json.dumps(published, allow_nan=False)


def test_a_failed_cell_keeps_its_row(make_record: Make) -> None:
    row = make_rows([make_record(outcome="oom", detail="did not fit", blocks=0)])[0]
    assert row_json(row)["outcome"] == "oom"
    assert row_json(row)["detail"] == "did not fit"


def test_machines_are_never_mixed(make_record: Make) -> None:
    def machine(cpu: str) -> Environment:
        return Environment(
            host="h", system="Linux", cpu=cpu, cores_count=2, memory_b=1, python="CPython 3.11"
        )

    slow, fast = machine("slow"), machine("fast")
    rows = make_rows(
        [
            make_record(id="1", is_baseline=True, step_s=0.04, environment=slow),
            make_record(id="2", is_baseline=True, step_s=0.01, environment=fast),
            make_record(id="3", precision="int8", step_s=0.02, environment=slow),
        ]
    )
    assert len(rows) == 3
    found = next(row for row in rows if row.record.id == "3").number("speedup")
    assert found is not None
    assert found.value == pytest.approx(2)


def test_a_failed_process_is_not_hidden_by_a_good_one(make_record: Make) -> None:
    good = make_record(id="good")
    again = good.cell.model_copy(update={"repetition": 1})
    bad = make_record(id="bad", cell=again, outcome="crash", detail="SIGSEGV", blocks=0)
    for order in ([good, bad], [bad, good]):
        row = row_json(make_rows(order)[0])
        assert (row["outcome"], row["detail"]) == ("crash", "SIGSEGV")
        assert row["metrics"]["tpot_s"]["n"] == 20


def test_what_differs_between_processes_is_in_the_interval(make_record: Make) -> None:
    records = [
        make_record(
            id=str(n),
            step_s=step_s,
            cell=make_record().cell.model_copy(update={"repetition": n}),
        )
        for n, step_s in enumerate((0.010, 0.011, 0.012))
    ]
    found = make_rows(records)[0].number("tpot_s")
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.010 < 0.012 < found.high
    assert "3 processes" in found.method
