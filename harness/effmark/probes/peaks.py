"""What the machine reaches at best: bytes per second read from memory, fp32 operations per second.

Physics: the bandwidth is the fastest of several sums over a buffer far larger than the last cache
(decoding reads every weight once per token, so reading is what counts); the arithmetic is the
fastest of several products of square fp32 matrices, 2 n^3 operations each. Both are what a good
library reaches with the same number of threads, not a data sheet's figure, so a utilisation near
1 is possible and one above 1 means that the measurement of the peak was disturbed.

The benchmark takes at most two seconds in a process of its own (torch where it can be imported,
else numpy) and is kept per boot, CPU, device and threads. A result that was taken while others
waited for a core is measured again by the next runs, three in all; the larger figures are kept.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from effmark.cache import locked
from effmark.record import Missing
from effmark.schema import content_hash

__all__ = ["machine_peaks"]

_LIMIT_S = 120.0
"""Longest that the child may take; nearly all of it is importing torch from a cold disk."""
_PHASE_S = 0.8
_SIZES = (512, 1024, 2048)
"""Matrix sizes tried; the fastest counts."""
_BUFFER_B = 256 * 2**20
_CACHES = 8
"""The buffer is at least so many times the last cache, as far as memory allows."""
_QUIET_RATIO = 0.05
"""CPU pressure above which a result is not final."""
_TRIES = 3
"""How many runs measure on a machine that is never quiet."""


def machine_peaks(cache: Path, threads: int, device: str = "cpu") -> dict[str, float] | Missing:
    """Return `peak_bandwidth_b_per_s` and `peak_flop_per_s` of a device with some threads."""
    if find_spec("torch") is None and (device != "cpu" or find_spec("numpy") is None):
        needed = "torch" if device != "cpu" else "torch or numpy"
        detail = f"the peaks of {device} are measured with {needed}: pip install torch"
        return Missing(metric="peak_flop_per_s", reason="not_present", detail=detail)
    facts = [_boot(), platform.machine(), _cpu(), threads, device, sys.prefix]
    entry = cache / "peaks" / f"{content_hash(facts)[:16]}.json"
    with locked(entry.with_suffix(".lock")):
        known: dict[str, Any] = {"peaks": {}, "left": _TRIES}
        if entry.is_file():
            known = json.loads(entry.read_text())
        if known["left"] == 0:
            return dict(known["peaks"])
        quiet = _pressure() <= _QUIET_RATIO
        found = _measured(threads, device)
        if isinstance(found, Missing):
            return dict(known["peaks"]) or found
        peaks = {name: max(v, known["peaks"].get(name, 0.0)) for name, v in found.items()}
        partial = entry.with_suffix(".partial")
        partial.write_text(json.dumps({"peaks": peaks, "left": 0 if quiet else known["left"] - 1}))
        partial.rename(entry)
    return peaks


def _measured(threads: int, device: str) -> dict[str, float] | Missing:
    """Return what a child process measures."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    variables = {**os.environ, **dict.fromkeys(names, str(threads))}
    command = [sys.executable, "-m", "effmark.probes.peaks", str(threads), device]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_LIMIT_S, env=variables, check=False
        )
        if done.returncode == 0:
            return {k: float(v) for k, v in json.loads(done.stdout.splitlines()[-1]).items()}
        detail = f"exit {done.returncode}: {(done.stderr.splitlines() or ['no message'])[-1]}"
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        detail = f"{type(error).__name__}: {error}"
    detail = f"the benchmark of peaks did not finish: {detail}"
    return Missing(metric="peak_flop_per_s", reason="failed", detail=detail)


def _boot() -> str:
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip() if path.is_file() else "unknown"


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    text = path.read_text() if path.is_file() else ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else platform.processor()


def _pressure() -> float:
    """Return the share of the last ten seconds in which someone waited for a core; 0: unknown."""
    path = Path("/proc/pressure/cpu")
    text = path.read_text() if path.is_file() else ""
    match = re.search(r"some avg10=([\d.]+)", text)
    return float(match[1]) / 100 if match else 0.0


def _buffer_b() -> int:
    """Return how many bytes to read for the bandwidth."""
    size = Path("/sys/devices/system/cpu/cpu0/cache/index3/size")
    last = int(size.read_text().strip().rstrip("K")) * 1024 if size.is_file() else 0
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(2**24, min(max(_BUFFER_B, _CACHES * last), available // 4, 2**31))


def _best_s(work: Callable[[], object], limit_s: float) -> float:
    """Return the shortest time of repeated work in seconds."""
    work()
    best, end = float("inf"), time.monotonic() + limit_s
    while best == float("inf") or time.monotonic() < end:
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def _benchmark(threads: int, device: str) -> dict[str, float]:
    """Return both peaks; runs in the child."""
    if find_spec("torch") is not None:
        torch: Any = import_module("torch")
        torch.set_num_threads(threads)
        wait = torch.cuda.synchronize if device.startswith("cuda") else (lambda: None)

        def ones(*shape: int) -> Any:
            return torch.ones(*shape, dtype=torch.float32, device=device)
    else:
        numpy: Any = import_module("numpy")

        def ones(*shape: int) -> Any:
            return numpy.ones(shape, dtype=numpy.float32)

        def wait() -> None:
            return None

    def timed(work: Callable[[], object], limit_s: float) -> float:
        return _best_s(lambda: (work(), wait()), limit_s)

    size_b = _buffer_b()

    def product(array: Any, limit_s: float) -> float:
        return timed(lambda: array @ array, limit_s)

    size_b = _buffer_b()
    vector = ones(size_b // 4)
    # A sum is vectorised everywhere; a dot product goes through the BLAS, which has its threads.
    seconds = min(timed(vector.sum, _PHASE_S / 2), product(vector, _PHASE_S / 2))
    each_s = _PHASE_S / len(_SIZES)
    flop_per_s = max(2 * n**3 / product(ones(n, n), each_s) for n in _SIZES)
    return {"peak_bandwidth_b_per_s": size_b / seconds, "peak_flop_per_s": flop_per_s}


if __name__ == "__main__":
    print(json.dumps(_benchmark(int(sys.argv[1]), sys.argv[2])))
