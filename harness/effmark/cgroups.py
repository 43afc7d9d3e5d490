"""Where the kernel keeps a process's control groups, and how much CPU time they allow it.

`/proc/self/cgroup` names groups from the root of the cgroup namespace. A container without a
namespace of its own sees the host's names there, while only its own group is mounted: what is
mounted stands in `/proc/self/mountinfo` (fields 4 and 5, man 5 proc_pid_mountinfo). The limits of
all groups from one's own to the topmost that can be seen hold together.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

__all__ = ["group_folders", "quota_cores"]

_PROC, _SYS = Path("/proc"), Path("/sys")


def group_folders(controller: str, proc: Path = _PROC, sys: Path = _SYS) -> list[Path]:
    """Return this process's group of a controller and the groups that it lies in, own one first.

    Empty where no group of the controller can be seen. Version 1 goes before version 2: where
    both are mounted, a controller that version 1 has is not in version 2.
    """
    named = _own_groups(proc)
    mounts = list(_mounts(proc, sys))
    for key in (controller, ""):
        places = [(root, point) for kind, root, point in mounts if kind == key and key in named]
        if places:  # a hierarchy may be mounted again, with another group's part of it
            root, point = next((p for p in places if _is_in(named[key], p[0])), places[0])
            return _upwards(point, _below(named[key], root))
    return _unmounted(controller, named, sys / "fs/cgroup") if not mounts else []


def quota_cores(groups: list[Path]) -> float | None:
    """Return how many cores' time the tightest of some CPU groups allows, None for no limit."""
    limits = [limit for group in groups if (limit := _limit(group)) is not None]
    return min(limits, default=None)


def _limit(group: Path) -> float | None:
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text().strip()
            period = (group / "cpu.cfs_period_us").read_text().strip()
        return None if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return None  # the root group has no limit to read


def _own_groups(proc: Path) -> dict[str, str]:
    """Return the path of this process's group by controller; that of version 2 by ''."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return {}
    parts = [line.split(":", 2) for line in lines if line.count(":") >= 2]
    return {name: path for _, names, path in parts for name in names.split(",")}


def _mounts(proc: Path, sys: Path) -> Iterator[tuple[str, str, Path]]:
    """Yield controller ('' for version 2), root and folder of every mounted hierarchy."""
    try:
        lines = (proc / "self/mountinfo").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        root, point = _unescaped(fields[3]), Path(_unescaped(fields[4]))
        folder = sys / point.relative_to(_SYS) if point.is_relative_to(_SYS) else point
        names = [""] if kind[0] == "cgroup2" else kind[2].split(",")
        yield from ((name, root, folder) for name in names)


def _unescaped(text: str) -> str:
    """Return a path of mountinfo, in which blanks are written as octal numbers."""
    return text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")


def _below(group: str, root: str) -> PurePosixPath:
    """Return a group relative to what is mounted; what is mounted itself where it lies outside.

    It lies outside where the names are those of the host and the mount is the container's own.
    """
    return PurePosixPath(group).relative_to(root) if _is_in(group, root) else PurePosixPath()


def _is_in(group: str, root: str) -> bool:
    return PurePosixPath(group).is_relative_to(root)


def _upwards(point: Path, inside: PurePosixPath) -> list[Path]:
    folders = [point / part for part in (inside, *inside.parents)]
    return [folder for folder in folders if folder.is_dir()]


def _unmounted(controller: str, named: dict[str, str], base: Path) -> list[Path]:
    """Return the groups at their usual places, where the kernel does not say what is mounted."""
    if controller in named and (base / controller).is_dir():
        return _upwards(base / controller, PurePosixPath(named[controller].lstrip("/")))
    if "" in named and base.is_dir():
        return _upwards(base, PurePosixPath(named[""].lstrip("/")))
    return []
