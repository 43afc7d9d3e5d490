"""Lines that could not be read: counted, named, never in the way of the others."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

__all__ = ["Damage", "Kind", "Unreadable"]

Kind = Literal["torn", "newer", "invalid", "foreign", "unreadable", "irregular"]
_SENTENCES: dict[Kind, str] = {
    "torn": "torn or damaged",
    "newer": "of a newer schema; update effmark to read them",
    "invalid": "not a valid record",
    "foreign": "not a journal of effmark",
    "unreadable": "not readable by this user",
    "irregular": "no regular file",
}


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Why a line is no record."""

    kind: Kind
    what: str


@dataclass
class Damage:
    """Lines that could not be read; a store with damage is usable and says so."""

    places: list[str] = field(default_factory=list)
    kinds: Counter[Kind] = field(default_factory=Counter)
    unknown: int = 0
    """Numbers of metrics that this version does not know, in records that it can read."""

    def note(self, path: Path, line: int, found: Unreadable) -> None:
        """Remember one unreadable line; line 0 is the whole file."""
        where = f"{path}:{line}" if line else f"{path}"
        self.places.append(f"{where}: {found.what}")
        self.kinds[found.kind] += 1

    @property
    def left_out(self) -> str:
        """Return how many numbers of readable records are left out and why, or an empty text."""
        if not self.unknown:
            return ""
        were = "number of a metric" if self.unknown == 1 else "numbers of metrics"
        return f"{self.unknown} {were} unknown to this version left out; update effmark"

    @property
    def summary(self) -> str:
        """Return how many lines were skipped and why, or an empty text."""
        if not self.places:
            return ""
        kinds = ", ".join(f"{n} {_SENTENCES[kind]}" for kind, n in self.kinds.items())
        lines = "line" if len(self.places) == 1 else "lines"
        return f"{len(self.places)} {lines} skipped: {kinds}"
