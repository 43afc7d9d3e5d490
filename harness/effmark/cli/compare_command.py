"""`effmark compare`: two runs, cells or revisions, metric by metric."""

from __future__ import annotations

import json

import click

from effmark.calibration import load_calibrations
from effmark.cli.options import results_option
from effmark.cli.quantities import ALPHA, MARGIN
from effmark.cli.rows import say_damage
from effmark.compare import compare_records, comparison_json
from effmark.compare.noise import matching
from effmark.errors import SpecError
from effmark.record import Record
from effmark.report.comparison import comparison_markdown, comparison_text
from effmark.selection import pair_cells, select_records
from effmark.store import Damage, results_folder

__all__ = ["command"]

_NOT_COMPARABLE = 12


@click.command("compare")
@click.argument("a")
@click.argument("b")
@results_option
@click.option(
    "--margin",
    type=MARGIN,
    default=0.02,
    show_default=True,
    help="Relative difference that is none.",
)
@click.option(
    "--alpha",
    type=ALPHA,
    default=0.05,
    show_default=True,
    help="Accepted rate of wrong verdicts.",
)
@click.option("--metric", "metrics", multiple=True, help="Only these metrics.")
@click.option("--allow", multiple=True, metavar="FIELD", help="Field that may differ all the same.")
@click.option(
    "--paired", is_flag=True, help="The blocks of A and B took turns [default: as recorded]."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", is_flag=True, help="Print Markdown.")
def command(
    a: str,
    b: str,
    results: str | None,
    margin: float,
    alpha: float,
    metrics: tuple[str, ...],
    allow: tuple[str, ...],
    paired: bool,
    as_json: bool,
    markdown: bool,
) -> None:
    """Compare candidate B with baseline A.

    Each is a results folder, a journal, or the beginning of a record id, a run id or a git
    revision. Verdicts are better, worse, same and undecided; what does not compare is refused
    with the field that differs, and exit code 12.
    """
    folder = results_folder(results)
    damage = Damage()
    pairs = pair_cells(select_records(a, folder, damage), select_records(b, folder, damage))
    say_damage(damage)
    if not pairs:
        raise SpecError(f"{a!r} and {b!r} have no cell in common; compare two record ids instead")
    calibrations = load_calibrations(folder)
    found = [
        compare_records(
            one,
            two,
            margin,
            alpha=alpha,
            metrics=metrics or None,
            paired=paired or _took_turns(one, two),
            allow=allow,
            calibration=matching(calibrations, one[-1]),
        )
        for one, two in pairs
    ]
    if as_json:
        click.echo(json.dumps([comparison_json(c) for c in found], allow_nan=False))
    else:
        render = comparison_markdown if markdown else comparison_text
        click.echo("\n\n".join(render(c) for c in found))
    if all(c.refused for c in found):
        raise click.exceptions.Exit(_NOT_COMPARABLE)


def _took_turns(one: list[Record], two: list[Record]) -> bool:
    """Return whether the blocks of two single records were interleaved."""
    if len(one) != 1 or len(two) != 1:
        return False
    return bool(one[0].interleaved) and one[0].interleaved == two[0].interleaved
