"""Numbers as options: finite, of a size that a machine can do something with, refused by name."""

from __future__ import annotations

import math
from typing import Any

import click

from effmark.metrics import LARGEST

__all__ = ["ALPHA", "COST", "MARGIN", "Real", "Whole"]

_MOST = 1_000_000_000
"""Of anything that is counted on a command line."""
_LONGEST = 40
"""Characters of a number; nobody reads more of it in a message."""


class Whole(click.IntRange):
    """A whole number from `least` to `most`."""

    def __init__(self, least: int, most: int = _MOST) -> None:
        super().__init__(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; a text that is too long for any is not repeated."""
        _check_length(self, value, param, ctx)
        return super().convert(value, param, ctx)


class Real(click.FloatRange):
    """A finite number in a range."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number; NaN and infinity are none."""
        _check_length(self, value, param, ctx)
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value!r} is no finite number", param, ctx)
        return found


def _check_length(
    kind: click.ParamType[Any], value: Any, param: click.Parameter | None, ctx: click.Context | None
) -> None:
    if isinstance(value, str) and len(value) > _LONGEST:
        kind.fail(f"{value[:12]!r}… has {len(value)} characters, too many for a number", param, ctx)


MARGIN = Real(0, 1)
"""A relative difference; a metric cannot lose more than all of it."""
COST = Real(0, LARGEST)
"""A price or a cost."""
ALPHA = Real(0, 1, min_open=True, max_open=True)
"""A rate of false alarms."""
