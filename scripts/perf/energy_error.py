"""Errors of joules on a fake GPU with a counter of 100 ms: ours, begin/end reads, other tools.

Prints medians and maxima of |error| in percent per length of window. The device is
tests/fakes/fake_nvml.c at 450 W, read through the real pynvml. ZeusMonitor and codecarbon are
tools to compare with and nothing that effmark needs: zeus is put into a folder of its own (what it
requires prints on stdout beside codecarbon), codecarbon is measured where it is installed.

    python scripts/perf/energy_error.py [WINDOWS_PER_LENGTH]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
LENGTHS_S = (0.33, 1.04, 2.07)
WATTS = 450
GOALS = {0.33: 0.3, 1.04: 0.1, 2.07: 0.05}

ZEUS_PACKAGES = ("zeus==0.16.0", "httpx==0.28.1", "httpcore==1.0.9", "anyio==4.11.0", "h11==0.16.0")
"""What ZeusMonitor imports beyond what the tests of effmark install."""

COMMON = f"""
import json, random, sys, time
WATTS, LENGTHS, N = {WATTS}, {LENGTHS_S}, int(sys.argv[1])
dice = random.Random(7)
rows = []
def pause(): time.sleep(dice.random() * 0.1)
"""

OURS = """
from effmark.probes.contract import Target
from effmark.probes.energy import EnergyMeter
import pynvml
pynvml.nvmlInit()
handle = pynvml.nvmlDeviceGetHandleByIndex(0)
meter = EnergyMeter(Target(device="cuda:0"))
assert meter.measures
for _ in range(N):
    for length in LENGTHS:
        pause()
        meter.start()
        a, e = time.monotonic(), pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        time.sleep(length)
        b, f = time.monotonic(), pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        readings, missing = meter.stop(0.0)
        rows.append(["begin/end", length, abs((f - e) / 1000 / WATTS / (b - a) - 1), None])
        for r in readings:
            error = abs(r.joules / WATTS / (r.end_s - r.start_s) - 1)
            rows.append(["effmark", length, error, r.err_window_rel])
meter.close()
print(json.dumps(rows))
"""

ZEUS = """
import zeus.utils.framework as framework
framework.torch_is_available = lambda **_: False  # a torch without CUDA stops zeus
from zeus.monitor import ZeusMonitor
monitor = ZeusMonitor(gpu_indices=[0], approx_instant_energy=False)
for _ in range(N):
    for length in LENGTHS:
        pause()
        monitor.begin_window("w", sync_execution=False)
        time.sleep(length)
        found = monitor.end_window("w", sync_execution=False)
        error = abs(sum(found.gpu_energy.values()) / WATTS / found.time - 1)
        rows.append(["ZeusMonitor", length, error, None])
print(json.dumps(rows))
"""

CODECARBON = """
from codecarbon import OfflineEmissionsTracker
tracker = OfflineEmissionsTracker(country_iso_code="USA", save_to_file=False,
                                  log_level="critical", allow_multiple_runs=True)
for _ in range(N):
    for length in LENGTHS:
        pause()
        tracker.start_task()
        start = time.monotonic()
        time.sleep(length)
        took = time.monotonic() - start
        found = tracker.stop_task()
        error = abs(found.gpu_energy * 3.6e6 / WATTS / took - 1)
        rows.append(["codecarbon", length, error, None])
print(json.dumps(rows))
"""


def main() -> None:
    """Print the table."""
    windows = sys.argv[1] if len(sys.argv) > 1 else "8"
    with tempfile.TemporaryDirectory() as folder:
        environment = fake_gpu(Path(folder))
        rows = []
        for name, text in (("effmark", OURS), ("zeus", ZEUS), ("codecarbon", CODECARBON)):
            path = {"PYTHONPATH": str(_zeus())} if name == "zeus" else {}
            done = subprocess.run(
                [sys.executable, "-c", COMMON + text, windows],
                capture_output=True, text=True, env={**environment, **path}, check=False,
            )  # fmt: skip
            if done.returncode:
                print(f"{name}: not measured: {(done.stderr.splitlines() or ['?'])[-1]}")
                continue
            rows += json.loads(done.stdout.splitlines()[-1])
    _print(rows)


def _zeus() -> Path:
    """Return a folder with zeus and what it imports here, installed once."""
    folder = Path(tempfile.gettempdir()) / f"effmark-perf-{'-'.join(ZEUS_PACKAGES)}"
    if not folder.is_dir():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
            command = [*pip, "--no-deps", "--target", partial, *ZEUS_PACKAGES]
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                shutil.copytree(partial, folder)
    return folder


def fake_gpu(folder: Path, period_ms: int = 100) -> dict[str, str]:
    """Build the fake device; return the environment that sees it."""
    folder.mkdir(exist_ok=True)
    source = ROOT / "tests" / "fakes" / "fake_nvml.c"
    library = folder / "libnvidia-ml.so.1"
    flags = ["-shared", "-fPIC", "-O1", "-Wl,-soname,libnvidia-ml.so.1"]
    subprocess.run(["cc", *flags, "-o", str(library), str(source), "-lm"], check=True)
    trace = folder / "trace.txt"
    trace.write_text(
        f"gpu A100 GPU-a 80000000000\nlimit 700000\nperiod_ms {period_ms}\np -9 {WATTS}000\n"
    )
    tool = folder / "nvidia-smi"  # codecarbon looks for a GPU by asking whether this runs
    tool.write_text("#!/bin/sh\nexit 0\n")
    tool.chmod(0o755)
    return {
        **os.environ,
        "PATH": f"{folder}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": str(folder),
        "FAKE_NVML_TRACE": str(trace),
        "FAKE_NVML_EPOCH": str(time.monotonic()),
        "EFFMARK_SYSFS_ROOT": str(folder / "nothing"),
        "CUDA_VISIBLE_DEVICES": "0",
    }


def _print(rows: list[list[object]]) -> None:
    print(
        f"{'method':12} {'window':>7} {'n':>3} {'median %':>9} {'max %':>8} {'bound %':>8}  goal %"
    )
    for method in dict.fromkeys(str(row[0]) for row in rows):
        for length in LENGTHS_S:
            mine = [row for row in rows if row[0] == method and row[1] == length]
            errors = sorted(100 * float(str(row[2])) for row in mine)
            if not errors:
                continue
            bounds = sorted(100 * float(str(row[3])) for row in mine if row[3] is not None)
            bound = f"{bounds[len(bounds) // 2]:8.3f}" if bounds else " " * 8
            goal = f"{GOALS[length]:6.2f}" if method == "effmark" else ""
            covered = sum(float(str(r[2])) <= float(str(r[3])) for r in mine if r[3] is not None)
            inside = f"  {covered} of {len(mine)} inside the bound" if bounds else ""
            print(
                f"{method:12} {length:6.2f}s {len(errors):3} {errors[len(errors) // 2]:9.3f} "
                f"{errors[-1]:8.3f} {bound} {goal}{inside}"
            )


if __name__ == "__main__":
    main()
