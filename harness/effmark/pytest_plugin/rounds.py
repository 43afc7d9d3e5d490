"""The same tests in fresh processes, so that one command is several runs.

What differs between equal processes (addresses, hash seeds, load that comes and goes) is the noise
of a gate. A fork shares most of it with its parent, so each round is an interpreter of its own:
the same pytest command again, which runs only the tests that measure and saves into a folder.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from effmark.compare.noise import cell_name
from effmark.errors import PrerequisiteError
from effmark.record import Record
from effmark.store import read_records

__all__ = ["measure_rounds", "round_command"]

_ENDED = (0, 1, 5)
"""Exit codes of pytest that say nothing against a round: passed, failed, no tests."""
_SHOWN_LINES = 3


def measure_rounds(
    command: Sequence[str], folder: Path, count: int, say: Callable[[str], None]
) -> dict[str, list[Record]]:
    """Return what fresh processes measure, by cell, in the order in which they ran.

    Args:
        command: what each of them runs, without the folder to save in.
        folder: where they run.
        count: how many.
        say: told before each.

    Raises:
        PrerequisiteError: one of them did not come to its end.
    """
    found: dict[str, list[Record]] = {}
    for number in range(1, count + 1):
        say(f"effmark: measuring in process {number} of {count + 1}")
        with tempfile.TemporaryDirectory() as results:
            done = subprocess.run(
                [*command, f"--effmark-round={results}"],
                cwd=folder, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            )  # fmt: skip
            last = " / ".join((done.stderr or done.stdout).strip().splitlines()[-_SHOWN_LINES:])
            if done.returncode not in _ENDED:
                raise PrerequisiteError(
                    f"process {number} of {count + 1} ended with {done.returncode}: {last}"
                )
            records = list(read_records(Path(results)))
            if not records:
                say(f"effmark: process {number} measured nothing: {last}")
            for record in records:
                found.setdefault(cell_name(record), []).append(record)
    return found


def round_command(arguments: Sequence[str], *, has_xdist: bool) -> list[str]:
    """Return the command of a round: this run's, with what would stop it early taken back.

    Args:
        arguments: those of this run of pytest.
        has_xdist: whether pytest-xdist is there.
    """
    as_module = Path(sys.argv[0]).name == "__main__.py"  # python -m pytest: the folder is on path
    start = [sys.executable, *([] if as_module else ["-P"]), "-m", "pytest"]
    one_process = ["-n0"] if has_xdist else []
    return [*start, *arguments, "--effmark-runs=1", "--maxfail=0", *one_process]
