"""Numbers on the command line that no machine can use are refused by name."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from effmark.analyses.limits import parse_limit
from effmark.cli.quantities import Real, Whole
from effmark.errors import SpecError
from effmark.sandbox import Sandbox


@click.command()
@click.option("--count", type=Whole(1, 1000), default=1)
@click.option("--share", type=Real(0), default=0.5)
def toy(count: int, share: float) -> None:
    """Print both."""
    click.echo(f"{count} {share}")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("--count", value) for value in ("0", "-1", "1001", "9" * 400, "9" * 5000, "1.5", "nan")],
        *[("--share", value) for value in ("nan", "inf", "-inf", "1e999", "-1", "9" * 400, "x")],
    ],
)
def test_a_number_that_cannot_be_is_refused_by_the_name_of_its_option(
    option: str, value: str
) -> None:
    told = CliRunner().invoke(toy, [option, value])
    assert told.exit_code == 2
    assert f"Invalid value for '{option}'" in told.output
    assert max(map(len, told.output.splitlines())) < 120
    assert CliRunner().invoke(toy, ["--count", "1000", "--share", "2.5"]).output == "1000 2.5\n"


def test_every_numeric_option_of_every_command_has_a_range() -> None:
    from effmark.cli import _group

    found = []
    context = click.Context(_group)
    commands: list[click.Command] = [_group]
    while commands:
        command = commands.pop()
        if isinstance(command, click.Group):
            children = [
                command.get_command(context, name) for name in command.list_commands(context)
            ]
            commands += [child for child in children if child is not None]
        for option in command.params:
            if isinstance(option.type, click.types.FloatParamType | click.types.IntParamType):
                found.append((command.name, option.name))
                assert isinstance(option.type, Whole | Real), (command.name, option.name)
    assert len(found) >= 20


@pytest.mark.parametrize("value", ["nan", "inf", "1e999 s", "9" * 400])
def test_a_limit_that_is_not_finite_is_refused(value: str) -> None:
    with pytest.raises(SpecError, match="is no quantity in s") as refused:
        parse_limit(f"tpot_s={value}", is_upper=True)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("wanted", [100_000, 0])
def test_more_workers_than_a_machine_can_hold_are_refused(wanted: int) -> None:
    with pytest.raises(SpecError, match=rf"workers: {wanted} on \d+ CPUs, wants 1 to \d+"):
        Sandbox(wanted)
