from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from effmark.probes.lock import device_lock

HOLD = """
import sys
from effmark.probes.lock import device_lock
with device_lock("cuda:0") as alone:
    print(alone, flush=True)
    sys.stdin.read()
"""


def test_a_device_is_held_by_one_run_and_free_when_it_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    other = subprocess.Popen([sys.executable, "-c", HOLD], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True)  # fmt: skip
    assert other.stdout is not None
    assert other.stdin is not None
    with other.stdout, other.stdin:
        assert other.stdout.readline() == "True\n"
        with device_lock("cuda:0") as alone:
            assert alone is False
        with device_lock("cuda:1") as alone:
            assert alone is True
        other.kill()
        other.wait()
    with device_lock("cuda:0", wait_s=10) as alone:
        assert alone is True
