from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effmark.compare.differences import comparable
from effmark.errors import SpecError
from effmark.exchange.entries import Choice
from effmark.exchange.exporting import export_files
from effmark.exchange.importing import foreign_records, import_report
from effmark.record import Missing, Record
from effmark.report.standing import exclusion, marks, ranks_of
from effmark.rows import Number, make_rows
from effmark.samples import Samples, metric_samples
from effmark.spec import Call, Decode, Infer, Prefill
from effmark.store import Journal, read_records

Make = Callable[..., Record]
Entry = Callable[..., dict[str, Any]]
Write = Callable[..., Path]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def records_of(form: str, path: Path) -> list[Record]:
    records, left_out = foreign_records(form, path)
    assert left_out == []
    return records


def value(record: Record, name: str) -> float:
    found = make_rows([record])[0].metrics[name]
    assert isinstance(found, Number), found
    return found.value


def test_prompt_tests_of_llama_bench_are_tokens_over_all_seconds(
    llama_entry: Entry, report_file: Write
) -> None:
    (record,) = records_of("llama-bench", report_file([llama_entry()]))
    assert record.foreign == "llama-bench"
    assert record.cell.workload == Prefill(prompt_tokens=512)
    assert value(record, "prefill_token_throughput") == pytest.approx(3 * 512 / 6.0)
    assert "ttft_s" not in make_rows([record])[0].metrics
    assert (record.cell.model.name, record.cell.precision) == ("tiny-1B-Q4_K_M", "q4_k_m")
    assert (record.cell.device, record.cell.threads) == ("cpu", 4)
    assert value(record, "model_size_b") == 8e8
    assert value(record, "effective_bits") == pytest.approx(6.4)
    assert record.created == "2026-03-01T10:00:00Z"


def test_generation_tests_give_seconds_per_token(llama_entry: Entry, report_file: Write) -> None:
    entry = llama_entry(n_prompt=0, n_gen=128, n_depth=64, samples_ns=[1.28e9, 2.56e9, 2.56e9])
    (record,) = records_of("llama-bench", report_file([entry]))
    assert record.cell.workload == Decode(prompt_tokens=64, new_tokens=128)
    assert value(record, "tpot_s") == pytest.approx(0.02)  # the median of 10, 20 and 20 ms
    assert value(record, "decode_token_throughput") == pytest.approx(3 * 128 / 6.4)
    samples = metric_samples(record)["tpot_s"]
    assert isinstance(samples, Samples)
    assert list(samples.values) == pytest.approx([0.01, 0.02, 0.02])


def test_mixed_tests_count_generated_tokens_only(llama_entry: Entry, report_file: Write) -> None:
    entry = llama_entry(n_prompt=512, n_gen=128, samples_ns=[4e9, 4e9])
    (record,) = records_of("llama-bench", report_file([entry]))
    assert record.cell.workload == Decode(prompt_tokens=512, new_tokens=128)
    assert value(record, "e2e_latency_s") == pytest.approx(4)
    assert value(record, "output_token_throughput") == pytest.approx(32)


def test_lines_are_read_like_a_list(llama_entry: Entry, report_file: Write) -> None:
    lines = "\n".join(json.dumps(e) for e in (llama_entry(), llama_entry(n_prompt=0, n_gen=16)))
    assert len(records_of("llama-bench", report_file(lines, "report.jsonl"))) == 2


def test_only_the_mean_gives_one_sample_and_no_interval(
    llama_entry: Entry, report_file: Write
) -> None:
    (record,) = records_of("llama-bench", report_file([llama_entry(samples_ns=[])]))
    found = make_rows([record])[0].metrics["prefill_token_throughput"]
    assert isinstance(found, Number)
    assert (found.value, found.low) == (256.0, None)


