"""`effmark rerun`: the cell of a record once more, compared."""

from __future__ import annotations

import json
import sys

import click

from effmark.cache import default_cache
from effmark.cli.options import results_option
from effmark.compare import compare_records, comparison_json
from effmark.errors import SpecError
from effmark.executors.session import Session
from effmark.plan import plan_again
from effmark.report.comparison import comparison_text
from effmark.report.progress import show_progress
from effmark.selection import select_records
from effmark.store import results_folder

__all__ = ["command"]


@click.command("rerun")
@click.argument("record")
@results_option
@click.option("--into", metavar="DIR", help="Where the new record goes [default: the same folder].")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
def command(record: str, results: str | None, into: str | None, as_json: bool) -> None:
    """Measure the cell of RECORD (the beginning of its id, or a journal with one) again."""
    folder = results_folder(results)
    found = select_records(record, folder)
    if len(found) != 1:
        raise SpecError(f"{record!r} is {len(found)} records; `effmark rerun` wants one id")
    plan = plan_again(found[0], default_cache())
    with show_progress(plan, {}) as observer:
        target = results_folder(into) if into else folder
        argv = ["effmark", *sys.argv[1:]]
        session = Session(plan, target, default_cache(), observer, argv, fresh=True)
        (new,) = session.run({})
    comparison = compare_records(found[0], new)
    click.echo(json.dumps(comparison_json(comparison)) if as_json else comparison_text(comparison))
