"""Seconds for one configuration of the default suite, as a user runs it: the whole command.

The default model on torch at fp32: start, load, warm-up, one prefill and one decode workload
with their intervals, memory, energy. Artefacts are cached; quality is not part of it.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time

from scripts.perf.rounds import median_of, run_rounds
from scripts.perf.table import Line, Promise, finish

TITLE = "cell: seconds of `effmark run`, default model, torch fp32, one prefill and one decode"
ROUNDS = 3
CELLS = "cells=[{adapter: torch, precision: [fp32]}]"
WORKLOADS = (
    "workloads=[{prefill: {prompt_tokens: 256}},"
    " {decode: {prompt_tokens: 32, new_tokens: 32, batch: 1}}]"
)


def seconds(_: int) -> float:
    """Return the wall time of the command in seconds; its cells must all be recorded as ok."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "effmark", "run", "llm-int4", WORKLOADS, "quality={}"]
        command += ["--model", "default", CELLS, "allow=[ok]"]
        start = time.monotonic()
        subprocess.run([*command, "--results", folder], check=True, capture_output=True)
        return time.monotonic() - start


def measure() -> list[Line]:
    """Return the median time."""
    found = run_rounds({"cell": seconds}, ROUNDS)["cell"]
    return [Line("two workloads, start to page", median_of(found), "s", Promise(60))]


if __name__ == "__main__":
    finish(TITLE, measure())
