"""Baselines in journals below a folder, and the verdict of the gate for one test.

Every run of pytest is one process of the gate's statistics. From five saved runs on, their spread
is the noise of this machine (an A/A calibration); below that the gate says what it lacks.
"""

from __future__ import annotations

import math
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from effmark.compare.comparison import ALPHA
from effmark.compare.noise import FEWEST_PROCESSES, Calibration, calibrate, cell_name
from effmark.compare.units import by_process, process_value
from effmark.errors import SpecError
from effmark.gate import GATED, GateCheck, GateResult, gate
from effmark.metrics import metric
from effmark.record import Missing, Record
from effmark.samples import metric_samples
from effmark.spec import Call
from effmark.store import Journal, read_records
from effmark.units import format_quantity

__all__ = ["Baselines", "Judgement", "check_name"]

_VERSION = 1
_IN_PROCESS = tuple(name for name in GATED if name != "peak_memory_b")
"""The memory of this process depends on the tests that ran before; a marker may ask for it."""
_COUNTS = "instructions_per_"
_MOST_DIFFERENCES = 12

Verdict = Literal["pass", "worse", "undecided", "no baseline", "not comparable"]


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a measurement compares with its baseline."""

    verdict: Verdict
    of: str
    detail: str
    """One sentence: what was found, or why nothing can be said."""
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    metric: str = ""
    changed: tuple[str, ...] = ()
    """What differs between the environments."""


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

    def _of(self, name: str) -> list[Record]:
        folder = self.folder / f"{check_name(name)}-v{_VERSION}"
        records = list(read_records(folder)) if folder.is_dir() else []
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
                f"--effmark-save {commit[:7]} --effmark-dir {self.folder}"
            )
        return clean

    def judge(
        self,
        record: Record,
        of: str,
        margin: float,
        metrics: tuple[str, ...] | None = None,
        tests: int = 1,
    ) -> Judgement:
        """Return whether a measurement is worse than its baseline beyond a margin.

        Args:
            record: the measurement.
            of: name of the baseline, or `git:REV`.
            margin: relative loss that is accepted.
            metrics: what to compare; None for what suits.
            tests: how many such questions this run asks; false alarms count over all of them.
        """
        absent = _absent(record, metrics)
        if absent:
            return Judgement("undecided", of, absent)
        try:
            saved = self.load(of).get(cell_name(record), [])
        except SpecError as error:
            return Judgement("no baseline", of, str(error))
        processes = by_process(saved)
        if not processes:
            return Judgement("no baseline", of, f"{of!r} does not have this measurement; save it")
        names = metrics or (_IN_PROCESS if isinstance(record.cell.workload, Call) else GATED)
        result = gate(
            processes,
            [record],
            margin,
            calibration=_calibration(processes, names),
            metrics=names,
        )
        changed = _changed(result)
        if result.verdict == "not_comparable":
            return Judgement("not comparable", of, result.detail, changed=changed)
        return _judged(result, processes, record, of, tests, changed)


def _absent(record: Record, metrics: tuple[str, ...] | None) -> str:
    """Return why nothing that was asked for is there, empty where something is or anything will do.

    This comes before the baseline: saving one would not help.
    """
    if metrics is None:
        return ""
    found = metric_samples(record)
    reasons = [m for name in metrics if isinstance(m := found.get(name), Missing)]
    if len(reasons) < len(metrics):
        return ""
    return f"{reasons[0].metric}: {reasons[0].reason}: {reasons[0].detail}"


def _calibration(processes: Sequence[Record], names: Sequence[str]) -> Calibration | None:
    if len(processes) < FEWEST_PROCESSES:
        return None
    machines = {r.environment.device_class if r.environment else "" for r in processes}
    return calibrate(processes, names) if len(machines) == 1 else None


def _judged(
    result: GateResult,
    processes: Sequence[Record],
    record: Record,
    of: str,
    tests: int,
    changed: tuple[str, ...],
) -> Judgement:
    """Return the verdict over all metrics: a proven loss in any, else what instructions say."""
    worse = [c for c in result.checks if c.verdict == "worse" and _p(c) * tests < ALPHA]
    open_ = [c for c in result.checks if c.verdict != "pass" and c not in worse]
    counts = [c for c in result.checks if c.metric.startswith(_COUNTS) and c.verdict == "pass"]
    if worse:
        chosen, verdict, note = worse[0], "worse", ""
    elif open_ and counts:
        chosen, verdict = counts[0], "pass"
        note = f"by instruction counts; {metric(open_[0].metric).label}: {_why(open_[0], tests)}"
    elif open_:
        chosen, verdict, note = open_[0], "undecided", _why(open_[0], tests)
    else:
        chosen, verdict, note = result.checks[0], "pass", ""
    before, now = _values(chosen.metric, processes, record)
    said = _sentence(chosen, before, now, result.margin)
    return Judgement(
        verdict,  # type: ignore[arg-type] # mypy widens the literals of a tuple assignment
        of,
        f"{said}; {note}" if note else said,
        now / before if chosen.ratio is None and before and now else chosen.ratio,
        chosen.low,
        chosen.high,
        chosen.metric,
        changed,
    )


def _p(check: GateCheck) -> float:
    return 1.0 if check.p_worse is None else check.p_worse


def _why(check: GateCheck, tests: int) -> str:
    if check.verdict == "worse":
        return f"p = {_p(check):.2g} is no proof among {tests} tests; save more runs"
    return check.detail or "the interval reaches the margin"


def _values(
    name: str, processes: Sequence[Record], record: Record
) -> tuple[float | None, float | None]:
    """Return the geometric mean of the baseline's processes, and the candidate's value."""
    values = [v for r in processes if (v := process_value(r, name)) is not None]
    if not values or min(values) <= 0:
        return None, process_value(record, name)
    mean = math.exp(math.fsum(map(math.log, values)) / len(values))
    return mean, process_value(record, name)


def _sentence(check: GateCheck, before: float | None, now: float | None, margin: float) -> str:
    """Return baseline, candidate, ratio and interval of a metric."""
    unit, label = metric(check.metric).unit, metric(check.metric).label
    shown = " -> ".join("?" if v is None else format_quantity(v, unit) for v in (before, now))
    if check.ratio is None:
        return f"{label} {shown}"
    interval = (
        "" if check.low is None or check.high is None
        else f" (95 % interval {check.low:.4g} to {check.high:.4g})"
    )  # fmt: skip
    return (
        f"{label} {shown}, ratio {check.ratio:.4g}{interval}, "
        f"accepted {_accepted(check.metric, margin):.4g}, {check.test}"
    )


def _accepted(name: str, margin: float) -> float:
    return 1 + margin if metric(name).direction == "lower" else 1 / (1 + margin)


def _changed(result: GateResult) -> tuple[str, ...]:
    """Return what differs between baseline and candidate, one line each."""
    lines = [f"{d.field}: {d.a} -> {d.b}" for d in result.differences]
    more = len(lines) - _MOST_DIFFERENCES
    return (*lines[:_MOST_DIFFERENCES], *([f"… and {more} more"] if more > 0 else []))


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
