"""The launcher: the process between the harness and a worker's zygote.

It gives up root (``identity.py``), fixes the address layout, builds the room (``container.py``)
and becomes the zygote's interpreter. It never sees foreign code.
"""

from __future__ import annotations

import fcntl
import os
from typing import Any

from effmark.sandbox.container import bubblewrap_arguments, describe_room, enter_room
from effmark.sandbox.identity import leave_root, make_reachable
from effmark.sandbox.kernel import turn_off_address_randomization
from effmark.sandbox.protocol import FAILURE, chunk

__all__ = ["CONTROL", "ENVIRONMENT", "main"]

CONTROL = 3
"""The control socket of a zygote: always the same number, as argv is part of the layout."""

# LD_LIBRARY_PATH is added: without it the loader may take another Python's library, silently.
# The hash seed and the layout decide how many instructions a dict takes: both are pinned.
# LD_BIND_NOW: symbols are looked up once, in the zygote, not by every job anew.
ENVIRONMENT = {
    "LANG": "C.UTF-8",
    "LD_BIND_NOW": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "PATH": "/usr/bin:/bin",
    "PYTHONHASHSEED": "0",
}


def main(control: int, request: dict[str, Any]) -> None:
    """Become the zygote that `request` describes, or say on `control` why not."""
    try:
        _become_zygote(control, request)
    except (OSError, RuntimeError) as error:
        os.write(control, chunk(FAILURE, f"{type(error).__name__}: {error}".encode()))
        os._exit(3)


def _become_zygote(control: int, request: dict[str, Any]) -> None:
    prefix, exposed = request["prefix"], request["paths"]
    if request["core"] is not None:
        os.sched_setaffinity(0, {request["core"]})
    staged = make_reachable([prefix, *exposed])
    leave_root()
    turn_off_address_randomization()
    python, environment = request["python"], {**ENVIRONMENT, "LD_LIBRARY_PATH": f"{prefix}/lib"}
    room = describe_room(prefix, exposed, staged)
    if request["container"] == "namespaces":
        enter_room(room)
    elif request["container"] == "none" and staged[prefix] != prefix:
        python = python.replace(prefix, staged[prefix], 1)
        environment |= {"PYTHONHOME": staged[prefix], "LD_LIBRARY_PATH": f"{staged[prefix]}/lib"}
    _move_to(control, CONTROL)
    line = [python, "-P", "-s", "-S", "-c", request["boot"], str(CONTROL)]
    if request["container"] == "bwrap":
        os.execvpe("bwrap", [*bubblewrap_arguments(room, environment), *line], environment)
    os.execve(python, line, environment)


def _move_to(fd: int, wanted: int) -> None:
    if fd != wanted:
        os.dup2(fd, wanted)
        os.close(fd)
    flags = fcntl.fcntl(wanted, fcntl.F_GETFD)
    fcntl.fcntl(wanted, fcntl.F_SETFD, flags & ~fcntl.FD_CLOEXEC)
