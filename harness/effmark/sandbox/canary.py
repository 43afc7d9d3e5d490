"""A harmless job that tells whether the layers hold, run before any foreign code.

It only looks (``os.access``) and asks for what must be refused; where it finds a gap, the sandbox
does not start.
"""

from __future__ import annotations

import json

from effmark.sandbox.job import Job, Limits
from effmark.sandbox.verdict import decide, values_of
from effmark.sandbox.worker import Plan, Worker, run_blocking

__all__ = ["find_gap"]

_CODE = """
import json, os, socket

def refused(action):
    try:
        child = action()
    except PermissionError:
        return True
    if child == 0:
        os._exit(0)
    return False

looked_at = ("/", "/usr", "/proc/sys/kernel/core_pattern", "/dev/shm", "/home", "/root")
with open("own", "w") as file:
    file.write("fits")
emit(json.dumps({
    "uid": os.getuid(),
    "pid": os.getpid(),
    "writable": [path for path in looked_at if os.access(path, os.W_OK)],
    "processes": os.path.exists("/proc/1"),
    "fork_refused": refused(os.fork),
    "socket_refused": refused(socket.socket),
}))
"""
# Where there is no room, Landlock denies this one, of which access(2) knows nothing.
_SHARED = "/dev/shm"


def find_gap(worker: Worker) -> str:
    """Return the first layer that does not hold for a job of this worker, or nothing."""
    job = Job(_CODE, limits=Limits(wall_s=20.0))
    report = run_blocking(worker, job)
    verdict = decide(report.facts, bytes(report.values), job.limits, oom_killed=False)
    if verdict.status != "ok":
        return f"the canary ended with {verdict.status}: {verdict.reason}"
    return _gap_in(json.loads(values_of(bytes(report.values))[0]), worker.plan)


def _gap_in(seen: dict[str, object], plan: Plan) -> str:
    writable = seen["writable"]
    assert isinstance(writable, list)
    open_paths = [path for path in writable if plan.job_namespaces or path != _SHARED]
    gaps = {
        "a job has user id 0": seen["uid"] == 0,
        f"a job may write to {open_paths}": bool(open_paths),
        "a job may fork": plan.filters and not seen["fork_refused"],
        "a job may open sockets": plan.filters and not seen["socket_refused"],
        "a job is not alone in its namespace": plan.job_namespaces and seen["pid"] != 1,
        "a job sees processes": plan.job_namespaces and bool(seen["processes"]),
    }
    return next((text for text, is_gap in gaps.items() if is_gap), "")
