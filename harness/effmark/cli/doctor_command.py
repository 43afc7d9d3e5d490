"""`effmark doctor`: what this machine can measure, and what would help."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from effmark.cli.terminal import echo_data

if TYPE_CHECKING:
    from effmark.probes.findings import Finding

__all__ = ["command", "sandbox_findings"]

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

    if sys.stderr.isatty():
        click.echo("looking at this machine; a quarter of a minute", err=True)
    found = check_machine()
    found = found.model_copy(update={"findings": (*found.findings, *sandbox_findings())})
    width = min(_WIDEST, shutil.get_terminal_size((100, 24)).columns)
    if as_json:
        echo_data(f"{found.model_dump_json()}\n")
    else:
        click.echo(doctor_text(found, width))


_BARE = ("platform", "unprivileged_uid", "namespaces", "seccomp", "landlock")
"""Layers that the best level stands on; the others only add to it."""
_WORDS = {"unprivileged_uid": "ordinary user"}


def sandbox_findings() -> Iterator[Finding]:
    """Yield how well this machine contains generated code, and what each layer lacks."""
    from effmark.probes.findings import Finding
    from effmark.sandbox.levels import capabilities
    from effmark.sandbox.summary import best_level

    level, state = best_level()
    mark = {"strong": "good", "standard": "better"}.get(level, "lacking")
    yield Finding(group="code", subject="sandbox", mark=mark, state=state)
    for layer in capabilities():
        if layer.name == "user_instructions":
            continue  # said under time
        lacking = "lacking" if layer.name in _BARE else "better"
        yield Finding(
            group="code",
            subject=_WORDS.get(layer.name, layer.name),
            mark="good" if layer.present else lacking,
            state=layer.detail or "works",
            remedy=layer.remedy,
        )
