"""What a job's process does to itself before it looks at the foreign code.

The order matters: identity and mounts while there are capabilities, then limits, then the two
one-way doors (Landlock before seccomp, whose filter refuses Landlock's calls).
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from typing import Any

from effmark.sandbox.container import EMPTY_FOLDER, map_own_ids
from effmark.sandbox.filter import Filter
from effmark.sandbox.kernel import Mount, drop_capabilities, mount, prctl
from effmark.sandbox.landlock import make_ruleset, restrict_to

__all__ = ["Policy", "confine", "limit_cpu_time"]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_SIGKILL = 9
_FILES_OPEN = 64
_TASKS = 64
_MIB = 1 << 20


@dataclass(frozen=True)
class Policy:
    """The layers of every job of one zygote."""

    namespaces: bool
    """Whether each job has user, process and mount namespaces of its own."""
    landlock_abi: int
    """0: without Landlock."""
    filter: Filter | None
    """The system-call filter, made once for all jobs."""
    user_map: str
    """The line that maps the zygote's user into a job's user namespace."""
    group_map: str
    """The same for its group."""
    readable: tuple[str, ...]
    """Files and folders that Landlock lets a job read."""
    devices: tuple[str, ...]
    """Files, or folders of files, that Landlock lets it read and write, but not replace."""
    ruleset: int
    """Landlock's rules for all jobs, -1 where each job has a folder of its own to write to."""
    tasks_elsewhere: int
    """Tasks of the same user outside the sandbox, where RLIMIT_NPROC counts them as well."""


def confine(policy: Policy, folder: str, limits: dict[str, Any]) -> None:
    """Give up everything that the job does not need; `folder` is its temporary one."""
    prctl(_PR_SET_DUMPABLE, 1)
    if not policy.namespaces:  # a job in a namespace dies with the zygote's
        prctl(_PR_SET_PDEATHSIG, _SIGKILL)
    else:
        map_own_ids(policy.user_map, policy.group_map)
        options = f"size={limits['files_b']},nr_inodes=256,mode=0700"
        mount("tmpfs", folder, "tmpfs", Mount.NOSUID | Mount.NODEV, options)
        # An empty /proc: nothing about the zygote, no switches of the kernel.
        mount(EMPTY_FOLDER, "/proc", "", Mount.BIND)
    os.chdir(folder)
    os.umask(0o077)
    _limit_resources(policy, limits)
    drop_capabilities()
    if policy.landlock_abi:
        ruleset = policy.ruleset
        if ruleset < 0:
            readable, devices = policy.readable, policy.devices
            ruleset = make_ruleset(
                policy.landlock_abi, readable=readable, devices=devices, writable=(folder,)
            )
        restrict_to(ruleset, policy.landlock_abi)
    if policy.filter is not None:
        policy.filter.install()


def _limit_resources(policy: Policy, limits: dict[str, Any]) -> None:
    _limit(resource.RLIMIT_AS, limits["memory_b"])
    _limit(resource.RLIMIT_FSIZE, limits["files_b"])
    _limit(resource.RLIMIT_NOFILE, _FILES_OPEN)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_MEMLOCK, _MIB)
    _limit(resource.RLIMIT_NPROC, _TASKS + policy.tasks_elsewhere)
    _limit(resource.RLIMIT_CPU, int(2 * (limits["wall_s"] + limits["cpu_s"])) + 3)


def limit_cpu_time(used_s: float, limit_s: float) -> None:
    """Have the kernel end this process soon after its limit, should the zygote not do it."""
    _limit(resource.RLIMIT_CPU, int(used_s + limit_s) + 3)


def _limit(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (allowed, allowed))
