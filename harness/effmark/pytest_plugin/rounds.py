"""The same tests in fresh processes, so that one command is several runs.

What differs between equal processes (addresses, hash seeds, load that comes and goes) is the noise
of a gate. A fork shares most of it with its parent, so each round is an interpreter of its own:
the same pytest command again, which runs only the tests that measure and saves into a folder.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from effmark.errors import PrerequisiteError
from effmark.record import Record
from effmark.store import read_records

__all__ = ["Rounds", "round_command"]

_ENDED = (0, 1, 5)
"""Exit codes of pytest that say nothing against a round: passed, failed, no tests."""
_SHOWN_LINES = 3


@dataclass(frozen=True)
class Rounds:
    """How a fresh process measures: this checkout, or that of another revision."""

    command: tuple[str, ...]
    """What is run, without the folder to save in."""
    folder: Path
    """Where."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables that differ from those of this process."""

    def measure(self) -> tuple[list[Record], str]:
        """Return what one more process measures, and the last that it said.

        Raises:
            PrerequisiteError: it did not come to its end.
        """
        with tempfile.TemporaryDirectory() as results:
            done = subprocess.run(
                [*self.command, f"--effmark-round={results}"],
                cwd=self.folder, capture_output=True, text=True, check=False,
                stdin=subprocess.DEVNULL, env={**os.environ, **self.variables},
            )  # fmt: skip
            last = " / ".join((done.stderr or done.stdout).strip().splitlines()[-_SHOWN_LINES:])
            if done.returncode not in _ENDED:
                raise PrerequisiteError(f"a fresh process ended with {done.returncode}: {last}")
            return list(read_records(Path(results))), last


def round_command(arguments: Sequence[str], *, has_xdist: bool) -> tuple[str, ...]:
    """Return the command of a round: this run's, with what would stop it early taken back.

    Args:
        arguments: those of this run of pytest.
        has_xdist: whether pytest-xdist is there.
    """
    as_module = Path(sys.argv[0]).name == "__main__.py"  # python -m pytest: the folder is on path
    start = [sys.executable, *([] if as_module else ["-P"]), "-m", "pytest"]
    one_process = ["-n0"] if has_xdist else []
    return (*start, *arguments, "--effmark-runs=1", "--maxfail=0", *one_process)
