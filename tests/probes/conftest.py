from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FAKES = Path(__file__).parents[1] / "fakes"

Drive = Callable[..., Any]


def built_nvml(*flags: str) -> Path:
    """The folder of a fake NVML, compiled once per content and flags for all sessions."""
    source = FAKES / "fake_nvml.c"
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler; the fake NVML cannot be built")
    digest = hashlib.sha256(source.read_bytes() + repr(flags).encode()).hexdigest()[:16]
    folder = Path(tempfile.gettempdir()) / f"effmark-fake-nvml-{os.getuid()}-{digest}"
    library = folder / "libnvidia-ml.so.1"
    if not library.is_file():
        folder.mkdir(exist_ok=True)
        partial = folder / f"partial-{os.getpid()}"
        command = [compiler, "-shared", "-fPIC", "-O1", "-Wl,-soname,libnvidia-ml.so.1", *flags]
        subprocess.run([*command, "-o", str(partial), str(source), "-lm"], check=True)
        partial.rename(library)
    return folder


@pytest.fixture
def nvml_trace(tmp_path: Path) -> Callable[..., dict[str, str]]:
    """Variables under which a process sees the devices of a trace; its time 0 is now.

    `lacking=("NO_ENERGY",)` gives the driver of an older day, without those symbols.
    """

    def make(text: str, lacking: tuple[str, ...] = (), **more: str) -> dict[str, str]:
        path = tmp_path / "trace.txt"
        path.write_text(text)
        return {
            "LD_LIBRARY_PATH": str(built_nvml(*(f"-D{name}" for name in lacking))),
            "FAKE_NVML_TRACE": str(path),
            "FAKE_NVML_EPOCH": f"{time.monotonic():.6f}",
            "CUDA_VISIBLE_DEVICES": "",
            "EFFMARK_SYSFS_ROOT": str(tmp_path / "nothing"),
            **more,
        }

    return make


@pytest.fixture
def drive(tmp_path: Path) -> Drive:
    """Run Python text in a process of its own; return what it prints last, as JSON."""

    def run(text: str, variables: dict[str, str], timeout_s: float = 60) -> Any:
        env = {k: v for k, v in {**os.environ, **variables}.items() if v != ""}
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", text],
            capture_output=True, text=True, timeout=timeout_s, env=env, cwd=tmp_path, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run
