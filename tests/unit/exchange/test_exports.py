from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from effmark.errors import SpecError
from effmark.exchange.catalogue import EXPORTS
from effmark.exchange.entries import Choice, cell_titles
from effmark.exchange.exporting import export_files
from effmark.exchange.prometheus import metric_name
from effmark.exchange.pytest_benchmark import statistics
from effmark.metrics import METRICS
from effmark.record import Advice, Record
from effmark.rows import Number, Row, make_rows

Make = Callable[..., Record]
Rows = Callable[..., Sequence[Row]]
TEXTS = [name for name in EXPORTS if name != "hf-eval-results"]


def text_of(form: str, rows: Sequence[Row], choice: Choice | None = None) -> str:
    files, _ = export_files(form, rows, choice or Choice())
    (text,) = files.values()
    return text


def number(rows: Sequence[Row], name: str) -> Number:
    found = rows[0].metrics[name]
    assert isinstance(found, Number)
    return found


@pytest.mark.parametrize(
    ("form", "inside", "outside"),
    [("github-smaller", "tpot_s", "tokens_per_j"), ("github-bigger", "tokens_per_j", "tpot_s")],
)
def test_github_files_hold_one_direction_with_half_the_interval(
    rows: Rows, form: str, inside: str, outside: str
) -> None:
    mine = rows()
    told = {b["name"].rpartition(" · ")[2]: b for b in json.loads(text_of(form, mine))}
    assert inside in told
    assert outside not in told
    assert told[inside]["value"] == number(mine, inside).value
    assert set(told[inside]) <= {"name", "unit", "value", "range", "extra"}
    if form == "github-smaller":
        seen = number(mine, "tpot_s")
        assert seen.low is not None
        assert seen.high is not None
        assert told["tpot_s"]["unit"] == "s"
        assert told["tpot_s"]["range"] == f"± {(seen.high - seen.low) / 2:.6g}"


def test_bencher_bounds_are_the_interval_and_absent_without_one(rows: Rows) -> None:
    mine = rows()
    (measures,) = json.loads(text_of("bencher", mine)).values()
    seen = number(mine, "tpot_s")
    assert measures["tpot_s"] == {
        "value": seen.value,
        "lower_value": seen.low,
        "upper_value": seen.high,
    }
    assert set(measures["model_size_b"]) == {"value"}
    assert all(len(name) <= 64 for name in measures)


def test_a_missing_number_is_nowhere_a_zero(rows: Rows) -> None:
    mine = rows()
    for form in TEXTS:
        text = text_of(form, mine)
        if form in ("junit", "prometheus"):
            assert "not_permitted" in text
        else:
            assert "pss_b" not in text


def test_junit_counts_errors_failures_and_skips(full: Make) -> None:
    advice = Advice(code="x", severity="invalid", message="the clock jumped", remedy="fix it")
    records = [
        full(), full(precision="bf16", outcome="crash", detail="segfault", blocks=()),
        full(precision="int8", outcome="unsupported", detail="no kernel", blocks=()),
        full(precision="int4", validity="invalid", advice=(advice,)),
    ]  # fmt: skip
    root = ET.fromstring(text_of("junit", make_rows(records)))
    (suite,) = root
    counts = {k: suite.get(k) for k in ("tests", "errors", "failures", "skipped")}
    assert counts == {"tests": "4", "errors": "1", "failures": "1", "skipped": "1"}
    cases = {case.get("classname"): case for case in suite}
    assert cases["toy.torch.bf16"].find("error").get("message") == "segfault"  # type: ignore[union-attr]
    assert cases["toy.torch.int4"].find("failure").get("message") == "the clock jumped"  # type: ignore[union-attr]
    told = {p.get("name"): p.get("value") for p in cases["toy.torch.fp32"].iter("property")}
    assert float(told["tpot_s"] or "nan") == pytest.approx(0.0102, rel=0.02)
    assert told["tpot_s.unit"] == "s"
    assert told["pss_b.missing"] == "not_permitted: /proc is hidden; run as owner"
    assert "tpot_s" not in {p.get("name") for p in cases["toy.torch.int4"].iter("property")}


_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
_SAMPLE = re.compile(rf"({_NAME})\{{({_LABEL}(?:,{_LABEL})*)\}} (\S+)")


def check_exposition(text: str) -> dict[str, int]:
    """Return the samples per family; the rules of the text format and of promtool's lint."""
    assert text.endswith("\n")
    family, seen, families = "", set(), {}
    for line in text.splitlines():
        if line.startswith("# HELP "):
            family = line.split(" ")[2]
            assert family not in families, f"{family} comes twice"
            families[family] = 0
            assert len(line.split(" ", 3)) == 4
        elif line.startswith("# TYPE "):
            assert line == f"# TYPE {family} gauge"
            assert not re.search(r"_(total|count|sum|bucket|gauge|counter)$", family)
            assert not re.search(r"_(s|ms|us|ns|b|kb|mb|j)$", family), f"{family} is abbreviated"
        else:
            found = _SAMPLE.fullmatch(line)
            assert found is not None, line
            assert found[1] == family
            assert (found[1], found[2]) not in seen, "the same labels twice"
            seen.add((found[1], found[2]))
            float(found[3].replace("Inf", "inf"))
            families[family] += 1
    return families


