"""A load that comes and goes: processes that burn a core each, by turns busy and idle."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["drifting_load"]

PHASE_S = (0.2, 1.5)
"""Shortest and longest phase, busy or idle."""
_PROGRAM = """
import os, random, sys, time
source, parent = random.Random(int(sys.argv[1])), os.getppid()
while os.getppid() == parent:
    end = time.monotonic() + source.uniform({0}, {1})
    while time.monotonic() < end:
        pass
    time.sleep(source.uniform({0}, {1}))
"""


@contextmanager
def drifting_load() -> Iterator[None]:
    """Load every core by fits and starts while the block runs."""
    program = _PROGRAM.format(*PHASE_S)
    burners = [
        subprocess.Popen([sys.executable, "-c", program, str(seed)])
        for seed in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for burner in burners:
            burner.terminate()
            burner.wait()
