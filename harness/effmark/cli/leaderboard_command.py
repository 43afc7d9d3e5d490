"""`effmark leaderboard`: records to a table, a page or JSON."""

from __future__ import annotations

import json
from pathlib import Path

import click

from effmark.report.page import write_page
from effmark.report.table import print_table
from effmark.rows import ROWS_SCHEMA_VERSION, make_rows, row_json
from effmark.store import Damage, read_records, results_folder

__all__ = ["command"]


@click.command("leaderboard")
@click.argument("results", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print rows and metrics as JSON.")
@click.option("--html", metavar="FILE", help="Where the page goes [default: RESULTS/index.html].")
@click.option("--suite", help="Only records of this suite.")
def command(results: str | None, as_json: bool, html: str | None, suite: str | None) -> None:
    """Make a leaderboard of all records in RESULTS (a folder or a journal file)."""
    folder = results_folder(results)
    damage = Damage()
    records = [r for r in read_records(folder, damage) if suite in (None, r.suite.name)]
    rows = make_rows(records)
    for place in damage.places:
        click.echo(f"effmark: unreadable line skipped: {place}", err=True)
    if as_json:
        document = {"schema_version": ROWS_SCHEMA_VERSION, "rows": [row_json(r) for r in rows]}
        click.echo(json.dumps(document, allow_nan=False))
        return
    print_table(rows)
    target = Path(html) if html else (folder if folder.is_dir() else folder.parent) / "index.html"
    click.echo(f"page: {write_page(rows, target)}", err=True)
