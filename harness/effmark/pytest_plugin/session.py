"""One run of pytest: its options, its instruments, what it saves and what it compares with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from effmark.callables import Instruments
from effmark.compare.noise import cell_name
from effmark.energy_numbers import unmeasured_energy
from effmark.pytest_plugin.baselines import Baselines
from effmark.pytest_plugin.fixture import Effmark, numbers_of
from effmark.pytest_plugin.judgement import Judgement
from effmark.pytest_plugin.limits import Asked, Limit
from effmark.record import Missing, Record
from effmark.report.names import plain
from effmark.report.numbers import format_number
from effmark.rows import Number
from effmark.store import Journal
from effmark.units import format_quantity

__all__ = ["Options", "Outcome", "Session"]


_WIDEST = 10.0
"""Half-width of an interval, relative to its value, beyond which it says nothing: two processes
have a single degree of freedom."""


@dataclass(frozen=True)
class Options:
    """What the command line asks of every test."""

    folder: Path
    root: Path
    save: str | None
    compare: str | None
    gate: bool
    margin: float
    budget_s: float
    energy: bool
    missing: Literal["skip", "fail"]
    lock_wait_s: float
    bytecodes: bool = False
    require_energy: bool = False


@dataclass(frozen=True)
class Outcome:
    """What limits and baselines say of one test."""

    failures: tuple[str, ...]
    unanswered: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    """What the summary shows, one per measurement: only what JSON knows, for other processes."""


class Session:
    """The state of a run; made at the first use."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.tests = 1
        """Tests of this run that may be compared: false alarms count over all of them."""
        self.rounds: dict[str, list[Record]] = {}
        """What fresh processes have measured before this one, by cell."""
        self.instruments = Instruments(options.root, options.lock_wait_s)
        self.baselines = Baselines(options.folder, options.root)
        self._journal: Journal | None = None

    def fixture(self, test: str, asked: Asked) -> Effmark:
        """Return the fixture of a test."""
        return Effmark(
            test,
            self.instruments,
            budget_s=asked.budget_s or self.options.budget_s,
            energy=self.options.energy or asked.needs_energy,
            bytecodes=self.options.bytecodes or asked.needs_bytecodes,
        )

    def judge(self, test: str, records: list[Record], asked: Asked) -> Outcome:
        """Save what a test that passed has measured, and hold it against limits and baselines."""
        failures: list[str] = []
        unanswered: list[str] = []
        groups = [[*self.rounds.get(cell_name(r), ()), r] for r in records]
        numbers = [numbers_of(*group) for group in groups]
        for record in records:
            if record.outcome != "ok":
                unanswered.append(f"{_label(record)}: {record.outcome}: {record.detail}")
        if self.options.require_energy:
            failures += unmeasured_energy(records)
        for limit in asked.limits:
            failed, unknown = _held(limit, records, numbers)
            failures += failed
            unanswered += unknown
        judged = [self._compared(g, asked) if g[-1].outcome == "ok" else None for g in groups]
        if self._decides(asked):
            if not records:
                unanswered.append("nothing was measured that could be compared")
            for record, found in zip(records, judged, strict=True):
                if found is not None and found.verdict == "worse":
                    failures.append(_regression(record, found))
                elif found is not None and found.verdict != "pass":
                    unanswered.append(f"{_label(record)}: {found.verdict}: {found.detail}")
        if failures:
            failures += dict.fromkeys(line for record in records for line in _advice(record))
        rows = tuple(
            _row(test, group, found, judgement)
            for group, found, judgement in zip(groups, numbers, judged, strict=True)
        )
        self._save(test, [record for group in groups for record in group])
        return Outcome(tuple(failures), tuple(unanswered), rows)

    def close(self) -> None:
        """Give instruments and files back."""
        self.instruments.close()
        if self._journal is not None:
            self._journal.close()

    def _decides(self, asked: Asked) -> bool:
        """Return whether a comparison can fail the test; a run that saves has no past to meet."""
        options = self.options
        return options.gate or (asked.within is not None and options.save is None)

    def _compared(self, records: list[Record], asked: Asked) -> Judgement | None:
        """Return how a measurement compares, None where nobody asked."""
        if not (self._decides(asked) or self.options.compare):
            return None
        return self.baselines.judge(
            records,
            self.options.compare or asked.of,
            asked.within or self.options.margin,
            asked.metrics,
            self.tests,
        )

    def _save(self, test: str, records: list[Record]) -> None:
        if self.options.save is None or not records:
            return
        if self._journal is None:
            self._journal = self.baselines.journal(self.options.save)
        for record in records:
            notes = {**record.notes, "test": test}
            self._journal.append(record.model_copy(update={"notes": notes}))


