"""Hashes of large files: kept for exactly one state of a file."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

import pytest

from effmark import file_hashes
from effmark.file_hashes import hash_file

CONTENT = bytes(1 << 20)


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as large, and whose clock has gone on since it was written."""
    monkeypatch.setattr(file_hashes, "_LARGE_B", 1 << 20)
    monkeypatch.setattr(file_hashes, "_SETTLED_S", 0.05)
    path = tmp_path / "weights"
    path.write_bytes(CONTENT)
    time.sleep(0.1)
    return path


def kept(cache: Path) -> list[Path]:
    return sorted((cache / "hashes").glob("*.json")) if (cache / "hashes").is_dir() else []


def test_a_large_file_is_read_once(large: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert hash_file(large, cache) == digest
    (entry,) = kept(cache)
    body = json.loads(entry.read_text())
    entry.write_text(json.dumps({**body, "sha256": "0" * 64}))  # so that reading it shows
    assert hash_file(large, cache) == "0" * 64
    assert hash_file(large) == digest


def test_an_edited_file_with_its_old_date_is_read_again(large: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before, found = hash_file(large, cache), large.stat()
    with large.open("r+b") as handle:
        handle.write(b"\1")
    os.utime(large, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert (large.stat().st_size, large.stat().st_mtime_ns) == (len(CONTENT), found.st_mtime_ns)
    assert hash_file(large, cache) == hash_file(large) != before


def test_another_file_in_its_place_is_read(large: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    before = hash_file(large, cache)
    other = tmp_path / "other"
    other.write_bytes(b"\2" * len(CONTENT))
    other.replace(large)
    assert hash_file(large, cache) == hash_file(large) != before


def test_what_changed_a_moment_ago_is_not_kept(
    large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_hashes, "_SETTLED_S", 60.0)
    hash_file(large, tmp_path / "cache")
    assert kept(tmp_path / "cache") == []


@pytest.mark.parametrize("text", ["", "[]", '{"sha256": 7}', "not json", "\udcff"])
def test_damage_in_the_cache_costs_time_only(large: Path, tmp_path: Path, text: str) -> None:
    cache = tmp_path / "cache"
    digest = hash_file(large, cache)
    kept(cache)[0].write_bytes(text.encode("utf-8", "surrogateescape"))
    assert hash_file(large, cache) == digest


def test_a_cache_that_cannot_be_written_costs_time_only(large: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert hash_file(large, tmp_path / "file") == hash_file(large)
