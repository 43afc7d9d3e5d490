"""What stands still about a machine: its memory nodes, and what the kernel lets a process use.

A process whose threads run on one node while its memory lies on another reads it at half the
speed or less, so the layout is part of a result; so are the CPUs that a process may use.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["numa_layout", "ranges", "topology"]

Value = str | int | float | bool


def topology(proc: Path, sys: Path) -> tuple[dict[str, Value], dict[str, str]]:
    """Return the settings that can be read, and by name why the others cannot."""
    settings: dict[str, Value] = {}
    unknown: dict[str, str] = {}
    nodes = numa_layout(sys)
    if nodes:
        settings["numa_nodes_count"] = len(nodes)
        settings["numa_layout"] = "; ".join(f"node {n}: {cpus}" for n, cpus in nodes.items())
    else:
        unknown["numa_layout"] = f"{sys}/devices/system/node: no nodes"
    if hasattr(os, "sched_getaffinity"):
        settings["affinity"] = ranges(os.sched_getaffinity(0))
    for key, path in (
        ("swappiness", proc / "sys/vm/swappiness"),
        ("perf_event_paranoid", proc / "sys/kernel/perf_event_paranoid"),
    ):
        try:
            settings[key] = int(path.read_text())
        except (OSError, ValueError) as error:
            unknown[key] = f"{path}: {getattr(error, 'strerror', None) or error}"
    return settings, unknown


def numa_layout(sys: Path) -> dict[int, str]:
    """Return the CPUs of each memory node, as the kernel writes them (`0-15,32-47`)."""
    found = {}
    for folder in sys.glob("devices/system/node/node[0-9]*"):
        try:
            found[int(folder.name[4:])] = (folder / "cpulist").read_text().strip()
        except (OSError, ValueError):
            continue  # a node that went away
    return dict(sorted(found.items()))


def ranges(numbers: set[int]) -> str:
    """Return numbers as the kernel writes them: `0-3,8`."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return re.sub(r"\b(\d+)-\1\b", r"\1", ",".join("-".join(map(str, part)) for part in parts))
