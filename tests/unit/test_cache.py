from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from effmark.cache import build_once, default_cache
from effmark.errors import OutOfMemoryError, PrerequisiteError, UnsupportedError


def test_an_entry_is_built_once(tmp_path: Path) -> None:
    built: list[Path] = []

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "file").write_text("content")

    first = build_once(tmp_path, "kind", "key", build, "a thing")
    second = build_once(tmp_path, "kind", "key", build, "a thing")
    assert first == second == tmp_path / "kind" / "key"
    assert len(built) == 1
    assert (first / "file").read_text() == "content"


def test_a_failed_build_leaves_nothing_half_used(tmp_path: Path) -> None:
    def build(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise RuntimeError("interrupted")

    with pytest.raises(RuntimeError, match="interrupted"):
        build_once(tmp_path, "kind", "key", build, "a thing")
    assert not (tmp_path / "kind" / "key").exists()
    assert [p.name for p in (tmp_path / "kind").iterdir()] == ["key.lock"]


def test_a_refusal_that_follows_from_the_key_is_remembered(tmp_path: Path) -> None:
    tried: list[Path] = []

    def build(folder: Path) -> None:
        tried.append(folder)
        raise UnsupportedError("it cannot be made of this")

    for _ in range(2):
        with pytest.raises(UnsupportedError, match="it cannot be made of this"):
            build_once(tmp_path, "kind", "key", build, "a thing", remember_refusal=True)
    assert len(tried) == 1
    with pytest.raises(UnsupportedError):
        build_once(tmp_path, "kind", "other", build, "a thing", remember_refusal=True)
    assert len(tried) == 2


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, OutOfMemoryError, PrerequisiteError])
def test_no_other_failure_is_remembered(tmp_path: Path, error: type[Exception]) -> None:
    tried: list[Path] = []

    def build(folder: Path) -> None:
        tried.append(folder)
        if len(tried) == 1:
            raise error("not this time")

    with pytest.raises(error):
        build_once(tmp_path, "kind", "key", build, "a thing", remember_refusal=True)
    assert build_once(tmp_path, "kind", "key", build, "a thing", remember_refusal=True).is_dir()


SLOW = """
import sys, time
from pathlib import Path
from effmark.cache import build_once

def build(folder):
    (folder / "half").write_text("half")
    print("building", flush=True)
    time.sleep(float(sys.argv[2]))
    (folder / "whole").write_text("whole")

print(build_once(Path(sys.argv[1]), "kind", "key", build, "a thing"), flush=True)
"""


def start(folder: Path, seconds: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", SLOW, str(folder), seconds],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip


def test_a_killed_builder_frees_the_lock_and_the_next_one_builds(tmp_path: Path) -> None:
    killed = start(tmp_path, "60")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "building\n"
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (tmp_path / "kind" / "key").exists()
    assert list((tmp_path / "kind").glob("key.partial-*"))
    again = start(tmp_path, "0")
    again.communicate(timeout=60)
    assert again.returncode == 0
    assert (tmp_path / "kind" / "key" / "whole").is_file()
    left = sorted(p.name for p in (tmp_path / "kind").iterdir())
    assert left == ["key", "key.lock"]  # the half-built folder of the killed one is gone


def test_two_builders_at_once_build_once(tmp_path: Path) -> None:
    first = start(tmp_path, "1")
    assert first.stdout is not None
    first.stdout.readline()
    second = start(tmp_path, "1")
    time.sleep(0.1)
    said = second.communicate(timeout=60)[0]
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert "building" not in said


def test_the_cache_lies_where_the_user_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFFMARK_CACHE", "/somewhere")
    assert default_cache() == Path("/somewhere")
    monkeypatch.delenv("EFFMARK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert default_cache() == Path("/xdg/effmark")
