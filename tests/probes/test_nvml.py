"""NVIDIA through the real pynvml on a fake driver, each scenario in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Trace = Callable[..., dict[str, str]]
Drive = Callable[..., Any]

GPU = "gpu A100 GPU-aaaa 80000000000\nlimit 700000\n"

WATCH = """
import json, os, sys, time
from effmark.probes.contract import Target
from effmark.probes.nvml import NvmlProbe
from effmark.record import Missing

def window(probe, seconds):
    start = time.monotonic()
    probe.start()
    wake = probe.poll()
    while time.monotonic() < start + seconds:
        time.sleep(max(0, wake - time.monotonic()))
        wake = probe.poll()
    return probe.stop(start, time.monotonic())

def dump(found):
    return [f.model_dump() for f in found]
"""

ONE = (
    WATCH
    + """
import pynvml
os.environ["FAKE_NVML_EPOCH"] = str(time.monotonic())  # the trace begins now
probe = NvmlProbe()
opened = probe.open(Target(device="DEVICE", pids=(PIDS), uuids=(UUIDS)))
if isinstance(opened, Missing):
    print(json.dumps({"missing": opened.model_dump()}))
else:
    found = window(probe, SECONDS)
    print(json.dumps({"opened": dump(opened), "found": dump(found), **probe.seen().model_dump()}))
"""
)


def script(seconds: float = 1.0, device: str = "cuda:0", pids: str = "", uuids: str = "") -> str:
    text = ONE.replace("SECONDS", str(seconds)).replace("DEVICE", device)
    return text.replace("PIDS", pids).replace("UUIDS", uuids)


LIVE = """
import json, random, time
from effmark.probes.contract import Target
from effmark.probes.energy import EnergyMeter
import pynvml
pynvml.nvmlInit()
handle = pynvml.nvmlDeviceGetHandleByIndex(0)
meter = EnergyMeter(Target(device="cuda:0"))
assert meter.measures, meter.missing
out = []
for seconds in [*6 * [0.165], *4 * [0.52], *2 * [1.035]]:
    time.sleep(random.random() * 0.1)
    meter.start()
    a, e = time.monotonic(), pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    time.sleep(seconds)
    b, f = time.monotonic(), pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    readings, missing = meter.stop(0.0)
    for r in readings:
        truth = 450 * (r.end_s - r.start_s)
        out.append([seconds, abs(r.joules - truth) / truth, r.err_window_rel, r.update_period_s,
                    abs((f - e) / 1000 / 450 / (b - a) - 1), r.source, r.cross_check_rel])
