"""`effmark gate`: a verdict for CI, with this machine's noise taken into account."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from effmark.cache import default_cache
from effmark.calibration import calibrate_cells, load_calibrations, save_calibrations
from effmark.cli.options import plan_for, results_option
from effmark.cli.quantities import ALPHA, MARGIN, Whole
from effmark.cli.rows import say_damage
from effmark.compare.noise import FEWEST_PROCESSES, Calibration
from effmark.energy_numbers import require_energy
from effmark.errors import SpecError
from effmark.executors.session import Session
from effmark.gate import gate, gate_json
from effmark.report.comparison import gate_markdown, gate_text
from effmark.report.noise import calibration_text
from effmark.report.progress import show_progress
from effmark.selection import select_records
from effmark.store import Damage, results_folder

__all__ = ["command"]


@click.command("gate")
@click.argument("baseline")
@click.argument("candidate", required=False)
@results_option
@click.option(
    "--margin",
    type=MARGIN,
    default=0.05,
    show_default=True,
    help="Relative loss that is accepted.",
)
@click.option(
    "--alpha",
    type=ALPHA,
    default=0.05,
    show_default=True,
    help="Accepted rate of false alarms.",
)
@click.option("--metric", "metrics", multiple=True, help="Metrics to gate.")
@click.option("--allow", multiple=True, metavar="FIELD", help="Field that may differ all the same.")
@click.option("--allow-invalid", is_flag=True, help="Let invalid records count.")
@click.option("--calibrate", is_flag=True, help="Measure this machine's noise on a suite instead.")
@click.option(
    "--runs",
    default=FEWEST_PROCESSES,
    show_default=True,
    type=Whole(FEWEST_PROCESSES, 1000),
    help="Processes per cell for --calibrate.",
)
@click.option("--profile", default="default", show_default=True, help="Profile for --calibrate.")
@click.option("--only", multiple=True, metavar="ADAPTER[/PRECISION]", help="For --calibrate.")
@click.option(
    "--require-energy",
    "needs_energy",
    is_flag=True,
    help="Fail where energy is missing or only estimated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--markdown", is_flag=True, help="Print Markdown, for a job summary or a comment.")
def command(
    baseline: str,
    candidate: str | None,
    results: str | None,
    margin: float,
    alpha: float,
    metrics: tuple[str, ...],
    allow: tuple[str, ...],
    allow_invalid: bool,
    calibrate: bool,
    runs: int,
    profile: str,
    only: tuple[str, ...],
    needs_energy: bool,
    as_json: bool,
    markdown: bool,
) -> None:
    """Ask whether CANDIDATE is worse than BASELINE beyond a margin.

    Exit codes: 0 pass, 10 worse, 11 undecided, 12 not comparable. `effmark gate --calibrate
    SUITE` runs the suite against itself, and later gates in that results folder know how much
    two equal runs differ on this machine.
    """  # fmt: skip
    folder = results_folder(results)
    if calibrate:
        found, left_out = _calibrate(baseline, folder, runs, profile, only)
        click.echo(calibration_text(found, margin))
        for sentence in left_out:
            click.echo(f"effmark: {sentence}", err=True)
        click.echo(f"calibration: {save_calibrations(found, folder)}", err=True)
        return
    if candidate is None:
        raise SpecError("gate: one side is missing; effmark gate BASELINE CANDIDATE")
    damage = Damage()
    one, two = (select_records(side, folder, damage) for side in (baseline, candidate))
    say_damage(damage)
    if needs_energy:
        require_energy([*one, *two])
    result = gate(
        one,
        two,
        margin,
        calibration=load_calibrations(folder),
        alpha=alpha,
        metrics=metrics or None,
        allow_invalid=allow_invalid,
        allow=allow,
    )
    if as_json:
        click.echo(json.dumps(gate_json(result), allow_nan=False))
    else:
        click.echo(gate_markdown(result) if markdown else gate_text(result))
    raise click.exceptions.Exit(result.exit_code)


def _calibrate(
    suite: str, folder: Path, runs: int, profile: str, only: tuple[str, ...]
) -> tuple[list[Calibration], list[str]]:
    """Run a suite in several equal processes; return the noise of its cells, and who has none."""
    plan, _ = plan_for(suite, (), profile, (), only, runs, folder)
    with show_progress(plan, {}) as observer:
        session = Session(plan, folder, default_cache(), observer, ["effmark", *sys.argv[1:]])
        return calibrate_cells(session.run({}))
