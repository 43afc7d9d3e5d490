"""What the sampler costs: its CPU time on fake devices, and what decoding loses beside it.

The CPU time is that of the sampler's process, by its own clock, from the start of a window to its
end. The loss is a paired ratio: medians of the same short work in blocks, dealt to "watched" and
"alone" in random order; watched ones lie in a window on a fake GPU with a counter of 10 ms.

    python -m scripts.perf.sampler [SECONDS]
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from scripts.perf.energy_error import ROOT, fake_gpu
from scripts.perf.rounds import median_of
from scripts.perf.table import Line, Promise, finish

from effmark.stats import Estimate

TITLE = "sampler: its CPU time on fake devices, and what work beside it loses"
SECONDS = 30.0
GOAL = 0.005
"""Of one core."""
PAIRS = 12

COST = """
import json, os, sys, time
from effmark.probes.contract import Target
from effmark.probes.energy import EnergyMeter
seconds = float(sys.argv[1])
meter = EnergyMeter(Target(device=sys.argv[2], pids=(os.getpid(),)))
found = [i.probe for i in meter.instruments]
(pid,) = meter.pids
clock = (~pid << 3) | 2
meter.start(); time.sleep(5.0); meter.stop(0.0)
meter.start()
shares = []
for _ in range(8):
    before, start = time.clock_gettime(clock), time.monotonic()
    time.sleep(seconds / 8)
    shares.append((time.clock_gettime(clock) - before) / (time.monotonic() - start))
readings, missing = meter.stop(0.0)
meter.close()
assert found or sys.argv[2] == "cpu", missing
print(json.dumps(shares))
"""

LOSS = """
import json, os, random, sys, time
from effmark.probes.contract import Target
from effmark.probes.energy import EnergyMeter
from effmark.stats import paired_ratio_interval
dice = random.Random(11)
meter = EnergyMeter(Target(device="cuda:0", pids=(os.getpid(),)))
assert meter.measures

def work():
    start, total = time.perf_counter(), 0
    for i in range(400_000):
        total += i * i
    return time.perf_counter() - start

work()
watched, alone = [], []
meter.start(); time.sleep(2.0); meter.stop(0.0)
for _ in range(int(sys.argv[1])):
    for side in dice.sample(("watched", "alone"), 2):
        if side == "watched":
            meter.start(); time.sleep(2.5)
        times = sorted(work() for _ in range(15))
        (watched if side == "watched" else alone).append(times[7])
        if side == "watched":
            meter.stop(0.0)
meter.close()
found = paired_ratio_interval(alone, watched)
print(json.dumps([found.value, found.low, found.high, len(alone)]))
"""


@contextmanager
def moving_rapl(folder: Path) -> Iterator[dict[str, str]]:
    """Give variables under which the machine has a package counter that moves at 80 W."""
    zone = folder / "class/powercap/intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "262143328850"),
                       ("energy_uj", "1000000")):  # fmt: skip
        (zone / name).write_text(f"{text}\n")
    script = ROOT / "tests" / "fakes" / "sysfs.py"
    mover = subprocess.Popen([sys.executable, str(script), str(folder), "80", "0.004"])
    try:
        yield {**os.environ, "EFFMARK_SYSFS_ROOT": str(folder)}
    finally:
        mover.kill()
        mover.wait()


def ask(text: str, environment: dict[str, str], *arguments: object) -> list[float]:
    """Return the numbers that a process prints last."""
    done = subprocess.run([sys.executable, "-c", text, *map(str, arguments)], env=environment,
                          stdout=subprocess.PIPE, text=True, check=True)  # fmt: skip
    found: list[float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(seconds: float = SECONDS) -> list[Line]:
    """Return the CPU share of the sampler on each device, and the paired loss beside it."""
    with ExitStack() as stack:
        # in memory: replacing a file on a disk 250 times a second would keep the disk busy
        memory = "/dev/shm" if Path("/dev/shm").is_dir() else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=memory)))
        rapl = stack.enter_context(moving_rapl(folder / "sys"))
        fast = fake_gpu(folder / "fast", 10)
        devices = {
            "memory alone": ("cpu", {**os.environ, "EFFMARK_SYSFS_ROOT": f"{folder}/none"}),
            "RAPL": ("cpu", rapl),
            "GPU, counter each 100 ms": ("cuda:0", fake_gpu(folder / "slow", 100)),
            "GPU, counter each 10 ms": ("cuda:0", fast),
        }
        lines = [
            Line(f"CPU of the sampler, {what}, {seconds:g} s", _share(environment, seconds, device),
                 "of a core", Promise(GOAL))
            for what, (device, environment) in devices.items()
        ]  # fmt: skip
        value, low, high, pairs = ask(LOSS, fast, PAIRS)
        loss = Estimate(value - 1, low - 1, high - 1, int(pairs), "paired ratio", 0.95)
    return [*lines, Line("time that work beside it takes more, paired", loss, "", Promise(0.0))]


def _share(environment: dict[str, str], seconds: float, device: str) -> Estimate:
    return median_of(ask(COST, environment, seconds, device))


if __name__ == "__main__":
    finish(TITLE, measure(*(float(argument) for argument in sys.argv[1:])))
