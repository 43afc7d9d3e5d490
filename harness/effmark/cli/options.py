"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

from effmark.cache import default_cache
from effmark.cli.quantities import Whole
from effmark.environment import capture_environment
from effmark.gathering import earlier_records
from effmark.plan import Plan, make_plan
from effmark.record import Record
from effmark.suites import find_suite, load_suite

__all__ = ["plan_for", "plan_options", "results_option", "trust_option"]

results_option = click.option(
    "--results",
    metavar="DIR",
    help="Results folder [default: $EFFMARK_RESULTS, ./results, or the user's data folder].",
)
trust_option = click.option(
    "--trust-remote-code",
    is_flag=True,
    help="Let Python code that lies in a model's folder run; read it first.",
)


def plan_options(command: click.decorators.FC) -> click.decorators.FC:
    """Add the options that choose what a suite runs."""
    for option in reversed(
        (
            click.argument("suite"),
            click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]..."),
            click.option("--profile", default="default", show_default=True,
                         help="Profile of the suite."),
            click.option("--model", "models", multiple=True, metavar="NAME",
                         help="Model instead of the suite's: a name, a folder, a .gguf, a hub id."),
            click.option("--only", multiple=True, metavar="ADAPTER[/PRECISION]",
                         help="Keep only these combinations."),
            click.option("--repetitions", default=1, show_default=True, type=Whole(1, 1000),
                         help="Worker processes per combination."),
            trust_option,
        )
    ):  # fmt: skip
        command = option(command)
    return command


def plan_for(
    suite: str,
    overrides: tuple[str, ...],
    profile: str,
    models: tuple[str, ...],
    only: tuple[str, ...],
    repetitions: int,
    results: Path,
    *,
    fetch: bool = True,
    trust_remote_code: bool = False,
) -> tuple[Plan, list[Record]]:
    """Return the plan that a command line asks for, and this machine's records of before."""
    asked = load_suite(find_suite(suite), profile, overrides)
    records = earlier_records(results, asked.suite, capture_environment({}).device_class)
    plan = make_plan(
        asked,
        default_cache(),
        models=models,
        only=only,
        records=records,
        repetitions=repetitions,
        fetch=fetch,
        trust_remote_code=trust_remote_code,
    )
    return plan, records
