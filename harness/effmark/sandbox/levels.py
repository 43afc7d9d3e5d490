"""What can be promised on this machine: the layers that hold, and the level that they make.

======== ==========================================================================================
strong   unprivileged user, a room in namespaces (bubblewrap or our own), namespaces per job,
         seccomp, rlimits; Landlock on top where the kernel has it
standard unprivileged user, Landlock (ABI 4 or later), seccomp, rlimits: no namespaces, so a job
         sees that other processes exist and shares the host's disk
weak     rlimits and a process group, whatever else there is: refused unless explicitly allowed
======== ==========================================================================================

Everything is found out by doing it in a throw-away process, as the user that jobs will have.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from effmark.errors import PrerequisiteError
from effmark.sandbox.canary import find_gap
from effmark.sandbox.cgroup import WorkerGroup, make_group
from effmark.sandbox.job import Level
from effmark.sandbox.protocol import Splitter
from effmark.sandbox.syscalls import ARCHITECTURES
from effmark.sandbox.worker import Plan, Process, Worker, WorkerLostError

__all__ = ["Capability", "capabilities", "choose_plan", "layers_of", "level_of"]

_LANDLOCK_TCP = 4
_ORDER: Final = ("weak", "standard", "strong")
_ROOMS: Final = {"bwrap": "bubblewrap", "namespaces": "namespaces"}
_ADVICE = {
    "platform": "run effmark in a Linux container or virtual machine",
    "unprivileged_uid": "start effmark as an ordinary user, or as a root that can change its ids",
    "bubblewrap": "apt-get install bubblewrap (optional where namespaces work)",
    "namespaces": "allow user namespaces: sysctl user.max_user_namespaces=15000, on Ubuntu sysctl"
    " kernel.apparmor_restrict_unprivileged_userns=0, in Docker --security-opt seccomp=unconfined"
    " --security-opt systempaths=unconfined",
    "seccomp": "a kernel with CONFIG_SECCOMP_FILTER, on x86_64 or aarch64",
    "landlock": "a kernel of 6.7 or later with landlock in its lsm= list",
    "cgroup": "start effmark as root, or by systemd-run --user --scope -p Delegate=yes",
    "user_instructions": "a machine with a PMU, sysctl kernel.perf_event_paranoid=2",
}


@dataclass(frozen=True)
class Capability:
    """One thing that the sandbox can use, and whether it is there."""

    name: str
    present: bool
    detail: str
    """What was found, or why it is missing."""
    remedy: str
    """What the user can do where it is missing."""


@cache
def capabilities() -> tuple[Capability, ...]:
    """Return what this machine offers the sandbox, found out by doing; once per process."""
    machine = platform.machine()
    if sys.platform != "linux" or machine not in ARCHITECTURES:
        where = f"{sys.platform} on {machine}; the sandbox needs Linux on x86_64 or aarch64"
        return (_capability("platform", where),)
    answers = _probe(machine)
    if answers["unprivileged_uid"]:
        return (_capability("unprivileged_uid", answers["unprivileged_uid"]),)
    abi = answers["landlock_abi"]
    seccomp = not answers["seccomp"]
    bubblewrap = "" if shutil.which("bwrap", path="/usr/bin:/bin") else "bwrap is not installed"
    found = {
        "unprivileged_uid": "",
        "bubblewrap": bubblewrap or _room_fails("bwrap", machine, abi, filters=seccomp),
        "namespaces": _room_fails("namespaces", machine, abi, filters=seccomp),
        "seccomp": answers["seccomp"],
        "landlock": "" if abi >= _LANDLOCK_TCP else f"ABI {abi} does not know TCP, 4 does",
        "cgroup": _cgroup_fails(),
        "user_instructions": answers["counter"],
    }
    details = {"landlock": f"ABI {abi}"}
    return tuple(_capability(name, no, details.get(name, "")) for name, no in found.items())


def _capability(name: str, why_not: str, detail: str = "") -> Capability:
    return Capability(name, not why_not, why_not or detail, _ADVICE[name] if why_not else "")


def _probe(machine: str) -> dict[str, Any]:
    process = Process({"main": "effmark.sandbox.probe", "machine": machine})
    splitter = Splitter()
    try:
        while data := process.socket.recv(65536):
            for _, payload in splitter.feed(data):
                answers: dict[str, Any] = json.loads(payload)
                return answers
    finally:
        said = process.end()
    raise PrerequisiteError(f"sandbox: the probe process ended: {said}")


def _room_fails(container: str, machine: str, abi: int, *, filters: bool) -> str:
    """Return why jobs cannot run in such a room, or nothing."""
    plan = Plan(container, True, filters, abi, machine, want_cgroup=False)
    worker = Worker(0, None, plan)
    try:
        worker.start()
        worker.await_hello()
        return find_gap(worker)
    except (PrerequisiteError, WorkerLostError) as error:
        return str(error)
    finally:
        worker.close()


def _cgroup_fails() -> str:
    group = make_group(f"effmark-{os.getpid()}-probe")
    if isinstance(group, WorkerGroup):
        group.remove()
        return ""
    return group


def choose_plan(level: Level | None, *, allow_weak: bool, room: str | None = None) -> Plan:
    """Return the plan for `level`, or for the best one here; refuse what is not allowed.

    `room` (`bwrap` or `namespaces`) insists on one way to make a room.
    """
    found = {item.name: item for item in capabilities()}
    for name in ("platform", "unprivileged_uid"):
        if name in found and not found[name].present:
            raise PrerequisiteError(f"sandbox: {found[name].detail}; {found[name].remedy}")
    rooms = [name for name in _ROOMS if found[_ROOMS[name]].present and room in (None, name)]
    filters = found["seccomp"].present
    best: Level = "weak"
    if filters and rooms:
        best = "strong"
    elif filters and found["landlock"].present:
        best = "standard"
    wanted = best if level is None else level
    if _ORDER.index(wanted) > _ORDER.index(best):
        raise PrerequisiteError(f"sandbox: level {wanted!r} cannot be had here; {_missing(found)}")
    if wanted == "weak" and not allow_weak:
        raise PrerequisiteError(
            f"sandbox: foreign code would be contained only weakly; {_missing(found)}; or allow it"
            " with --allow-weak-sandbox (recorded in every result)"
        )
    abi = landlock_version(found["landlock"]) if wanted != "weak" else 0
    container = rooms[0] if wanted == "strong" else "none"
    return Plan(container, wanted == "strong", wanted != "weak", abi, platform.machine())


def landlock_version(capability: Capability) -> int:
    """Return the Landlock ABI that a capability speaks of."""
    return int(capability.detail.split()[1].strip(","))


def _missing(found: dict[str, Capability]) -> str:
    needed = [found[name] for name in ("namespaces", "seccomp", "landlock")]
    return "; ".join(f"no {c.name}: {c.detail} ({c.remedy})" for c in needed if not c.present)


def level_of(plan: Plan) -> Level:
    """Return the level that a plan gives."""
    if plan.job_namespaces and plan.filters:
        return "strong"
    return "standard" if plan.filters and plan.landlock_abi >= _LANDLOCK_TCP else "weak"


def layers_of(plan: Plan, group: WorkerGroup | None) -> tuple[str, ...]:
    """Return the names of the layers around every job of such a worker."""
    room = {"bwrap": "bubblewrap", "namespaces": "own_room"}
    present = {
        "unprivileged_uid": True,
        room.get(plan.container, "room"): plan.container in room,
        "job_namespaces": plan.job_namespaces,
        "private_tmpfs": plan.job_namespaces,
        "no_capabilities": True,
        "rlimits": True,
        "capped_pipes": True,
        f"landlock_{plan.landlock_abi}": plan.landlock_abi > 0,
        "seccomp": plan.filters,
        "cgroup" if group is None else group.layer: group is not None,
    }
    return tuple(name for name, is_there in present.items() if is_there)
