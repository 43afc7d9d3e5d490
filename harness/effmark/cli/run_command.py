"""`effmark run`: measure a suite, record by record; the same command resumes."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

import click

from effmark.cache import default_cache
from effmark.cli.options import plan_for, plan_options, results_option
from effmark.cli.terminal import echo_data
from effmark.energy_numbers import require_energy
from effmark.errors import PrerequisiteError, UnsupportedError
from effmark.executors.session import Session
from effmark.gathering import gather
from effmark.record import Record
from effmark.report.page import write_page
from effmark.report.progress import show_progress
from effmark.report.table import print_table
from effmark.rows import make_rows
from effmark.store import latest, results_folder

__all__ = ["command"]


@click.command("run")
@plan_options
@results_option
@click.option(
    "--interleave",
    is_flag=True,
    help="Let the processes of a model take turns, for tight paired ratios.",
)
@click.option("--fresh", is_flag=True, help="Measure again what is already recorded.")
@click.option(
    "--require-energy",
    "needs_energy",
    is_flag=True,
    help="Fail where energy is missing or only estimated.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print the record of every cell of the suite as JSON lines, those measured before "
    "included, instead of the table and the page.",
)
def command(
    suite: str,
    overrides: tuple[str, ...],
    profile: str,
    models: tuple[str, ...],
    only: tuple[str, ...],
    repetitions: int,
    trust_remote_code: bool,
    results: str | None,
    interleave: bool,
    fresh: bool,
    needs_energy: bool,
    as_json: bool,
) -> None:
    """Measure SUITE (an installed name or a .yaml file); KEY=VALUE overrides parts of it."""
    folder = results_folder(results)
    plan, records = plan_for(
        suite,
        overrides,
        profile,
        models,
        only,
        repetitions,
        folder,
        trust_remote_code=trust_remote_code,
    )
    done = {} if fresh else latest(records)
    argv = ["effmark", *sys.argv[1:]]
    with show_progress(plan, done) as observer:
        session = Session(plan, folder, default_cache(), observer, argv, fresh=fresh)
        new = session.run_interleaved(done) if interleave else session.run(done)
    keys = {cell.key for cell in plan.cells}
    ours = [r for r in latest([*records, *new]).values() if r.cell.key in keys]
    if as_json:
        for record in ours:
            echo_data(f"{record.model_dump_json()}\n")
    else:
        try:
            print_table(make_rows(ours))
        finally:  # hours of measuring get their page whatever becomes of the table
            found = gather(folder)
            target = folder / "index.html"
            page = write_page(found.rows, target, found.damage.places, found.cells, found.records)
            click.echo(f"page: {page}", err=True)
    if needs_energy:
        require_energy(ours)
    bad = [r for r in ours if r.outcome not in plan.suite.allow]
    if bad:
        worst = bad[0]
        click.echo(
            f"effmark: {len(bad)} of {len(ours)} cells ended otherwise than the suite allows, "
            f"the first: {worst.cell.adapter} {worst.cell.precision} {worst.cell.workload.label}: "
            f"{worst.outcome}: {worst.detail}",
            err=True,
        )
        raise click.exceptions.Exit(4)
    _check_measured(ours)


def _check_measured(records: Sequence[Record]) -> None:
    """End with an error where no cell could be tried: a run that measured nothing is no success.

    A cell that ran and was killed was tried; whether that is as it should be, the suite says.

    Raises:
        PrerequisiteError: something has to be installed first.
        UnsupportedError: no runtime of the suite can do it here.
    """
    if not records or any(r.outcome not in ("unsupported", "failed_setup") for r in records):
        return
    lacking = [r.detail for r in records if r.outcome == "failed_setup"]
    if lacking:
        raise PrerequisiteError(f"nothing could be measured: {_remedy(lacking)}")
    many = f"{len(records)} cells {records[0].outcome}"
    raise UnsupportedError(f"nothing could be measured: {many}, the first: {records[0].detail}")


def _remedy(details: Sequence[str]) -> str:
    """Return the one command that brings all that cells lack, else the first sentence."""
    found = [re.search(r"pip install 'effmark\[([^\]]+)\]'", detail) for detail in details]
    extras = dict.fromkeys(e for match in found if match for e in match[1].split(","))
    if not extras:
        return details[0]
    wanted = "all" if "all" in extras else ",".join(extras)
    return f"install what the suite needs with: pip install 'effmark[{wanted}]'"
