"""`effmark leaderboard`: records to a page, a table, Markdown, CSV or JSON."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from effmark.errors import SpecError
from effmark.metrics import METRICS
from effmark.registry import nearest
from effmark.report.csv_file import csv_text
from effmark.report.json_file import json_text
from effmark.report.markdown import markdown
from effmark.report.page import write_page
from effmark.report.table import print_table
from effmark.rows import Row, make_rows
from effmark.store import Damage, read_records, results_folder

__all__ = ["command"]

_PLACES_SHOWN = 5


_TEXTS: dict[str, Callable[[Sequence[Row], str | None], str]] = {
    "json": lambda rows, by: json_text(rows),
    "csv": lambda rows, by: csv_text(rows),
    "md": markdown,
}


@click.command("leaderboard")
@click.argument("results", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", *_TEXTS]),
    default="table",
    show_default=True,
    help="What to print; a table also writes the page.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option("--html", metavar="FILE", help="Where the page goes [default: RESULTS/index.html].")
@click.option("--suite", help="Only records of this suite.")
@click.option("--by", metavar="METRIC", help="Rank by this metric [default: TPOT or latency].")
def command(
    results: str | None,
    form: str,
    as_json: bool,
    html: str | None,
    suite: str | None,
    by: str | None,
) -> None:
    """Make a leaderboard of all records in RESULTS (a folder or a journal file)."""
    if by is not None and by not in METRICS:
        hint = nearest(by, list(METRICS)).replace("installed", "known")
        raise SpecError(f"no metric {by!r}; {hint}")
    folder = results_folder(results)
    rows, damage = _read(folder, suite)
    form = "json" if as_json else form
    if form in _TEXTS:
        click.echo(_TEXTS[form](rows, by).rstrip("\n"))
    elif rows:
        print_table(rows, by=by)
    if html or form == "table":
        beside = (folder if folder.is_dir() else folder.parent) / "index.html"
        page = write_page(rows, Path(html) if html else beside, damage.places)
        click.echo(f"page: {page}", err=True)


def _read(folder: Path, suite: str | None) -> tuple[list[Row], Damage]:
    """Return the rows of a folder, and say what could not be read."""
    damage = Damage()
    records = list(read_records(folder, damage))
    wanted = [record for record in records if suite in (None, record.suite.name)]
    for place in damage.places[:_PLACES_SHOWN]:
        click.echo(f"effmark: unreadable line skipped: {place}", err=True)
    if len(damage.places) > _PLACES_SHOWN:
        more = len(damage.places) - _PLACES_SHOWN
        click.echo(f"effmark: {more} more unreadable lines skipped", err=True)
    if not records:
        click.echo(f"effmark: no records in {str(folder)!r}; run `effmark run` first", err=True)
    elif not wanted:
        present = ", ".join(sorted({record.suite.name for record in records}))
        raise SpecError(f"no records of suite {suite!r} in {str(folder)!r}; there are: {present}")
    return make_rows(wanted), damage
