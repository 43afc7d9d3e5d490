"""One job, watched from outside: limits, output, and the kernel's bill at the end.

The watcher waits on a pidfd, as a job may close its pipes and hang. It stops a job a little after
a time limit (`OVERTIME_RATIO`), so that a near miss can be told from an endless loop and be run
again. Processor time comes from the process's own clock while it runs and from wait4(2) after.
"""
# No pathlib here: the warm interpreter stays small.
# ruff: noqa: PTH123

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import termios
import time
from contextlib import suppress
from typing import Any

from effmark.perf_events import CounterAbsent, InstructionCounter, open_counter
from effmark.sandbox.job_process import BODY_READ, READY, Pipes
from effmark.sandbox.protocol import END, OUTPUT, VALUES, chunk, chunk_head

__all__ = ["OVERTIME_RATIO", "Watch", "open_pipes"]

OVERTIME_RATIO = 1.1
"""Where a job is stopped, relative to its time limit."""

_LOOK_AGAIN_S = 0.02
_LONG_S = 0.1  # jobs shorter than this are not worth a look at the host's scheduler
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def open_pipes() -> tuple[Pipes, Pipes]:
    """Return the zygote's and the job's ends of the four pipes of a job."""
    ready, ready_end = os.pipe()
    go_end, go = os.pipe()
    output, output_end = os.pipe()
    values, values_end = os.pipe()
    return Pipes(ready, go, output, values), Pipes(ready_end, go_end, output_end, values_end)


