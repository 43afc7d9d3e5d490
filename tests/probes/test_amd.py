"""AMD through the real amdsmi package on a fake library, each scenario in a process of its own.

amdsmi prints on stdout where codecarbon is present, so it lives in a folder of its own, which the
tests fill from the package registry once; EFFMARK_TEST_AMDSMI names one that is there already.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
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
    while time.monotonic() < start + 0.6:
        time.sleep(max(0, wake - time.monotonic()))
        wake = probe.poll()
    found = probe.stop(start, time.monotonic())
print(json.dumps([f.model_dump() for f in found]))
"""


VERSION = "7.0.2"


@pytest.fixture(scope="session")
def package() -> Path:
    """The folder of the real package: given, kept from an earlier session, or installed now."""
    if given := os.environ.get("EFFMARK_TEST_AMDSMI"):
        return Path(given)
    folder = Path(tempfile.gettempdir()) / f"effmark-amdsmi-{os.getuid()}-{VERSION}"
    if not folder.is_dir():
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        with tempfile.TemporaryDirectory(dir=folder.parent) as partial:
            command = [*pip, "--no-deps", "--target", partial, f"amdsmi=={VERSION}"]
            try:
                done = subprocess.run(command, capture_output=True, timeout=60, check=False)
            except subprocess.TimeoutExpired:
                pytest.skip("the package registry did not give amdsmi within 60 s")
            if done.returncode != 0:
                pytest.skip(f"the package registry does not give amdsmi {VERSION}")
            shutil.copytree(partial, folder, dirs_exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def library(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of a made-up ROCm installation."""
    if shutil.which("cc") is None:
        pytest.skip("no C compiler; the fake library cannot be built")
    root = tmp_path_factory.mktemp("rocm")
    (root / "lib").mkdir()
    wrapper = package / "amdsmi/amdsmi_wrapper.py"
    build = [sys.executable, str(FAKES / "amdsmi.py"), str(wrapper), str(root / "lib")]
    subprocess.run(build, check=True, capture_output=True)
    return root


@pytest.fixture
def amd(package: Path, library: Path) -> Callable[[str], Any]:
    def run(mode: str) -> Any:
        env = {**os.environ, "PYTHONPATH": str(package), "ROCM_PATH": str(library),
               "FAKE_AMD": mode}  # fmt: skip
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
    assert length == pytest.approx(0.6, abs=0.2)


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
