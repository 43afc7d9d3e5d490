"""`effmark plan`: what would run, before anything runs."""

from __future__ import annotations

import json

import click

from effmark.cli.options import plan_for, plan_options, results_option
from effmark.report.plan import plan_json, print_plan
from effmark.store import latest, results_folder

__all__ = ["command"]


@click.command("plan")
@plan_options
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
def command(
    suite: str,
    overrides: tuple[str, ...],
    profile: str,
    models: tuple[str, ...],
    only: tuple[str, ...],
    repetitions: int,
    trust_remote_code: bool,
    results: str | None,
    as_json: bool,
) -> None:
    """Show the cells of SUITE, what is recorded already, and estimates of time and memory."""
    folder = results_folder(results)
    plan, records = plan_for(
        suite,
        overrides,
        profile,
        models,
        only,
        repetitions,
        folder,
        fetch=False,
        trust_remote_code=trust_remote_code,
    )
    done = latest(iter(records))
    if as_json:
        click.echo(json.dumps(plan_json(plan, done), indent=2))
    else:
        print_plan(plan, done)
