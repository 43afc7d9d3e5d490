"""One worker: a pinned zygote at the other end of a socket, started again when it is lost.

The harness stays single-threaded: it sends jobs, waits on the sockets of all workers together and
reads what comes. A worker that says nothing for much longer than its job may last is ended.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from effmark.errors import PrerequisiteError
from effmark.sandbox.cgroup import WorkerGroup, make_group
from effmark.sandbox.job import Job, Overhead
from effmark.sandbox.protocol import END, FAILURE, HELLO, OUTPUT, VALUES, Splitter, frame

__all__ = ["Plan", "Report", "Worker", "WorkerLostError", "interpreter", "run_blocking"]

_START_LIMIT_S = 30.0
_PATIENCE_S = 20.0  # beyond what the job itself may take
_SEND_LIMIT_S = 30.0
_MODULES = (
    "errors",
    "perf_events",
    "sandbox",
    "sandbox.syscalls",
    "sandbox.kernel",
    "sandbox.identity",
    "sandbox.container",
    "sandbox.filter",
    "sandbox.landlock",
    "sandbox.protocol",
    "sandbox.confine",
    "sandbox.job_process",
    "sandbox.watch",
    "sandbox.zygote",
    "sandbox.launch",
    "sandbox.probe",
)
"""What runs inside, each after what it imports."""


class WorkerLostError(Exception):
    """A zygote has gone or does not answer; the pool starts another one."""


@dataclass(frozen=True)
class Plan:
    """How workers are made: which room, which layers, which modules ready."""

    container: str
    """`bwrap`, `namespaces` or `none`."""
    job_namespaces: bool
    filters: bool
    landlock_abi: int
    machine: str
    paths: tuple[str, ...] = ()
    preload: tuple[str, ...] = ()
    want_cgroup: bool = True


@dataclass
class Report:
    """What came back from one job."""

    facts: dict[str, Any] = field(default_factory=dict)
    output: bytearray = field(default_factory=bytearray)
    values: bytearray = field(default_factory=bytearray)
    oom_killed: bool = False


def interpreter() -> tuple[str, str]:
    """Return the interpreter behind any virtual environment, and its prefix; both real paths."""
    executable = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    return executable, os.path.realpath(sys.base_prefix)


def modules() -> list[tuple[str, str | None]]:
    """Return the names and the sources of the modules that run inside; packages have none."""
    root = files("effmark")
    found: list[tuple[str, str | None]] = [("effmark", None)]
    for name in _MODULES:
        path = root.joinpath(*name.split("."))
        text = None if path.is_dir() else root.joinpath(f"{name.replace('.', '/')}.py").read_text()
        found.append((f"effmark.{name}", text))
    return found


class Process:
    """An interpreter that boots from a socket: a launcher, and what it becomes."""

    def __init__(self, request: dict[str, Any], group: WorkerGroup | None = None) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        boot = files("effmark.sandbox").joinpath("boot.py").read_text()
        python, prefix = interpreter()
        line = [python, "-P", "-s", "-S", "-c", boot, str(theirs.fileno())]
        self._child = subprocess.Popen(
            line,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "LD_LIBRARY_PATH": f"{prefix}/lib"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=(theirs.fileno(),),
            cwd="/",
        )
        theirs.close()
        self.socket = ours
        ours.settimeout(_SEND_LIMIT_S)
        if group is not None:
            group.adopt(self._child.pid)
        common = {"boot": boot, "python": python, "prefix": prefix, "version": sys.version}
        ours.sendall(frame({"modules": modules()}) + frame({**common, **request}))
        if request["main"].endswith("launch"):
            ours.sendall(frame({"modules": modules()}))
            ours.sendall(frame({**common, **request, "main": "effmark.sandbox.zygote"}))

    def end(self) -> str:
        """End the process and return what it said on standard error."""
        self.socket.close()
        self._child.kill()
        assert self._child.stderr is not None
        with self._child.stderr as stderr:
            os.set_blocking(stderr.fileno(), False)
            self._child.wait()
            said = stderr.read() or b""
        return said[-2000:].decode(errors="backslashreplace").strip()


class Worker:
    """One pinned zygote, and the job that it runs."""

    def __init__(self, index: int, core: int | None, plan: Plan) -> None:
        self.index, self.core, self.plan = index, core, plan
        self.serial = 0
        """Which zygote of this worker it is."""
        self.jobs_done = 0
        """Jobs of the present zygote."""
        self.overhead: Overhead | None = None
        """What an empty job costs in the present zygote."""
        self.group: WorkerGroup | None = None
        if plan.want_cgroup:
            made = make_group(f"effmark-{os.getpid()}-{time.monotonic_ns()}")
            self.group = made if isinstance(made, WorkerGroup) else None
        self._process: Process | None = None
        self._splitter, self._report = Splitter(), Report()
        self._deadline_s = 0.0

    def start(self) -> None:
        """Start a zygote; `await_hello` says when it serves."""
        plan = self.plan
        request = {
            "main": "effmark.sandbox.launch",
            "container": plan.container,
            "core": self.core,
            "paths": list(plan.paths),
            "preload": list(plan.preload),
            "job_namespaces": plan.job_namespaces,
            "filters": plan.filters,
            "landlock_abi": plan.landlock_abi,
            "machine": plan.machine,
        }
        self._splitter = Splitter()
        self.jobs_done = 0
        self.serial += 1
        try:
            self._process = Process(request, self.group)
        except OSError as error:
            raise PrerequisiteError(f"sandbox: a worker cannot be started: {error}") from error

    def await_hello(self) -> None:
        """Wait until the zygote serves; raise PrerequisiteError with its own words if it cannot."""
        assert self._process is not None
        try:
            self._process.socket.settimeout(_START_LIMIT_S)
            kind, payload = self._first_chunk(self._process.socket)
        except (OSError, WorkerLostError) as error:
            said = self.stop() or str(error)
            raise PrerequisiteError(f"sandbox: a worker did not start: {said}") from error
        if kind != HELLO:
            self.stop()
            raise PrerequisiteError(f"sandbox: a worker refused to serve: {payload.decode()}")

    def _first_chunk(self, connection: socket.socket) -> tuple[bytes, bytes]:
        while True:
            data = connection.recv(65536)
            if not data:
                raise WorkerLostError("it ended without a word")
            for kind, payload in self._splitter.feed(data):
                return kind, payload

    def fileno(self) -> int:
        """Return the descriptor to wait on."""
        assert self._process is not None
        return self._process.socket.fileno()

    def submit(self, job: Job) -> None:
        """Start a job; `receive` has its report when the socket has been readable often enough."""
        assert self._process is not None
        self._report = Report()
        if self.group is not None:
            self.group.limit_memory(job.limits.memory_b)
        header = job.limits.header(len(body := job.body()))
        self._deadline_s = time.monotonic() + 2.5 * job.limits.wall_s + _PATIENCE_S
        try:
            self._process.socket.settimeout(_SEND_LIMIT_S)
            self._process.socket.sendall(frame(header) + body)
        except OSError as error:
            raise WorkerLostError(f"it does not take a job: {error}") from error

    def is_overdue(self) -> bool:
        """Return whether the job should have ended long ago."""
        return time.monotonic() > self._deadline_s

    def receive(self) -> Report | None:
        """Take in what has come; return the report once the job has ended."""
        assert self._process is not None
        try:
            data = self._process.socket.recv(1 << 18)
        except OSError as error:
            raise WorkerLostError(f"it cannot be heard: {error}") from error
        if not data:
            raise WorkerLostError("it ended in the middle of a job")
        for kind, payload in self._splitter.feed(data):
            if kind == OUTPUT:
                self._report.output += payload
            elif kind == VALUES:
                self._report.values += payload
            elif kind == FAILURE:
                raise WorkerLostError(payload.decode(errors="backslashreplace"))
            elif kind == END:
                return self._ended(payload)
        return None

    def _ended(self, payload: bytes) -> Report:
        self._report.facts = json.loads(payload)
        self.jobs_done += 1
        if self.group is not None and self._report.facts["exit"] == -9:
            self._report.oom_killed = self.group.has_killed_again()
        return self._report

    def stop(self) -> str:
        """End the zygote and return what it said on standard error."""
        process, self._process = self._process, None
        return "" if process is None else process.end()

    def close(self) -> None:
        """End the zygote and give back its control group."""
        with suppress(OSError):
            self.stop()
        if self.group is not None:
            self.group.remove()
            self.group = None


def run_blocking(worker: Worker, job: Job) -> Report:
    """Return the report of one job, waiting for it."""
    worker.submit(job)
    while (report := worker.receive()) is None:
        pass
    return report
