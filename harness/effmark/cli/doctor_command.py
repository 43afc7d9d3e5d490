"""`effmark doctor`: what this machine can measure, and what would help."""

from __future__ import annotations

import shutil

import click

__all__ = ["command"]

_WIDEST = 110


@click.command("doctor")
@click.option("--calibrate", "fit", is_flag=True, help="Fit the CPU estimate to a meter or RAPL.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(fit: bool, as_json: bool) -> None:
    """Run every probe for two seconds and say what this machine can measure and how well."""
    if fit:
        from effmark.probes.cpu_calibration import calibrate

        click.echo(calibrate())
        return
    from effmark.probes.checkup import check_machine
    from effmark.report.doctor import doctor_text

    found = check_machine()
    width = min(_WIDEST, shutil.get_terminal_size((100, 24)).columns)
    click.echo(found.model_dump_json() if as_json else doctor_text(found, width))
