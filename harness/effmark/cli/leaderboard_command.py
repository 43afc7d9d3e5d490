"""`effmark leaderboard`: records to a page, a table, Markdown, CSV or JSON."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from effmark.analyses.limits import known_metric
from effmark.cli.rows import say_damage
from effmark.cli.terminal import echo_data
from effmark.errors import SpecError, StoreError
from effmark.gathering import Gathered, gather, gather_all
from effmark.regular_files import open_regular
from effmark.rows import Row
from effmark.store import results_folder

__all__ = ["command"]

_HEAD_CHARACTERS = 2000
_WHOLE = ("json", "csv")
"""Formats that have every cell, however many."""

_TEXTS = ("json", "csv", "md")


def _text(form: str, rows: Sequence[Row], by: str | None) -> str:
    """Return rows in a format of text, of which only the module that writes it is imported."""
    if form == "json":
        from effmark.report.json_file import json_text

        return json_text(rows)
    if form == "csv":
        from effmark.report.csv_file import csv_text

        return csv_text(rows)
    from effmark.report.markdown import markdown

    return markdown(rows, by)


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
    if by is not None:
        known_metric(by)
    folder = results_folder(results)
    form = "json" if as_json else form
    found = (gather_all if form in _WHOLE else gather)(folder, suite, _tell)
    _check(found, folder, suite)
    if form in _WHOLE:
        echo_data(_text(form, found.rows, by).rstrip("\n") + "\n")
    elif form in _TEXTS:
        click.echo(_text(form, found.rows, by).rstrip("\n"))
    else:
        from effmark.report.table import print_table

        print_table(found.rows, by=by)
    if found.left_out:
        click.echo(f"effmark: the {len(found.rows)} leading of {found.cells} cells; "
                   "--format csv and json have all", err=True)  # fmt: skip
    if html or form == "table":
        from effmark.report.page import write_page

        target = Path(html) if html else _beside(folder)
        page = write_page(found.rows, target, found.damage.places, found.cells, found.records)
        click.echo(f"page: {page}", err=True)


def _tell(text: str) -> None:
    click.echo(f"effmark: {text}", err=True)


def _check(found: Gathered, folder: Path, suite: str | None) -> None:
    """Say what could not be read, and refuse a folder that has nothing to show."""
    say_damage(found.damage)
    if found.rows:
        return
    if found.suites:
        present = ", ".join(found.suites)
        raise SpecError(f"no records of suite {suite!r} in {str(folder)!r}; there are: {present}")
    if found.damage.places:
        raise StoreError(f"results {str(folder)!r}: no readable record; {found.damage.summary}")
    raise StoreError(
        f"results {str(folder)!r}: no journal in it (*.jsonl); wants the folder that "
        "`effmark run` writes to"
    )


def _beside(results: Path) -> Path:
    """Return where the page of results goes, unless somebody else's page is there.

    Raises:
        SpecError: it is.
    """
    target = results / "index.html" if results.is_dir() else results.with_suffix(".html")
    try:
        with os.fdopen(open_regular(target), encoding="utf-8", errors="replace") as file:
            ours = "effmark" in file.read(_HEAD_CHARACTERS)
    except FileNotFoundError:
        return target
    except OSError as error:
        raise StoreError(f"page {str(target)!r}: {error.strerror}; give --html FILE") from error
    if not ours:
        raise SpecError(f"page {str(target)!r} is not one of effmark's; give --html FILE")
    return target
