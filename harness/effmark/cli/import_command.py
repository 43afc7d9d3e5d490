"""`effmark import`: reports of other tools as foreign records."""

from __future__ import annotations

from pathlib import Path

import click

from effmark.cli.options import results_option
from effmark.errors import SpecError
from effmark.exchange.catalogue import IMPORTS
from effmark.exchange.importing import import_report
from effmark.registry import nearest
from effmark.report.finding import print_catalogue
from effmark.report.names import plain
from effmark.store import results_folder

__all__ = ["command"]


@click.command("import")
@click.argument("form", metavar="[FORMAT]", required=False)
@click.argument("file", required=False)
@results_option
def command(form: str | None, file: str | None, results: str | None) -> None:
    """Add the report FILE of another tool to the results; without a FORMAT, list the formats.

    The records are marked foreign and hold no rank: they were measured by other rules. The same
    report is added only once. What cannot be true in it is left out by name, the rest comes in.
    """
    if form is None:
        print_catalogue(list(IMPORTS.items()))
        return
    if form not in IMPORTS:
        hint = nearest(form, list(IMPORTS)).replace("installed", "formats")
        raise SpecError(f"no import format {form!r}; {hint}")
    if file is None:
        raise SpecError(f"import {form}: which file? effmark import {form} FILE --results DIR")
    found = import_report(form, Path(file), results_folder(results))
    known = f"; {found.known} were there already" if found.known else ""
    where = f" into {found.journal}" if found.journal else ""
    for why in found.left_out:
        click.echo(f"effmark: left out: {plain(why, 400)}", err=True)
    click.echo(f"imported {len(found.records)} foreign records{where}{known}")
