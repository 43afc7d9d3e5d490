"""Reports as they come from other people's machines: torn, of Windows, with faults in parts."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effmark.errors import SpecError
from effmark.exchange.importing import foreign_records, import_report
from effmark.record import Measured, Missing, Record

Entry = Callable[..., dict[str, Any]]
Write = Callable[..., Path]
Command = Callable[..., "subprocess.CompletedProcess[str]"]


def only(form: str, path: Path) -> Record:
    (record,), left_out = foreign_records(form, path)
    assert left_out == []
    return record


@pytest.mark.parametrize(
    ("file", "name"),
    [
        (r"C:\Users\jane.doe\models\tiny-1B-Q4_K_M.gguf", "tiny-1B-Q4_K_M"),
        (r"D:\models/mixed\other.Q8_0.GGUF", "other.Q8_0"),
        (r"\\server\jane\qwen2.5-0.5b.gguf", "qwen2.5-0.5b"),
        ("/home/jane/.cache/blobs/Qwen2.5-0.5B", "Qwen2.5-0.5B"),
        ("models/v0.3.1.gguf", "v0.3.1"),
    ],
)
def test_a_model_has_the_name_of_its_file_without_folders(
    llama_entry: Entry, report_file: Write, file: str, name: str
) -> None:
    record = only("llama-bench", report_file([llama_entry(model_filename=file)]))
    assert record.cell.model.name == name
    assert "jane" not in record.model_dump_json()


def test_files_of_one_name_in_two_folders_are_two_models(
    llama_entry: Entry, report_file: Write
) -> None:
    entries = [llama_entry(model_filename=f"/m/{run}/model.gguf") for run in ("a", "b")]
    records, _ = foreign_records("llama-bench", report_file(entries))
    assert len({r.cell.key for r in records}) == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"poll": 100},
        {"cpu_mask": "0xff00"},
        {"cpu_strict": True},
        {"main_gpu": 1},
        {"load_mode": "none"},
        {"no_op_offload": 1},
        {"an_option_of_next_year": "x"},
        {"another": ["a", 1]},
        {"a_file": "/home/jane/a/lora.gguf"},
        {"backends": "CPU,RPC"},
        {"n_prompt": 8, "n_gen": 16, "n_depth": 0},
        {"n_prompt": 8, "n_gen": 16, "n_depth": 32},
        {"n_prompt": 0, "n_gen": 16, "n_depth": 8},
        {"n_prompt": 0, "n_gen": 16, "n_depth": 1},
    ],
)
def test_tests_that_differ_in_any_parameter_are_different_cells(
    llama_entry: Entry, report_file: Write, changes: dict[str, Any]
) -> None:
    other = {"a_file": "/home/jane/b/lora.gguf"} if "a_file" in changes else {}
    plain = {"n_prompt": 0, "n_gen": 16, **other}
    records, _ = foreign_records(
        "llama-bench", report_file([llama_entry(**plain), llama_entry(**{**plain, **changes})])
    )
    assert len({r.cell.key for r in records}) == 2
    assert "/home/jane" not in "".join(r.model_dump_json() for r in records)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-16-be-with-mark", "utf-32"])
def test_reports_are_read_in_every_encoding_that_a_mark_names(
    llama_entry: Entry, tmp_path: Path, encoding: str
) -> None:
    text = json.dumps([llama_entry(cpu_info="Prozessor für Übung")], ensure_ascii=False)
    path = tmp_path / "report.json"
    raw = (
        b"\xfe\xff" + text.encode("utf-16-be")
        if encoding.endswith("mark")
        else text.encode(encoding)
    )
    path.write_bytes(raw.replace(b"\n", b"\r\n"))
    record = only("llama-bench", path)
    assert record.environment is not None
    assert record.environment.cpu == "Prozessor für Übung"


def test_a_torn_line_is_named_and_the_others_come_in(
    llama_entry: Entry, report_file: Write, tmp_path: Path, effmark: Command
) -> None:
    lines = [json.dumps(llama_entry(n_prompt=n)) for n in (64, 128, 256, 512)]
    lines[3] = lines[3][:200]
    path = report_file("\n".join(lines), "report.jsonl")
    done = effmark("import", "llama-bench", str(path), "--results", str(tmp_path / "results"))
    assert done.returncode == 0
    assert done.stdout.startswith("imported 3 foreign records")
    assert done.stderr.count("\n") == 1
    assert "line 4: not JSON" in done.stderr


def test_a_list_that_was_cut_off_keeps_its_whole_entries(
    llama_entry: Entry, report_file: Write
) -> None:
    text = json.dumps([llama_entry(n_prompt=n) for n in (64, 128)], indent=1)
    records, left_out = foreign_records("llama-bench", report_file(text[: text.rindex("n_gen")]))
    assert [r.cell.workload.label for r in records] == ["prefill p64 b1"]
    (why,) = left_out
    assert "entry 1, line" in why


def test_one_impossible_test_does_not_cost_the_others(
    llama_entry: Entry, report_file: Write
) -> None:
    entries = [
        llama_entry(),
        llama_entry(n_prompt=64, samples_ns=[5.0, -1.0]),
        llama_entry(n_gen=True),
    ]
    records, left_out = foreign_records("llama-bench", report_file(entries))
    assert len(records) == 1
    assert [why.partition(": ")[2].partition(":")[0] for why in left_out] == [
        "entry 1",
        "entry 2.n_gen",
    ]


@pytest.mark.parametrize("number", ["NaN", "1e999", "-1", "0", "9" * 400, "9" * 5000, "null"])
@pytest.mark.parametrize("field", ["model_size", "n_prompt", "n_threads", "avg_ns"])
def test_numbers_that_cannot_be_are_refused_by_name(
    llama_entry: Entry, report_file: Write, field: str, number: str
) -> None:
    text = json.dumps([llama_entry(**{field: "HERE", "samples_ns": []})]).replace('"HERE"', number)
    if (field, number) in (("n_prompt", "0"), ("model_size", "null")):
        return
    with pytest.raises(SpecError, match=r"^report '.*report\.json'") as refused:
        foreign_records("llama-bench", report_file(text))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 600


def test_a_negative_decode_is_missing_with_the_reason_and_the_rest_comes_in(
    optimum_report: Entry, report_file: Write
) -> None:
    body = optimum_report()
    body["report"]["decode"]["latency"]["values"] = [-0.01, 0.02, -0.004]
    record = only("optimum-benchmark", report_file(body))
    for name in ("tpot_s", "decode_token_throughput"):
        found = record.measurement(name)
        assert isinstance(found, Missing)
        assert found.reason == "rejected"
        assert "report.decode.latency: -0.01 s, wants times above 0, 2 of 3 values" in found.detail
    assert isinstance(record.measurement("ttft_s"), Measured)
    assert isinstance(record.measurement("itl_s"), Measured)


@pytest.mark.parametrize(
    ("target", "part", "key", "metric"),
    [
        ("prefill", "latency", "values", "ttft_s"),
        ("load_model", "latency", "values", "load_s"),
        ("load_model", "memory", "max_ram", "load_memory_b"),
        ("generate", "memory", "max_ram", "peak_memory_b"),
        ("generate", "energy", "total", "energy_j_per_output_token"),
    ],
)
@pytest.mark.parametrize("bad", [float("nan"), -3.0, float("inf")])
def test_any_number_that_cannot_be_is_missing_alone(
    optimum_report: Entry,
    report_file: Write,
    target: str,
    part: str,
    key: str,
    metric: str,
    bad: float,
) -> None:
    body = optimum_report()
    body["report"][target][part][key] = [bad] if key == "values" else bad
    record = only("optimum-benchmark", report_file(body))
    found = record.measurement(metric)
    assert isinstance(found, Missing)
    assert f"report.{target}.{part}" in found.detail
    assert isinstance(record.measurement("tpot_s"), Measured)


def test_nan_where_nobody_reads_does_no_harm(optimum_report: Entry, report_file: Write) -> None:
    body = optimum_report()
    for target in body["report"].values():
        target["latency"]["stdev"] = float("nan")
        target["efficiency"] = {"unit": "tokens/kWh", "value": float("nan")}
    body["config"]["environment"]["cpu_ram_mb"] = float("nan")
    record = only("optimum-benchmark", report_file(body))
    assert not [m for m in record.measurements if isinstance(m, Missing)]
    assert record.environment is not None
    assert "memory_b" in record.environment.unknown


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("/home/jane.doe/acme-secret/tiny", "tiny"),
        ("C:\\Users\\Jane Doe\\tiny", "tiny"),
        ("~/models/tiny", "tiny"),
        ("../jane/tiny/", "tiny"),
        ("acme/tiny-llama", "acme/tiny-llama"),
        ("gpt2", "gpt2"),
    ],
)
def test_a_private_path_never_reaches_a_board(
    optimum_report: Entry, report_file: Write, model: str, name: str
) -> None:
    body = optimum_report()
    body["config"]["backend"].update(model=model, attn_implementation="/home/jane/kernels/attn")
    record = only("optimum-benchmark", report_file(body))
    assert record.cell.model.name == name
    assert "jane" not in record.model_dump_json().lower()


def _benchmark(name: str, *times: float) -> dict[str, Any]:
    stats = {"median": sorted(times)[len(times) // 2], "rounds": len(times), "data": list(times)}
    return {"name": name, "fullname": f"tests/test_x.py::{name}", "stats": stats}


def test_a_benchmark_with_zeros_is_named_and_the_others_come_in(report_file: Write) -> None:
    tick = _benchmark("test_tick", 0.0, 0.1, 0.0)
    benchmarks = [_benchmark("test_good", 0.01), tick, {"name": "test_half"},
                  _benchmark("test_last", 1.0)]  # fmt: skip
    body = {"benchmarks": benchmarks}
    records, left_out = foreign_records("pytest-benchmark", report_file(body))
    assert [r.cell.model.name for r in records] == ["test_good", "test_last"]
    assert "'tests/test_x.py::test_tick': 0.0 s, wants times above 0" in left_out[0]
    assert "benchmark 2.fullname: Field required" in left_out[1]


def test_the_folders_in_a_parameter_of_a_test_stay_at_home(report_file: Write) -> None:
    names = [f"test_read[/home/jane/{folder}/data.bin]" for folder in ("a", "b")]
    records, _ = foreign_records(
        "pytest-benchmark", report_file({"benchmarks": [_benchmark(n, 1.0, 2.0) for n in names]})
    )
    assert [r.cell.workload.label for r in records] == [
        "call tests/test_x.py::test_read[data.bin]"
    ] * 2
    assert len({r.cell.key for r in records}) == 2


def test_texts_that_no_file_can_hold_are_refused(llama_entry: Entry, report_file: Write) -> None:
    path = report_file(json.dumps([llama_entry(model_filename="a\ud83d.gguf")]))
    with pytest.raises(SpecError, match=r"entry 0\.model_filename"):
        foreign_records("llama-bench", path)


def test_a_pipe_is_no_report_and_nobody_waits_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "report.json")
    with pytest.raises(SpecError, match="is a pipe, wants a regular file"):
        import_report("llama-bench", tmp_path / "report.json", tmp_path / "results")