def _held(limit: Limit, records: list[Record], numbers: list[Any]) -> tuple[list[str], list[str]]:
    """Return how a limit is violated, and why it cannot be judged; both empty where it holds."""
    failed: list[str] = []
    unknown: list[str] = []
    judged = 0
    for record, found in zip(records, numbers, strict=True):
        number = next((n for m in limit.metrics if (n := found.get(m)) is not None), None)
        if number is None:
            continue
        if isinstance(number, Missing):
            unknown.append(f"{_label(record)}: {number.reason}: {number.detail}")
        elif number.source == "model_estimate":
            unknown.append(
                f"{_label(record)}: only an estimate, {format_number(number)}; "
                + plain("; ".join(dict.fromkeys(m.detail for m in record.energy_missing)))
            )
        else:
            judged += 1
            if not limit.holds(number.value):
                failed.append(_violation(limit, record, number))
    if judged:
        return failed, []
    reasons = unknown or [f"nothing in this test measured {' or '.join(limit.metrics)}"]
    return [], [f"{limit.name}={limit.bound:g} cannot be judged: {reasons[0]}"]


def _violation(limit: Limit, record: Record, number: Number) -> str:
    sign = ">" if limit.is_upper else "<"
    bounds = ""
    if number.low is not None and number.high is not None:
        interval = " to ".join(format_quantity(v, number.unit) for v in (number.low, number.high))
        bounds = f" (95 % interval {interval}, n = {number.n})"
        if number.low <= limit.bound <= number.high:
            bounds += "; the limit lies within the interval: measure longer to be sure"
    bound = format_quantity(limit.bound, number.unit)
    value = format_quantity(number.value, number.unit)
    lines = [f"{_label(record)}: {limit.name}: {value} {sign} {bound}{bounds}"]
    return "\n".join(lines)


def _regression(record: Record, found: Judgement) -> str:
    lines = [f"{_label(record)}: worse than {found.of!r}: {found.detail}"]
    if found.changed:
        lines += ["  changed since:", *(f"    {line}" for line in found.changed)]
    else:
        lines.append("  nothing changed in the environment")
    return "\n".join(lines)


def _advice(record: Record) -> list[str]:
    found = [a for a in record.advice if a.severity != "info"]
    return [f"  {a.code}: {a.message}; {a.remedy}" for a in found]


def _shown(number: Number) -> str:
    """Return a number for a table: without an interval that is none, `±?` for one without end."""
    low, high = number.low, number.high
    if low is None or high is None or high - low <= 2 * _WIDEST * abs(number.value):
        return format_number(number, interval=low != high)
    return f"{format_number(number, interval=False)} ±?"


def _label(record: Record) -> str:
    return record.cell.workload.label


def _row(
    test: str, records: list[Record], numbers: Any, judgement: Judgement | None
) -> dict[str, Any]:
    """Return what the summary shows of a measurement."""
    record = records[-1]
    return {
        "test": test,
        "processes": len(records),
        "blocks": sum(len(r.blocks) for r in records),
        "calls": record.blocks[0].sequences if record.blocks else 0,
        "name": _label(record),
        "validity": record.validity,
        "outcome": record.outcome,
        "advice": [f"{a.code}: {a.message}" for a in record.advice if a.severity != "info"],
        "shown": {m: _shown(n) for m, n in numbers.items() if isinstance(n, Number)},
        "values": {m: n.value for m, n in numbers.items() if isinstance(n, Number)},
        "missing": {m: n.detail for m, n in numbers.items() if isinstance(n, Missing)},
        "judged": judgement.metric if judgement else "",
        "verdict": judgement.verdict if judgement else "",
        "of": judgement.of if judgement else "",
        "detail": judgement.detail if judgement else "",
        "ratio": judgement.ratio if judgement else None,
        "low": judgement.low if judgement else None,
        "high": judgement.high if judgement else None,
    }
