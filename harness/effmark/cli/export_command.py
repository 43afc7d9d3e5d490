"""`effmark export`: results for dashboards, CI and model cards."""

from __future__ import annotations

from pathlib import Path

import click

from effmark.analyses.limits import known_metric
from effmark.cli.rows import rows_of
from effmark.cli.terminal import echo_data
from effmark.errors import SpecError, StoreError
from effmark.exchange.catalogue import EXPORTS
from effmark.exchange.entries import Choice, Outgoing
from effmark.exchange.exporting import export_files
from effmark.registry import nearest
from effmark.regular_files import replace_file
from effmark.report.finding import print_catalogue
from effmark.store import results_folder

__all__ = ["command"]


@click.command("export")
@click.argument("form", metavar="[FORMAT]", required=False)
@click.argument("results", required=False)
@click.option("-o", "--output", metavar="FILE", help="Where to; a folder where there are several.")
@click.option("--suite", help="Only records of this suite.")
@click.option("--metric", "metrics", multiple=True, help="Only these metrics.")
@click.option("--all", "everything", is_flag=True,
              help="With numbers that have no rank, marked: estimated, foreign …")  # fmt: skip
@click.option("--dataset", "datasets", multiple=True, metavar="TASK=ORG/NAME[:ID]",
              help="Hub data set of a task, for hf-eval-results.")  # fmt: skip
def command(
    form: str | None, results: str | None, output: str | None, suite: str | None,
    metrics: tuple[str, ...], everything: bool, datasets: tuple[str, ...],
) -> None:  # fmt: skip
    """Write the numbers of RESULTS in another tool's FORMAT; without one, list them."""
    if form is None:
        print_catalogue(list(EXPORTS.items()))
        return
    if form not in EXPORTS:
        hint = nearest(form, list(EXPORTS)).replace("installed", "formats")
        raise SpecError(f"no export format {form!r}; {hint}")
    choice = Choice(tuple(known_metric(m) for m in metrics), everything, _datasets(datasets))
    files, found = export_files(form, rows_of(results_folder(results), suite), choice)
    _write(files, output)
    _say(found, everything)


def _datasets(given: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        task, _, dataset = text.partition("=")
        if "/" not in dataset:
            raise SpecError(f"data set {text!r}: wants TASK=ORG/NAME, such as 'gsm8k=openai/gsm8k'")
        found[task] = dataset
    return found


def _write(files: dict[str, str], output: str | None) -> None:
    """Write one file or print it; several want a folder."""
    target = None if output is None else Path(output)
    if target is None and len(files) > 1:
        raise SpecError(f"export: there are {len(files)} files; name a folder for them with -o")
    if target is None:
        echo_data("".join(files.values()))
        return
    folder = len(files) > 1 or target.is_dir() or str(output).endswith("/")
    try:
        for name, text in files.items():
            path = target / name if folder else target
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, text.encode())
    except OSError as error:
        raise StoreError(f"export {str(target)!r} cannot be written: {error}") from error
    one = target / next(iter(files)) if folder else target
    click.echo(
        f"written: {one if len(files) == 1 else f'{len(files)} files in {target}'}", err=True
    )


def _say(found: Outgoing, everything: bool) -> None:
    if found.left_out:
        reasons = ", ".join(f"{n} {reason}" for reason, n in found.left_out.most_common())
        hint = "" if everything else "; --all takes what has no rank, too"
        click.echo(f"left out: {reasons}{hint}", err=True)
