"""Record noise: the times of work that is always the same, in fresh processes, as small JSON files.

Tests of stopping rules and gates replay them: any difference between two of their processes is a
false alarm. Run it on the machine and under the load whose noise is wanted:

    python scripts/perf/record_noise.py tests/data/noise
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

PROCESSES = 40
BLOCKS = 50


def interpreter() -> None:
    """Run byte code only: no memory traffic."""
    total = 0
    for i in range(60_000):
        total += i & 7


def memory() -> None:
    """Copy more than the caches hold."""
    bytes(bytearray(6_000_000))


def hashing() -> None:
    """Run one long C loop."""
    hashlib.sha256(b"x" * 1_500_000).digest()


def objects() -> None:
    """Build and sort many small objects: allocator, caches, branches."""
    values = random.Random(7)
    sorted(values.random() for _ in range(12_000))


WORK: dict[str, Callable[[], None]] = {
    w.__name__: w for w in (interpreter, memory, hashing, objects)
}


def measure(name: str) -> list[int]:
    """Return the nanoseconds of each block of one kind of work, after three unrecorded ones."""
    work, times = WORK[name], []
    for _ in range(3):
        work()
    for _ in range(BLOCKS):
        start = time.perf_counter_ns()
        work()
        times.append(time.perf_counter_ns() - start)
    return times


def record(folder: Path) -> None:
    """Write one file per kind of work; the kinds take turns, each time in a fresh process."""
    processes: dict[str, list[list[int]]] = {name: [] for name in WORK}
    for _ in range(PROCESSES):
        for name in WORK:
            done = subprocess.run(
                [sys.executable, __file__, "--measure", name],
                capture_output=True,
                check=True,
                text=True,
            )
            processes[name].append(json.loads(done.stdout))
    folder.mkdir(parents=True, exist_ok=True)
    for name, times in processes.items():
        lines = ",\n  ".join(json.dumps(t, separators=(",", ":")) for t in times)
        head = json.dumps({"work": WORK[name].__doc__, "cores_count": os.cpu_count(), "unit": "ns"})
        text = f'{head[:-1]}, "processes": [\n  {lines}\n]}}\n'
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


def main() -> None:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--measure", choices=sorted(WORK))
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure)))
    elif options.folder:
        record(options.folder)
    else:
        parser.error("give a folder")


if __name__ == "__main__":
    main()
