"""What is measured before the tests of this process run: other rounds, and another revision.

Rounds of both take turns, so that load which comes and goes hits them alike.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from effmark.compare.noise import cell_name
from effmark.errors import EffmarkError, PrerequisiteError
from effmark.pytest_plugin.rounds import Rounds, round_command
from effmark.pytest_plugin.session import Session
from effmark.pytest_plugin.worktree import worktree_of
from effmark.record import Record

__all__ = ["Asking", "measure_before"]

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asking:
    """What this run of pytest was asked."""

    arguments: tuple[str, ...]
    folder: Path
    """Where it was started."""
    runs: int
    """Processes that shall measure, this one included."""
    has_xdist: bool
    tests: tuple[str, ...]
    """Those that measure."""


def measure_before(session: Session, asking: Asking, say: Say) -> None:
    """Measure in fresh processes what `--effmark-runs` and an unmeasured `git:REV` want.

    A revision that cannot be measured is told; its tests then have no baseline.

    Raises:
        PrerequisiteError: a process of this checkout did not come to its end.
    """
    here = Rounds(round_command(asking.arguments, has_xdist=asking.has_xdist), asking.folder)
    wanted = _wanted(session, asking)
    with ExitStack() as stack:
        there = _other_revision(session, asking, stack, say) if wanted else None
        for number in range(1, max(asking.runs, wanted + 1)):
            if there is not None and number <= wanted:
                there = _measured_there(session, there, f"{number} of {wanted}", say)
            if number < asking.runs:
                say(f"effmark: measuring in process {number} of {asking.runs}")
                for record in _some(here, say):
                    session.rounds.setdefault(cell_name(record), []).append(record)


def _some(rounds: Rounds, say: Say) -> list[Record]:
    """Return what one more process measures; that it is nothing is said."""
    records, last = rounds.measure()
    if not records:
        say(f"effmark: a fresh process measured nothing: {last}")
    return records


def _wanted(session: Session, asking: Asking) -> int:
    """Return how many processes have still to measure the revision that is compared with."""
    which = _compared(session)
    if not which.startswith("git:"):
        return 0
    return session.baselines.wanting(which, asking.tests, asking.runs)


def _compared(session: Session) -> str:
    return session.options.compare or ""


def _other_revision(session: Session, asking: Asking, stack: ExitStack, say: Say) -> Rounds | None:
    """Return how to measure the revision that is compared with, None where it cannot be."""
    which = _compared(session)
    try:
        commit = session.baselines.commit(which)
        tree = stack.enter_context(worktree_of(session.options.root, commit))
        arguments = tree.arguments(asking.arguments, asking.folder)
        command = round_command(arguments, has_xdist=asking.has_xdist)
        root = tree.folder(session.options.root)
        elsewhere = (f"--rootdir={root}", f"--effmark-elsewhere={tree.checkout}")
        return Rounds((*command, *elsewhere), tree.folder(asking.folder), tree.variables())
    except EffmarkError as error:
        say(f"effmark: {which} cannot be measured: {error}")
        return None


def _measured_there(session: Session, there: Rounds, number: str, say: Say) -> Rounds | None:
    """Measure another revision once more and save it; None where there is no use in going on."""
    which = _compared(session)
    say(f"effmark: measuring {which} in a worktree, process {number}")
    try:
        records = _some(there, say)
    except PrerequisiteError as error:
        say(f"effmark: {which} cannot be measured: {error}")
        return None
    if records:
        session.baselines.add(which, records)
    return there if records else None
