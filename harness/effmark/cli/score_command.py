"""`effmark score`: generated code, and what a right answer cost."""

from __future__ import annotations

import json
import shlex
import sys
import time
from pathlib import Path

import click

from effmark.cli.options import results_option
from effmark.cli.quantities import COST, Real, Whole
from effmark.code.bout import Rules
from effmark.code.clocks import choose_clock
from effmark.code.cost import cost_document, tries_of
from effmark.code.cost_records import SUITE as COST_SUITE
from effmark.code.cost_records import SUITE_VERSION as COST_VERSION
from effmark.code.cost_records import cost_records
from effmark.code.evaluation import Evaluation, make_tasks, usable_ks
from effmark.code.ledger import read_attempts, read_scores
from effmark.code.prices import CURRENCIES, Currency, Prices, read_prices
from effmark.code.records import SUITE, SUITE_VERSION, clock_note, code_record
from effmark.code.sets import find_problems
from effmark.code.solutions import read_solutions
from effmark.errors import SpecError
from effmark.report.code_scores import code_text
from effmark.report.cost_of_pass import cost_text
from effmark.report.scaling_curve import scaling_document, scaling_text
from effmark.sandbox import Sandbox
from effmark.selection import find_record
from effmark.store import Journal, read_records, results_folder

__all__ = ["command"]

_SAY_EVERY_S = 10.0


@click.group("score")
def command() -> None:
    """Score generated code, what a right answer cost, or what more samples bought."""


@command.command("code")
@click.argument("solutions", metavar="SOLUTIONS.jsonl")
@click.option("--problems", required=True, metavar="humaneval|effmark|PATH", help="Problem set.")
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print every score as JSON.")
@click.option("--per-problem", is_flag=True, help="Print the scores of each problem as well.")
@click.option("--clock", type=click.Choice(["auto", "instructions", "cpu"]), default="auto",
              show_default=True, help="What time is counted in.")  # fmt: skip
@click.option("--wall-limit-s", type=Real(0, 1e6, min_open=True), default=5.0,
              show_default=True, help="Wall-clock backstop of a job.")  # fmt: skip
@click.option("--allow-weak-sandbox", is_flag=True, help="Run with rlimits only; recorded.")
@click.option("--k", "ks", type=Whole(1), multiple=True, help="k of pass@k and eff@k.")
@click.option("--model", metavar="NAME", help="Who wrote them [default: the file's name].")
@click.option("--workers", type=Whole(1), help="Jobs at a time [default: one per core].")
def code(
    solutions: str,
    problems: str,
    results: str | None,
    as_json: bool,
    per_problem: bool,
    clock: str,
    wall_limit_s: float,
    allow_weak_sandbox: bool,
    ks: tuple[int, ...],
    model: str | None,
    workers: int | None,
) -> None:
    """Score generated solutions: pass@k, eff@k, DPS; resumable, in the sandbox only."""
    path, folder = Path(solutions), results_folder(results)
    problem_set = find_problems(problems)
    samples = read_solutions(path)
    tasks = make_tasks(problem_set, samples, path)
    evaluation = Evaluation(
        problem_set,
        tasks,
        Rules(clock=choose_clock(clock), wall_s=wall_limit_s),
        usable_ks(tasks, ks),
        folder / f"{SUITE}-v{SUITE_VERSION}" / "problems.scored",
    )
    with Sandbox(workers, allow_weak=allow_weak_sandbox) as sandbox:
        evaluation.run(sandbox, _Progress())
    argv = shlex.join(["effmark", *sys.argv[1:]])
    with Journal(folder, SUITE, SUITE_VERSION) as journal:
        journal.append(code_record(evaluation, path, model or path.name.partition(".")[0], argv))
    document = {
        **evaluation.document(),
        "clock_note": clock_note(evaluation.rules.clock),
        "left_out": {
            sample.task_id: problem_set.skipped[sample.task_id]
            for sample in samples
            if sample.task_id in problem_set.skipped
        },
    }
    text = json.dumps(document, allow_nan=False) if as_json else ""
    click.echo(text or code_text(document, per_problem=per_problem))


