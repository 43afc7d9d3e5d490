"""Measure the harness itself: `make perf`, or `python scripts/perf/run.py SECTION...`.

Each section is a module beside this one and runs in a process of its own, with the environment
of a worker. Its rounds are paired and in random order, so that its ratios hold on a busy machine.
Exit code 10: a promise was broken; 1: a section crashed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

from effmark.environment import WORKER_VARIABLES, default_threads

ROOT = Path(__file__).parents[2]
BROKEN = 10
SECTIONS = {
    "overhead": "cost of a time stamp and of a block, against two other timers",
    "startup": "effmark --help and list against lm_eval --help",
    "decode": "decoding through adapters against bare loops of the same runtimes",
    "lm_eval": "tasks through the bridge against lm-eval's own hf model",
    "precision": "samples to an interval, statistics of a million samples",
    "interleave": "interval of a speed ratio under drifting load",
    "parent": "CPU of the waiting parent",
    "energy": "errors of joules on a fake GPU: ours, ZeusMonitor's, codecarbon's",
    "sampler": "CPU of the sampler, and what decoding loses beside it",
    "sandbox": "jobs per second and spread of the sandbox",
    "code_scoring": "scoring code against a fresh interpreter per test; published scores",
    "cell": "seconds for one cell of the default suite",
    "store": "journals of 100,000 records: refresh, questions, fronts, page",
}
"""In the order in which they run: the short ones first."""


def run_section(name: str) -> int:
    """Return the exit code of a section that ran in its own process."""
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", f"scripts.perf.{name}"],
        cwd=ROOT,
        env={**os.environ, **WORKER_VARIABLES, "OMP_NUM_THREADS": str(default_threads())},
        check=False,
    )
    print(f"  ({name}: {time.monotonic() - start:.0f} s)\n", flush=True)
    return done.returncode


def main() -> None:
    """Run the sections that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="\n".join(f"{name:12} {what}" for name, what in SECTIONS.items()),
    )
    parser.add_argument("sections", nargs="*", metavar="SECTION")
    chosen = parser.parse_args().sections or list(SECTIONS)
    for name in chosen:
        if name not in SECTIONS:
            parser.error(f"no section {name!r}; there are {', '.join(SECTIONS)}")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n", flush=True)
    codes = {name: run_section(name) for name in chosen}
    broken = [name for name, code in codes.items() if code == BROKEN]
    crashed = [name for name, code in codes.items() if code not in (0, BROKEN)]
    for what, names in (("promises broken", broken), ("crashed", crashed)):
        if names:
            print(f"{what}: {', '.join(names)}")
    sys.exit(1 if crashed else BROKEN if broken else 0)


if __name__ == "__main__":
    main()
