"""The job's own process: from the fork, through all the doors, to the foreign code and its end.

Everything before `_execute` is ours. The body of the job is read here and nowhere else, and is
decoded and compiled under the limits already, but before the counters start. What the process
says at the end (`LAST_WORD`) may be forged; it is only text, and the harness treats it so.
"""
# No pathlib here: the warm interpreter stays small.
# ruff: noqa: PTH108, PTH123

from __future__ import annotations

import atexit
import contextlib
import errno
import gc
import importlib
import json
import linecache
import os
import random
import sys
import threading
import time
import traceback
import types
from typing import Any, NamedTuple, NoReturn

from effmark.sandbox.confine import Policy, confine, limit_cpu_time
from effmark.sandbox.protocol import LAST_WORD, VALUE, chunk, read_exactly

__all__ = ["BODY_READ", "READY", "VALUE_FD", "Pipes", "Task", "perform", "warm_up"]

BODY_READ, READY = b"B", b"R"
"""What the process tells the zygote before it waits for the word to go."""
VALUE_FD = 3

_ON_DEMAND = ("datetime", "decimal", "fractions", "hashlib", "queue", "statistics")
"""Modules that a job finds imported, as if the zygote had them, if its text names them: all that a
zygote holds is copied for every job."""
_DENIED = (errno.EPERM, errno.EACCES, errno.EROFS, errno.ENOSYS)
_SAID_AT_MOST = 500


class Pipes(NamedTuple):
    """One side's ends of the pipes between a job and the zygote."""

    ready: int
    go: int
    output: int
    values: int


class Task(NamedTuple):
    """One job as its process gets it from the zygote: limits and file descriptors."""

    limits: dict[str, Any]
    folder: str
    control: int
    pipes: Pipes


def perform(task: Task, policy: Policy) -> NoReturn:
    """Run one job to its end; this process never returns to the zygote's code."""
    try:
        os.setsid()
        body = read_exactly(task.control, task.limits["body_b"])
        os.write(task.pipes.ready, BODY_READ)
        _arrange_files(task, policy.ruleset)
        if not policy.namespaces:  # else it is the same folder for all, and the zygote says it
            os.environ["HOME"] = os.environ["TMPDIR"] = task.folder
        confine(policy, task.folder, task.limits)
    except (OSError, EOFError, ValueError) as error:
        os.write(task.pipes.ready, f"{type(error).__name__}: {error}".encode()[:_SAID_AT_MOST])
        os._exit(70)
    prepared = _prepare(body)
    del body
    random.seed(0)  # Python seeds it anew after each fork; every job starts the same
    gc.freeze()  # what was decoded is no garbage: it is neither traversed nor billed
    gc.enable()
    limit_cpu_time(time.process_time(), task.limits["cpu_s"])
    os.write(task.pipes.ready, READY)
    os.read(task.pipes.go, 1)
    os.close(task.pipes.ready)
    os.close(task.pipes.go)
    _finish(*_execute(prepared))


def warm_up() -> None:
    """Do in the zygote, once, what every job would have to do for the first time."""
    main = sys.modules["__main__"]
    for driver in ("", "pass"):
        program = _prepare(json.dumps({"code": "", "driver": driver, "inputs": [], "stdin": ""}))
        program.run()
    sys.modules["__main__"] = main
    del sys.modules["solution"]
    linecache.clearcache()


def _arrange_files(task: Task, ruleset: int) -> None:
    os.dup2(task.pipes.output, 1)
    os.dup2(task.pipes.output, 2)
    os.dup2(task.pipes.values, VALUE_FD)
    kept = sorted({task.pipes.ready, task.pipes.go, ruleset} - {-1})
    first = VALUE_FD + 1
    for fd in kept:
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, 1024)


class _Program:
    """The compiled code of a job and the names that it will see."""

    def __init__(self, body: bytes | str) -> None:
        job = json.loads(body)
        _offer_input(job["stdin"])
        self._driver: types.CodeType | None = None
        self._tools = {"emit": _emit, "inputs": job["inputs"]}
        self._solution = types.ModuleType("solution" if job["driver"] else "__main__")
        sys.modules[self._solution.__name__] = self._solution
        self._code = _compile(job["code"], "<solution>")
        if job["driver"]:
            self._driver = _compile(job["driver"], "<driver>")

    def run(self) -> None:
        """Run the solution, then the driver; without a driver the solution gets its tools."""
        names = self._solution.__dict__
        if self._driver is None:
            names.update(self._tools)
            exec(self._code, names)
        else:
            exec(self._code, names)
            tools = {"__name__": "driver", "solution": self._solution, **self._tools}
            exec(self._driver, tools)

    def end(self) -> None:
        """Do what an interpreter does before it exits."""
        threading._shutdown()  # type: ignore[attr-defined] # joins what was left running
        atexit._run_exitfuncs()
        self._solution.__dict__.clear()


class _Impossible:
    """A job that cannot be run: its error is told as if the code had raised it."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def run(self) -> None:
        """Raise the error."""
        raise self._error.with_traceback(None)

    def end(self) -> None:
        """Never comes."""


def _prepare(body: bytes | str) -> _Program | _Impossible:
    """Return what to run, with the modules imported that nobody is billed for."""
    text = body if isinstance(body, bytes) else body.encode()
    try:
        for name in _ON_DEMAND:
            if name.encode() in text:
                importlib.import_module(name)
        return _Program(body)
    except (ImportError, MemoryError, OSError, SyntaxError, ValueError, RecursionError) as error:
        return _Impossible(error)


def _compile(source: str, name: str) -> types.CodeType:
    linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    return compile(source, name, "exec", dont_inherit=True)


def _offer_input(text: str) -> None:
    if not text:
        return
    with open("stdin", "w+b") as file:
        os.unlink("stdin")
        file.write(text.encode("utf-8", "surrogateescape"))
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        os.dup2(file.fileno(), 0)
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115


def _emit(value: object) -> None:
    """Send one value, as text, to the harness."""
    record = chunk(VALUE, str(value).encode("utf-8", "surrogatepass"))
    while record:
        record = record[os.write(VALUE_FD, record) :]


def _execute(program: _Program | _Impossible) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the last word of the foreign code."""
    left: object = None
    try:
        try:
            program.run()
        except SystemExit as error:
            left = error.code
        program.end()
    except BaseException as error:  # noqa: BLE001 (whatever foreign code raises is its result)
        return 1, _describe(error)
    if left in (None, 0):
        return 0, {"status": "ok"}
    return 1, {"status": "exception", "reason": f"SystemExit: {left}"[:_SAID_AT_MOST]}


def _describe(error: BaseException) -> dict[str, Any]:
    status = "exception"
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        status = "memory"
    elif isinstance(error, OSError) and error.errno in _DENIED:
        status = "forbidden"
    try:
        where = error.__traceback__
        trace = where.tb_next.tb_next if where is not None and where.tb_next else None
        traceback.print_exception(type(error), error, trace)
        reason = f"{type(error).__name__}: {error}"[:_SAID_AT_MOST]
    except BaseException:  # noqa: BLE001 (its __str__ is foreign code too)
        reason = "an exception that cannot be shown"
    return {"status": status, "reason": reason}


def _finish(code: int, last_word: dict[str, Any]) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # the job may have replaced or closed them
            stream.flush()
    try:
        os.write(VALUE_FD, chunk(LAST_WORD, json.dumps(last_word).encode()))
    finally:
        os._exit(code)
