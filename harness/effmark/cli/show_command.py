"""`effmark show`: one record, whole."""

from __future__ import annotations

import click

from effmark.cli.options import results_option
from effmark.cli.terminal import echo_data
from effmark.selection import find_record
from effmark.store import results_folder

__all__ = ["command"]


@click.command("show")
@click.argument("record")
@results_option
def command(record: str, results: str | None) -> None:
    """Print the record whose id starts with RECORD as JSON."""
    found = find_record(record, results_folder(results))
    echo_data(f"{found.model_dump_json(indent=2)}\n")
