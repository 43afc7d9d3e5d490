"""The zygote: an interpreter, warm and empty, that forks one process per job.

It opens no file of a job, reads none of its bytes and keeps nothing of it: a job's body goes
from the socket to the job's process, its output from the pipe to the socket, moved by the kernel.
So the memory from which the next job is forked is the same as for the first one. It never has
threads. It reports facts (times, counts, how the process ended); verdicts are the harness's.
"""
# No pathlib here: the warm interpreter stays small.
# ruff: noqa: PTH112, PTH116, PTH123, PTH208

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import time
from typing import Any

from effmark.sandbox.confine import Policy
from effmark.sandbox.container import DEVICES, JOB_FOLDER, JOB_ROOT, site_folders
from effmark.sandbox.filter import Filter
from effmark.sandbox.identity import is_root, who_is_root
from effmark.sandbox.job_process import Task, perform, warm_up
from effmark.sandbox.kernel import Namespace, clone_process, prctl
from effmark.sandbox.landlock import make_ruleset
from effmark.sandbox.protocol import FAILURE, HELLO, chunk, read_frame
from effmark.sandbox.watch import Watch, open_pipes

__all__ = ["main"]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_JOB_NAMESPACES = Namespace.USER | Namespace.PID | Namespace.MOUNT


def main(control: int, request: dict[str, Any]) -> None:
    """Serve jobs on `control` until the harness hangs up."""
    try:
        policy = _get_ready(request)
    except (ImportError, OSError, RuntimeError) as error:
        os.write(control, chunk(FAILURE, f"{type(error).__name__}: {error}".encode()))
        os._exit(3)
    os.write(control, chunk(HELLO, b""))
    try:
        task = _serve(control, policy)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        os._exit(0)
    # Only a job's process comes here: by now the zygote's own frames are gone from its stack.
    perform(task, policy)


def _get_ready(request: dict[str, Any]) -> Policy:
    _assert_harmless(request)
    prctl(_PR_SET_DUMPABLE, 0)
    if request["container"] != "none":  # outside a room the parent is the harness, which hangs up
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    sys.path[:0] = request["paths"]
    for name in request["preload"]:
        importlib.import_module(name)
    if len(os.listdir("/proc/self/task")) != 1:
        raise RuntimeError(f"one of the modules to preload starts threads: {request['preload']}")
    policy = _policy(request)
    os.environ.pop("LD_BIND_NOW", None)  # it has done its work
    if policy.namespaces:
        os.environ["HOME"] = os.environ["TMPDIR"] = JOB_FOLDER
    warm_up()
    gc.collect()
    gc.freeze()
    gc.disable()
    return policy


def _policy(request: dict[str, Any]) -> Policy:
    namespaces, abi = request["job_namespaces"], request["landlock_abi"]
    readable = (_in_a_room if namespaces else _outside_a_room)(request["paths"])
    devices = ("/dev",) if namespaces else DEVICES
    ruleset = -1
    if namespaces and abi:
        ruleset = make_ruleset(abi, readable=readable, devices=devices, writable=(JOB_ROOT,))
    return Policy(
        namespaces=namespaces,
        landlock_abi=abi,
        filter=Filter(request["machine"]) if request["filters"] else None,
        user_map=f"{os.getuid()} {os.getuid()} 1",
        group_map=f"{os.getgid()} {os.getgid()} 1",
        readable=readable,
        devices=devices,
        ruleset=ruleset,
        tasks_elsewhere=0 if namespaces else _count_own_tasks(),
    )


def _assert_harmless(request: dict[str, Any]) -> None:
    """Raise RuntimeError unless rule zero holds here, inside."""
    if is_root() or who_is_root() == 0:
        raise RuntimeError("rule zero: this is user id 0 of the host")
    if os.access("/proc/sys/kernel/core_pattern", os.W_OK):
        raise RuntimeError("rule zero: /proc/sys is writable")
    with open("/proc/self/status") as lines:
        effective = next(line.split()[1] for line in lines if line.startswith("CapEff"))
    if int(effective, 16):
        raise RuntimeError(f"rule zero: capabilities are left: {effective}")
    if request["job_namespaces"] and (os.getpid() != 1 or os.access("/", os.W_OK)):
        raise RuntimeError("the room is not a room: not process 1, or a writable root")
    if sys.version != request["version"]:
        raise RuntimeError(f"another interpreter: {sys.version!r}, not {request['version']!r}")


def _in_a_room(paths: list[str]) -> tuple[str, ...]:
    """Return what Landlock shows in a room, in few rules, as each costs every job time."""
    shown = {os.path.realpath(path) for path in ("/lib", "/lib64", sys.base_prefix)}
    apart = sorted(path for path in shown if not path.startswith("/usr/") and path != "/usr")
    return ("/usr", "/etc", *apart, *paths)


def _outside_a_room(paths: list[str]) -> tuple[str, ...]:
    """Return what Landlock shows outside a room: libraries without the installed packages."""
    files = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
    folders = ["/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib"]
    folders = [path for path in (*folders, f"{sys.base_prefix}/lib") if os.path.isdir(path)]
    hidden = (*site_folders("/usr"), *site_folders(sys.base_prefix))
    real = sorted({os.path.realpath(path) for path in folders})
    shown = [path for folder in real for path in _without(folder, hidden)]
    return (*files, *shown, *paths)


def _without(folder: str, hidden: tuple[str, ...]) -> list[str]:
    """Return the fewest paths below `folder` that hold all of it but the hidden folders."""
    if not any(path.startswith(f"{folder}/") for path in hidden):
        return [folder]
    entries = [entry.path for entry in os.scandir(folder) if entry.path not in hidden]
    return [path for entry in entries for path in _without(entry, hidden)]


def _count_own_tasks() -> int:
    """Return the number of tasks of this user, all of which RLIMIT_NPROC counts."""
    count = 0
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and os.stat(f"/proc/{name}").st_uid == os.getuid():
                count += len(os.listdir(f"/proc/{name}/task"))
        except OSError:  # it ended meanwhile
            continue
    return count


def _serve(control: int, policy: Policy) -> Task:
    """Run jobs; return only in a job's own process, with its task."""
    while True:
        limits = read_frame(control)
        folder = JOB_FOLDER if policy.namespaces else _own_folder()
        ours, theirs = open_pipes()
        started_s = time.monotonic()
        pid = clone_process(_JOB_NAMESPACES) if policy.namespaces else os.fork()
        if pid == 0:
            return Task(limits, folder, control, theirs)
        for fd in theirs:
            os.close(fd)
        watch = Watch(pid, limits, started_s, control, ours)
        if not policy.namespaces:
            watch.folder = folder
        watch.run()
        if not policy.namespaces:
            _remove(folder)
        if not watch.body_read:  # the rest of the body is still in the socket
            os._exit(4)


def _own_folder() -> str:
    import tempfile  # large, and not needed in a room

    folder = tempfile.mkdtemp(prefix="job-")
    tempfile.tempdir = None  # a job looks for its own
    return folder


def _remove(folder: str) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