class _Progress:
    """Says on stderr how far it is: in place on a terminal, a line now and then elsewhere."""

    def __init__(self) -> None:
        self._start = self._said = time.monotonic()
        self._live = sys.stderr.isatty()
        self._last = -1

    def __call__(self, done: int, total: int, jobs: int) -> None:
        now = time.monotonic()
        if done == self._last and now - self._said < (0.5 if self._live else _SAY_EVERY_S):
            return
        self._said, self._last = now, done
        text = f"{done}/{total} problems, {jobs} jobs, {now - self._start:.0f} s"
        click.echo(f"\r{text}  " if self._live else text, err=True, nl=not self._live)
        if self._live and done == total:
            click.echo("", err=True)


@command.command("cost")
@click.argument("ledger", metavar="LEDGER")
@click.option("--currency", type=click.Choice(CURRENCIES), default="usd", show_default=True,
              help="What a cost is counted in.")  # fmt: skip
@click.option("--prices", metavar="FILE", help="Table of token prices (YAML, as prices.yaml).")
@click.option("--usd-per-device-hour", type=COST, help="Own or hired hardware.")
@click.option("--devices", type=Whole(1, 1_000_000), default=1, show_default=True,
              help="Devices per call.")  # fmt: skip
@click.option("--usd-per-kwh", type=COST, help="Electricity, beside device-hours.")
@click.option("--baseline", type=COST, help="Cost of a human expert per problem.")
@click.option(
    "--release-order", metavar="A,B,…", help="Models by release: progress of the frontier."
)
@click.option("--family", "families", multiple=True, metavar="NAME=A,B,…",
              help="Models whose essentialness is asked for together.")  # fmt: skip
@click.option("--scores", metavar="FILE", help="JSON of `effmark score code`, for the verdicts.")
@click.option("--results", metavar="DIR", help="Where to keep a record of each model, for the"
              " leaderboard [default: none].")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def cost(
    ledger: str,
    currency: Currency,
    prices: str | None,
    usd_per_device_hour: float | None,
    devices: int,
    usd_per_kwh: float | None,
    baseline: float | None,
    release_order: str | None,
    families: tuple[str, ...],
    scores: str | None,
    results: str | None,
    as_json: bool,
) -> None:
    """Price quality: what a right answer cost, from a LEDGER of model calls.

    LEDGER is a file of JSON lines, one per call, or a journal of records (or a folder of them)
    whose models wrote code: `effmark run code-eff` keeps the ledger of every solution.
    """
    if usd_per_kwh is not None and usd_per_device_hour is None:
        raise SpecError("--usd-per-kwh: give --usd-per-device-hour, too; 0 where it is paid off")
    per_token, version = read_prices(Path(prices)) if prices else ({}, None)
    table = Prices(per_token, version, usd_per_device_hour, devices, usd_per_kwh)
    attempts = read_attempts(Path(ledger), read_scores(Path(scores)) if scores else {})
    document = cost_document(
        tries_of(attempts, table, currency),
        currency,
        baseline=baseline,
        prices_version=version,
        release_order=[name.strip() for name in (release_order or "").split(",") if name.strip()],
        families=dict(map(_family, families)),
        estimated=table.rests_on_estimates(
            [call for attempt in attempts for call in attempt.calls], currency
        ),
    )
    if results is not None:
        argv = shlex.join(["effmark", *sys.argv[1:]])
        with Journal(results_folder(results), COST_SUITE, COST_VERSION) as journal:
            for record in cost_records(attempts, table, Path(ledger), argv):
                journal.append(record)
    click.echo(json.dumps(document, allow_nan=False) if as_json else cost_text(document))


def _family(text: str) -> tuple[str, list[str]]:
    name, _, members = text.partition("=")
    models = [model.strip() for model in members.split(",") if model.strip()]
    if not name or not models:
        raise SpecError(f"--family {text!r}: wants NAME=MODEL,MODEL,…")
    return name, models


@command.command("scaling")
@click.argument("record", required=False)
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def scaling(record: str | None, results: str | None, as_json: bool) -> None:
    """Show accuracy against cost with more samples, from a run of tts-arith.

    RECORD is the beginning of a record's id [default: the last record of the kind].
    """
    folder = results_folder(results)
    found = read_records(folder) if record is None else [find_record(record, folder)]
    curves = [one for one in found if "curve" in one.notes]
    if not curves:
        where = f"record {record!r}" if record is not None else f"results {str(folder)!r}"
        raise SpecError(f"{where}: no curve of test-time scaling; run: effmark run tts-arith")
    document = scaling_document(curves[-1])
    click.echo(json.dumps(document, allow_nan=False) if as_json else scaling_text(document))
