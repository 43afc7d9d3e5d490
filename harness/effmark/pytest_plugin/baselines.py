"""Baselines: what earlier runs of pytest measured, in journals below a folder.

Every run of pytest is one process of the gate's statistics; five make a calibrated baseline.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from effmark.compare.noise import FEWEST_PROCESSES, cell_name
from effmark.errors import PrerequisiteError, SpecError
from effmark.pytest_plugin.judgement import Judgement, absent_metrics, judge
from effmark.pytest_plugin.worktree import run_git
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
            records = self._of_revision(which) if which.startswith("git:") else self._of(which)
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

    def commit(self, which: str) -> str:
        """Return the commit that `git:REV` means.

        Raises:
            SpecError: there is no such revision.
        """
        return _commit(self._root, which.removeprefix("git:"))

    def wanting(self, which: str, tests: Sequence[str], runs: int) -> int:
        """Return how many processes have still to measure `git:REV`.

        Args:
            which: the revision.
            tests: whose measurements are wanted; those that it does not have yet are left out.
            runs: from how many processes.
        """
        commit = self.commit(which)
        processes: dict[str, set[str]] = {}
        for record in self._clean(self._at(commit)):
            processes.setdefault(record.notes.get("test", ""), set()).add(record.process_id)
        texts = cache(lambda file: run_git(self._root, "show", f"{commit}:./{file}"))
        counts = [len(processes[test]) for test in tests if test in processes]
        counts += [0 for test in tests if test not in processes and _is_in(test, texts)]
        return max(0, runs - min(counts, default=runs))

    def add(self, which: str, records: Sequence[Record]) -> None:
        """Save measurements of `git:REV`, under the name of its commit."""
        with self.journal(self.commit(which)[:12]) as journal:
            for record in records:
                journal.append(record)
        self._loaded.pop(which, None)

    def _at(self, commit: str) -> list[Record]:
        records = list(read_records(self.folder)) if self.folder.is_dir() else []
        return [r for r in records if r.environment and r.environment.git_revision == commit]

    def _clean(self, records: Sequence[Record]) -> list[Record]:
        return [r for r in records if r.environment and not r.environment.git_dirty]

    def _of_revision(self, which: str) -> list[Record]:
        """Return clean measurements of a revision, under whichever name they were saved."""
        commit = self.commit(which)
        found = self._at(commit)
        clean = self._clean(found)
        if not clean:
            said = "only with uncommitted changes" if found else "not"
            raise SpecError(
                f"revision {which[4:]!r} ({commit[:12]}) was {said} measured; make up for it: "
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
        runs = _processes(self._records(name))
        said = f"saved as {name!r} in {self.folder}: {runs} {'run' if runs == 1 else 'runs'}"
        more = FEWEST_PROCESSES - runs
        if more <= 0:
            return f"{said}, their spread is the noise that the gate goes by"
        return f"{said}; the gate wants {more} more, --effmark-runs {more} makes them at once"


def _is_in(test: str, text_of: Callable[[str], str | None]) -> bool:
    """Return whether a revision has a test, by the name of its function in the text of its file."""
    file, _, rest = test.partition("::")
    name = rest.partition("[")[0].rpartition("::")[2]
    text = text_of(file)
    return text is not None and (name in text or not file.endswith(".py"))


def _processes(records: Sequence[Record]) -> int:
    """Return in how many processes the cell that was measured most often was measured."""
    processes: dict[str, set[str]] = {}
    for record in records:
        processes.setdefault(cell_name(record), set()).add(record.process_id)
    return max(map(len, processes.values()), default=0)


@cache
def _commit(root: Path, revision: str) -> str:
    arguments = ["rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}"]
    try:
        found = run_git(root, *arguments)
    except PrerequisiteError as error:
        raise SpecError(f"git:{revision}: {error}") from None
    if found is None:
        raise SpecError(f"git:{revision}: no such revision in {str(root)!r}")
    return found