class Watch:
    """One job, from just after the fork to the report."""

    def __init__(
        self, pid: int, limits: dict[str, Any], started_s: float, control: int, pipes: Pipes
    ) -> None:
        self.folder = ""
        """Where the job may write, if that is not a file system of limited size."""
        self.body_read = False
        self._pid, self._limits, self._control, self._pipes = pid, limits, control, pipes
        self._pidfd = os.pidfd_open(pid)
        self._clock = (~pid << 3) | 2  # another process's CPU-time clock: linux/posix-timers.h
        self._started_s, self._cpu_before_s = started_s, 0.0
        self._left_b = {pipes.output: limits["output_b"], pipes.values: limits["values_b"]}
        self._counter: InstructionCounter | None = None
        self._steal_before_s: float | None = None
        self._is_ready = False
        self._facts: dict[str, Any] = {"stopped": None, "setup_error": None}
        self._poll = select.poll()
        for fd in (self._pidfd, pipes.output, pipes.values):
            self._poll.register(fd, select.POLLIN)
        self._poll.register(control, 0)  # only to hear the harness hang up

    def run(self) -> None:
        """See the job through and report the facts."""
        self._poll.register(self._pipes.ready, select.POLLIN)
        self._until_end(until_ready=True)
        self._poll.unregister(self._pipes.ready)
        if self._is_ready:
            self._open_counter()
            self._cpu_before_s = time.clock_gettime(self._clock)
            self._started_s = time.monotonic()
            os.write(self._pipes.go, b"g")
            self._until_end(until_ready=False)
        self._facts["wall_s"] = time.monotonic() - self._started_s
        self._collect()
        os.write(self._control, chunk(END, json.dumps(self._facts).encode()))

    def _until_end(self, *, until_ready: bool) -> None:
        while True:
            events = dict(self._poll.poll(self._patience_s() * 1000))
            if self._control in events:
                self._stop("orphaned")
                raise BrokenPipeError("the harness has gone")
            for fd in self._left_b.keys() & events:
                self._forward(fd)
            if until_ready and self._pipes.ready in events and self._hear_ready():
                return
            if self._pidfd in events:
                return

    def _hear_ready(self) -> bool:
        """Take in what the job says of its setup; return whether that was its last word on it."""
        said = os.read(self._pipes.ready, 1024)
        if not said:  # it ended before it was ready
            self._poll.modify(self._pipes.ready, 0)
            return self._has_ended()
        if said.startswith(BODY_READ):
            self.body_read = True
            said = said.removeprefix(BODY_READ)
        if said == READY:
            self._is_ready = True
        elif said:
            self._facts["setup_error"] = said.decode(errors="backslashreplace")
        return self._is_ready

    def _has_ended(self) -> bool:
        select.select([self._pidfd], [], [])
        return True

    def _open_counter(self) -> None:
        opened = open_counter(self._pid, enabled=True)
        if isinstance(opened, CounterAbsent):
            self._facts["counter_absent"] = [opened.reason, opened.detail]
        else:
            self._counter = opened

    def _patience_s(self) -> float:
        """Return how long nothing need be looked at; stop the job if a limit is passed."""
        if self._facts["stopped"]:
            return 60.0
        elapsed_s = time.monotonic() - self._started_s
        wall_left_s: float = OVERTIME_RATIO * self._limits["wall_s"] - elapsed_s
        if wall_left_s <= 0:
            return self._stop("wall")
        if not self._is_ready:
            return wall_left_s
        used_s = time.clock_gettime(self._clock) - self._cpu_before_s
        cpu_left_s: float = OVERTIME_RATIO * self._limits["cpu_s"] - used_s
        if cpu_left_s <= 0:
            return self._stop("cpu")
        if self._over_instructions():
            return self._stop("instructions")
        if self.folder and _size_b(self.folder) > self._limits["files_b"]:
            return self._stop("files")
        if self._steal_before_s is None and elapsed_s > _LONG_S:
            self._steal_before_s = _steal_s()
        watched_closely = self.folder or self._limits["instructions"] is not None
        first_look_s = _LONG_S if self._steal_before_s is None else wall_left_s
        close_s = _LOOK_AGAIN_S if watched_closely else wall_left_s
        return min(wall_left_s, max(cpu_left_s, 0.001), close_s, first_look_s) + 0.001

    def _over_instructions(self) -> bool:
        limit: int | None = self._limits["instructions"]
        return limit is not None and self._counter is not None and self._counter.read()[0] > limit

    def _stop(self, why: str) -> float:
        self._facts["stopped"] = self._facts["stopped"] or why
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        return 60.0

    def _forward(self, fd: int) -> None:
        """Have the kernel move what waits in a pipe to the harness, up to the pipe's limit."""
        answer = fcntl.ioctl(fd, termios.FIONREAD, b"\0" * 4)
        (waiting_b,) = struct.unpack("i", answer)
        if waiting_b > self._left_b[fd]:
            self._stop("output" if fd == self._pipes.output else "values")
        moved_b = min(waiting_b, self._left_b[fd])
        self._left_b[fd] -= moved_b
        if moved_b == 0:  # closed by the job, or cut off
            self._poll.unregister(fd)
            del self._left_b[fd]
            return
        kind = OUTPUT if fd == self._pipes.output else VALUES
        os.write(self._control, chunk_head(kind, moved_b))
        while moved_b > 0:
            moved_b -= os.splice(fd, self._control, moved_b)

    def _collect(self) -> None:
        """Add the kernel's bill to the facts and close everything."""
        while self._left_b:
            for fd in list(self._left_b):
                self._forward(fd)
        if self._facts["wall_s"] > _LONG_S:
            self._facts["starved_s"] = _waited_for_cpu_s(self._pid)
        if self._steal_before_s is not None:
            self._facts["steal_s"] = _steal_s() - self._steal_before_s
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._pid, signal.SIGKILL)  # where there is no namespace that dies with it
        _, status, usage = os.wait4(self._pid, 0)
        self._facts["exit"] = os.waitstatus_to_exitcode(status)
        self._facts["cpu_s"] = usage.ru_utime + usage.ru_stime - self._cpu_before_s
        self._facts["maxrss_b"] = usage.ru_maxrss * 1024
        if self._counter is not None:
            reading = self._counter.read()
            self._facts["instructions"] = reading.value
            self._facts["multiplexed"] = reading.was_multiplexed
            self._counter.close()
        for fd in (self._pidfd, *self._pipes):
            os.close(fd)


def _size_b(folder: str) -> int:
    size_b = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                size_b += os.lstat(f"{parent}/{name}").st_blocks * 512
    return size_b


def _waited_for_cpu_s(pid: int) -> float | None:
    """Return how long the process was ready to run and was not let, None where not told."""
    try:
        with open(f"/proc/{pid}/schedstat") as file:
            return int(file.read().split()[1]) / 1e9
    except (OSError, IndexError):
        return None


def _steal_s() -> float:
    """Return the seconds that a hypervisor took from this process's cores so far."""
    own = {f"cpu{core}" for core in os.sched_getaffinity(0)}
    with open("/proc/stat") as lines:
        rows = [line.split() for line in lines if line.startswith("cpu")]
    return sum(int(row[8]) for row in rows if row[0] in own) / _TICKS_PER_S
