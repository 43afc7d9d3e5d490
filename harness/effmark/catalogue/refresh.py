"""Journals to the catalogue: only what is new is read, by one process at a time."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from effmark.catalogue.coverage import Covered, Manifest
from effmark.catalogue.folder import code_version, locked
from effmark.catalogue.journal_reader import readings
from effmark.catalogue.tables import merge, write_segment
from effmark.regular_files import replace_file
from effmark.store.damage import Damage, Unreadable
from effmark.store.reading import journals_of

__all__ = ["MANIFEST", "load_manifest", "refresh"]

MANIFEST = "catalogue.json"
_FLUSH_LINES = 50_000
_PARALLEL_FROM_B = 100_000_000
"""Below, starting processes takes longer than it saves."""
_MOST_FRESH = 8
_FRESH_SHARE = 0.1
"""New segments are merged once there are many, or once they hold a tenth of all records."""
_FRESH_ROWS = 20_000
_KEPT_S = 60.0
"""How long files that are no longer part of the catalogue stay, for those who read them."""


def load_manifest(folder: Path) -> Manifest:
    """Return what the catalogue in a folder says that it covers."""
    return Manifest.read(folder / MANIFEST, code_version())


def refresh(
    results: Path, folder: Path, database: Any, damage: Damage, tell: Callable[[str], None]
) -> Manifest:
    """Return the manifest of a catalogue after bringing it up to date.

    Raises:
        OSError: the folder of the catalogue cannot be written.
    """
    manifest = load_manifest(folder)
    journals = {str(path.relative_to(results)): path for path in journals_of(results, damage)}
    if not _is_current(manifest, journals):
        with locked(folder):
            writer = _Writer(folder, load_manifest(folder), database, tell)
            manifest = writer.run(journals)
    for name, path in journals.items():
        if name in manifest.journals:
            manifest.journals[name].tell(path, damage)
        else:
            damage.note(path, 0, Unreadable("unreadable", "cannot be read"))
    return manifest


def _is_current(manifest: Manifest, journals: dict[str, Path]) -> bool:
    if manifest.journals.keys() != journals.keys():
        return False
    try:
        return all(manifest.journals[n].change(path) == "same" for n, path in journals.items())
    except OSError:
        return False


class _Writer:
    """The one process that brings a catalogue up to date."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        database: Any,
        tell: Callable[[str], None],
    ) -> None:
        self._folder = folder
        self._manifest = manifest
        self._database = database
        self._tell = tell
        self._lines: list[str] = []
        self._stale = any(not (folder / s.name).exists() for s in manifest.segments)
        if self._stale:
            self._manifest = Manifest(manifest.code)

    def run(self, journals: dict[str, Path]) -> Manifest:
        """Read what is new, merge where it pays, and put the manifest in place."""
        manifest = self._manifest
        dropped = [name for name in manifest.journals if name not in journals]
        for name in dropped:
            del manifest.journals[name]
        stale = bool(dropped)
        changed: dict[str, Path] = {}
        for name, path in journals.items():
            try:
                is_new, replaced = self._begin(name, path)
            except OSError:
                stale |= manifest.journals.pop(name, None) is not None
                continue
            stale |= replaced
            changed |= {name: path} if is_new else {}
        self._read(changed)
        self._flush()
        if manifest.segments and (stale or self._crowded()):
            keep = [covered.number for covered in manifest.journals.values()]
            merged = merge(self._database, self._folder, manifest.segments, keep)
            for segment in manifest.segments:
                os.utime(self._folder / segment.name)  # retired now, not when it was written
            manifest.base, manifest.fresh = merged, []
        self._save()
        self._sweep()
        return manifest

    def _crowded(self) -> bool:
        fresh = sum(segment.rows for segment in self._manifest.fresh)
        base = self._manifest.base.rows if self._manifest.base else 0
        return len(self._manifest.fresh) > _MOST_FRESH or fresh > max(
            _FRESH_ROWS, _FRESH_SHARE * base
        )

    def _begin(self, name: str, path: Path) -> tuple[bool, bool]:
        """Return whether a journal has something new, and whether earlier rows no longer hold."""
        manifest = self._manifest
        covered = manifest.journals.get(name)
        change = covered.change(path) if covered else "replaced"
        if change == "replaced":
            manifest.journals[name] = Covered(manifest.next_number)
            manifest.next_number += 1
        return change != "same", covered is not None and change == "replaced"

    def _read(self, journals: dict[str, Path]) -> None:
        """Read what is new in journals, by several processes where there is much of it."""
        covered = self._manifest.journals
        new_b = sum(path.stat().st_size - covered[n].offset for n, path in journals.items())
        processes = 1
        if new_b > _PARALLEL_FROM_B:
            processes = len(os.sched_getaffinity(0))
            self._tell(f"reading {new_b / 1e6:.0f} MB of journals for the first time")
        tasks = {name: (path, covered[name]) for name, path in journals.items()}
        for name, reading in readings(processes, tasks):
            covered[name] = reading.covered
            self._lines += reading.lines
            if len(self._lines) >= _FLUSH_LINES:  # a long reading that is killed goes on here
                self._flush()
                self._save()

    def _flush(self) -> None:
        if self._lines:
            segment = write_segment(self._database, self._folder, self._lines)
            self._manifest.fresh.append(segment)
            self._lines.clear()

    def _save(self) -> None:
        replace_file(self._folder / MANIFEST, self._manifest.dump())

    def _sweep(self) -> None:
        """Delete files that no catalogue of the last minute consisted of."""
        used = {segment.name for segment in self._manifest.segments}
        for path in _parts(self._folder):
            try:
                if path.name not in used and time.time() - path.stat().st_mtime > _KEPT_S:
                    path.unlink()
            except FileNotFoundError:
                continue


def _parts(folder: Path) -> Iterator[Path]:
    for name in os.listdir(folder):  # noqa: PTH208  # names only, no Path per file
        if name.startswith(("part-", "new-")):
            yield folder / name
