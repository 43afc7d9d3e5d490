"""`effmark eval`: lm-eval tasks on any adapter."""

from __future__ import annotations

import json
import re
import sys

import click

from effmark.cache import default_cache
from effmark.cli.options import results_option, trust_option
from effmark.cli.quantities import Whole
from effmark.errors import SpecError
from effmark.executors.session import Session
from effmark.plan import make_plan
from effmark.report.evaluation import evaluation_text
from effmark.report.progress import show_progress
from effmark.schema import content_hash
from effmark.spec import Suite, Tasks
from effmark.store import results_folder

__all__ = ["command"]

_LONGEST_NAME = 80
"""Of a folder of results, so that file systems take it."""
_VERSION = 2
"""2: no `--fewshot` means the task's own shots; in 1 they were sent too, but recorded as 0."""


@click.command("eval")
@click.option("--adapter", required=True, help="Installed adapter.")
@click.option(
    "--tasks",
    required=True,
    metavar="NAME[,NAME...]",
    help="Tasks or groups of lm-eval, of installed suites, or task files.",
)
@click.option("--model", default="default", show_default=True, help="Name, folder, .gguf, hub id.")
@click.option("--precision", default="fp32", show_default=True, help="Precision of the adapter.")
@click.option("--device", default="cpu", show_default=True, help="Device of the adapter.")
@click.option("--limit", type=Whole(1), help="Items per task.")
@click.option(
    "--fewshot",
    type=Whole(0),
    help="Solved examples before each item; default: as many as the task says.",
)
@click.option("--chat", is_flag=True, help="Put items into the model's chat template.")
@click.option(
    "--batch",
    type=Whole(1),
    default=8,
    show_default=True,
    help="Prompts that are continued together.",
)
@click.option(
    "--context-tokens",
    type=Whole(1),
    default=2048,
    show_default=True,
    help="Room for an item; longer ones lose their beginning.",
)
@trust_option
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print lm-eval's tables as JSON.")
def command(
    adapter: str,
    tasks: str,
    model: str,
    precision: str,
    device: str,
    limit: int | None,
    fewshot: int | None,
    chat: bool,
    batch: int,
    context_tokens: int,
    trust_remote_code: bool,
    results: str | None,
    as_json: bool,
) -> None:
    """Score a model on lm-eval tasks; the record joins the leaderboard."""  # fmt: skip
    asked = [
        Tasks(
            name=name,
            limit=limit,
            fewshot=fewshot,
            chat=chat,
            batch=batch,
            context_tokens=context_tokens,
        )
        for name in _names(tasks)
    ]
    suite = Suite.model_validate(
        {
            "suite": _suite_name(asked),
            "version": _VERSION,
            "why": "asked for on the command line",
            "models": [model],
            "cells": [{"adapter": adapter, "precision": precision, "device": device}],
            "quality": {"tasks": asked},
        }
    )
    plan = make_plan(suite, default_cache(), trust_remote_code=trust_remote_code)
    with show_progress(plan, {}) as observer:
        argv = ["effmark", *sys.argv[1:]]
        folder = results_folder(results)
        records = Session(plan, folder, default_cache(), observer, argv, fresh=True).run({})
    if as_json:
        tables = [json.loads(r.notes["lm_eval"]) for r in records if "lm_eval" in r.notes]
        click.echo(json.dumps({name: row for table in tables for name, row in table.items()}))
    else:
        click.echo(evaluation_text(records))
    if any(record.outcome != "ok" for record in records):
        raise click.exceptions.Exit(4)


def _names(tasks: str) -> list[str]:
    """Return the names of a list with commas, each once."""
    names = [name.strip() for name in tasks.split(",")]
    if not all(names):
        raise SpecError(f"--tasks {tasks!r} has an empty name; it is NAME or NAME,NAME")
    return list(dict.fromkeys(names))


def _suite_name(asked: list[Tasks]) -> str:
    """Return a name of its own for each set of tasks: scores of different ones never compare.

    Names that are no words of a suite's name, `mmlu_pro` or `C4` say, end in a hash.
    """
    labels = [task.label.removeprefix("tasks ") for task in asked]
    words = "-".join(labels)
    plain = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "tasks"
    if plain == words.replace(" ", "-") and len(plain) <= _LONGEST_NAME:
        return f"eval-{plain}"
    return f"eval-{plain[:_LONGEST_NAME]}-{content_hash(labels)[:8]}"
