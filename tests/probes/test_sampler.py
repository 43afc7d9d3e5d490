"""Between a worker and its probes: what hangs, throws or dies costs its number only."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from effmark.probes.baseline import with_net
from effmark.probes.contract import Target
from effmark.probes.cpu_time import CpuPowers, CpuTimeModel
from effmark.probes.energy import EnergyMeter
from effmark.probes.meter import ExternalMeter
from effmark.record import EnergyReading, Missing

Trace = Callable[..., dict[str, str]]
Drive = Callable[..., Any]
FAKES = Path(__file__).parents[1] / "fakes"

ASK = """
import json, time
from effmark.probes.contract import Target
from effmark.probes.energy import EnergyMeter
meter = EnergyMeter(Target(device="cuda:0"))
instruments = meter.instruments
start = time.monotonic()
meter.start()
time.sleep(SECONDS)
before = time.monotonic()
readings, missing = meter.stop(start)
waited = time.monotonic() - before
meter.close()
print(json.dumps({"readings": [r.model_dump() for r in readings], "waited_s": waited,
                  "missing": [m.model_dump() for m in missing],
                  "instruments": [i.model_dump() for i in instruments]}))
"""


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without sensors."""
    monkeypatch.setenv("EFFMARK_SYSFS_ROOT", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("EFFMARK_METER", raising=False)


@pytest.mark.usefixtures("bare")
def test_without_any_sensor_there_is_an_estimate_and_every_reason() -> None:
    meter = EnergyMeter(Target(pids=(os.getpid(),)))
    meter.rest(1.0)
    meter.start()
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    readings, missing = meter.stop(0.0)
    assert meter.wanted_s == 0
    meter.close()
    model = next(r for r in readings if r.probe == "cpu_time_model")
    assert model.source == "model_estimate"
    assert model.err_sys_rel == 0.4
    assert model.net_joules is not None
    assert 0 < model.net_joules < model.joules
    reasons = {m.detail.split(":")[0]: m.reason for m in missing}
    assert reasons["rapl"] == "not_present"
    assert reasons["nvml"] == "not_applicable"
    assert reasons["meter"] == "not_present"


@pytest.mark.usefixtures("bare")
def test_a_sampler_that_is_killed_costs_the_measurement_nothing() -> None:
    meter = EnergyMeter(Target())
    assert meter.instruments == ()
    (pid,) = meter.pids
    meter.start()
    os.kill(pid, signal.SIGKILL)
    start = time.monotonic()
    _, missing = meter.stop(0.0)
    assert time.monotonic() - start < 4
    assert any("died" in m.detail or "gone" in m.detail for m in missing)
    meter.start()
    readings, _ = meter.stop(0.0)  # the next window goes on without it
    assert [r.probe for r in readings] == ["cpu_time_model"]
    meter.close()
    meter.close()


@pytest.mark.usefixtures("bare")
def test_a_sampler_ends_when_its_worker_is_gone() -> None:
    text = (
        "import os\nfrom effmark.probes.contract import Target\n"
        "from effmark.probes.energy import EnergyMeter\n"
        "meter = EnergyMeter(Target())\nmeter.instruments\n"
        "print(*meter.pids, flush=True)\nos._exit(0)"
    )
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    deadline = time.monotonic() + 20
    while psutil.pid_exists(int(done.stdout)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.usefixtures("bare")
def test_waiting_for_an_answer_costs_no_cpu() -> None:
    meter = EnergyMeter(Target())
    assert meter.instruments == ()
    before = resource.getrusage(resource.RUSAGE_SELF)
    assert meter._receive(1.0) is None  # nobody answers
    after = resource.getrusage(resource.RUSAGE_SELF)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 0.05
    meter.close()


def test_a_probe_that_hangs_loses_its_own_number_only(
    nvml_trace: Trace, drive: Drive, tmp_path: Path
) -> None:
    trace = "gpu A100 GPU-a 1\np 0 450000\nhang 0 nvmlDeviceGetEnforcedPowerLimit 60\n"
    port, server = _serve("120", "0")
    env = nvml_trace(trace, EFFMARK_METER=f"tcp://127.0.0.1:{port}")
    found = drive(ASK.replace("SECONDS", "1.0"), env)
    server.kill()
    server.wait()
    (lost,) = [m for m in found["missing"] if m["detail"].startswith("nvml")]
    assert lost["reason"] == "failed"
    assert "hangs" in lost["detail"]
    assert found["waited_s"] < 5
    assert {r["source"] for r in found["readings"]} == {"external_meter"}


def test_a_gpu_that_is_lost_in_the_window_is_missing_and_nothing_stops(
    nvml_trace: Trace, drive: Drive
) -> None:
    text = (
        "import os, time\nos.environ['FAKE_NVML_EPOCH'] = str(time.monotonic() + 6)\n"
        + ASK.replace("time.sleep(SECONDS)", "time.sleep(max(0, "
                      "float(os.environ['FAKE_NVML_EPOCH']) + 1.0 - time.monotonic()))")
    )  # fmt: skip
    trace = "gpu A100 GPU-a 1\np -99 450000\nfail 0.5 nvmlDeviceGetTotalEnergyConsumption 15\n"
    found = drive(text, nvml_trace(trace))
    assert found["instruments"]
    (lost,) = [m for m in found["missing"] if m["detail"].startswith("nvml")]
    assert lost["reason"] == "failed"
    assert "lost" in lost["detail"]
    assert found["readings"] == []


def test_the_model_counts_cpu_time_and_idle_time() -> None:
    model = CpuTimeModel(CpuPowers(1.0, 5.0, "test"), cpus=4)
    assert model.open(Target()) is None
    model.start()
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    found = model.stop()
    assert isinstance(found, EnergyReading)
    window = found.end_s - found.start_s
    assert found.joules == pytest.approx(4 * window + 4 * 0.3, rel=0.1)
    refused = CpuTimeModel().open(Target(device="cuda:0"))
    assert isinstance(refused, Missing)


def reading(joules: float, seconds: float) -> EnergyReading:
    return EnergyReading(
        joules=joules, source="hw_counter", scope="package", probe="rapl", device_id="package-0",
        start_s=0.0, end_s=seconds,
    )  # fmt: skip


def test_net_energy_takes_both_baselines_and_tells_a_drift() -> None:
    (net,) = with_net([reading(4500, 10)], [reading(90, 1)], [reading(96, 1)])
    assert net.joules == 4500
    assert net.idle_w == 93
    assert net.net_joules == pytest.approx(4500 - 930)
    assert "thermal_drift" in net.reasons[0]
    (steady,) = with_net([reading(4500, 10)], [reading(90, 1)], [reading(91, 1)])
    assert steady.reasons == ()


def _serve(*arguments: str) -> tuple[int, subprocess.Popen[str]]:
    server = subprocess.Popen(
        [sys.executable, str(FAKES / "meter_server.py"), *arguments],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    with server.stdout:
        return int(server.stdout.readline()), server


@pytest.fixture
def meter_at() -> Iterator[Callable[..., ExternalMeter]]:
    servers = []

    def make(*arguments: str) -> ExternalMeter:
        port, server = _serve(*arguments)
        servers.append(server)
        return ExternalMeter(f"tcp://127.0.0.1:{port}", 0.01)

    yield make
    for server in servers:
        server.kill()
        server.wait()


def watch(meter: ExternalMeter, seconds: float) -> EnergyReading | Missing:
    start = time.monotonic()
    meter.start()
    while time.monotonic() < start + seconds:
        time.sleep(max(0.0, meter.poll() - time.monotonic()))
    (found,) = meter.stop(start, time.monotonic())
    meter.close()
    return found


@pytest.mark.parametrize("mute", [False, True])
def test_the_clock_of_a_meter_is_brought_onto_ours(
    meter_at: Callable[..., ExternalMeter], mute: bool
) -> None:
    meter = meter_at("120", "77.12", *(["mute"] if mute else []))
    opened = meter.open(Target())
    assert not isinstance(opened, Missing)
    if not mute:
        assert meter._offset_s == pytest.approx(-77.12, abs=meter._offset_err_s + 0.001)
    found = watch(meter, 0.8)
    assert isinstance(found, EnergyReading)
    assert found.scope == "wall"
    assert found.joules == pytest.approx(120 * (found.end_s - found.start_s))


def test_a_meter_that_falls_silent_or_hangs_up_is_missing(
    meter_at: Callable[..., ExternalMeter],
) -> None:
    meter = meter_at("120", "0", "drop", "0.7")
    meter.open(Target())
    found = watch(meter, 2.0)
    assert isinstance(found, Missing)
    meter = meter_at("120", "0", "gap", "0.2", "9")
    meter.open(Target())
    time.sleep(0.3)
    found = watch(meter, 0.5)
    assert isinstance(found, Missing)
    assert found.reason == "failed"


def test_no_meter_and_no_answer_are_missing_with_the_remedy() -> None:
    found = ExternalMeter("").open(Target())
    assert isinstance(found, Missing)
    assert "EFFMARK_METER" in found.detail
    found = ExternalMeter("tcp://127.0.0.1:1").open(Target())
    assert isinstance(found, Missing)
    assert found.reason == "failed"


def test_a_meter_on_a_serial_line_is_read() -> None:
    pytest.importorskip("serial", reason="pyserial is not installed: pip install 'effmark[meter]'")
    ours, theirs = os.openpty()
    meter = ExternalMeter(f"serial://{os.ttyname(theirs)}?baud=9600", 0.01)
    assert not isinstance(meter.open(Target()), Missing)
    start = time.monotonic()
    meter.start()
    for _ in range(20):
        os.write(ours, f"{time.monotonic() + 5:.6f},75\n".encode())  # a clock of its own
        meter.poll()
        time.sleep(0.02)
    (found,) = meter.stop(start, time.monotonic())
    assert isinstance(found, EnergyReading)
    assert found.joules == pytest.approx(75 * (found.end_s - found.start_s), rel=0.01)
    meter.close()
    os.close(ours)
    os.close(theirs)


def test_a_logged_file_is_followed(tmp_path: Path) -> None:
    log = tmp_path / "watts.csv"
    log.write_text("unix_s,watts\n1.0,5\n")
    meter = ExternalMeter(f"csv://{log}", 0.02)
    assert not isinstance(meter.open(Target()), Missing)
    start = time.monotonic()
    meter.start()
    with log.open("a") as file:
        for _ in range(30):
            file.write(f"{time.time()},50\n")
            file.flush()
            meter.poll()
            time.sleep(0.02)
    (found,) = meter.stop(start, time.monotonic())
    assert isinstance(found, EnergyReading)
    assert found.joules == pytest.approx(50 * (found.end_s - found.start_s), rel=0.01)
    assert found.err_sys_rel == 0.02
    meter.close()


def _logged(log: Path, lines: list[str], encoding: str = "utf-8") -> EnergyReading | Missing:
    """Follow a file to which a line is added now and then; TIME stands for the moment."""
    meter = ExternalMeter(f"csv://{log}", 0.02)
    assert not isinstance(meter.open(Target()), Missing)
    start = time.monotonic()
    meter.start()
    with log.open("ab") as file:
        for line in lines * 30:
            now = f"{time.time():.6f}"
            told = line.replace("TIME,", now.replace(".", ",")).replace("TIME", now)
            file.write(f"{told}\r\n".encode(encoding))
            file.flush()
            meter.poll()
            time.sleep(0.02)
    (found,) = meter.stop(start, time.monotonic())
    meter.close()
    return found


@pytest.mark.parametrize(
    ("head", "line", "encoding"),
    [
        (b"unix_s;watts\n", "TIME,;50,25", "utf-8"),
        (b"\xef\xbb\xbf", "TIME;50.25;V", "utf-8"),
        (b"", "TIME,\t50,25\t230,1", "utf-8"),
        ("Zeit;Leistung\n".encode("utf-16"), "TIME,;50,25", "utf-16-le"),
        (b"", '"TIME","50.25"', "utf-8"),
    ],
)
def test_the_columns_of_other_countries_and_loggers_are_read(
    tmp_path: Path, head: bytes, line: str, encoding: str
) -> None:
    log = tmp_path / "watts.csv"
    log.write_bytes(head)
    found = _logged(log, [line], encoding)
    assert isinstance(found, EnergyReading)
    assert found.joules == pytest.approx(50.25 * (found.end_s - found.start_s), rel=0.01)


@pytest.mark.parametrize(
    "line",
    [
        "28.11.2026 21:10:14;50,25",
        "TIME,;1.050,25",
        "TIME,nan",
        "TIME,-4",
        "TIME;50,2 W",
        "TIME,,50,25",
    ],
)
def test_lines_that_cannot_be_read_are_not_called_silence(tmp_path: Path, line: str) -> None:
    (tmp_path / "watts.csv").write_text("unix_s,watts\n")
    found = _logged(tmp_path / "watts.csv", [line])
    assert isinstance(found, Missing)
    assert "30 unreadable lines, wants seconds,watts, got '" in found.detail


def test_a_file_without_new_lines_is_silent_and_a_pipe_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "watts.csv").write_text("unix_s,watts\n")
    found = _logged(tmp_path / "watts.csv", [])
    assert isinstance(found, Missing)
    assert "is silent" in found.detail
    os.mkfifo(tmp_path / "pipe.csv")
    opened = ExternalMeter(f"csv://{tmp_path}/pipe.csv").open(Target())
    assert isinstance(opened, Missing)
    assert "is a pipe, wants a regular file" in opened.detail
