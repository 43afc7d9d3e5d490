"""`effmark run` and `effmark doctor` as people use them, on fake devices and on none."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from effmark.probes.checkup import Checkup
from effmark.record import Record
from effmark.report.doctor import doctor_text
from effmark.rows import make_rows

Command = Callable[..., "subprocess.CompletedProcess[str]"]
Trace = Callable[..., dict[str, str]]
FAKES = Path(__file__).parents[1] / "fakes"

SUITE = """\
suite: energy
version: 1
why: a model of known cost on a fake device
models: [synthetic]
cells:
  - adapter: sleep
    precision: none
    device: "{device}"
    options: {{step_s: 0.01, first_s: 0.02}}
workloads:
  - decode: {{prompt_tokens: 8, new_tokens: 10}}
budget: {{process_s: {seconds}}}
limits: {{cell_s: 60}}
"""


@pytest.fixture
def suite(tmp_path: Path) -> Callable[..., str]:
    def write(device: str, seconds: float) -> str:
        path = tmp_path / "energy.yaml"
        path.write_text(SUITE.format(device=device, seconds=seconds))
        return str(path)

    return write


@pytest.fixture
def rapl_root(tmp_path: Path) -> Iterator[Path]:
    """A root whose package counter runs at 80 W."""
    folder = tmp_path / "sys/class/powercap/intel-rapl:0"
    folder.mkdir(parents=True)
    (folder / "name").write_text("package-0\n")
    (folder / "max_energy_range_uj").write_text("262143328850\n")
    (folder / "energy_uj").write_text("0\n")
    command = [sys.executable, str(FAKES / "sysfs.py"), str(tmp_path / "sys"), "80", "0.05"]
    mover = subprocess.Popen(command)
    deadline = time.monotonic() + 10
    while (folder / "energy_uj").read_text() == "0\n":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield tmp_path / "sys"
    mover.kill()
    mover.wait()


def record_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_run_on_the_fake_gpu_has_measured_energy_per_token_with_bounds(
    effmark: Command, suite: Callable[..., str], nvml_trace: Trace
) -> None:
    trace = "gpu A100 GPU-a 80000000000\nlimit 700000\nperiod_ms 20\np -9 450000\nmem 0 4096\n"
    env = nvml_trace(trace, CUDA_VISIBLE_DEVICES="0")
    record = record_of(effmark("run", suite("cuda:0", 4), "--json", "--require-energy", **env))
    readings = record["energy"]
    assert readings
    assert {(r["source"], r["scope"], r["device_id"]) for r in readings} == {
        ("hw_counter", "gpu_board", "GPU-a")
    }
    for reading in readings:
        truth = 450 * (reading["end_s"] - reading["start_s"])
        assert abs(reading["joules"] / truth - 1) <= reading["err_window_rel"] < 0.05
        assert reading["err_sys_rel"] == 0.05
        assert abs(reading["net_joules"]) < 0.05 * reading["joules"]  # a fake never rests
        assert reading["units"]["output_tokens"] > 0
    assert record["environment"]["state"]["throttle_s"] == 0
    assert record["environment"]["state"]["mig"] is False
    memory = {m["metric"]: m for m in record["measurements"]}
    assert memory["device_used_b"]["samples"] == [4096.0]
    assert memory["device_used_b"]["source"] == "nvml"
    (row,) = make_rows([Record.model_validate(record)])
    per_token = row.number("energy_j_per_output_token")
    assert per_token is not None
    assert per_token.source == "hw_counter"
    tokens = sum(r["units"]["output_tokens"] for r in readings)
    assert per_token.value == pytest.approx(sum(r["joules"] for r in readings) / tokens)
    assert "sensor ±5 % apart" in per_token.method
    drawn = {trace["quantity"]: trace for trace in record["traces"]}
    assert set(drawn) >= {"memory_b", "power_w", "clock_hz", "temperature_c", "device_memory_b"}
    assert all(len(trace["values"]) <= 200 for trace in drawn.values())
    assert {v for v in drawn["power_w"]["values"] if v is not None} == {450.0}


def test_a_run_on_the_fake_rapl_root_has_measured_energy(
    effmark: Command, suite: Callable[..., str], rapl_root: Path
) -> None:
    env = {"EFFMARK_SYSFS_ROOT": str(rapl_root)}
    record = record_of(effmark("run", suite("cpu", 2), "--json", "--require-energy", **env))
    assert {(r["source"], r["scope"]) for r in record["energy"]} == {("hw_counter", "package")}
    for reading in record["energy"]:
        truth = 80 * (reading["end_s"] - reading["start_s"])
        assert abs(reading["joules"] / truth - 1) <= reading["err_window_rel"] + 0.02
    assert {trace["source"] for trace in record["traces"]} >= {"rapl package-0"}


def test_a_run_without_sensors_is_estimated_and_fails_only_where_energy_is_required(
    effmark: Command, suite: Callable[..., str], tmp_path: Path
) -> None:
    env = {"EFFMARK_SYSFS_ROOT": str(tmp_path / "nothing"), "EFFMARK_CACHE": str(tmp_path / "c")}
    record = record_of(effmark("run", suite("cpu", 1), "--json", **env))
    assert {r["source"] for r in record["energy"]} == {"model_estimate"}
    assert {m["reason"] for m in record["energy_missing"]} >= {"not_present", "not_applicable"}
    (row,) = make_rows([Record.model_validate(record)])
    per_token = row.number("energy_j_per_output_token")
    assert per_token is not None
    assert per_token.source == "model_estimate"
    refused = effmark("run", suite("cpu", 1), "--require-energy", **env)
    assert refused.returncode == 3
    assert "only an estimate of energy" in refused.stderr


def test_carbon_and_prices_of_the_suite_or_the_machine_are_in_rows(
    effmark: Command, suite: Callable[..., str], tmp_path: Path
) -> None:
    env = {"EFFMARK_SYSFS_ROOT": str(tmp_path / "nothing"), "EFFMARK_CACHE": str(tmp_path / "c"),
           "EFFMARK_COUNTRY": "FRA"}  # fmt: skip
    price = ["rates.usd_per_device_hour=3.6", "rates.source=our contract"]
    record = record_of(effmark("run", suite("cpu", 1), *price, "--json", **env))
    assert record["rates"]["carbon"]["value"] == 56
    assert record["rates"]["device"]["source"] == "our contract"
    (row,) = make_rows([Record.model_validate(record)])
    energy, carbon = (row.number(f"{n}_per_output_token") for n in ("energy_j", "carbon_g"))
    assert energy is not None
    assert carbon is not None
    assert carbon.value == pytest.approx(energy.value / 3.6e6 * 56)
    assert carbon.source == "model_estimate"  # an estimate times a figure is an estimate
    assert row.number("device_usd_per_output_token") is not None
    wrong = effmark("run", suite("cpu", 1), "rates.country=Germany", **env)
    assert wrong.returncode == 2
    assert "rates.country" in wrong.stderr


def test_how_much_memory_a_worker_had_when_it_was_killed_is_in_the_record(
    effmark: Command, tmp_path: Path
) -> None:
    cells = "".join(
        f"  - {{adapter: synthetic_lm, precision: fp32, options: {{fail: {fail}}}}}\n"
        for fail in ("hang", "segfault")
    )
    path = tmp_path / "deaths.yaml"
    path.write_text(
        "suite: deaths\nversion: 1\nwhy: they die\nmodels: [synthetic]\n"
        f"cells:\n{cells}workloads:\n  - decode: {{prompt_tokens: 8, new_tokens: 4}}\n"
        "limits: {cell_s: 2.5}\nallow: [ok, timeout, crash, oom]\n"
    )
    done = effmark("run", str(path), "--json")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [r["outcome"] for r in records] == ["timeout", "crash"]
    limited = effmark("run", str(path), "limits.memory_b=20000000", "--only",
                      "synthetic_lm/fp32", "--json")  # fmt: skip
    assert limited.returncode == 0, limited.stderr
    records += [json.loads(line) for line in limited.stdout.splitlines()]
    outcomes = [r["outcome"] for r in records]
    assert "oom" in outcomes
    for record in records:
        found = {m["metric"]: m for m in record["measurements"]}
        if record["outcome"] in ("timeout", "oom"):
            (resident_b,) = found["memory_at_death_b"]["samples"]
            assert 20e6 < resident_b < 2e9
            assert found["memory_at_death_b"]["source"] in ("rss", "wait4")


def test_doctor_on_fakes_shows_each_counter_with_its_figures(
    effmark: Command, rapl_root: Path, nvml_trace: Trace
) -> None:
    gpu = "gpu H100 GPU-{} 80000000000\nlimit 700000\nperiod_ms {}\np -9 {}\nmem 0 3000000000\n"
    env = nvml_trace(gpu.format("aa", 100, 450000) + gpu.format("bb", 50, 150000),
                     CUDA_VISIBLE_DEVICES="0,1")  # fmt: skip
    done = effmark("doctor", "--json", **{**env, "EFFMARK_SYSFS_ROOT": str(rapl_root)})
    assert done.returncode == 0, done.stderr
    checkup = Checkup.model_validate_json(done.stdout)
    assert {r.source for d in checkup.devices for r in d.readings} == {"hw_counter"}
    text = " ".join(doctor_text(checkup).split())
    assert "+ energy cpu measured by RAPL: package" in text
    assert "energy cuda:0,1 measured by NVIDIA, RAPL" in text
    assert re.search(r"600 W gpu board \(GPU-aa\+GPU-bb\), counter refreshed every", text)
    assert "450 W gpu board (GPU-aa)" in text
    assert re.search(r"window ±0\.\d+ %, sensor ±5 %, counter against power [+-]0\.\d %", text)
    assert "memory in use 6.00 GB" in text


def test_doctor_on_a_bare_machine_says_so_plainly_and_does_not_calibrate(
    effmark: Command, tmp_path: Path
) -> None:
    env = {"EFFMARK_SYSFS_ROOT": str(tmp_path / "nothing"), "EFFMARK_CACHE": str(tmp_path / "c"),
           "EFFMARK_COUNTRY": "", "COLUMNS": "100"}  # fmt: skip
    done = effmark("doctor", **env)
    assert done.returncode == 0, done.stderr
    text = " ".join(done.stdout.split())
    assert "~ energy cpu only estimated: nothing on this machine measures energy" in text
    for remedy in ("EFFMARK_METER=tcp://HOST:PORT", "/sys/class/powercap", "EFFMARK_COUNTRY=DEU"):
        assert remedy in text
    assert "Jetson" not in text  # what this is not needs no remedy
    assert "Noise grade" in done.stdout.splitlines()[-2] + done.stdout.splitlines()[-1]
    refused = effmark("doctor", "--calibrate", **env)
    assert refused.returncode == 3
    assert "nothing to fit to" in refused.stderr


def test_the_estimate_is_fitted_to_a_counter_and_says_so(
    effmark: Command, suite: Callable[..., str], tmp_path: Path
) -> None:
    powercap = tmp_path / "sys/class/powercap/intel-rapl:0"
    powercap.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "262143328850"),
                       ("energy_uj", "0")):  # fmt: skip
        (powercap / name).write_text(f"{text}\n")
    arguments = [str(tmp_path / "sys"), "20", "0.05", "262143328850", "20"]
    mover = subprocess.Popen([sys.executable, str(FAKES / "sysfs.py"), *arguments])
    env = {"EFFMARK_CACHE": str(tmp_path / "c")}
    try:
        done = effmark("doctor", "--calibrate", EFFMARK_SYSFS_ROOT=str(tmp_path / "sys"), **env)
    finally:
        mover.kill()
        mover.wait()
    assert done.returncode == 0, done.stderr
    assert "by rapl (package)" in done.stdout
    bare = {**env, "EFFMARK_SYSFS_ROOT": str(tmp_path / "nothing")}
    record = record_of(effmark("run", suite("cpu", 1), "--json", **bare))
    model = next(r for r in record["energy"] if r["probe"] == "cpu_time_model")
    assert model["err_sys_rel"] == 0.2
    assert "calibrated by rapl" in model["reasons"][0]


@pytest.mark.slow
def test_the_default_suite_has_measured_energy_where_a_counter_is(
    effmark: Command, rapl_root: Path
) -> None:
    env = {"EFFMARK_SYSFS_ROOT": str(rapl_root), "EFFMARK_COUNTRY": "FRA"}
    only = ["--only", "llama-cpp/f16", "--profile", "smoke"]
    done = effmark("run", "llm-int4", *only, "--require-energy", "--json", **env)
    assert done.returncode == 0, done.stderr
    records = [Record.model_validate_json(line) for line in done.stdout.splitlines()]
    timed = [row for row in make_rows(records) if row.record.blocks]
    assert {row.record.cell.workload.kind for row in timed} == {"decode", "prefill"}
    for row in timed:
        unit = "output_token" if row.record.cell.workload.kind == "decode" else "input_token"
        energy = row.number(f"energy_j_per_{unit}")
        assert energy is not None
        assert energy.source == "hw_counter"
        assert "window ±" in energy.method
        assert row.number(f"carbon_g_per_{unit}") is not None
        held = row.record.measurement("kv_cache_held_b")
        assert held is not None
        assert held.kind == "measured"
