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
    print(json.dumps({"opened": dump(opened), "found": dump(found), **probe.seen().model_dump(),
                      "traces": dump(probe.traces()),
                      "epoch_s": float(os.environ["FAKE_NVML_EPOCH"])}))
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


ONCE = """
import json, time
from effmark.probes.contract import Target
from effmark.probes.energy import EnergyMeter
meter = EnergyMeter(Target(device="cuda:0"))
assert meter.measures
out = []
for seconds in (0.02, 0.15, 0.02):
    meter.start(once=True)
    start = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - start
    readings, missing = meter.stop(start)
    out.append([took, [r.model_dump() for r in readings], [m.model_dump() for m in missing]])
meter.close()
print(json.dumps(out))
"""


def test_what_runs_once_and_is_short_for_the_counter_is_measured_all_the_same(
    nvml_trace: Trace, drive: Drive
) -> None:
    for took, readings, _ in drive(ONCE, nvml_trace(GPU + "period_ms 100\np -9 450000\n")):
        (reading,) = readings  # begin and end reads say 0 J or twice the truth
        assert reading["source"] == "hw_counter"
        length = reading["end_s"] - reading["start_s"]
        assert abs(reading["joules"] / 450 / length - 1) <= reading["err_window_rel"]
        assert reading["reasons"][0].startswith("drain")
        assert took <= length


def test_without_a_counter_power_is_integrated_and_says_so(nvml_trace: Trace, drive: Drive) -> None:
    trace = GPU + "noenergy\nsensor_ms 20\np -9 100000\np 0.5 500000\np 1.74 100000\n"
    found = drive(script(2.3), nvml_trace(trace))["found"]
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
    (reading,) = drive(script(0.7), nvml_trace(trace))["found"]
    length = reading["end_s"] - reading["start_s"]
    assert reading["joules"] == pytest.approx(450 * length, rel=0.02)
    assert reading["cross_check_rel"] is None


def test_counter_and_power_that_disagree_are_both_kept(nvml_trace: Trace, drive: Drive) -> None:
    trace = GPU + "period_ms 20\np 0 450000\nscale 0.572\n"  # 187 J against 327 J
    (reading,) = drive(script(0.7), nvml_trace(trace))["found"]
    assert reading["cross_check_rel"] == pytest.approx(-0.428, abs=0.03)


def test_a_power_that_changes_in_steps_is_counted_within_the_bound(
    nvml_trace: Trace, drive: Drive
) -> None:
    steps = [(0.06 * i, (90, 450, 600, 200)[i % 4]) for i in range(60)]
    lines = "".join(f"p {t:.3f} {1000 * w}\n" for t, w in steps)
    told = drive(script(2.5), nvml_trace(GPU + "period_ms 20\n" + lines))
    for reading in told["found"]:
        begin, end = (reading[k] - told["epoch_s"] for k in ("start_s", "end_s"))
        truth = sum(w * max(0.0, min(t + 0.06, end) - max(t, begin)) for t, w in steps)
        assert abs(reading["joules"] / truth - 1) <= reading["err_window_rel"]


@pytest.mark.parametrize(("period_s", "sees"), [(0.137, True), (0.1, False)])
def test_a_sensor_that_looks_a_quarter_of_the_time_is_right_unless_the_load_keeps_time_with_it(
    nvml_trace: Trace, drive: Drive, period_s: float, sees: bool
) -> None:
    """The counter cannot show it: that is what the reason `aliasing_risk` is for."""
    lines = "".join(
        f"p {i * period_s:.4f} 600000\np {(i + 0.5) * period_s:.4f} 200000\n" for i in range(60)
    )
    trace = GPU + "sensor_ms 100\nseen_ms 25\nperiod_ms 100\n" + lines
    found = drive(script(2.7), nvml_trace(trace))["found"]
    joules = sum(f["joules"] for f in found)
    watts = joules / (found[-1]["end_s"] - found[0]["start_s"])
    error = abs(watts / 400 - 1)
    assert (error < 0.1) is sees
    assert sees or error > 0.4


