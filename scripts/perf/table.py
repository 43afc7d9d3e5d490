"""What a section found: lines with a value, its interval, the promise and whether it was kept."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from effmark.stats import Estimate

__all__ = ["Line", "Promise", "finish", "render"]

BROKEN = 10
"""Exit code where a promise was broken; a crash has another."""


@dataclass(frozen=True)
class Promise:
    """A bound on a value."""

    limit: float
    at_least: bool = False
    """Whether the value is to be `limit` or more; otherwise `limit` or less."""

    def verdict(self, found: Estimate) -> str:
        """Return `kept`, `broken`, or `undecided` where the interval reaches over the limit."""
        if self._holds(found.value):
            return "kept"
        best = found.high if self.at_least else found.low
        return "undecided" if best is not None and self._holds(best) else "broken"

    def _holds(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}"


@dataclass(frozen=True)
class Line:
    """One value of a section."""

    what: str
    found: Estimate
    unit: str = ""
    promise: Promise | None = None

    @property
    def verdict(self) -> str:
        """Return whether the promise was kept; empty where none was made."""
        return self.promise.verdict(self.found) if self.promise else ""

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the columns."""
        found = self.found
        bounds = "" if found.low is None else f"[{found.low:.4g}, {found.high:.4g}]"
        promised = f"{self.promise}: {self.verdict}" if self.promise else ""
        return self.what, f"{found.value:.4g}", self.unit, bounds, f"n={found.n}", promised


def render(title: str, lines: Sequence[Line]) -> str:
    """Return a table with aligned columns, the title above it."""
    rows = [line.cells() for line in lines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))] if rows else []
    body = [
        "  "
        + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join([title, *body])


def finish(title: str, lines: Sequence[Line]) -> None:
    """Print a section and end the process, with code 10 if a promise was broken."""
    print(render(title, lines), flush=True)
    sys.exit(BROKEN if any(line.verdict == "broken" for line in lines) else 0)
