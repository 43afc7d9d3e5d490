"""The rows that a command works on, and what could not be read of them."""

from __future__ import annotations

from pathlib import Path

import click

from effmark.errors import SpecError
from effmark.rows import Row, make_rows
from effmark.store import Damage, read_records

__all__ = ["rows_of", "say_damage"]

_PLACES_SHOWN = 5


def say_damage(damage: Damage) -> None:
    """Say on stderr what could not be read, and what was left out of the rest."""
    for place in damage.places[:_PLACES_SHOWN]:
        click.echo(f"effmark: unreadable line skipped: {place}", err=True)
    if len(damage.places) > 1:
        click.echo(f"effmark: {damage.summary}", err=True)
    if damage.left_out:
        click.echo(f"effmark: {damage.left_out}", err=True)


def rows_of(results: Path, suite: str | None) -> list[Row]:
    """Return the rows of a results folder or journal; unreadable lines are said on stderr.

    Raises:
        SpecError: no records of that suite.
        StoreError: no such folder.
    """
    damage = Damage()
    records = list(read_records(results, damage))
    say_damage(damage)
    wanted = [record for record in records if suite in (None, record.suite.name)]
    if records and not wanted:
        present = ", ".join(sorted({record.suite.name for record in records}))
        raise SpecError(f"no records of suite {suite!r} in {str(results)!r}; there are: {present}")
    return make_rows(wanted)
