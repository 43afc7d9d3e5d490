"""The command line: parse, one library call, one renderer. Only here is anything printed.

Commands are imported when they are called, so `effmark --help` loads no framework and little else.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from effmark.cli.terminal import open_terminal
from effmark.errors import EffmarkError, SpecError

__all__ = ["main"]

_COMMANDS = {
    "run": "measure a suite, or resume it",
    "plan": "show what would run, with estimates",
    "leaderboard": "turn results into a table, a page or JSON",
    "compare": "compare two runs, cells or revisions: better, worse, same, undecided",
    "analyse": "answer a question from many records: best choice, speed-ups, reliability …",
    "gate": "a verdict for CI, noise taken into account",
    "history": "a metric over runs, and where its level changed",
    "eval": "lm-eval tasks on any adapter",
    "score": "score generated code, or what a right answer cost",
    "rerun": "measure the cell of a record again and compare",
    "export": "results for dashboards, CI and model cards",
    "import": "reports of other tools as foreign records",
    "show": "look at one record",
    "doctor": "what this machine can measure, and what would help",
    "list": "show what is installed",
}


class _LazyGroup(click.Group):
    """A group that imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"effmark.cli.{cmd_name}_command").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _COMMANDS and not args[0].startswith("-"):
            from effmark.registry import nearest

            hint = nearest(args[0], list(_COMMANDS)).replace("installed", "commands")
            raise click.UsageError(f"no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="effmark", prog_name="effmark")
def _group() -> None:
    """Measure what a model costs to run and what it is worth.

    Which model, on which runtime, at which precision, on this machine, gives the quality you need
    for the least time, energy, memory and money, and how sure is that?
    """


def main() -> None:
    """Run the command line; the only place that ends the process."""
    terminal = open_terminal()
    code = _run()
    sys.exit(code if terminal is None else terminal.exit_code(code))


def _run() -> int:
    """Return the exit code of the command line."""
    try:
        _check_arguments(sys.argv[1:])
        code = _group(standalone_mode=False)  # click turns Exit into the returned value
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        click.echo("effmark: interrupted; the same command resumes", err=True)
        return 130
    except EffmarkError as error:
        click.echo(f"effmark: {' '.join(str(error).splitlines())}", err=True)
        return error.exit_code
    return code if isinstance(code, int) else 0


def _check_arguments(arguments: Sequence[str]) -> None:
    """Refuse names that no record can hold: they are no text in this system's encoding."""
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError as error:
            raise SpecError(f"argument {argument!r:.200} is no UTF-8; rename the file") from error
