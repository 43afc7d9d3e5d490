"""Rule zero: no foreign code ever runs with user id 0 of the host.

A process that root starts gives up root for real, before any namespace is made: inside a user
namespace "nobody" may still be the host's root to the kernel, and may then write ``/proc/sys``.

A root's interpreter may lie in a home that only root can enter (mode 0700). Then root, before it
drops, binds the interpreter to a public place in a mount namespace of its own.
"""
# No pathlib here: the warm interpreter stays small.
# ruff: noqa: PTH102, PTH123

from __future__ import annotations

import os
from collections.abc import Sequence

from effmark.sandbox.kernel import Mount, Namespace, drop_capabilities, mount, prctl, unshare

__all__ = ["UNPRIVILEGED_ID", "is_root", "leave_root", "make_reachable", "who_is_root"]

UNPRIVILEGED_ID = 65534
"""The user and group "nobody" of the kernel (overflow id): owns nothing by convention."""

_PR_SET_DUMPABLE = 4
_STAGE = "/tmp"  # covered by a mount of our own before anything is made in it


def is_root() -> bool:
    """Return whether any user id of this process is 0."""
    return 0 in os.getresuid()


def who_is_root() -> int | None:
    """Return the outer user id of this process by its user namespace, None where unmapped."""
    with open("/proc/self/uid_map") as lines:
        for line in lines:
            inner, outer, length = map(int, line.split())
            if inner <= os.getuid() < inner + length:
                return outer + os.getuid() - inner
    return None


def leave_root() -> None:
    """Become the unprivileged user for good if this process is root; drop all capabilities."""
    if is_root():
        os.setgroups([])
        os.setresgid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
        os.setresuid(UNPRIVILEGED_ID, UNPRIVILEGED_ID, UNPRIVILEGED_ID)
    drop_capabilities()
    try:
        os.setuid(0)
    except PermissionError:
        # The kernel made /proc/self root's own when the ids changed; uid_map is written there.
        prctl(_PR_SET_DUMPABLE, 1)
        return
    raise RuntimeError("user id 0 came back after it was dropped")


def make_reachable(paths: Sequence[str]) -> dict[str, str]:
    """Return where the unprivileged user will find each path; as root, bind the hidden ones."""
    if not is_root() or _can_read_after_dropping(paths):
        return {path: path for path in paths}
    unshare(Namespace.MOUNT)
    mount("", "/", "", Mount.REC | Mount.PRIVATE)
    sources = [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths]
    mount("tmpfs", _STAGE, "tmpfs", Mount.NOSUID | Mount.NODEV, "mode=1777,size=64m")
    staged = {}
    for position, (path, source) in enumerate(zip(paths, sources, strict=True)):
        staged[path] = f"{_STAGE}/{position}"
        os.mkdir(staged[path])
        mount(f"/proc/self/fd/{source}", staged[path], "", Mount.BIND | Mount.REC)
        os.close(source)
    return staged


def _can_read_after_dropping(paths: Sequence[str]) -> bool:
    child = os.fork()
    if child == 0:
        try:
            leave_root()
            os._exit(0 if all(os.access(path, os.R_OK | os.X_OK) for path in paths) else 1)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0
