"""`effmark doctor`: what this machine can measure, and what would help."""

from __future__ import annotations

import click

from effmark.probes.checkup import calibrate, check_machine
from effmark.report.doctor import doctor_text

__all__ = ["command"]


@click.command("doctor")
@click.option("--calibrate", "fit", is_flag=True, help="Fit the CPU estimate to a meter or RAPL.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(fit: bool, as_json: bool) -> None:
    """Run every probe for two seconds and say what this machine can measure and how well."""
    if fit:
        click.echo(calibrate())
        return
    found = check_machine()
    click.echo(found.model_dump_json() if as_json else doctor_text(found))
