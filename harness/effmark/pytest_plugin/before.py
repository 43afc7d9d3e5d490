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


def measure_before(session: Session, asking: Asking, say: Say) -> None:
    """Measure in fresh processes what `--effmark-runs` and an unmeasured `git:REV` want.

    A revision that cannot be measured is told; its tests then have no baseline.

    Raises:
        PrerequisiteError: a process of this checkout did not come to its end.
    """
    here = Rounds(round_command(asking.arguments, has_xdist=asking.has_xdist), asking.folder)
    with ExitStack() as stack:
        there = _other_revision(session, asking, stack, say)
        saved = session.baselines.processes(_compared(session)) if there is not None else 0
        wanted = asking.runs - saved if there is not None else 0
        for number in range(1, max(asking.runs, wanted + 1)):
            if there is not None and number <= wanted:
                there = _measured_there(session, there, f"{number} of {wanted}", say)
            if number < asking.runs:
                say(f"effmark: measuring in process {number} of {asking.runs}")
                _keep(session, here, say)


def _compared(session: Session) -> str:
    return session.options.compare or ""


def _keep(session: Session, here: Rounds, say: Say) -> None:
    try:
        records = here.measure()
    except PrerequisiteError as error:
        if "measured nothing" not in str(error):
            raise
        say(f"effmark: {error}")
        return
    for record in records:
        session.rounds.setdefault(cell_name(record), []).append(record)


def _other_revision(session: Session, asking: Asking, stack: ExitStack, say: Say) -> Rounds | None:
    """Return how to measure the revision that is compared with, None where nothing is to do."""
    which = _compared(session)
    if not which.startswith("git:") or session.baselines.processes(which) >= asking.runs:
        return None
    try:
        commit = session.baselines.commit(which)
        tree = stack.enter_context(worktree_of(session.options.root, commit))
        command = round_command(tree.arguments(asking.arguments), has_xdist=asking.has_xdist)
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
        session.baselines.add(which, there.measure())
    except PrerequisiteError as error:
        say(f"effmark: {which} cannot be measured: {error}")
        return None
    return there
