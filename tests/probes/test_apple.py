"""Apple chips through a package that stands in for `zeus-apple-silicon`, which only a Mac has."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from effmark.probes.apple import AppleProbe
from effmark.probes.contract import Target
from effmark.record import EnergyReading, Missing

PACKAGE = """
import time
class AppleEnergyMetrics:
    pass
class AppleEnergyMonitor:
    WATTS = {"cpu_total_mj": 8.0, "gpu_mj": 20.0, "ane_mj": 0.0, "dram_mj": None}
    def get_cumulative_energy(self):
        found = AppleEnergyMetrics()
        for name, watts in self.WATTS.items():
            setattr(found, name, None if watts is None else int(time.monotonic() * watts * 1000))
        return found
"""


@pytest.fixture
def chip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "zeus_apple_silicon.py").write_text(PACKAGE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "zeus_apple_silicon", raising=False)


@pytest.mark.usefixtures("chip")
def test_the_parts_of_a_chip_are_scopes_of_their_own_and_say_that_they_are_computed() -> None:
    probe = AppleProbe("Darwin")
    opened = probe.open(Target())
    assert not isinstance(opened, Missing)
    assert [i.scope for i in opened] == ["rail:CPU", "rail:GPU", "rail:ANE"]  # this one has no dram
    assert all(i.err_sys_rel is None for i in opened)
    start = time.monotonic()
    probe.start()
    while time.monotonic() < start + 0.5:
        time.sleep(max(0.0, probe.poll() - time.monotonic()))
    readings = [f for f in probe.stop(start, time.monotonic()) if isinstance(f, EnergyReading)]
    power = {r.scope: r.joules / (r.end_s - r.start_s) for r in readings}
    assert power == pytest.approx({"rail:CPU": 8.0, "rail:GPU": 20.0, "rail:ANE": 0.0}, rel=0.02)
    assert all("not sensed" in r.reasons[0] for r in readings)
    assert {t.source for t in probe.traces()} == {"apple rail:CPU", "apple rail:GPU",
                                                  "apple rail:ANE"}  # fmt: skip
    probe.close()


def test_without_the_package_or_the_mac_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "zeus_apple_silicon", None)
    found = AppleProbe("Darwin").open(Target())
    assert isinstance(found, Missing)
    assert "pip install 'effmark[apple]'" in found.detail
    elsewhere = AppleProbe("Linux").open(Target())
    assert isinstance(elsewhere, Missing)
    assert elsewhere.reason == "not_applicable"
