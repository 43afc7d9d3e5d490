"""Thousands of damaged files: each is read as it stands, or refused in one sentence.

Derived from valid files by edits of their text and of their values; the same cases in every run.
Hangs are found by the time limit of the whole suite, tracebacks as errors here. What is read must
hold the numbers that stand in the file, as far as a second, simpler reading tells.
"""

from __future__ import annotations

import copy
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effmark.code.ledger import read_attempts, read_scores
from effmark.code.prices import read_prices
from effmark.code.solutions import read_solutions
from effmark.errors import SpecError
from effmark.exchange.importing import foreign_records
from effmark.record import Measured, Record
from effmark.registry import list_suites
from effmark.rows import Number, make_rows
from effmark.spec import Decode, Prefill, Suite
from effmark.store import parse
from effmark.store.lines import seal
from effmark.suites import load_suite
from effmark.task_files import read_task

_LONGEST_SENTENCE = 1200
_SLOWEST_S = 20.0
"""Of one case, on a machine that is busy; the usual one takes milliseconds."""


def cases(count: int) -> Callable[[Any], Any]:
    """Return a decorator: so many cases, always the same."""
    return settings(
        max_examples=count, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "input"


def read_or_refused(read: Callable[[], Any]) -> Any:
    """Return what was read, None where it was refused in one line that names the file or place."""
    start = time.monotonic()
    try:
        return read()
    except SpecError as refused:
        sentence = str(refused)
        assert len(sentence.splitlines()) == 1, sentence
        assert len(sentence) < _LONGEST_SENTENCE, sentence
        assert sentence.isprintable(), repr(sentence)
        return None
    finally:
        assert time.monotonic() - start < _SLOWEST_S


# Values that no field expects; None of them is a plausible number.
ODD: list[Any] = [
    None, True, False, 0, -1, 1, 2**31, 2**63, 10**400, -0.0, 0.5, -1e-300, 1e-320, 1e300,
    math.nan, math.inf, -math.inf, "", "x", "1", "NaN", "\ud83d", "a\nb", "é" * 400, "../../x",
    "C:\\Users\\jane\\x", [], [[]], {}, {"a": None}, [0.0], [math.nan], [-1.0, 1.0], ["1"], [None],
]  # fmt: skip
SNIPPETS = [
    *("{", "}", "[", "]", ",", ":", ": ", "- ", "\n", "\n  ", "\t", "'", '"', "#", "|", ">", "? "),
    *("&a ", "*a ", "<<: ", "!!int ", "!!float x", "!!set ", "!!binary ", "---\n", "...\n", "~"),
    *(
        "!!python/name:os.system ",
        "2026-11-20",
        "1:30",
        "0o7",
        "1_0",
        ".nan",
        ".inf",
        "NaN",
        "null",
    ),
    *("-Infinity", "1e999", "true", "9" * 30, "9" * 5000, "[" * 200, "{" * 60, "\x00", "\x1b[31m"),
    *("\ufeff", "\u202e", "\u2028", "\x85", "é", "\\ud800", "\\", "//", "inf", "-1", "0", "1e-320"),
]


@st.composite
def edited(draw: st.DrawFn, texts: list[str]) -> bytes:
    """Return a valid text after one to four edits, sometimes in another encoding or torn."""
    text = draw(st.sampled_from(texts))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        end = min(len(text), at + draw(st.sampled_from([0, 0, 1, 2, 5, 20, 80])))
        how = draw(st.sampled_from(["snippet", "snippet", "delete", "double", "cut", "number"]))
        if how == "snippet":
            text = text[:at] + draw(st.sampled_from(SNIPPETS)) + text[end:]
        elif how == "delete":
            text = text[:at] + text[end:]
        elif how == "double":
            text = text[:end] + text[at:end] + text[end:]
        elif how == "cut":
            text = text[: max(1, at)]
        else:
            found = list(re.finditer(r"-?\d+(\.\d+)?", text))
            if found:
                hit = draw(st.sampled_from(found))
                new = draw(st.sampled_from(["-1", "0", "1e999", "9" * 400, "NaN", "''", "2", "[]"]))
                text = text[: hit.start()] + new + text[hit.end() :]
    encoding = draw(st.sampled_from(["utf-8"] * 12 + ["utf-8-sig", "utf-16", "utf-32", "latin-1"]))
    raw = text.encode(encoding, "backslashreplace")
    return raw[: draw(st.integers(0, len(raw)))] if draw(st.integers(0, 15)) == 0 else raw


def paths_of(body: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if at:
        yield at
    items = (
        body.items()
        if isinstance(body, dict)
        else enumerate(body)
        if isinstance(body, list)
        else ()
    )
    for key, value in items:
        yield from paths_of(value, (*at, key))


@st.composite
def changed(draw: st.DrawFn, bodies: list[Any]) -> Any:
    """Return a valid value after one to three of its parts were replaced, removed or doubled."""
    body = copy.deepcopy(draw(st.sampled_from(bodies)))
    for _ in range(draw(st.integers(1, 3))):
        places = list(paths_of(body))
        if not places:
            break
        *parents, last = draw(st.sampled_from(places))
        at = body
        for parent in parents:
            at = at[parent]
        how = draw(st.sampled_from(["odd", "odd", "odd", "scaled", "remove"]))
        if how == "remove":
            del at[last]
        elif how == "scaled" and isinstance(at[last], int | float):
            at[last] = at[last] * draw(st.sampled_from([-1, 0, 2, 0.5, 1e-9, 1e30]))
        else:
            at[last] = copy.deepcopy(draw(st.sampled_from(ODD)))
    return body


# --- suites -----------------------------------------------------------------------------------

SUITE = """\
suite: mine
version: 1
why: a test
models: [default]
cells:
  - {adapter: torch, precision: [fp32, int8], options: {compile: false}}
  - &other {adapter: onnxruntime, precision: fp32, device: cpu}
baseline: {adapter: torch, precision: fp32}
workloads:
  - decode: {prompt_tokens: [8, 16], new_tokens: 4, batch: [1, 2]}
  - prefill: {prompt_tokens: 32}
quality:
  text: [{name: austen, tokens: 300}]
  tasks: [{name: gsm8k, limit: 10}]
precision: {rel_half_width: 0.02, confidence: 0.95}
budget: {process_s: 5, min_blocks: 6}
limits: {cell_s: 20}
profiles:
  quick:
    budget: {process_s: 1}
"""
SUITES = [SUITE] * 4 + [path.read_text(encoding="utf-8") for path in list_suites().values()]


@cases(700)
@given(raw=edited(SUITES), profile=st.sampled_from(["default", "default", "quick"]))
def test_a_damaged_suite_is_read_or_refused_in_one_line(
    file: Path, raw: bytes, profile: str
) -> None:
    path = file.with_name("suite.yaml")
    path.write_bytes(raw)
    found = read_or_refused(lambda: load_suite(path, profile))
    assert found is None or Suite.model_validate(found.model_dump()) == found


IN_DOMAIN = {
    "rel_half_width": (0, 1), "confidence": (0.5, 1), "min_blocks": (1, 1000),
    **dict.fromkeys(("process_s", "cell_s"), (0, math.inf)),
    **dict.fromkeys(("version", "new_tokens", "tokens", "limit"), (1, math.inf)),
}  # fmt: skip


@cases(300)
@given(
    name=st.sampled_from(sorted(IN_DOMAIN)),
    value=st.one_of(
        st.integers(-(10**20), 10**20), st.floats(), st.sampled_from([True, "fast", "1", None, []])
    ),
)
def test_a_number_of_a_suite_is_in_its_domain_or_refused(file: Path, name: str, value: Any) -> None:
    told = json.dumps(value).replace("Infinity", ".inf").replace("NaN", ".nan")
    path = file.with_name("suite.yaml")
    path.write_text(re.sub(rf"\b{name}: [\d.]+", f"{name}: {told}", SUITE, count=1))
    found = read_or_refused(lambda: load_suite(path))
    if found is not None and value is not None:
        low, high = IN_DOMAIN[name]
        assert not isinstance(value, bool)
        assert low <= float(value) <= high, value
        assert float(value) in numbers_in(json.loads(found.model_dump_json()), name)


def numbers_in(body: Any, name: str) -> list[float]:
    """Return all values that stand under a name."""
    if isinstance(body, dict):
        own = [body[name]] if name in body else []
        return own + [n for value in body.values() for n in numbers_in(value, name)]
    return [n for value in body for n in numbers_in(value, name)] if isinstance(body, list) else []


@cases(150)
@given(
    raw=edited(
        [
            "version: 1\nrows:\n"
            "  - {name: m/prompt, price: 2.5, unit: USD/Mtoken, date: d, source: s}\n"
        ]
    )
)
def test_damaged_prices_are_read_or_refused_in_one_line(file: Path, raw: bytes) -> None:
    file.write_bytes(raw)
    found = read_or_refused(lambda: read_prices(file))
    assert found is None or all(0 <= price < math.inf for price in found[0].values())
    read_or_refused(lambda: read_task(file))


# --- reports of other tools -----------------------------------------------------------------

ENTRY = {
    "build_commit": "0badcafe", "build_number": 7000, "cpu_info": "Test CPU", "gpu_info": "",
    "backends": "CPU", "model_filename": "/models/tiny-1B-Q4_K_M.gguf", "n_batch": 2048,
    "model_type": "llama 1B Q4_K - Medium", "model_size": 800_000_000, "n_threads": 4,
    "model_n_params": 1_000_000_000, "type_k": "f16", "flash_attn": -1, "n_prompt": 512, "n_gen": 0,
    "n_depth": 0, "test_time": "2026-03-01T10:00:00Z", "avg_ns": 2_000_000_000,
    "samples_ns": [1_900_000_000, 2_000_000_000, 2_100_000_000], "samples_ts": [269.5, 256.0, 243],
}  # fmt: skip
LLAMA: list[Any] = [
    [ENTRY], [ENTRY, {**ENTRY, "n_prompt": 0, "n_gen": 32}], {**ENTRY, "n_gen": 8},
]  # fmt: skip


def latency(*values: float) -> dict[str, Any]:
    return {"memory": {"unit": "MB", "max_ram": 1500.5}, "energy": None,
            "latency": {"unit": "s", "values": list(values), "stdev": 0.1}}  # fmt: skip


OPTIMUM: list[Any] = [{
    "config": {
        "backend": {"name": "pytorch", "version": "2.9.0", "model": "org/tiny", "device": "cpu",
                    "torch_dtype": "bfloat16", "model_kwargs": {"revision": "main"}},
        "scenario": {"name": "inference", "input_shapes": {"batch_size": 2, "sequence_length": 16},
                     "generate_kwargs": {"max_new_tokens": 10}},
        "environment": {"cpu": " Test CPU", "cpu_count": 8, "cpu_ram_mb": 16000.0, "gpu": ["GPU"],
                        "python_version": "3.11.7", "transformers_version": "5.0.0"},
    },
    "report": {"load_model": latency(2.5), "prefill": latency(0.2, 0.21),
               "decode": latency(0.9, 0.93),
               "generate": {**latency(1.1, 1.14), "energy": {"unit": "kWh", "total": 2e-6}},
               "per_token": latency(*[0.1] * 5)},
}]  # fmt: skip
OPTIMUM.append({**OPTIMUM[0], "report": {"forward": latency(0.1, 0.2)}})
PYTEST: list[Any] = [{
    "machine_info": {"node": "n", "cpu": {"brand_raw": "Test CPU", "count": 4}},
    "datetime": "2026-01-01", "commit_info": {"id": "abc"}, "version": "5.2.3",
    "benchmarks": [
        {"name": "t", "fullname": "f.py::t",
         "stats": {"median": 2.0, "rounds": 3, "data": [1.0, 2.0, 3.0]}},
        {"name": "u", "fullname": "f.py::u", "stats": {"median": 2.0, "rounds": 3}},
    ],
}]  # fmt: skip


def imported(form: str, path: Path) -> list[Record]:
    """Read a report, and do with its records what every board does."""
    found = read_or_refused(lambda: foreign_records(form, path))
    if found is None:
        return []
    records, left_out = found
    for sentence in left_out:
        assert len(sentence.splitlines()) == 1
        assert len(sentence) < _LONGEST_SENTENCE
    for record in records:
        back = parse(seal(record.model_dump_json().encode()))
        assert back == record
        for measured in record.measurements:
            if isinstance(measured, Measured):
                assert all(0 < value < math.inf for value in measured.samples)
        assert "jane" not in record.model_dump_json()
    for row in make_rows(records):
        for number in row.metrics.values():
            assert not isinstance(number, Number) or 0 < number.value < math.inf
    return list(records)


def written(file: Path, body: Any) -> Path:
    file.write_text(json.dumps(body), encoding="utf-8")
    return file


@cases(400)
@given(body=changed(LLAMA))
def test_changed_reports_of_llama_bench_give_their_own_numbers_or_none(
    file: Path, body: Any
) -> None:
    entries = body if isinstance(body, list) else [body]
    for record in imported("llama-bench", written(file, body)):
        times = [
            [t * 1e-9 for t in e.get("samples_ns") or [e["avg_ns"]]]
            for e in entries if isinstance(e, dict) and whole(e, record.cell.workload)
        ]  # fmt: skip
        seconds = seconds_of(record)
        assert any(seconds == pytest.approx(t) for t in times), (seconds, times)


def whole(entry: dict[str, Any], workload: Any) -> bool:
    """Return whether an entry asks for a workload, and has times."""
    prompt, output = entry.get("n_prompt"), entry.get("n_gen")
    if not (isinstance(entry.get("samples_ns"), list) or entry.get("avg_ns")):
        return False
    if isinstance(workload, Prefill):
        return prompt == workload.prompt_tokens and output == 0
    return isinstance(workload, Decode) and output == workload.new_tokens


def seconds_of(record: Record) -> list[float]:
    for measured in record.measurements:
        if isinstance(measured, Measured) and measured.estimator == "ratio":
            return list(measured.weights or ())
    raise AssertionError(record)


@cases(400)
@given(body=changed(OPTIMUM))
def test_changed_reports_of_optimum_benchmark_are_read_or_refused(file: Path, body: Any) -> None:
    for record in imported("optimum-benchmark", written(file, body)):
        told = {name: (target or {}).get("latency") or {} for name, target in body["report"].items()
                if target is None or isinstance(target, dict)}  # fmt: skip
        for metric, target in (
            ("ttft_s", "prefill"),
            ("latency_s", "forward"),
            ("load_s", "load_model"),
        ):
            found = record.measurement(metric)
            if isinstance(found, Measured):
                assert list(found.samples) == told[target]["values"]


@cases(250)
@given(body=changed(PYTEST))
def test_changed_reports_of_pytest_benchmark_give_their_own_times(file: Path, body: Any) -> None:
    for record in imported("pytest-benchmark", written(file, body)):
        (found,) = record.measurements
        assert isinstance(found, Measured)
        stats = [b["stats"] for b in body["benchmarks"]
                 if isinstance(b, dict) and isinstance(b.get("stats"), dict)]  # fmt: skip
        assert any(list(found.samples) in (s.get("data"), [s.get("median")]) for s in stats)


TEXTS = {
    "llama-bench": [json.dumps(LLAMA[1], indent=1), "\n".join(map(json.dumps, LLAMA[1]))],
    "optimum-benchmark": [json.dumps(body) for body in OPTIMUM],
    "pytest-benchmark": [json.dumps(PYTEST[0], indent=4)],
}


@pytest.mark.parametrize("form", sorted(TEXTS))
def test_damaged_reports_are_read_or_refused_in_one_line(file: Path, form: str) -> None:
    @cases(200)
    @given(raw=edited(TEXTS[form]))
    def check(raw: bytes) -> None:
        file.write_bytes(raw)
        imported(form, file)

    check()


# --- scores, solutions, ledgers ----------------------------------------------------------------

CALL = {
    "model": "m", "task_id": "q", "sample": 0, "prompt_tokens": 100, "cached_tokens": 10,
    "completion_tokens": 50, "usd_per_prompt_token": 1e-6, "wall_s": 36.0, "energy_j": 3.6,
    "score": 1,
}  # fmt: skip
CALLS: list[Any] = [[CALL, {**CALL, "sample": 1, "score": 0.5}], [CALL, {**CALL, "score": None}]]
SCORES: list[Any] = [{"samples": [
    {"task_id": "a", "sample": 0, "passed": True, "verdict": "passed"},
    {"task_id": "a", "sample": 1, "passed": False, "verdict": "wrong"},
    {"task_id": "b", "sample": 0, "passed": False, "verdict": "lost"},
]}]  # fmt: skip
SOLUTIONS = [
    '{"task_id": "a", "completion": "    return 1\\n"}\n'
    '{"task_id": "b", "solution": "def b(): pass"}\n',
    '[["x", "y"], [], ["z"]]',
]


def lines_of(body: Any) -> str:
    return (
        "\n".join(json.dumps(line) for line in body) if isinstance(body, list) else json.dumps(body)
    )


@cases(400)
@given(body=changed(CALLS))
def test_changed_ledgers_give_their_own_amounts_or_none(file: Path, body: Any) -> None:
    file.write_text(lines_of(body), encoding="utf-8")
    attempts = read_or_refused(lambda: read_attempts(file, {}))
    for attempt in attempts or ():
        assert attempt.score is not None and 0 <= attempt.score <= 1
        for call in attempt.calls:
            entry = body[int(call.where.rpartition(":")[2]) - 1]
            for name, amount in call.amounts.items():
                assert 0 <= amount <= sys.float_info.max
                assert float(entry[name]) == amount
                assert not isinstance(entry[name], bool | str)


@cases(200)
@given(body=changed(SCORES))
def test_changed_scores_give_their_own_verdicts_or_none(file: Path, body: Any) -> None:
    found = read_or_refused(lambda: read_scores(written(file, body)))
    if found is not None:
        told = {(s["task_id"], s["sample"]): s["passed"] for s in body["samples"]
                if s["verdict"] != "lost"}  # fmt: skip
        assert found == told
        assert all(isinstance(passed, bool) for passed in told.values())


@cases(300)
@given(raw=edited([lines_of(body) for body in CALLS] + [json.dumps(SCORES[0])] + SOLUTIONS))
def test_damaged_lines_are_read_or_refused_in_one_line(file: Path, raw: bytes) -> None:
    file.write_bytes(raw)
    read_or_refused(lambda: read_attempts(file, {}))
    read_or_refused(lambda: read_scores(file))
    for sample in read_or_refused(lambda: read_solutions(file)) or ():
        assert isinstance(sample.text, str)
