"""`effmark show`: one record, whole."""

from __future__ import annotations

import click

from effmark.cli.options import results_option
from effmark.errors import SpecError
from effmark.store import read_records, results_folder

__all__ = ["command"]


@click.command("show")
@click.argument("record")
@results_option
def command(record: str, results: str | None) -> None:
    """Print the record whose id starts with RECORD as JSON."""
    folder = results_folder(results)
    found = [r for r in read_records(folder) if r.id.startswith(record)]
    if not found:
        raise SpecError(
            f"no record {record!r} in {str(folder)!r}; `effmark leaderboard --json` lists ids"
        )
    for one in found:
        click.echo(one.model_dump_json(indent=2))
