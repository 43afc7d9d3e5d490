"""Peak resident memory of a process tree, exact by the kernel's own high-water mark.

Physics: Linux keeps the largest resident set of each address space (`VmHWM`); writing 5 to
`/proc/self/clear_refs` sets it back to the present size, so each window has a peak of its own.
Polling would miss short peaks. The tree's peak is our own peak plus the peaks of the children, an
upper bound when they do not peak together. Shared pages of forked children count once per child.
"""

from __future__ import annotations

import re
from pathlib import Path

import psutil

from effmark.record import Measured, Missing

__all__ = ["PeakMemory"]


class PeakMemory:
    """The peak of this process and its children between `start` and `stop`."""

    def __init__(self, proc_root: Path = Path("/proc"), ignored_pids: frozenset[int] = frozenset()):
        self._proc = proc_root
        self._ignored = ignored_pids
        """Children that belong to the instrument, not to the workload."""

    def start(self) -> None:
        """Set the high-water marks back to the present size, where the kernel lets us."""
        for pid in self._pids():
            try:
                (self._proc / pid / "clear_refs").write_text("5")
            except OSError:
                continue  # the peak since the process began is still an upper bound

    def stop(self, metric: str) -> Measured | Missing:
        """Return the peak since `start` in bytes."""
        peaks = [peak for pid in self._pids() if (peak := self._high_water(pid)) is not None]
        if not peaks:
            detail = f"{self._proc}/self/status has no VmHWM; Linux with /proc has it"
            return Missing(metric=metric, reason="not_present", detail=detail)
        return Measured(metric=metric, unit="B", samples=(float(sum(peaks)),), estimator="max",
                        source="proc")  # fmt: skip

    def _pids(self) -> list[str]:
        children = psutil.Process().children(recursive=True)
        return ["self", *(str(c.pid) for c in children if c.pid not in self._ignored)]

    def _high_water(self, pid: str) -> int | None:
        try:
            status = (self._proc / pid / "status").read_text()
        except OSError:
            return None  # the child is gone; what it held is no longer resident
        match = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        return int(match[1]) * 1024 if match else None
