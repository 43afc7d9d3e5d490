from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

FAKES = Path(__file__).parents[1] / "fakes"
TEST = """
    import time

    def test_work(effmark):
        with effmark.window("sleep"):
            time.sleep(SECONDS)
"""


@pytest.fixture
def rapl_root(tmp_path: Path) -> Iterator[Path]:
    """A root whose package counter runs at 80 W."""
    folder = tmp_path / "sys/class/powercap/intel-rapl:0"
    folder.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "262143328850"),
                       ("energy_uj", "0")):  # fmt: skip
        (folder / name).write_text(f"{text}\n")
    command = [sys.executable, str(FAKES / "sysfs.py"), str(tmp_path / "sys"), "80", "0.05"]
    mover = subprocess.Popen(command)
    deadline = time.monotonic() + 10
    while (folder / "energy_uj").read_text() == "0\n":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield tmp_path / "sys"
    mover.kill()
    mover.wait()


def test_an_estimate_fails_a_test_where_measured_energy_is_required(
    pytester: pytest.Pytester, quick: tuple[str, ...], monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("EFFMARK_SYSFS_ROOT", str(tmp_path / "nothing"))
    monkeypatch.delenv("EFFMARK_METER", raising=False)
    pytester.makepyfile(TEST.replace("SECONDS", "0.05"))
    pytester.runpytest_inprocess(*quick, "--effmark-energy").assert_outcomes(passed=1)
    result = pytester.runpytest_inprocess(*quick, "--effmark-require-energy")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*only an estimate of energy*effmark doctor*"])


def test_a_counter_satisfies_it(
    pytester: pytest.Pytester, quick: tuple[str, ...], monkeypatch: pytest.MonkeyPatch,
    rapl_root: Path,
) -> None:  # fmt: skip
    monkeypatch.setenv("EFFMARK_SYSFS_ROOT", str(rapl_root))
    pytester.makepyfile(TEST.replace("SECONDS", "1.0"))
    result = pytester.runpytest_inprocess(*quick, "--effmark-require-energy")
    result.assert_outcomes(passed=1)