@pytest.mark.parametrize(
    ("lacking", "source"),
    [(("NO_ENERGY",), "hw_power_integrated"), (("NO_FIELDS", "NO_MEMORY_V2"), "hw_counter")],
)
def test_a_driver_that_lacks_symbols_gives_what_it_has(
    nvml_trace: Trace, drive: Drive, lacking: tuple[str, ...], source: str
) -> None:
    env = nvml_trace(GPU + "period_ms 20\np 0 450000\nmem 0 3000000000\n", lacking)
    told = drive(script(0.8), env)
    (reading,) = told["found"]
    assert reading["source"] == source
    assert reading["joules"] == pytest.approx(
        450 * (reading["end_s"] - reading["start_s"]), rel=0.1
    )
    reserved = 2**29 if "NO_MEMORY_V2" in lacking else 0  # the first version counts it as used
    assert told["state"]["device_used_b"] == 3_000_000_000 + reserved
    assert ("throttle_s" in told["unknown"]) is ("NO_FIELDS" in lacking)


def test_a_driver_without_counter_and_power_is_not_supported(
    nvml_trace: Trace, drive: Drive
) -> None:
    env = nvml_trace(GPU + "p 0 450000\n", ("NO_ENERGY", "NO_FIELDS"))
    assert drive(script(), env)["missing"]["reason"] == "not_supported"


def test_a_slice_with_neighbours_is_refused_and_a_sole_tenant_is_told(
    nvml_trace: Trace, drive: Drive
) -> None:
    found = drive(script(), nvml_trace(GPU + "mig 2\np 0 450000\n"))["missing"]
    assert found["reason"] == "rejected"
    assert "MIG" in found["detail"]
    trace = GPU + "mig 1\nperiod_ms 20\np 0 450000\n"
    env = nvml_trace(trace, CUDA_VISIBLE_DEVICES="MIG-GPU-aaaa-0")
    told = drive(script(0.6), env)
    (reading,) = told["found"]
    assert reading["device_id"] == "GPU-aaaa"
    assert "whole board" in reading["reasons"][0]
    assert told["state"]["mig_mode"] is True


def test_clocks_heat_memory_and_throttling_are_part_of_the_state(
    nvml_trace: Trace, drive: Drive
) -> None:
    trace = GPU + (
        "period_ms 20\np 0 450000\nthrns 0 270 1000000\nthrns 0.7 270 51000000\ndefault_clk 1400\n"
        "clk 0 1400\nclk 0.7 700\nproc 0 4242 7000\ntemp 0 71\nmem 0 9000\necc 1\n"
    )
    told = drive(script(1.4, pids="4242,"), nvml_trace(trace))
    state = told["state"]
    assert state["throttle_s"] == pytest.approx(0.05)
    assert state["clock_min_ratio"] == pytest.approx(0.5)
    assert state["foreign_pids_count"] == 0
    assert state["temperature_c"] == 71
    assert (state["device_used_b"], state["device_process_b"]) == (9000, 7000)
    assert state["gpu_busy_ratio"] == 0.99
    assert state["ecc"] is True
    assert told["found"][0]["reasons"] == ["throttled for 0.05 s"]
    drawn = {trace["quantity"]: trace for trace in told["traces"]}
    assert set(drawn) == {"power_w", "clock_hz", "temperature_c", "device_memory_b"}
    assert {v for v in drawn["power_w"]["values"] if v is not None} == {450.0}
    assert drawn["clock_hz"]["values"][0] == 1.4e9
    assert drawn["clock_hz"]["values"][-1] == 7e8


def test_energy_that_others_share_is_rejected(nvml_trace: Trace, drive: Drive) -> None:
    trace = GPU + "period_ms 20\np 0 450000\nproc 0 4242 1000\nproc 0.3 777 1000\n"
    told = drive(script(0.8, pids="4242,"), nvml_trace(trace))
    (missing,) = told["found"]
    assert missing["reason"] == "rejected"
    assert "777" in missing["detail"]
    assert told["state"]["foreign_pids_count"] == 1


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
