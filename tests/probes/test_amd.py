"""AMD through the real amdsmi package on a fake library, each scenario in a process of its own.

amdsmi prints on stdout where codecarbon is present, so it lives in a folder of its own:
`pip install --no-deps --target DIR amdsmi==7.0.2` and EFFMARK_TEST_AMDSMI=DIR.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effmark.probes.amd import AmdProbe
from effmark.probes.contract import Target
from effmark.record import Missing

FAKES = Path(__file__).parents[1] / "fakes"

SCRIPT = """
import json, time
from effmark.probes.amd import AmdProbe
from effmark.probes.contract import Target
from effmark.record import Missing
probe = AmdProbe()
opened = probe.open(Target(device="rocm:0"))
if isinstance(opened, Missing):
    found = (opened,)
else:
    start = time.monotonic()
    probe.start()
    wake = probe.poll()
    while time.monotonic() < start + 1.0:
        time.sleep(max(0, wake - time.monotonic()))
        wake = probe.poll()
    found = probe.stop(start, time.monotonic())
print(json.dumps([f.model_dump() for f in found]))
"""


@pytest.fixture
def amd(tmp_path: Path) -> Callable[[str], Any]:
    folder = os.environ.get("EFFMARK_TEST_AMDSMI")
    if not folder or shutil.which("cc") is None:
        pytest.skip("needs a C compiler and EFFMARK_TEST_AMDSMI, the folder of amdsmi")
    wrapper = Path(folder) / "amdsmi/amdsmi_wrapper.py"
    (tmp_path / "lib").mkdir()
    build = [sys.executable, str(FAKES / "amdsmi.py"), str(wrapper), str(tmp_path / "lib")]
    subprocess.run(build, check=True, capture_output=True)

    def run(mode: str) -> Any:
        env = {**os.environ, "PYTHONPATH": folder, "ROCM_PATH": str(tmp_path), "FAKE_AMD": mode}
        env.pop("ROCM_HOME", None)
        done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True,
                              env=env, check=False)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # and nothing else on stdout

    return run


def test_300_watts_are_300_joules_per_second(amd: Callable[[str], Any]) -> None:
    (reading,) = amd("ok")
    length = reading["end_s"] - reading["start_s"]
    assert reading["source"] == "hw_counter"
    assert abs(reading["joules"] / length / 300 - 1) <= reading["err_window_rel"]
    assert length == pytest.approx(1.0, abs=0.2)


@pytest.mark.parametrize(
    ("mode", "words"),
    [
        ("stuck", "stands still"),
        ("backwards", "runs backwards"),
        ("scale", "W, its power"),
        ("layout", "layout"),
    ],
)
def test_a_counter_that_cannot_be_believed_is_rejected_at_the_start(
    amd: Callable[[str], Any], mode: str, words: str
) -> None:
    (missing,) = amd(mode)
    assert missing["reason"] == "rejected"
    assert words in missing["detail"]


def test_without_the_package_or_the_library_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROCM_PATH", "/nonexistent")
    found = AmdProbe().open(Target(device="rocm:0"))
    assert isinstance(found, Missing)
    assert found.reason == "not_present"


def test_an_nvidia_cell_is_none_of_its_business() -> None:
    found = AmdProbe().open(Target(device="cuda:0"))
    assert isinstance(found, Missing)
    assert found.reason == "not_applicable"
