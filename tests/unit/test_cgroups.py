"""CPU quotas of version 1 and 2, seen from the host, from a namespace and from a bare container."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from effmark.cgroups import group_folders, quota_cores

V2 = "30 1 0:26 {root} {point} rw - cgroup2 cgroup2 rw,nsdelegate"
V1 = "32 31 0:29 {root} {point} rw - cgroup cgroup rw,cpu,cpuacct"


def tree(base: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = base / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def cores(base: Path) -> float | None:
    return quota_cores(group_folders("cpu", base / "proc", base / "sys"))


def test_a_container_without_a_namespace_finds_its_quota_where_its_group_is_mounted(
    tmp_path: Path,
) -> None:
    tree(tmp_path, {
        "proc/self/cgroup": "4:cpu,cpuacct:/docker/0123abcd\n1:name=systemd:/docker/0123abcd\n",
        "proc/self/mountinfo": V1.format(root="/docker/0123abcd",
                                         point="/sys/fs/cgroup/cpu,cpuacct"),
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "150000",
        "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
    })  # fmt: skip
    assert cores(tmp_path) == 1.5


def test_so_does_one_of_version_2_whose_names_are_those_of_the_host(tmp_path: Path) -> None:
    tree(tmp_path, {
        "proc/self/cgroup": "0::/kubepods/pod7/main\n",
        "proc/self/mountinfo": V2.format(root="/kubepods/pod7/main", point="/sys/fs/cgroup"),
        "sys/fs/cgroup/cpu.max": "50000 100000",
    })  # fmt: skip
    assert cores(tmp_path) == 0.5


def test_a_group_outside_of_what_is_mounted_counts_as_the_mounted_one(tmp_path: Path) -> None:
    tree(tmp_path, {
        "proc/self/cgroup": "0::/system.slice/docker-77.scope\n",
        "proc/self/mountinfo": V2.format(root="/", point="/sys/fs/cgroup"),
        "sys/fs/cgroup/cpu.max": "300000 100000",
    })  # fmt: skip
    assert cores(tmp_path) == 3


@pytest.mark.parametrize("own_last", [True, False])
def test_another_groups_part_that_is_mounted_too_is_not_ones_own(
    tmp_path: Path, own_last: bool
) -> None:
    own = V1.format(root="/", point="/sys/fs/cgroup/cpu")
    other = V1.format(root="/build", point="/sys/fs/cgroup/build")
    tree(tmp_path, {
        "proc/self/cgroup": "4:cpu,cpuacct:/me\n",
        "proc/self/mountinfo": "\n".join([other, own] if own_last else [own, other]),
        "sys/fs/cgroup/build/cpu.cfs_quota_us": "900000",
        "sys/fs/cgroup/build/cpu.cfs_period_us": "100000",
        "sys/fs/cgroup/cpu/me/cpu.cfs_quota_us": "100000",
        "sys/fs/cgroup/cpu/me/cpu.cfs_period_us": "100000",
    })  # fmt: skip
    assert cores(tmp_path) == 1


def test_the_tightest_limit_above_holds(tmp_path: Path) -> None:
    tree(tmp_path, {
        "proc/self/cgroup": "0::/team/job\n",
        "proc/self/mountinfo": V2.format(root="/", point="/sys/fs/cgroup"),
        "sys/fs/cgroup/team/cpu.max": "200000 100000",
        "sys/fs/cgroup/team/job/cpu.max": "max 100000",
    })  # fmt: skip
    assert cores(tmp_path) == 2


def test_where_both_versions_are_mounted_the_controller_is_in_version_1(tmp_path: Path) -> None:
    tree(tmp_path, {
        "proc/self/cgroup": "2:cpu:/job\n0::/job\n",
        "proc/self/mountinfo": "\n".join([V2.format(root="/", point="/sys/fs/cgroup/unified"),
                                          V1.format(root="/", point="/sys/fs/cgroup/cpu")]),
        "sys/fs/cgroup/cpu/job/cpu.cfs_quota_us": "400000",
        "sys/fs/cgroup/cpu/job/cpu.cfs_period_us": "100000",
    })  # fmt: skip
    assert cores(tmp_path) == 4


@pytest.mark.parametrize("quota", ["max 100000", "", "100000 0", "many 100000"])
def test_no_limit_is_no_number(tmp_path: Path, quota: str) -> None:
    tree(tmp_path, {
        "proc/self/cgroup": "0::/\nnonsense\n",
        "proc/self/mountinfo": V2.format(root="/", point="/sys/fs/cgroup") + "\nhalf a line",
        "sys/fs/cgroup/cpu.max": quota,
    })  # fmt: skip
    assert cores(tmp_path) is None


def test_a_machine_without_groups_has_no_quota(tmp_path: Path) -> None:
    assert cores(tmp_path) is None


def test_threads_stay_within_the_affinity() -> None:
    code = "from effmark.environment import default_threads; print(default_threads())"
    one = min(os.sched_getaffinity(0))
    told = subprocess.run(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{{one}}}); {code}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout == "1\n"


_IN_GROUP = """
import os, sys
from pathlib import Path
from effmark.environment import default_threads
Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
print(default_threads())
"""


def test_threads_stay_within_the_quota_of_a_real_group() -> None:
    if (os.cpu_count() or 1) < 2:
        pytest.skip("one core: there is nothing that a quota could take away")
    (own, *_), name = group_folders("cpu") or [Path()], f"effmark-test-{os.getpid()}"
    group = own / name
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"no cpu group can be made here: {error}")
    try:
        version_1 = (group / "cpu.cfs_quota_us").exists()
        limit = ("cpu.cfs_quota_us", "100000") if version_1 else ("cpu.max", "100000 100000")
        try:
            (group / limit[0]).write_text(limit[1])
        except OSError as error:
            pytest.skip(f"no cpu quota can be set here: {error}")
        told = subprocess.run(
            [sys.executable, "-c", _IN_GROUP, str(group)],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        group.rmdir()
    assert told.stdout == "1\n"