def test_options_that_are_not_the_default_make_another_configuration(
    llama_entry: Entry, report_file: Write
) -> None:
    entries = [llama_entry(), llama_entry(n_batch=128, flash_attn=1), llama_entry(n_depth=512)]
    records = records_of("llama-bench", report_file(entries))
    assert [r.cell.options for r in records] == [
        {},
        {"n_batch": 128, "flash_attn": 1},
        {"n_depth": 512},
    ]
    assert len({r.cell.key for r in records}) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples_ns": [1.0, -5.0]}, r"entry 0: samples_ns wants times above 0"),
        ({"samples_ns": [], "avg_ns": None}, r"entry 0: samples_ns wants times above 0"),
        ({"n_prompt": 0, "n_gen": 0}, r"entry 0: n_prompt and n_gen are both 0"),
        ({"n_prompt": -1}, r"entry 0.n_prompt: Input should be greater than or equal to 0"),
        ({"model_filename": ""}, r"entry 0.model_filename"),
        ({"n_gen": "many"}, r"entry 0.n_gen: Input should be a valid integer"),
    ],
)
def test_impossible_entries_are_refused_by_name(
    llama_entry: Entry, report_file: Write, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError, match=message):
        records_of("llama-bench", report_file([llama_entry(**changes)]))


@pytest.mark.parametrize("text", ["", "not json", '{"a": NaN}', "[1]", "[]", "null"])
@pytest.mark.parametrize("form", ["llama-bench", "optimum-benchmark", "pytest-benchmark"])
def test_what_is_no_report_is_one_sentence(report_file: Write, form: str, text: str) -> None:
    with pytest.raises(SpecError, match=r"^report '.*report\.json'"):
        records_of(form, report_file(text))


def test_optimum_reports_keep_every_value_in_our_units(
    optimum_report: Entry, report_file: Write
) -> None:
    (record,) = records_of("optimum-benchmark", report_file(optimum_report()))
    assert record.cell.workload == Decode(prompt_tokens=16, new_tokens=10, batch=2)
    assert (record.cell.adapter, record.cell.precision) == ("optimum-benchmark:pytorch", "bfloat16")
    assert record.cell.options == {"torch_compile": True}
    assert value(record, "ttft_s") == pytest.approx(0.2)
    assert value(record, "tpot_s") == pytest.approx(0.1)  # 0.9 s over 10 - 1 tokens
    assert value(record, "itl_s") == pytest.approx(0.1)
    assert value(record, "decode_token_throughput") == pytest.approx(2 * 9 * 3 / 2.7)
    assert value(record, "peak_memory_b") == pytest.approx(1600e6)  # MB are 10^6 bytes
    assert value(record, "load_memory_b") == pytest.approx(1500.5e6)
    assert value(record, "load_s") == 2.5
    energy = make_rows([record])[0].metrics["energy_j_per_output_token"]
    assert isinstance(energy, Number)
    assert energy.value == pytest.approx(2e-6 * 3.6e6 / 20)  # kWh over both sequences' tokens
    assert energy.source == "model_estimate"
    assert record.environment is not None
    assert (record.environment.cores_count, record.environment.memory_b) == (8, 16_000_000_000)
    assert record.environment.device_class == "Test CPU x8 + Test GPU"


def test_a_report_alone_needs_its_config_beside_it(
    optimum_report: Entry, report_file: Write
) -> None:
    body = optimum_report()
    path = report_file(body["report"], "benchmark_report.json")
    with pytest.raises(SpecError, match=r"does not say what ran; give benchmark\.json"):
        records_of("optimum-benchmark", path)
    report_file(body["config"], "benchmark_config.json")
    assert len(records_of("optimum-benchmark", path)) == 1


def test_beams_leave_rates_missing(optimum_report: Entry, report_file: Write) -> None:
    body = optimum_report()
    body["config"]["scenario"]["generate_kwargs"]["num_beams"] = 4
    (record,) = records_of("optimum-benchmark", report_file(body))
    found = make_rows([record])[0].metrics
    assert isinstance(found["decode_token_throughput"], Missing)
    assert isinstance(found["ttft_s"], Number)


