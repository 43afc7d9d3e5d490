"""One worker process on this machine: started, spoken to, limited, buried.

The parent blocks in the kernel while a cell measures and wakes once a second to look at the
clock and at the memory of the worker; it never polls for results. A worker that dies is read from
its exit status: -9 counts as out of memory only when the kernel's own counter of such kills rose.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import psutil

from effmark.channel import Channel
from effmark.environment import WORKER_VARIABLES
from effmark.record import Measured, Outcome

__all__ = ["LocalWorker", "WorkerFailed"]

_LOOK_S = 1.0
"""How often the waiting parent looks at limits; about 0.1 ms of CPU each."""
_STDERR_B = 4096


@dataclass
class WorkerFailed(Exception):
    """A worker could not do what it was asked; `outcome` and `detail` say how."""

    outcome: Outcome
    detail: str
    alive: bool = False
    """Whether the worker can be asked for something else."""
    memory: tuple[Measured, ...] = ()
    """How much memory the worker and its children held at the end, where that is known."""


class LocalWorker:
    """A worker process in its own session, with limits."""

    def __init__(self, variables: dict[str, str], memory_b: int, *, online: bool = False) -> None:
        ours_only = {
            name: value
            for name, value in WORKER_VARIABLES.items()
            if not (online and name.endswith("_OFFLINE"))
        }
        self.variables = {**ours_only, **variables}
        self._memory_b = memory_b
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the worker
        ours, theirs = Pipe()
        self._oom_kills = _oom_kills()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "effmark.worker", str(theirs.fileno())],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **self.variables},
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self._seen_b = 0
        """Resident bytes of the tree when it was looked at last."""
        self._next_look = 0.0
        self._channel = Channel(ours)
        self._pidfd = os.pidfd_open(self._process.pid)

    def ask(
        self, op: str, limit_s: float, progress: Callable[[str], None], **body: Any
    ) -> dict[str, Any]:
        """Send a message and return its answer.

        Raises:
            WorkerFailed: it said so, crashed, hung past `limit_s`, or outgrew its memory.
        """
        deadline = time.monotonic() + limit_s
        self._next_look = 0.0
        try:
            self._channel.send(op, **body)
            while True:
                self._wait(deadline, limit_s, op)
                answer = self._channel.receive()
                if answer["op"] == "progress":
                    progress(answer["text"])
                    self._enforce(deadline, limit_s, op)
                elif answer["op"] == "failed":
                    raise WorkerFailed(
                        answer["outcome"], answer["detail"], alive=True,
                        memory=_at_death(_tree_memory(self._process.pid), "rss"),
                    )  # fmt: skip
                else:
                    return answer
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise self._autopsy() from None

    def close(self) -> None:
        """Ask the worker to end, then make sure that nothing of its session is left."""
        try:
            self._channel.send("close")
            self._process.wait(timeout=10)
        except (OSError, subprocess.TimeoutExpired):
            pass  # it is gone or deaf: killed below
        self._kill()

    def _wait(self, deadline: float, limit_s: float, op: str) -> None:
        """Return when there is something to read; enforce the limits meanwhile."""
        while not wait([self._channel.connection], timeout=_LOOK_S):
            self._enforce(deadline, limit_s, op)
            if wait([self._pidfd], timeout=0) and not self._channel.connection.poll():
                raise self._autopsy()

    def _enforce(self, deadline: float, limit_s: float, op: str) -> None:
        """Kill a worker that is over its time or its memory; looks once a second at most."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_S
        used = _tree_memory(self._process.pid)
        self._seen_b = used or self._seen_b
        if used > self._memory_b:
            self._kill()
            said = f"{op}: {used} B resident, the limit is {self._memory_b} B"
            raise WorkerFailed("oom", said, memory=_at_death(used, "rss"))
        if now > deadline:
            self._kill()
            said = f"{op}: no end within {limit_s:g} s"
            raise WorkerFailed("timeout", said, memory=_at_death(used, "rss"))

    def _kill(self) -> None:
        """Kill the whole session of the worker and reap it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._channel.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        self._log.close()

    def _autopsy(self) -> WorkerFailed:
        """Return how the worker ended, with the last it said."""
        memory = self._buried()
        code = self._process.returncode
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - _STDERR_B))
        said = self._log.read().decode(errors="replace").strip()
        last = said.splitlines()[-1] if said else "it said nothing"
        self._kill()
        if code == -signal.SIGKILL and _oom_kills() > self._oom_kills:
            said = f"killed by the kernel for want of memory; {last}"
            return WorkerFailed("oom", said, memory=memory)
        if code < 0:
            return WorkerFailed("crash", f"{signal.Signals(-code).name}; {last}", memory=memory)
        said = f"exit status {code} without a result; {last}"
        return WorkerFailed("crash", said, memory=memory)

    def _buried(self) -> tuple[Measured, ...]:
        """Wait for the worker's end; return its largest resident set.

        The kernel's figure begins with what this process held when it started the worker, and says
        nothing below that; then the last look counts.
        """
        if self._process.returncode is None:
            _, status, usage = os.wait4(self._process.pid, 0)
            self._process.returncode = os.waitstatus_to_exitcode(status)
            peak_b = usage.ru_maxrss * 1024
            if peak_b > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024:
                return _at_death(max(peak_b, self._seen_b), "wait4")
        return _at_death(self._seen_b, "rss")


def _oom_kills() -> int:
    """Return how many processes the kernel has killed for want of memory since boot."""
    for path in (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat")):
        if path.is_file():
            for line in path.read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return 0


def _at_death(resident_b: int, source: str) -> tuple[Measured, ...]:
    if not resident_b:
        return ()
    return (
        Measured(metric="memory_at_death_b", unit="B", samples=(float(resident_b),),
                 estimator="max", source=source),
    )  # fmt: skip


def _tree_memory(pid: int) -> int:
    """Return the resident bytes of a process and its children; 0 when it is gone."""
    try:
        root = psutil.Process(pid)
        return sum(int(p.memory_info().rss) for p in (root, *root.children(recursive=True)))
    except psutil.NoSuchProcess:
        return 0