def test_prometheus_text_keeps_the_rules(full: Make) -> None:
    mine = make_rows([full(), full(precision="int4")])
    families = check_exposition(text_of("prometheus", mine))
    assert families["effmark_tpot_seconds"] == families["effmark_tpot_seconds_ci_low"] == 2
    assert families["effmark_energy_joules_per_output_token"] == 2
    assert families["effmark_missing_numbers"] >= 2


def test_every_metric_has_a_prometheus_name_of_its_own() -> None:
    names = [metric_name(name) for name in METRICS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(_NAME, name) for name in names)
    assert metric_name("cpu_s_per_output_token") == "effmark_cpu_seconds_per_output_token"
    assert metric_name("tokens_per_j") == "effmark_tokens_per_joule"
    assert metric_name("peak_memory_b") == "effmark_peak_memory_bytes"


def test_otlp_histograms_hold_every_sample_under_the_genai_names(rows: Rows) -> None:
    mine = rows()
    body = json.loads(text_of("otlp", mine))
    metrics = {m["name"]: m for m in body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]}
    tpot = metrics["gen_ai.server.time_per_output_token"]
    assert tpot["unit"] == "s"
    (point,) = tpot["histogram"]["dataPoints"]
    assert point["count"] == "20"  # 64-bit integers are strings in OTLP JSON
    assert sum(map(int, point["bucketCounts"])) == 20
    assert len(point["bucketCounts"]) == len(point["explicitBounds"]) + 1
    assert point["sum"] == pytest.approx(20 * 0.0102, rel=0.01)
    attributes = {a["key"]: a["value"] for a in point["attributes"]}
    assert attributes["gen_ai.operation.name"] == {"stringValue": "text_completion"}
    assert attributes["gen_ai.request.model"] == {"stringValue": "toy"}
    usage = metrics["gen_ai.client.token.usage"]["histogram"]["dataPoints"]
    assert [p["sum"] for p in usage] == [20 * 8.0, 20 * 5.0]
    assert metrics["effmark.peak_memory_b" if "effmark.peak_memory_b" in metrics else
                   "effmark.model_size_b"]["unit"] == "By"  # fmt: skip
    assert metrics["effmark.energy_j_per_output_token"]["unit"] == "J/{token}"
    assert point["timeUnixNano"] == "1795305600000000000"  # 2026-11-22T00:00:00Z
    assert point["startTimeUnixNano"] == "1795305596500000000"  # 3.5 s before