def test_a_backend_that_subtracts_is_noted(optimum_report: Entry, report_file: Write) -> None:
    body = optimum_report()
    body["config"]["backend"]["name"] = "vllm"
    (record,) = records_of("optimum-benchmark", report_file(body))
    assert "less the mean prefill" in record.notes["tpot_s"]


def test_a_forward_pass_is_a_latency(optimum_report: Entry, report_file: Write) -> None:
    body = optimum_report()
    body["report"] = {"forward": body["report"]["prefill"]}
    (record,) = records_of("optimum-benchmark", report_file(body))
    assert record.cell.workload == Infer(batch=2)
    assert value(record, "latency_s") == pytest.approx(0.2)


def test_another_unit_is_refused_not_guessed(optimum_report: Entry, report_file: Write) -> None:
    body = optimum_report()
    body["report"]["prefill"]["latency"]["unit"] = "ms"
    with pytest.raises(SpecError, match=r"report.prefill: unit 'ms', wants 's'"):
        records_of("optimum-benchmark", report_file(body))


def test_pytest_benchmarks_come_back_with_the_times_that_went_out(
    make_record: Make, report_file: Write
) -> None:
    record = make_record(step_s=0.01)
    blocks = tuple(
        b.model_copy(update={"steps_s": tuple(s * (1 + n / 100) for s in b.steps_s)})
        for n, b in enumerate(record.blocks)
    )
    sent = record.model_copy(update={"blocks": blocks})
    files, _ = export_files("pytest-benchmark", make_rows([sent]), Choice())
    (back,) = records_of("pytest-benchmark", report_file(files["benchmark.json"]))
    went, came = metric_samples(sent)["tpot_s"], metric_samples(back)["latency_s"]
    assert isinstance(went, Samples)
    assert isinstance(came, Samples)
    assert list(came.values) == list(went.values)
    assert isinstance(back.cell.workload, Call)


def test_without_data_only_the_median_comes(report_file: Write) -> None:
    stats = {"min": 1, "max": 3, "median": 2.0, "rounds": 40, "mean": 2.1}
    body = {"benchmarks": [{"name": "t", "fullname": "f.py::t", "stats": stats}], "datetime": "d",
            "machine_info": {"cpu": {"brand_raw": "Test CPU", "count": 4}},
            "version": "5"}  # fmt: skip
    (record,) = records_of("pytest-benchmark", report_file(body))
    found = make_rows([record])[0].metrics["latency_s"]
    assert isinstance(found, Number)
    assert (found.value, found.low, found.n) == (2.0, None, 1)
    assert "the median only" in record.notes["rounds"]


def test_foreign_numbers_are_marked_and_hold_no_rank(
    llama_entry: Entry, report_file: Write
) -> None:
    entries = [llama_entry(n_prompt=0, n_gen=16), llama_entry(n_prompt=0, n_gen=16, n_batch=8)]
    rows = make_rows(records_of("llama-bench", report_file(entries)))
    assert all("foreign" in marks(row) for row in rows)
    assert ranks_of(rows, "tpot_s") == ["foreign", "foreign"]
    assert exclusion(rows[0], "tpot_s") == "foreign"


def test_foreign_numbers_do_not_compare_with_our_own(
    llama_entry: Entry, report_file: Write, make_record: Make
) -> None:
    entry = llama_entry(n_prompt=0, n_gen=16)
    (theirs,) = records_of("llama-bench", report_file([entry]))
    differences = {d.field: d.scope for d in comparable(make_record(), theirs)}
    assert differences["foreign"] == "all"


def test_what_the_report_does_not_say_is_unknown(llama_entry: Entry, report_file: Write) -> None:
    (record,) = records_of("llama-bench", report_file([llama_entry()]))
    assert record.environment is not None
    assert record.environment.cores_count is None
    assert record.environment.memory_b is None
    assert record.environment.device_class == "Test CPU"
    assert set(record.environment.unknown) == {
        "host",
        "system",
        "python",
        "cores_count",
        "memory_b",
    }


