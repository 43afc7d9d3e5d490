"""`effmark list`: what is installed."""

from __future__ import annotations

import click

from effmark.registry import installed, list_models, list_suites

__all__ = ["command"]


@click.command("list")
@click.argument(
    "kind", type=click.Choice(["adapters", "suites", "models", "probes", "all"]), default="all"
)
def command(kind: str) -> None:
    """Show installed adapters, suites, models and probes; nothing of them is imported."""
    shown = {
        "adapters": {name: point.value for name, point in installed("adapters").items()},
        "suites": {name: str(path) for name, path in list_suites().items()},
        "models": {name: _describe(entry) for name, entry in list_models().items()},
        "probes": {name: point.value for name, point in installed("probes").items()},
    }
    for title, entries in shown.items():
        if kind in (title, "all"):
            click.secho(title, bold=True)
            width = max((len(name) for name in entries), default=0)
            for name, where in entries.items():
                click.echo(f"  {name:<{width}}  {where}")


def _describe(entry: dict[str, object]) -> str:
    return str(entry.get("requirement") or entry.get("folder") or entry["kind"])
