"""`effmark run` and `effmark doctor` as people use them, on fake devices and on none."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from effmark.record import Record
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
    command = [sys.executable, str(FAKES / "sysfs.py"), str(tmp_path / "sys"), "80", "0.01"]
    mover = subprocess.Popen(command)
    time.sleep(0.3)
    yield tmp_path / "sys"
    mover.kill()
    mover.wait()


def record_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_run_on_the_fake_gpu_has_measured_energy_per_token_with_bounds(
    effmark: Command, suite: Callable[..., str], nvml_trace: Trace
) -> None:
    trace = "gpu A100 GPU-a 80000000000\nlimit 700000\nperiod_ms 20\np -9 450000\n"
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
    (row,) = make_rows([Record.model_validate(record)])
    per_token = row.number("energy_j_per_output_token")
    assert per_token is not None
    assert per_token.source == "hw_counter"
    tokens = sum(r["units"]["output_tokens"] for r in readings)
    assert per_token.value == pytest.approx(sum(r["joules"] for r in readings) / tokens)


def test_a_run_on_the_fake_rapl_root_has_measured_energy(
    effmark: Command, suite: Callable[..., str], rapl_root: Path
) -> None:
    env = {"EFFMARK_SYSFS_ROOT": str(rapl_root)}
    record = record_of(effmark("run", suite("cpu", 2), "--json", "--require-energy", **env))
    assert {(r["source"], r["scope"]) for r in record["energy"]} == {("hw_counter", "package")}
    for reading in record["energy"]:
        truth = 80 * (reading["end_s"] - reading["start_s"])
        assert abs(reading["joules"] / truth - 1) <= reading["err_window_rel"] + 0.02
    shown = effmark("doctor", "--json", **env)
    checkup = json.loads(shown.stdout)
    assert checkup["devices"][0]["readings"][0]["source"] == "hw_counter"


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


def test_doctor_on_a_bare_machine_says_so_plainly_and_does_not_calibrate(
    effmark: Command, tmp_path: Path
) -> None:
    env = {"EFFMARK_SYSFS_ROOT": str(tmp_path / "nothing"), "EFFMARK_CACHE": str(tmp_path / "c")}
    done = effmark("doctor", **env)
    assert done.returncode == 0, done.stderr
    assert "nothing on this machine measures energy" in done.stdout
    assert "EFFMARK_METER" in done.stdout
    assert "Noise grade" in done.stdout
    refused = effmark("doctor", "--calibrate", **env)
    assert refused.returncode == 3
    assert "nothing to fit to" in refused.stderr
