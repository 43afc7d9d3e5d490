"""The room of a worker: a small read-only file tree in namespaces of its own.

One `Room` describes the tree; bubblewrap builds it where it is installed, `enter_room` by raw
calls where it is not. Both end in the same place: no network, no other processes, no home, no
``/etc``, no installed packages, an interpreter that nobody can write to, and process number 1.
"""
# No pathlib here: the warm interpreter stays small.
# ruff: noqa: PTH102, PTH103, PTH110, PTH112, PTH114, PTH115, PTH120, PTH207, PTH211

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob
from typing import NoReturn

from effmark.sandbox.kernel import (
    Mount,
    Namespace,
    drop_capabilities,
    mount,
    pivot_to_here,
    protect,
    unshare,
)

__all__ = [
    "DEVICES",
    "EMPTY_FOLDER",
    "JOB_FOLDER",
    "JOB_ROOT",
    "Room",
    "bubblewrap_arguments",
    "describe_room",
    "enter_room",
    "map_own_ids",
    "site_folders",
]

JOB_ROOT = "/job"
"""Holds nothing but the next folder; what Landlock's rules for writing name."""
JOB_FOLDER = f"{JOB_ROOT}/own"
"""Where every job finds its own empty file system, and the only place that it can write to."""
EMPTY_FOLDER = "/empty"
"""What covers the folders that a job must not see."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/usr")
_SINGLE_FILES = ("/etc/ld.so.cache", "/etc/localtime")
_EVERYTHING = (
    Namespace.USER
    | Namespace.MOUNT
    | Namespace.PID
    | Namespace.NET
    | Namespace.IPC
    | Namespace.UTS
    | Namespace.CGROUP
)


@dataclass(frozen=True)
class Room:
    """What the file tree holds; paths are those inside."""

    binds: tuple[tuple[str, str], ...]
    """Where each visible folder or file comes from, and where it is seen."""
    links: tuple[tuple[str, str], ...]
    """Symbolic links: what they say, and where they are."""
    covered: tuple[str, ...]
    """Folders that look empty: packages installed beside the standard library."""
    exposed: tuple[tuple[str, str], ...]
    """Folders that the user names: bound last, so that a cover does not hide them."""


def site_folders(root: str) -> tuple[str, ...]:
    """Return the folders below `root` that hold installed packages."""
    patterns = (f"{root}/lib*/python3*/*-packages", f"{root}/local/lib*/python3*/*-packages")
    found = {path for pattern in patterns for path in glob(pattern)}
    return tuple(sorted(path for path in found if not os.path.islink(path)))


def describe_room(prefix: str, exposed: Sequence[str], staged: dict[str, str]) -> Room:
    """Return the room for the interpreter at `prefix`; `staged` says where to find things."""
    links, binds = [], []
    for path in _SYSTEM:
        if os.path.islink(path):
            links.append((os.readlink(path), path))
        elif os.path.isdir(path):
            binds.append((path, path))
    binds += [(os.path.realpath(path), path) for path in _SINGLE_FILES if os.path.exists(path)]
    covered = list(site_folders("/usr"))
    if not f"{prefix}/".startswith("/usr/"):
        source = staged[prefix]
        binds.append((source, prefix))
        covered += [prefix + path.removeprefix(source) for path in site_folders(source)]
    shown = tuple((staged[path], path) for path in exposed)
    if not any(target.startswith("/tmp/") for _, target in (*binds, *shown)):
        links.append((JOB_FOLDER, "/tmp"))
    return Room(tuple(binds), tuple(links), tuple(covered), shown)


def bubblewrap_arguments(room: Room, environment: dict[str, str]) -> list[str]:
    """Return the command line, up to the program, that has bubblewrap build the room."""
    line = ["bwrap", "--unshare-all", "--as-pid-1", "--new-session", "--clearenv"]
    for name, value in environment.items():
        line += ["--setenv", name, value]
    for source, target in room.binds:
        line += ["--ro-bind", source, target]
    for says, path in room.links:
        line += ["--symlink", says, path]
    for path in room.covered:
        line += ["--tmpfs", path, "--remount-ro", path]
    for source, target in room.exposed:
        line += ["--ro-bind", source, target]
    for path in DEVICES:
        line += ["--dev-bind", path, path]
    line += ["--proc", "/proc", "--ro-bind", "/proc/sys", "/proc/sys"]
    line += ["--dir", JOB_ROOT, "--dir", JOB_FOLDER, "--dir", EMPTY_FOLDER]
    return [*line, "--remount-ro", "/", "--chdir", "/"]


def enter_room(room: Room) -> None:
    """Build the room and go on inside it as process 1; the caller's process only waits."""
    ids = f"{os.getuid()} {os.getuid()} 1", f"{os.getgid()} {os.getgid()} 1"
    unshare(_EVERYTHING)
    map_own_ids(*ids)
    child = os.fork()
    if child:
        _wait_and_exit(child)
    os.setsid()
    _build(room)
    drop_capabilities()


def map_own_ids(user: str, group: str) -> None:
    """Map this process's own ids into its new user namespace."""
    for name, line in (("setgroups", "deny"), ("uid_map", user), ("gid_map", group)):
        target = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(target, line.encode())
        finally:
            os.close(target)


def _wait_and_exit(child: int) -> NoReturn:
    os.closerange(2, 64)
    status = os.waitpid(child, 0)[1]
    os._exit(min(255, abs(os.waitstatus_to_exitcode(status))))


def _build(room: Room) -> None:
    mount("", "/", "", Mount.REC | Mount.PRIVATE)
    binds = [*room.binds, *((path, path) for path in DEVICES)]
    sources = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source, _ in binds]
    exposed = [os.open(source, os.O_PATH | os.O_CLOEXEC) for source, _ in room.exposed]
    root = "/tmp"  # covered here and now
    mount("tmpfs", root, "tmpfs", Mount.NOSUID | Mount.NODEV, "mode=0755,size=1m")
    os.chdir(root)
    for path in (JOB_ROOT, JOB_FOLDER, EMPTY_FOLDER, "/proc"):
        os.mkdir(f".{path}")
    for says, path in room.links:
        os.symlink(says, f".{path}")
    for source, (_, target) in zip(sources, binds, strict=True):
        _bind(source, f".{target}")
    for path in room.covered:
        mount("tmpfs", f".{path}", "tmpfs", Mount.NOSUID | Mount.NODEV, "size=4k,mode=0755")
    for source, (_, target) in zip(exposed, room.exposed, strict=True):
        _bind(source, f".{target}")
    protect(".", Mount.RDONLY | Mount.NOSUID, recursive=True)
    mount("proc", "proc", "proc", Mount.NOSUID | Mount.NODEV | Mount.NOEXEC)
    mount("proc/sys", "proc/sys", "", Mount.BIND | Mount.REC)
    protect("proc/sys", Mount.RDONLY | Mount.NOSUID, recursive=True)
    pivot_to_here()


def _bind(source: int, target: str) -> None:
    reference = f"/proc/self/fd/{source}"
    if os.path.isdir(reference):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))
    mount(reference, target, "", Mount.BIND | Mount.REC)
    os.close(source)
