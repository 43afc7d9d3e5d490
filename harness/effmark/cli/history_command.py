"""`effmark history`: a metric over runs, and where its level changed."""

from __future__ import annotations

import dataclasses
import json

import click

from effmark.cli.options import results_option
from effmark.cli.rows import say_damage
from effmark.errors import SpecError
from effmark.history import history
from effmark.model_names import is_same
from effmark.report.history import history_text
from effmark.selection import select_records
from effmark.spec import Cell
from effmark.store import Damage, read_records, results_folder

__all__ = ["command"]


@click.command("history")
@click.argument("metric")
@click.argument("record", required=False)
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(metric: str, record: str | None, results: str | None, as_json: bool) -> None:
    """Show METRIC over all runs of the cell of RECORD (default: of the last record)."""
    folder = results_folder(results)
    damage = Damage()
    records = list(read_records(folder, damage))
    say_damage(damage)
    if not records:
        raise SpecError(f"no records in {str(folder)!r}; run `effmark run` first")
    cell = (select_records(record, folder) if record else records)[-1].cell
    same = [r for r in records if _is_same(r.cell, cell)]
    found = history(same, metric)
    click.echo(json.dumps(dataclasses.asdict(found)) if as_json else history_text(found))


def _is_same(one: Cell, two: Cell) -> bool:
    """Return whether two cells are one from run to run; its suite may have been edited."""
    alike = one.name == two.name and one.threads == two.threads
    return alike and is_same(one.model, two.model)