def test_a_bucket_bound_belongs_to_the_bucket_below(full: Make) -> None:
    record = full(step_s=0.01)
    flat = record.model_copy(update={"blocks": tuple(
        b.model_copy(update={"steps_s": (0.0, 0.01)}) for b in record.blocks)})  # fmt: skip
    body = json.loads(text_of("otlp", make_rows([flat])))
    metrics = {m["name"]: m for m in body["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]}
    (point,) = metrics["gen_ai.server.time_per_output_token"]["histogram"]["dataPoints"]
    assert point["bucketCounts"][:2] == ["20", "0"]


def test_model_cards_get_one_file_per_model(full: Make) -> None:
    files, _ = export_files("hf-model-index", make_rows([full(), full(model="other")]), Choice())
    assert len(files) == 2
    card = yaml.safe_load(next(text for name, text in files.items() if name.startswith("toy_")))
    (model,) = card["model-index"]
    (result,) = model["results"]
    assert model["name"] == "toy"
    assert result["task"]["type"] == "text-generation"
    metrics = {m["type"]: m for m in result["metrics"]}
    assert metrics["tpot_s"]["name"] == "TPOT [s]"
    assert metrics["tpot_s"]["verified"] is False


def test_eval_results_want_a_named_data_set(task: Make) -> None:
    mine = make_rows([task()])
    with pytest.raises(SpecError, match=r"--dataset TASK=ORG/NAME.*accuracy: gsm8k"):
        export_files("hf-eval-results", mine, Choice())
    text = text_of("hf-eval-results", mine, Choice(datasets={"gsm8k": "openai/gsm8k:main"}))
    (result,) = yaml.safe_load(text)
    assert result["dataset"] == {"id": "openai/gsm8k", "task_id": "main"}
    assert result["value"] == 0.75
    assert "40 items" in result["notes"]
    assert "95 % interval" in result["notes"]


def test_every_eval_ever_has_what_its_schema_requires(rows: Rows) -> None:
    document = json.loads(text_of("every-eval-ever", rows()))
    assert set(document) >= {"schema_version", "evaluation_id", "retrieved_timestamp",
                             "source_metadata", "model_info", "eval_library",
                             "evaluation_results"}  # fmt: skip
    assert document["schema_version"] == "0.3.0"
    assert document["source_metadata"]["source_type"] == "evaluation_run"
    details = document["model_info"]["additional_details"]
    assert details["deployment_type"] == "self_deployed"
    assert all(isinstance(value, str) for value in details.values())
    results = {r["metric_config"]["metric_id"]: r for r in document["evaluation_results"]}
    tpot = results["effmark.tpot_s"]
    assert tpot["metric_config"]["lower_is_better"] is True
    assert (tpot["metric_config"]["min_score"], tpot["metric_config"]["max_score"]) == (
        0.0,
        "Infinity",
    )
    interval = tpot["score_details"]["uncertainty"]["confidence_interval"]
    assert interval["lower"] <= tpot["score_details"]["score"] <= interval["upper"]


def test_pytest_benchmark_statistics_are_its_own() -> None:
    stats = pytest.importorskip("pytest_benchmark.stats").Stats()
    for count in (2, 3, 4, 5, 6, 7, 8, 9, 21):
        data = [math.sin(7 * i) + 1.5 for i in range(count)] + [9.0]
        theirs = type(stats)()
        for value in data:
            theirs.update(value)
        mine = statistics(data)
        for name in ("min", "max", "mean", "stddev", "median", "q1", "q3", "iqr", "ops", "total",
                     "rounds", "iqr_outliers", "stddev_outliers", "ld15iqr",
                     "hd15iqr"):  # fmt: skip
            assert mine[name] == pytest.approx(getattr(theirs, name)), (count, name)


def test_pytest_benchmark_reads_the_file_that_was_written(full: Make, tmp_path: Path) -> None:
    pytest.importorskip("pytest_benchmark")
    path = tmp_path / "benchmark.json"
    path.write_text(
        text_of("pytest-benchmark", make_rows([full(), full(precision="int4", step_s=0.005)]))
    )
    code = "from pytest_benchmark.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "compare", str(path)],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "torch int4" in done.stdout
    assert "2 tests" in done.stdout


def test_a_cell_with_one_sample_has_no_deviation_to_write(full: Make) -> None:
    record = full()
    single = record.model_copy(update={"blocks": record.blocks[:1]})
    files, found = export_files("pytest-benchmark", make_rows([single]), Choice())
    assert json.loads(files["benchmark.json"])["benchmarks"] == []
    assert found.left_out["no two time samples"] == 1


@pytest.mark.parametrize("form", TEXTS)
def test_what_has_no_rank_stays_unless_everything_is_wanted(full: Make, form: str) -> None:
    mine = make_rows([full(), full(precision="int4", validity="invalid")])
    ranked, _ = export_files(form, mine, Choice())
    everything, _ = export_files(form, mine, Choice(everything=True))
    assert len("".join(everything.values())) > len("".join(ranked.values()))
    if form != "junit":  # where a cell that failed is a test case of its own
        assert "invalid" not in "".join(ranked.values())
    assert "invalid" in "".join(everything.values())


@pytest.mark.parametrize("form", TEXTS)
def test_hostile_names_stay_names(rows: Rows, form: str, hostile: str) -> None:
    files, _ = export_files(form, rows(model=hostile, adapter=hostile), Choice())
    ((name, text),) = files.items()
    assert "/" not in name
    assert not name.startswith(".")
    assert "\x1b" not in text
    assert "\u202e" not in text
    parsers: dict[str, Callable[[str], Any]] = {
        "junit": ET.fromstring, "prometheus": check_exposition, "hf-model-index": yaml.safe_load,
    }  # fmt: skip
    parsed = parsers.get(form, json.loads)(text)
    assert parsed is not None
    if form.startswith("github"):
        assert not any(c in b["name"] for b in parsed for c in "`|<>")


def test_an_infinite_score_is_infinite_or_absent_but_never_a_number(full: Make) -> None:
    row = make_rows([full()])[0]
    endless = Number(math.inf, None, None, "USD", 5, "ledger", "ratio")
    mine = [Row(row.record, row.records, {**row.metrics, "cost_of_pass_usd": endless})]
    assert "cost_of_pass_dollars{" in text_of("prometheus", mine)
    assert "+Inf" in text_of("prometheus", mine)
    for form in ("bencher", "github-smaller", "otlp", "every-eval-ever", "hf-model-index"):
        assert "cost_of_pass" not in text_of(form, mine)
        _, found = export_files(form, mine, Choice())
        assert found.left_out["infinite"] == 1


def test_only_the_metrics_that_are_wanted_go_out(rows: Rows) -> None:
    for form in TEXTS:
        if form != "github-bigger":
            text = text_of(form, rows(), Choice(metrics=("tpot_s",)))
            assert "tpot" in text or "time_per_output_token" in text
            assert "ttft" not in text
            assert "time_to_first_token" not in text


def test_nothing_to_send_is_a_sentence(full: Make) -> None:
    mine = make_rows([full(validity="invalid")])
    with pytest.raises(SpecError, match=r"no number goes out as bencher \(\d+ × invalid\); --all"):
        export_files("bencher", mine, Choice())


def test_equal_names_on_two_machines_are_told_apart(full: Make, here: Any) -> None:
    other = here.model_copy(update={"cpu": "Other CPU"})
    titles = cell_titles(make_rows([full(), full(environment=other, id="b")]))
    assert titles[0].endswith("Test CPU x4")
    assert titles[1].endswith("Other CPU x4")
