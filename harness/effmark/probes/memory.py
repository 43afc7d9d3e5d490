"""Peak memory of a process tree, exact by the kernel's own high-water mark, and what is in it.

Physics: Linux keeps the largest resident set of each address space (`VmHWM`); writing 5 to
`/proc/self/clear_refs` sets it back to the present size, so each window has a peak of its own.
Polling would miss short peaks. The tree's peak is our own peak plus those of the children, less
what children share with others now (pages of a forked child count once); an upper bound when they
do not peak together. Of children that have ended the kernel keeps the largest resident set, which
begins with that of who started them: it counts where it rose in the window above our own peak, and
a smaller one is not seen. What the instruments start never counts (`kin`). Mapped files count while
they are resident. `PSS` is the present size with shared pages divided among those who share them. A
cgroup's peak counts the page cache too, and is read only where the group holds nobody else. On CUDA
the allocator's two peaks are two numbers: what tensors used, and what the allocator held for them.
"""

from __future__ import annotations

import os
import re
import resource
import sys
from pathlib import Path
from typing import Any

from effmark.cgroups import group_folders
from effmark.probes.contract import sysfs_root
from effmark.probes.kin import children
from effmark.record import Measured, Measurement, Missing

__all__ = ["PeakMemory"]


class PeakMemory:
    """The peak of this process and its children between `start` and `stop`."""

    def __init__(
        self,
        proc_root: Path = Path("/proc"),
        ignored_pids: frozenset[int] = frozenset(),
        root: Path | None = None,
    ) -> None:
        self._proc, self._sys = proc_root, root or sysfs_root()
        self._ignored = ignored_pids
        """Children that belong to the instrument, not to the workload."""
        self._before_b: int | None = None
        self._ended_b: int | None = None
        """Largest resident set of the children that had ended before; None where others lived."""

    def start(self) -> None:
        """Set the high-water marks back to the present size, where the kernel lets us."""
        for pid in self._pids():
            try:
                (self._proc / pid / "clear_refs").write_text("5")
            except OSError:
                continue  # the peak since the process began is still an upper bound
        self._before_b = self._status("self", "VmRSS")
        self._ended_b = None if self._pids()[1:] else _largest_ended()
        cuda = _cuda()
        if cuda is not None:
            cuda.reset_peak_memory_stats()

    def stop(self, metric: str) -> Measured | Missing:
        """Return the peak since `start` in bytes."""
        own = self._status("self", "VmHWM")
        if own is None:
            detail = f"{self._proc}/self/status has no VmHWM; Linux with /proc has it"
            return Missing(metric=metric, reason="not_present", detail=detail)
        living = sum(self._own_peak(pid) for pid in self._pids()[1:])
        ended = _largest_ended()
        seen = self._ended_b is not None and ended > max(self._ended_b, own)
        return _bytes(metric, own + living + (ended if seen else 0), "proc")

    def measurements(self) -> tuple[Measurement, ...]:
        """Return all that is known of the window: peaks of host and device, growth, PSS."""
        peak = self.stop("peak_memory_b")
        found: list[Measurement] = [peak]
        if isinstance(peak, Measured) and self._before_b is not None:
            growth = max(0.0, peak.samples[0] - self._before_b)
            found.append(_bytes("working_memory_b", growth, "proc"))
        sizes = [self._rollup(pid).get("Pss") for pid in self._pids()]
        known = [size for size in sizes if size is not None]
        if known:
            found.append(_bytes("pss_b", sum(known), "proc"))
        group = self._group_peak()
        if group is not None:
            found.append(_bytes("cgroup_peak_b", group, "cgroup"))
        cuda = _cuda()
        if cuda is not None:
            found.append(_bytes("device_memory_b", cuda.max_memory_allocated(), "torch"))
            found.append(_bytes("device_reserved_b", cuda.max_memory_reserved(), "torch"))
        return tuple(found)

    def _pids(self) -> list[str]:
        found = (pid for pid in children(self._proc) if pid not in self._ignored)
        return ["self", *map(str, found)]

    def _own_peak(self, pid: str) -> int:
        """Return the peak of a child in bytes, less the pages that it shares now."""
        peak = self._status(pid, "VmHWM")
        if peak is None:
            return 0  # the child is gone; what it held is no longer resident
        sizes = self._rollup(pid)
        private = sizes.get("Private_Clean", 0) + sizes.get("Private_Dirty", 0)
        shared = max(0, sizes["Rss"] - private) if "Rss" in sizes else 0
        return max(0, peak - shared)

    def _status(self, pid: str, name: str) -> int | None:
        try:
            status = (self._proc / pid / "status").read_text()
        except OSError:
            return None
        match = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
        return int(match[1]) * 1024 if match else None

    def _rollup(self, pid: str) -> dict[str, int]:
        """Return the sums over all mappings of a process in bytes."""
        try:
            text = (self._proc / pid / "smaps_rollup").read_text()
        except OSError:
            return {}
        return {k: int(v) * 1024 for k, v in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}

    def _group_peak(self) -> int | None:
        """Return the peak of our own memory cgroup; None where it is not ours alone."""
        for group in group_folders("memory", self._proc, self._sys)[:1]:
            version_2 = (group / "memory.peak").is_file()
            name = "memory.peak" if version_2 else "memory.max_usage_in_bytes"
            try:
                members = {int(pid) for pid in (group / "cgroup.procs").read_text().split()}
                peak = int((group / name).read_text())
            except (OSError, ValueError):
                continue
            ours = {os.getpid(), *(int(pid) for pid in self._pids()[1:]), *self._ignored}
            if members and members <= ours:
                return peak
        return None


def _largest_ended() -> int:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024


def _bytes(metric: str, value: float, source: str) -> Measured:
    return Measured(
        metric=metric, unit="B", samples=(float(value),), estimator="max", source=source
    )


def _cuda() -> Any:
    """Return torch.cuda where somebody has begun to use it; nothing is imported here."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    return torch.cuda
