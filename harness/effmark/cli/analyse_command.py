"""`effmark analyse`: questions to many records, each with a sentence, its tables and its limits."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from effmark.analyses import ANALYSES, Finding, TooLittle, finding_json
from effmark.analyses.choice import best_choice
from effmark.analyses.exponents import SIZES, exponents
from effmark.analyses.field import Field, fields
from effmark.analyses.hypervolume import hypervolumes
from effmark.analyses.iso import iso_budget, iso_quality
from effmark.analyses.law import FACTS, law
from effmark.analyses.limits import known_metric, parse_limit
from effmark.analyses.proxies import proxies
from effmark.analyses.reliability import reliability
from effmark.analyses.runtime import runtime
from effmark.analyses.speedups import speedups
from effmark.cli.quantities import Real, Whole
from effmark.cli.rows import rows_of
from effmark.errors import SpecError
from effmark.metrics import METRICS
from effmark.registry import nearest
from effmark.report.finding import print_catalogue, print_finding
from effmark.store import results_folder
from effmark.units import parse_quantity

__all__ = ["command"]


class _Analyses(click.Group):
    """Lists the analyses in their order; an unknown name gets the nearest."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(ANALYSES)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in ANALYSES:
            hint = nearest(args[0], list(ANALYSES)).replace("installed", "analyses")
            raise click.UsageError(f"no analysis {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group("analyse", cls=_Analyses, invoke_without_command=True)
@click.pass_context
def command(ctx: click.Context) -> None:
    """Answer a question from many records; without a name, list what can be asked.

    Exit code 2 and a sentence where the results do not hold enough for an answer.
    """
    if ctx.invoked_subcommand is None:
        print_catalogue(list(ANALYSES.items()))


_SHARED = (
    click.argument("results", required=False),
    click.option("--suite", help="Only records of this suite."),
    click.option("--workload", metavar="LABEL", help="Where costs come from [default: the one "
                 "measured most often]."),
    click.option("--all", "everything", is_flag=True,
                 help="With numbers that have no rank: estimated, emulated, foreign, dequantised."),
    click.option("--json", "as_json", is_flag=True, help="Print JSON: a list of findings."),
)  # fmt: skip


def _analysis(name: str, *options: Callable[[Any], Any]) -> Callable[[Any], click.Command]:
    """Return a decorator that makes a command of an analysis, with the options that all share."""

    def make(function: Any) -> click.Command:
        for option in reversed((*_SHARED, *options)):
            function = option(function)
        return command.command(name, short_help=ANALYSES[name])(function)

    return make


_SERIES = click.option("--series", type=click.Choice(["adapter", "model", "precision"]),
                       default="adapter", show_default=True, help="What is a curve.")  # fmt: skip


@_analysis(
    "best",
    click.option("--max", "at_most", multiple=True, metavar="METRIC=VALUE", help="`tpot_s=20ms`"),
    click.option("--min", "at_least", multiple=True, metavar="METRIC=VALUE", help="`accuracy=0.6`"),
    click.option(
        "--by", metavar="METRIC", help="What is to be best [default: quality, else speed]."
    ),
)
def _best(
    at_most: tuple[str, ...], at_least: tuple[str, ...], by: str | None, everything: bool,
    **rest: Any,
) -> None:  # fmt: skip
    """Choose under limits: `--max tpot_s=20ms --max peak_memory_b=2GB --min accuracy=0.6`."""
    limits = [parse_limit(text, is_upper=True) for text in at_most]
    limits += [parse_limit(text, is_upper=False) for text in at_least]
    wanted = known_metric(by) if by else None
    _answer(lambda f: best_choice(f, limits, wanted, everything=everything), **rest)


_ISO = (
    click.option("--quality", metavar="METRIC", help="The quality axis."),
    click.option("--cost", metavar="METRIC", help="The cost axis."),
    click.option("--at", metavar="VALUE", help="The level, with a unit if you like [default: the "
                 "middle of what the curves share]."),
    _SERIES,
)  # fmt: skip


@_analysis("iso-quality", *_ISO)
def _iso_quality(
    quality: str | None, cost: str | None, at: str | None, series: Any, everything: bool,
    **rest: Any,
) -> None:  # fmt: skip
    """Compare costs at equal quality, by interpolation and never beyond what was measured."""
    q, c = _metric(quality), _metric(cost)
    level = _level(at, q, "--quality")
    _answer(lambda f: iso_quality(f, q, c, level, series=series, everything=everything), **rest)


@_analysis("iso-budget", *_ISO)
def _iso_budget(
    quality: str | None, cost: str | None, at: str | None, series: Any, everything: bool,
    **rest: Any,
) -> None:  # fmt: skip
    """Compare quality at equal cost, by interpolation and never beyond what was measured."""
    q, c = _metric(quality), _metric(cost)
    level = _level(at, c, "--cost")
    _answer(lambda f: iso_budget(f, q, c, level, series=series, everything=everything), **rest)


@_analysis("speedups")
def _speedups(everything: bool, **rest: Any) -> None:
    """Tabulate speed-ups against the suite's baseline, with their geometric mean."""
    _answer(lambda f: speedups(f, everything=everything), **rest)


@_analysis(
    "hypervolume",
    click.option("--metric", "metrics", multiple=True, help="An axis; give two or more."),
    click.option(
        "--reference", multiple=True, metavar="METRIC=VALUE", help="Worst value of an axis."
    ),
    _SERIES,
)
def _hypervolume(
    metrics: tuple[str, ...], reference: tuple[str, ...], series: str, everything: bool, **rest: Any
) -> None:  # fmt: skip
    """Measure how much of a trade-off is covered, and who alone covers it."""
    names = [known_metric(name) for name in metrics]
    fixed = {limit.metric: limit.bound for text in reference
             if (limit := parse_limit(text, is_upper=True))}  # fmt: skip
    _answer(
        lambda f: hypervolumes(f, names, series=series, reference=fixed, everything=everything),
        **rest,
    )


@_analysis(
    "reliability",
    click.option("--metric", help="Whose ranking [default: a quality, else a time]."),
    click.option("--over", type=click.Choice(["items", "workloads"]), help="What is redrawn."),
    click.option(
        "--dior", default=0.9, show_default=True, type=Real(0, 1), help="What counts as reliable."
    ),
    click.option("--resolution", metavar="VALUE", help="Difference that should be visible."),
)
def _reliability(
    metric: str | None, over: str | None, dior: float, resolution: str | None, everything: bool,
    **rest: Any,
) -> None:  # fmt: skip
    """Ask whether other items of the same kind would give the same order."""
    name = _metric(metric)
    wanted = _level(resolution, name, "--metric")
    _answer(
        lambda f: reliability(f, name, over=over, dior_wanted=dior, resolution_wanted=wanted,
                              everything=everything), **rest,
    )  # fmt: skip


@_analysis("proxies", click.option("--metric", "metrics", multiple=True, help="What was measured."))
def _proxies(metrics: tuple[str, ...], everything: bool, **rest: Any) -> None:
    """Ask whether FLOPs, parameters and bytes foretell latency, energy and memory."""
    names = [known_metric(name) for name in metrics]
    _answer(lambda f: proxies(f, names, everything=everything), **rest)


@_analysis("runtime", click.option("--batch", default=1, show_default=True, type=Whole(1)))
def _runtime(batch: int, everything: bool, **rest: Any) -> None:
    """Fit seconds from prompt and output length, and check the fit on lengths it has not seen."""
    _answer(lambda f: runtime(f, batch=batch, everything=everything), **rest)


@_analysis(
    "power-law",
    click.option(
        "--x", default="weights_b", show_default=True, help=f"{', '.join(FACTS)} or a metric."
    ),
    click.option("--y", metavar="METRIC", help="[default: the usual time]"),
)
def _power_law(x: str, y: str | None, everything: bool, **rest: Any) -> None:
    """Fit one column of the leaderboard as a power of another."""
    of = x if x in FACTS else known_metric(x)
    name = _metric(y)
    _answer(lambda f: law(f, of, name, everything=everything), **rest)


@_analysis(
    "exponents",
    click.option(
        "--size", type=click.Choice(SIZES), help="What grows [default: the first varied]."
    ),
    click.option("--metric", help="The cost [default: a time]."),
)
def _exponents(size: str | None, metric: str | None, everything: bool, **rest: Any) -> None:
    """Say how cost grows with model, prompt, output or batch."""
    name = _metric(metric)
    _answer(lambda f: exponents(f, size, name, everything=everything), **rest)


def _metric(name: str | None) -> str | None:
    return known_metric(name) if name else None


def _level(text: str | None, name: str | None, option: str) -> float | None:
    """Return a level in the unit of its metric."""
    if text is None:
        return None
    if name is None:
        raise SpecError(f"level {text!r} has no metric; add {option} METRIC")
    try:
        return parse_quantity(text, METRICS[name].unit)
    except ValueError as error:
        raise SpecError(f"level of {name}: {error}") from error


def _answer(
    analysis: Callable[[Field], Finding], *, results: str | None, suite: str | None,
    workload: str | None, as_json: bool,
) -> None:  # fmt: skip
    """Print the finding of every suite and machine; none at all is an error with what is needed."""
    found, needs = [], []
    for field in fields(rows_of(results_folder(results), suite), workload):
        try:
            found.append(analysis(field))
        except TooLittle as error:
            needs.append((field, error))
    if not found:
        raise needs[0][1] if needs else TooLittle("analyse: no records; run `effmark run` first")
    if as_json:
        click.echo(json.dumps([finding_json(f) for f in found], allow_nan=False))
        return
    for finding in found:
        print_finding(finding)
    for field, sentence in needs:
        click.echo(f"effmark: {field.suite} on {field.machine}: {sentence}", err=True)
