"""RAPL, rails, hwmon and the state of the machine, on trees in a folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest

from effmark.probes.contract import EnergyProbe, Target
from effmark.probes.hwmon import HwmonProbe
from effmark.probes.rails import RailsProbe
from effmark.probes.rapl import RaplProbe, unwrapped
from effmark.probes.state import MachineWatch
from effmark.probes.topology import ranges
from effmark.record import EnergyReading, Missing

FAKES = Path(__file__).parents[1] / "fakes"


def _load(name: str) -> Any:
    spec = spec_from_file_location(name, FAKES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


sysfs = _load("sysfs")


@pytest.fixture
def moving(tmp_path: Path) -> Iterator[Path]:
    """A root whose package counter runs at 80 W."""
    sysfs.rapl(tmp_path, {"package-0": 0, "package-0/dram": 5})
    mover = subprocess.Popen([sys.executable, str(FAKES / "sysfs.py"), str(tmp_path), "80", "0.01"])
    yield tmp_path
    mover.kill()
    mover.wait()


def window(probe: EnergyProbe, seconds: float) -> tuple[EnergyReading | Missing, ...]:
    start = time.monotonic()
    probe.start()
    wake = probe.poll()
    while time.monotonic() < start + seconds:
        time.sleep(max(0.0, min(wake, start + seconds) - time.monotonic()))
        wake = probe.poll()
    return probe.stop(start, time.monotonic())


def test_a_package_counter_that_moves_is_measured_within_its_bound(moving: Path) -> None:
    probe = RaplProbe(moving)
    opened = probe.open(Target())
    assert not isinstance(opened, Missing)
    assert [i.scope for i in opened] == ["package", "dram"]
    time.sleep(0.5)  # the mover has to start
    window(probe, 0.5)
    found = window(probe, 1.5)
    (reading,) = [f for f in found if isinstance(f, EnergyReading)]
    truth = 80 * (reading.end_s - reading.start_s)
    assert reading.err_window_rel is not None
    assert abs(reading.joules - truth) / truth <= reading.err_window_rel + 0.01
    (dram,) = [f for f in found if isinstance(f, Missing)]
    assert "dram" in dram.detail


def test_a_counter_that_wraps_once_and_twice_counts_on() -> None:
    values = iter([90, 95, 5, 40, 99, 3])
    read = unwrapped(lambda: next(values), 100)
    assert [round(read() * 1e6) for _ in range(5)] == [5, 15, 50, 109, 113]


def test_package_dram_and_psys_are_three_scopes_and_sockets_add_up(tmp_path: Path) -> None:
    names = ["package-0", "package-0/dram", "package-0/core", "package-1", "psys"]
    powercap = sysfs.rapl(tmp_path, dict.fromkeys(names, 0))
    probe = RaplProbe(tmp_path)
    probe.open(Target())
    start = time.monotonic()
    probe.start()
    steps = {"0": 10, "0:0": 2, "0:1": 7, "1": 10, "2": 15}
    for count in range(1, 30):
        for zone, step in steps.items():
            sysfs.set_energy(powercap / f"intel-rapl:{zone}" / "energy_uj", count * step * 10**6)
        probe.poll()
        time.sleep(0.02)
    found = probe.stop(start, time.monotonic())
    watts = {
        (f.scope, f.device_id): f.joules / (f.end_s - f.start_s)
        for f in found
        if isinstance(f, EnergyReading)
    }
    psys = watts["psys", "psys"]
    assert watts["package", "package-0+package-1"] / psys == pytest.approx(20 / 15, rel=0.3)
    assert watts["dram", "package-0/dram"] / psys == pytest.approx(2 / 15, rel=0.3)
    assert not [scope for scope, _ in watts if "core" in scope]


def test_rapl_that_only_root_may_read_says_what_to_do(tmp_path: Path) -> None:
    powercap = sysfs.rapl(tmp_path, {"package-0": 0})
    file = powercap / "intel-rapl:0/energy_uj"
    file.chmod(0)
    ours = [
        f for f in [tmp_path, *tmp_path.parents] if f.name.startswith(("pytest", "test_", "popen"))
    ]
    for folder in ours if os.getuid() == 0 else ():
        folder.chmod(0o755)  # another user has to get as far as the file
    text = (
        "from effmark.probes.rapl import RaplProbe; from effmark.probes.contract import Target;"
        "import os, sys, pathlib; import effmark.record; os.getuid() or os.setuid(65534);"
        "print(RaplProbe(pathlib.Path(sys.argv[1])).open(Target()).model_dump_json())"
    )
    done = subprocess.run([sys.executable, "-c", text, str(tmp_path)], capture_output=True,
                          text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert '"not_permitted"' in done.stdout
    assert "chmod" in done.stdout


def _driven(probe: RaplProbe, powercap: Path, zones: list[str], broken: Path | None = None) -> Any:
    """Move the counters of some zones for a while; halfway one becomes unreadable."""
    probe.open(Target())
    start = time.monotonic()
    probe.start()
    for count in range(1, 30):
        for zone in zones:
            file = powercap / f"intel-rapl:{zone}" / "energy_uj"
            if broken is None or file.parent != broken or count < 15:
                sysfs.set_energy(file, count * 10**7)
            else:
                file.write_text("")
        probe.poll()
        time.sleep(0.02)
    return probe.stop(start, time.monotonic())


@pytest.mark.parametrize("fault", ["energy_uj", "max_energy_range_uj"])
def test_a_domain_that_cannot_be_read_is_named_and_the_others_are_read(
    tmp_path: Path, fault: str
) -> None:
    powercap = sysfs.rapl(tmp_path, {"package-0": 0, "package-0/dram": 0})
    (powercap / "intel-rapl:0:0" / fault).unlink()
    found = _driven(RaplProbe(tmp_path), powercap, ["0"])
    assert {f.scope for f in found if isinstance(f, EnergyReading)} == {"package"}
    (dram,) = [f for f in found if isinstance(f, Missing)]
    assert "intel-rapl:0:0" in dram.detail


def test_the_sockets_of_a_scope_are_no_sum_where_one_cannot_be_read(tmp_path: Path) -> None:
    powercap = sysfs.rapl(tmp_path, {"package-0": 0, "package-1": 0, "psys": 0})
    (powercap / "intel-rapl:1/energy_uj").write_text("no number")
    found = _driven(RaplProbe(tmp_path), powercap, ["0", "2"])
    assert {f.scope for f in found if isinstance(f, EnergyReading)} == {"part:package", "psys"}
    (package,) = [f for f in found if isinstance(f, Missing)]
    assert "intel-rapl:1" in package.detail


def test_a_domain_that_fails_while_it_is_read_costs_its_own_scope(tmp_path: Path) -> None:
    powercap = sysfs.rapl(tmp_path, {"package-0": 0, "package-0/dram": 0})
    broken = powercap / "intel-rapl:0:0"
    found = _driven(RaplProbe(tmp_path), powercap, ["0", "0:0"], broken)
    assert {f.scope for f in found if isinstance(f, EnergyReading)} == {"package"}
    (dram,) = [f for f in found if isinstance(f, Missing)]
    assert "intel-rapl:0:0: ValueError" in dram.detail


def test_a_machine_without_rapl_is_not_present(tmp_path: Path) -> None:
    found = RaplProbe(tmp_path).open(Target())
    assert isinstance(found, Missing)
    assert found.reason == "not_present"


def test_a_broken_tree_is_missing_not_an_exception(tmp_path: Path) -> None:
    powercap = sysfs.rapl(tmp_path, {"package-0": 0})
    (powercap / "intel-rapl:0/energy_uj").unlink()
    (powercap / "intel-rapl:0/energy_uj").mkdir()
    found = RaplProbe(tmp_path).open(Target())
    assert isinstance(found, Missing)
    assert found.reason == "failed"


def test_a_rail_of_5_volts_and_2_amperes_draws_10_joules_per_second(tmp_path: Path) -> None:
    sysfs.jetson(tmp_path, {"VDD_IN": (5000, 2000), "VDD_CPU": (5000, 500)})
    probe = RailsProbe(tmp_path)
    probe.open(Target())
    found = [f for f in window(probe, 0.6) if isinstance(f, EnergyReading)]
    power = {f.scope: f.joules / (f.end_s - f.start_s) for f in found}
    assert power == pytest.approx({"rail:VDD_IN": 10.0, "rail:VDD_CPU": 2.5})


def test_an_amd_gpu_is_sampled_by_hwmon_and_an_impossible_power_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HIP_VISIBLE_DEVICES", raising=False)
    sysfs.amd_gpu(tmp_path, 0, 300.0)
    file = sysfs.amd_gpu(tmp_path, 1, 1.29e6)
    probe = HwmonProbe(tmp_path)
    probe.open(Target(device="rocm:0"))
    (found,) = window(probe, 0.5)
    assert isinstance(found, EnergyReading)
    assert found.joules / (found.end_s - found.start_s) == pytest.approx(300.0)
    assert found.source == "hw_power_integrated"
    probe = HwmonProbe(tmp_path)
    probe.open(Target(device="rocm:1"))
    (found,) = window(probe, 0.3)
    assert isinstance(found, Missing)
    assert found.reason == "rejected"
    file.unlink()
    absence = HwmonProbe(tmp_path).open(Target(device="rocm:1"))
    assert isinstance(absence, Missing)
    monkeypatch.setenv("HIP_VISIBLE_DEVICES", "1")
    absence = HwmonProbe(tmp_path).open(Target(device="rocm:1"))
    assert isinstance(absence, Missing)
    assert absence.reason == "not_present"


def test_the_state_of_a_machine_is_read_and_the_rest_is_unknown_by_path(tmp_path: Path) -> None:
    sysfs.cpu(tmp_path / "sys", "powersave", no_turbo=False, khz=2000000)
    proc = tmp_path / "proc"
    sysfs.write(proc / "stat", "cpu  100 0 50 1000 0 0 0 10 0 0")
    sysfs.write(proc / "pressure/cpu", "some avg10=7.50 avg60=1 avg300=1 total=1000")
    sysfs.write(proc / "sys/vm/swappiness", 60)
    sysfs.write(tmp_path / "sys/devices/system/node/node0/cpulist", "0-15,32-47")
    sysfs.write(tmp_path / "sys/devices/system/node/node10/cpulist", "48-63")
    sysfs.write(tmp_path / "sys/devices/system/node/node2/cpulist", "16-31")
    sysfs.write(proc / "self/cgroup", "3:cpu,cpuacct:/box")
    group = tmp_path / "sys/fs/cgroup/cpu/box"
    sysfs.write(group / "cpu.stat", "nr_periods 9\nnr_throttled 4\nthrottled_time 1")
    watch = MachineWatch(proc, tmp_path / "sys", shortest_s=0.0)
    watch.start()
    sysfs.write(proc / "pressure/cpu", "some avg10=9.00 avg60=1 avg300=1 total=51000")
    sysfs.write(group / "cpu.stat", "nr_periods 99\nnr_throttled 6\nthrottled_time 1")
    sysfs.write(proc / "stat", "cpu  100 0 50 1000 0 0 0 30 0 0")
    sysfs.write(tmp_path / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", 1000000)
    seen = watch.stop()
    assert seen.state["governor"] == "powersave"
    assert seen.state["turbo"] is True
    assert seen.state["psi_cpu_before_ratio"] == 0.075
    assert seen.state["quota_throttled_count"] == 2
    assert float(seen.state["steal_ratio"]) > 0.01
    assert seen.state["clock_change_between_ratio"] == 0.5
    assert str(proc / "vmstat") in seen.unknown["swap_in_b"]
    assert seen.state["numa_nodes_count"] == 3
    assert seen.state["numa_layout"] == "node 0: 0-15,32-47; node 2: 16-31; node 10: 48-63"
    assert seen.state["swappiness"] == 60
    assert "perf_event_paranoid" in seen.unknown
    assert "thermal_throttle" in seen.unknown["throttle_count"]
    assert float(seen.state["psi_cpu_window_ratio"]) > 0.01  # 50 ms of waiting, not the average


@pytest.mark.parametrize(
    ("cpus", "text"), [({0}, "0"), ({0, 1, 2, 8}, "0-2,8"), ({3, 5, 6}, "3,5-6"), (set(), "")]
)
def test_cpus_are_written_as_the_kernel_writes_them(cpus: set[int], text: str) -> None:
    assert ranges(cpus) == text


def test_a_window_shorter_than_the_ticks_allow_judges_no_neighbour(tmp_path: Path) -> None:
    sysfs.write(tmp_path / "proc/stat", "cpu  100 0 50 1000 0 0 0 10 0 0")
    watch = MachineWatch(tmp_path / "proc", tmp_path / "sys", shortest_s=3600.0)
    watch.start()
    seen = watch.stop()
    assert not {"steal_ratio", "foreign_cpu_ratio"} & seen.state.keys()
    assert "ticks" in seen.unknown["steal_ratio"]


def test_a_cgroup_of_version_2_is_found(tmp_path: Path) -> None:
    sysfs.write(tmp_path / "proc/self/cgroup", "0::/job")
    sysfs.write(tmp_path / "sys/fs/cgroup/cgroup.controllers", "cpu memory")
    sysfs.write(tmp_path / "sys/fs/cgroup/job/cpu.stat", "nr_throttled 0")
    sysfs.write(tmp_path / "sys/fs/cgroup/job/cpu.max", "150000 100000")
    watch = MachineWatch(tmp_path / "proc", tmp_path / "sys")
    watch.start()
    state = watch.stop().state
    assert (state["quota_throttled_count"], state["quota_cores"]) == (0, 1.5)