def test_the_same_report_is_added_once(
    llama_entry: Entry, report_file: Write, tmp_path: Path
) -> None:
    path, results = report_file([llama_entry(), llama_entry(n_prompt=64)]), tmp_path / "results"
    first, again = (import_report("llama-bench", path, results) for _ in range(2))
    assert (len(first.records), first.known) == (2, 0)
    assert (len(again.records), again.known) == (0, 2)
    assert len(list(read_records(results))) == 2


def test_reports_of_two_machines_are_two_cells(llama_entry: Entry, report_file: Write) -> None:
    entries = [llama_entry(), llama_entry(cpu_info="Other CPU")]
    assert len(make_rows(records_of("llama-bench", report_file(entries)))) == 2


def test_hostile_names_come_in_as_text(
    llama_entry: Entry, report_file: Write, hostile: str, tmp_path: Path
) -> None:
    name = hostile.replace("/", "").replace("..", "").replace("\\", "")
    path = report_file([llama_entry(model_filename=name + ".gguf", cpu_info=hostile)])
    found = import_report("llama-bench", path, tmp_path / "results")
    assert found.journal is not None
    assert found.journal.is_relative_to(tmp_path / "results" / "llama-bench-v2")
    (record,) = read_records(tmp_path / "results")
    assert record.cell.model.name == name


@pytest.mark.parametrize(
    ("model_type", "precision"),
    [
        ("qwen2 7B Q4_K - Medium", "q4_k_m"),
        ("llama 7B Q4_K - Small", "q4_k_s"),
        ("llama 1B Q8_0", "q8_0"),
        ("gemma 2B BF16", "bf16"),
        ("llama 8B IQ2_XXS - 2.0625 bpw", "iq2_xxs"),
        ("llama 7B F16", "f16"),
        ("llama 7B mostly Q4_0", "q4_0"),
        ("gpt-oss 20B MXFP4 MoE", "mxfp4"),
        ("", "unknown"),
    ],
)
def test_the_precision_is_read_off_the_model_type(
    llama_entry: Entry, report_file: Write, model_type: str, precision: str
) -> None:
    (record,) = records_of("llama-bench", report_file([llama_entry(model_type=model_type)]))
    assert record.cell.precision == precision


def test_the_commands_tell_what_they_did(
    effmark: Command, llama_entry: Entry, report_file: Write, tmp_path: Path
) -> None:
    path = report_file([llama_entry(n_prompt=0, n_gen=16)])
    done = effmark("import", "llama-bench", str(path), "--results", str(tmp_path / "results"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("imported 1 foreign records into ")
    refused = effmark("export", "bencher", str(tmp_path / "results"))
    assert refused.returncode == 2
    assert "× foreign); --all takes those, too" in refused.stderr
    sent = effmark("export", "bencher", str(tmp_path / "results"), "--all")
    assert "tpot_s (foreign)" in sent.stdout


def test_unknown_formats_get_the_nearest(effmark: Command) -> None:
    assert "did you mean 'bencher'?" in effmark("export", "benchr").stderr
    done = effmark("import", "lama-bench", "x")
    assert done.returncode == 2
    assert "did you mean 'llama-bench'?" in done.stderr
    assert "prometheus" in effmark("export").stdout
    assert "optimum-benchmark" in effmark("import").stdout


def test_several_files_want_a_folder(effmark: Command, make_record: Make, tmp_path: Path) -> None:
    with Journal(tmp_path / "results", "toy", 1) as journal:
        for precision in ("fp32", "int4"):
            journal.append(make_record(precision=precision))
    refused = effmark("export", "every-eval-ever", str(tmp_path / "results"))
    assert refused.returncode == 2
    assert "there are 2 files; name a folder for them with -o" in refused.stderr
    done = effmark(
        "export", "every-eval-ever", str(tmp_path / "results"), "-o", str(tmp_path / "out")
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.json"))) == 2
