"""Baselines: what earlier runs of pytest measured, in journals below a folder.

Every run of pytest is one process of the gate's statistics; five make a calibrated baseline.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from effmark.compare.noise import FEWEST_PROCESSES, cell_name
from effmark.errors import SpecError
from effmark.pytest_plugin.judgement import Judgement, absent_metrics, judge
from effmark.record import Record
from effmark.store import Journal, read_records

__all__ = ["Baselines", "check_name"]

_VERSION = 1


def check_name(name: str) -> str:
    """Return a name that is safe as a folder.

    Raises:
        SpecError: it is not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise SpecError(f"baseline {name!r}: wants letters, digits, '.', '_' and '-'")
    return name


class Baselines:
    """Saved measurements below a folder.

    Args:
        folder: where journals lie.
        root: the checkout in which revisions are looked up.
    """

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder, self._root = folder, root
        self._loaded: dict[str, dict[str, list[Record]]] = {}

    def journal(self, name: str) -> Journal:
        """Return the journal into which this process saves under a name."""
        return Journal(self.folder, check_name(name), _VERSION)

    def load(self, which: str) -> dict[str, list[Record]]:
        """Return the records of `NAME` or `git:REV` by cell.

        Raises:
            SpecError: there are none.
        """
        if which not in self._loaded:
            records = self._of_revision(which[4:]) if which.startswith("git:") else self._of(which)
            cells: dict[str, list[Record]] = {}
            for record in records:
                cells.setdefault(cell_name(record), []).append(record)
            self._loaded[which] = cells
        return self._loaded[which]

    def _records(self, name: str) -> list[Record]:
        folder = self.folder / f"{check_name(name)}-v{_VERSION}"
        return list(read_records(folder)) if folder.is_dir() else []

    def _of(self, name: str) -> list[Record]:
        records = self._records(name)
        if not records:
            saved = ", ".join(self._names()) or "none"
            raise SpecError(
                f"no baseline {name!r} in {str(self.folder)!r} (saved: {saved}); "
                f"make one: pytest --effmark-save {name}"
            )
        return records

    def _names(self) -> list[str]:
        return sorted(p.name.removesuffix(f"-v{_VERSION}") for p in self.folder.glob("*-v*"))

    def _of_revision(self, revision: str) -> list[Record]:
        """Return clean measurements of a revision, under whichever name they were saved."""
        commit = _commit(self._root, revision)
        records = list(read_records(self.folder)) if self.folder.is_dir() else []
        found = [r for r in records if r.environment and r.environment.git_revision == commit]
        clean = [r for r in found if r.environment and not r.environment.git_dirty]
        if not clean:
            said = "only with uncommitted changes" if found else "not"
            raise SpecError(
                f"revision {revision!r} ({commit[:12]}) was {said} measured; make up for it: "
                f"git worktree add ../at-{commit[:7]} {commit[:12]}, and there pytest "
                f"--effmark-save {commit[:7]} --effmark-runs {FEWEST_PROCESSES} --effmark-dir "
                f"{self.folder}"
            )
        return clean

    def judge(
        self,
        records: Sequence[Record],
        of: str,
        margin: float,
        metrics: tuple[str, ...] | None = None,
        tests: int = 1,
    ) -> Judgement:
        """Return whether a measurement is worse than its baseline beyond a margin.

        Args:
            records: the measurement, one per process, that of this process last.
            of: name of the baseline, or `git:REV`.
            margin: relative loss that is accepted.
            metrics: what to compare; None for what suits.
            tests: how many such questions this run asks; false alarms count over all of them.
        """
        absent = absent_metrics(records[-1], metrics)
        if absent:
            return Judgement("undecided", of, absent)
        try:
            saved = self.load(of).get(cell_name(records[-1]), [])
        except SpecError as error:
            return Judgement("no baseline", of, str(error))
        return judge(saved, records, of, margin, metrics, tests)

    def saved(self, name: str) -> str:
        """Return a sentence that says how much is saved under a name, and whether it is enough."""
        processes: dict[str, set[str]] = {}
        for record in self._records(name):
            processes.setdefault(cell_name(record), set()).add(record.process_id)
        runs = max(map(len, processes.values()), default=0)
        said = f"saved as {name!r} in {self.folder}: {runs} {'run' if runs == 1 else 'runs'}"
        more = FEWEST_PROCESSES - runs
        if more <= 0:
            return f"{said}, their spread is the noise that the gate goes by"
        return f"{said}; the gate wants {more} more, --effmark-runs {more} makes them at once"


@cache
def _commit(root: Path, revision: str) -> str:
    arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise SpecError(f"git:{revision}: git cannot be run: {error}") from None
    if done.returncode != 0:
        raise SpecError(f"git:{revision}: no such revision in {str(root)!r}")
    return done.stdout.strip()