meter.close()
print(json.dumps(out))
"""


def test_a_dozen_live_windows_lie_inside_their_bound_and_reading_the_ends_does_not(
    nvml_trace: Trace, drive: Drive
) -> None:
    rows = drive(LIVE, nvml_trace(GPU + "period_ms 50\np 0 450000\n"))
    assert len(rows) == 12
    assert all(row[5] == "hw_counter" for row in rows)
    assert all(error <= bound for _, error, bound, *_ in rows)
    naive = sorted(row[4] for row in rows if row[0] == 0.165)
    assert naive[-1] > 0.02  # what begin and end reads say
    assert rows[-1][3] == pytest.approx(0.05, rel=0.2)
    assert abs(rows[-1][6]) < 0.02


def test_without_a_counter_power_is_integrated_and_says_so(nvml_trace: Trace, drive: Drive) -> None:
    trace = GPU + "noenergy\nsensor_ms 20\np -9 100000\np 0.9 500000\np 2.14 100000\n"
    found = drive(script(4.0), nvml_trace(trace))["found"]
    assert {f["source"] for f in found} == {"hw_power_integrated"}
    length = found[-1]["end_s"] - found[0]["start_s"]
    burst = sum(f["joules"] for f in found) - 100 * (length - 1.24)
    bound = sum(f["joules"] * f["err_window_rel"] for f in found)
    assert abs(burst - 620) <= bound
    assert burst == pytest.approx(620, rel=0.1)


@pytest.mark.parametrize(
    ("lines", "reason", "words"),
    [
        ("p 0 450000\nreset 0.8", "rejected", "backwards"),
        ("p 0 450000\nstuck 0.7 99", "rejected", "stood still"),
        ("p 0 450000\nscale 1000", "rejected", "at a limit of 700 W"),
    ],
)
def test_an_impossible_counter_is_rejected_and_power_stands_in(
    nvml_trace: Trace, drive: Drive, lines: str, reason: str, words: str
) -> None:
    found = drive(script(2.5), nvml_trace(GPU + "period_ms 20\n" + lines + "\n"))["found"]
    missing = [f for f in found if f.get("kind") == "missing"]
    assert [m["reason"] for m in missing] == [reason]
    assert words in missing[0]["detail"]
    rest = [f for f in found if f.get("kind") != "missing"]
    assert rest
    assert {f["source"] for f in rest} == {"hw_power_integrated"}
    assert all(abs(f["joules"] / (f["end_s"] - f["start_s"]) - 450) < 45 for f in rest)


def test_one_bad_field_of_two_leaves_the_counter_without_a_check(
    nvml_trace: Trace, drive: Drive
) -> None:
    trace = GPU + "period_ms 20\np 0 450000\nfieldfail 0 186 3\n"
    (reading,) = drive(script(), nvml_trace(trace))["found"]
    length = reading["end_s"] - reading["start_s"]
    assert reading["joules"] == pytest.approx(450 * length, rel=0.02)
    assert reading["cross_check_rel"] is None


def test_counter_and_power_that_disagree_are_both_kept(nvml_trace: Trace, drive: Drive) -> None:
    trace = GPU + "period_ms 20\np 0 450000\nscale 0.572\n"  # 187 J against 327 J
    (reading,) = drive(script(), nvml_trace(trace))["found"]
    assert reading["cross_check_rel"] == pytest.approx(-0.428, abs=0.03)


def test_a_mig_device_is_refused(nvml_trace: Trace, drive: Drive) -> None:
    found = drive(script(), nvml_trace(GPU + "mig 1\np 0 450000\n"))["missing"]
    assert found["reason"] == "rejected"
    assert "MIG" in found["detail"]


def test_throttling_clocks_and_foreign_processes_are_part_of_the_state(
    nvml_trace: Trace, drive: Drive
) -> None:
    trace = GPU + (
        "period_ms 20\np 0 450000\nthrns 0 270 1000000\nthrns 1.2 270 51000000\ndefault_clk 1400\n"
        "clk 0 1400\nclk 1.2 700\nproc 0 4242 1000\nproc 1.0 777 1000\ntemp 0 71\n"
    )
    env = nvml_trace(trace)
    found = drive(script(2.0, pids="4242,"), env)
    assert found["state"]["throttle_s"] == pytest.approx(0.05)
    assert found["state"]["clock_min_ratio"] == pytest.approx(0.5)
    assert found["state"]["foreign_pids_count"] == 1
    assert found["state"]["temperature_c"] == 71
    assert found["found"][0]["reasons"] == ["throttled for 0.05 s"]


def test_two_gpus_are_added_and_found_by_uuid(nvml_trace: Trace, drive: Drive) -> None:
    trace = "".join(
        f"gpu A100 GPU-{name} 80000000000\nlimit 700000\nperiod_ms {tau}\np 0 {mw}\n"
        for name, tau, mw in (("aaaa", 20, 100000), ("bbbb", 33, 300000), ("cccc", 20, 600000))
    )
    env = nvml_trace(trace, CUDA_VISIBLE_DEVICES="GPU-cc,GPU-aa,GPU-bb")
    whole, *parts = drive(script(1.5, device="cuda:1,2"), env)["found"]
    assert whole["device_id"] == "GPU-aaaa+GPU-bbbb"
    watts = whole["joules"] / (whole["end_s"] - whole["start_s"])
    assert abs(watts - 400) <= 400 * whole["err_window_rel"]
    assert {p["scope"] for p in parts} == {"part:gpu_board"}
    (other,) = drive(script(1.0, uuids='"GPU-cccc",'), env)["found"]
    assert other["device_id"] == "GPU-cccc"


def test_numbers_of_unlike_gpus_are_not_guessed(nvml_trace: Trace, drive: Drive) -> None:
    trace = "gpu A100 GPU-a 1\np 0 1000\ngpu T4 GPU-b 1\np 0 1000\n"
    found = drive(script(0.1, device="cuda:1"), nvml_trace(trace))["missing"]
    assert found["reason"] == "undefined"
    assert "CUDA_DEVICE_ORDER" in found["detail"]
    env = nvml_trace(trace, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    assert drive(script(0.1, device="cuda:1"), env)["opened"][0]["device_id"] == "GPU-b"


def test_no_driver_is_missing_with_the_reason(nvml_trace: Trace, drive: Drive) -> None:
    env = {**nvml_trace(""), "LD_LIBRARY_PATH": ""}
    found = drive(script(), env)["missing"]
    assert found["reason"] == "not_present"
