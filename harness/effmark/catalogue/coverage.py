"""Which bytes of which journals a catalogue covers, and what has happened to a journal since."""

from __future__ import annotations

import dataclasses
import json
import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from effmark.regular_files import open_regular, read_regular
from effmark.store.damage import Damage, Unreadable
from effmark.store.reading import in_short

__all__ = ["Change", "Covered", "Manifest", "Segment"]

Change = Literal["same", "touched", "grown", "replaced"]
_TAIL_B = 4096
_CHUNK_B = 1 << 20


@dataclass
class Covered:
    """What is known of one journal."""

    number: int
    """Name of the journal in the table; a journal that is read anew gets another."""
    size: int = 0
    mtime_ns: int = 0
    inode: int = 0
    offset: int = 0
    """Bytes that were read: to the end of the last whole line."""
    lines: int = 0
    crc: int = 0
    """CRC-32 of all bytes before the offset."""
    tail_crc: int = 0
    """CRC-32 of the last bytes before the offset."""
    records: int = 0
    bad: list[tuple[int, str, str]] = field(default_factory=list)
    """Lines that are no records: number, kind, why."""
    unknown: int = 0
    """Numbers of metrics that this version does not know."""
    torn: bool = False
    """Whether bytes follow the last whole line."""

    def change(self, path: Path) -> Change:
        """Return what happened to the journal since it was read.

        Raises:
            OSError: it cannot be read.
        """
        stat = path.stat()
        if (stat.st_size, stat.st_mtime_ns, stat.st_ino) == (self.size, self.mtime_ns, self.inode):
            return "same"
        if stat.st_size < self.offset:
            return "replaced"
        if stat.st_ino == self.inode and stat.st_size > self.size:
            return "grown" if tail_crc(path, self.offset) == self.tail_crc else "replaced"
        if prefix_crc(path, self.offset) != self.crc:
            return "replaced"
        return "touched" if stat.st_size == self.size else "grown"

    def seen(self, stat: os.stat_result) -> None:
        """Remember how the file looked when it was read; it may have grown since."""
        self.size, self.mtime_ns, self.inode = stat.st_size, stat.st_mtime_ns, stat.st_ino

    def tell(self, path: Path, damage: Damage) -> None:
        """Note the unreadable lines of the journal."""
        bad = [(line, Unreadable(kind, why)) for line, kind, why in self.bad]  # type: ignore[arg-type]
        if self.torn:
            bad.append((self.lines + 1, Unreadable("torn", "torn or damaged line")))
        damage.unknown += self.unknown
        for line, found in bad if self.records else in_short(bad):
            damage.note(path, line, found)


def prefix_crc(path: Path, length: int) -> int:
    """Return the CRC-32 of the first bytes of a file."""
    crc = 0
    with os.fdopen(open_regular(path), "rb") as handle:
        while length > 0 and (chunk := handle.read(min(length, _CHUNK_B))):
            crc = zlib.crc32(chunk, crc)
            length -= len(chunk)
    return crc


def tail_crc(path: Path, offset: int) -> int:
    """Return the CRC-32 of the last bytes before an offset."""
    with os.fdopen(open_regular(path), "rb") as handle:
        handle.seek(max(0, offset - _TAIL_B))
        return zlib.crc32(handle.read(min(offset, _TAIL_B)))


@dataclass(frozen=True, slots=True)
class Segment:
    """One Parquet file."""

    name: str
    rows: int


@dataclass
class Manifest:
    """What a catalogue consists of and what it covers; replaced in one step."""

    code: str
    journals: dict[str, Covered] = field(default_factory=dict)
    base: Segment | None = None
    """All but the newest records, with a mark on those that count."""
    fresh: list[Segment] = field(default_factory=list)
    next_number: int = 0

    @classmethod
    def read(cls, path: Path, code: str) -> Manifest:
        """Return the manifest in a file, or an empty one where it is missing, damaged or older."""
        try:
            body = json.loads(read_regular(path))
            if body["code"] != code:
                return cls(code)
            return cls(
                code,
                {name: Covered(**told) for name, told in body["journals"].items()},
                Segment(**body["base"]) if body["base"] else None,
                [Segment(**told) for told in body["fresh"]],
                body["next_number"],
            )
        except (OSError, ValueError, TypeError, KeyError):
            return cls(code)

    def dump(self) -> bytes:
        """Return the manifest as JSON."""
        body: dict[str, Any] = {
            "code": self.code,
            "journals": {name: dataclasses.asdict(told) for name, told in self.journals.items()},
            "base": dataclasses.asdict(self.base) if self.base else None,
            "fresh": [dataclasses.asdict(segment) for segment in self.fresh],
            "next_number": self.next_number,
        }
        return json.dumps(body, separators=(",", ":")).encode()

    @property
    def segments(self) -> Sequence[Segment]:
        """Return all segments."""
        return [*([self.base] if self.base else []), *self.fresh]
