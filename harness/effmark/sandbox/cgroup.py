"""A memory limit that counts memory: a control group per worker, where this process may make one.

RLIMIT_AS counts reserved address space; a cgroup counts what is really used. Version 1 has a tree
per controller, version 2 one tree whose controllers must have been handed down to us. Where
neither can be had, there is no such layer, and the results say so.

Source: the kernel's ``admin-guide/cgroup-v1/memory`` and ``admin-guide/cgroup-v2``.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["WorkerGroup", "make_group"]

_ROOT = Path("/sys/fs/cgroup")
_ZYGOTE_B = 128 << 20  # the interpreter itself, its imports, pipes
_TASKS = 256


class WorkerGroup:
    """The control groups of one worker."""

    def __init__(self, version: int, memory: Path, tasks: Path | None) -> None:
        self.version = version
        self._memory, self._tasks = memory, tasks
        self._limit_b = self._kills = 0
        if tasks is not None:
            _write(tasks / "pids.max", _TASKS)

    @property
    def layer(self) -> str:
        """The name of the layer in a result."""
        return f"cgroup_v{self.version}"

    def adopt(self, pid: int) -> None:
        """Put a process, and all that it will start, into the group."""
        for folder in {self._memory, self._tasks} - {None}:
            _write(folder / "cgroup.procs", pid)  # type: ignore[operator]

    def limit_memory(self, job_b: int) -> None:
        """Let the worker use `job_b` bytes of memory beyond what the zygote needs."""
        if job_b == self._limit_b:
            return
        name = "memory.limit_in_bytes" if self.version == 1 else "memory.max"
        _write(self._memory / name, job_b + _ZYGOTE_B)
        self._limit_b = job_b

    def has_killed_again(self) -> bool:
        """Return whether the kernel ended a process for its memory since the last question."""
        name = "memory.oom_control" if self.version == 1 else "memory.events"
        rows = (line.split() for line in (self._memory / name).read_text().splitlines())
        before = self._kills
        self._kills = next((int(row[1]) for row in rows if row[0] == "oom_kill"), 0)
        return self._kills > before

    def remove(self) -> None:
        """Remove the group; its processes must have ended."""
        for folder in {self._memory, self._tasks} - {None}:
            for _ in range(20):
                with suppress(OSError):
                    folder.rmdir()  # type: ignore[union-attr]
                    break
                time.sleep(0.01)


def make_group(name: str) -> WorkerGroup | str:
    """Return a new group, or the reason why there is none."""
    own = _own_groups()
    try:
        if "memory" in own and (_ROOT / "memory").is_dir():
            tasks = _ROOT / "pids" / own["pids"] if "pids" in own else None
            folders = [_make(_ROOT / "memory" / own["memory"], name)]
            folders += [_make(tasks, name)] if tasks is not None else []
            return WorkerGroup(1, folders[0], folders[1] if len(folders) > 1 else None)
        folder = _make(_ROOT / own.get("", ""), name)
    except OSError as error:
        return f"no cgroup: {error.strerror}: {error.filename!r}"
    if (folder / "memory.max").exists():
        return WorkerGroup(2, folder, folder if (folder / "pids.max").exists() else None)
    folder.rmdir()
    return f"no cgroup: the memory controller is not handed down to {str(folder.parent)!r}"


def _own_groups() -> dict[str, str]:
    """Return this process's group for every controller; that of version 2 under ''."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path.strip("/")))
    return own


def _make(parent: Path, name: str) -> Path:
    for left in parent.glob("effmark-*"):  # of a harness that was killed
        if not os.path.exists(f"/proc/{left.name.split('-')[1]}"):  # noqa: PTH110
            with suppress(OSError):
                left.rmdir()
    folder = parent / name
    folder.mkdir()
    return folder


def _write(path: Path, value: int) -> None:
    path.write_text(str(value))
