"""The verdict of the gate for one test: its measurement against saved runs of the same.

From five saved runs on, their spread is the noise of this machine (an A/A calibration). Before
that more noise is assumed than most machines have: only what is slower by far fails, the message
says so, and nothing passes unproven.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from effmark.compare.comparison import ALPHA
from effmark.compare.noise import FEWEST_PROCESSES, Calibration, Noise, calibrate, cell_name
from effmark.compare.tests import FEWEST_PROCESSES as FEWEST_A_SIDE
from effmark.compare.units import by_process, process_value
from effmark.gate import GATED, GateCheck, GateResult, gate
from effmark.metrics import metric
from effmark.record import Missing, Record
from effmark.samples import metric_samples
from effmark.spec import Call
from effmark.stats.distributions import t_quantile
from effmark.units import format_quantity

__all__ = ["Judgement", "absent_metrics", "judge"]

_BYTECODES = "bytecodes_per_call"
_IN_PROCESS = tuple(name for name in GATED if name != "peak_memory_b")
"""The memory of this process depends on the tests that ran before; a marker may ask for it."""
_COUNTS = ("instructions_per_", "bytecodes_per_")
_NO_COST = ("accuracy", "bits_per_byte")
_MOST_DIFFERENCES = 12
_ASSUMED_LOG_SD = 0.35
"""Spread of times between equal processes where nothing is known: two busy virtual cores showed
0.24 over twelve runs, quiet machines show 0.01."""
_ASSUMED_LOG_SD_OF_COUNTS = 0.02
"""The same for counted instructions, which hash seeds and addresses move by less."""

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


def judge(
    saved: Sequence[Record],
    records: Sequence[Record],
    of: str,
    margin: float,
    metrics: tuple[str, ...] | None = None,
    tests: int = 1,
) -> Judgement:
    """Return whether a measurement is worse than saved ones beyond a margin.

    Args:
        saved: the same measurement as it was, of several processes.
        records: as it is, one per process, that of this process last.
        of: what the baseline is called.
        margin: relative loss that is accepted.
        metrics: what to compare; None for what suits.
        tests: how many such questions this run asks; false alarms count over all of them.
    """
    processes = _of_this_machine(by_process(saved), records[-1])
    if not processes:
        return Judgement("no baseline", of, f"{of!r} does not have this measurement; save it")
    names = metrics or _suitable(processes, records)
    known = _calibration(processes, names)
    few = known is None and min(len(processes), len(records)) < FEWEST_A_SIDE
    noise = _assumed(records[-1], names) if few else known
    result = gate(processes, records, margin, calibration=noise, metrics=names)
    changed = _changed(result, processes, records[-1])
    if result.verdict == "not_comparable":
        return Judgement("not comparable", of, result.detail, changed=changed)
    if few and noise is not None:
        hint = _hint(len(processes), of)
        result = _admitted(result, noise, (len(processes), len(records)), hint, tests)
    return _judged(result, processes, records, of, tests, changed)


def _of_this_machine(saved: Sequence[Record], record: Record) -> Sequence[Record]:
    """Return what was saved on this machine; all of it where nothing was, to be told apart."""
    same = [r for r in saved if _machine(r) == _machine(record)]
    return same or saved


def _machine(record: Record) -> str:
    return record.environment.device_class if record.environment else ""


def _suitable(processes: Sequence[Record], records: Sequence[Record]) -> tuple[str, ...]:
    """Return what is compared unless a marker says; bytecodes where both sides counted them."""
    if not isinstance(records[-1].cell.workload, Call):
        return GATED
    both = (*processes, *records)
    counted = all(process_value(record, _BYTECODES) is not None for record in both)
    if not counted or len({_python(record) for record in both}) > 1:
        return _IN_PROCESS
    return (_BYTECODES, *_IN_PROCESS)


def _python(record: Record) -> str:
    return record.environment.python.rpartition(".")[0] if record.environment else ""


def absent_metrics(record: Record, metrics: tuple[str, ...] | None) -> str:
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
    machines = {_machine(r) for r in processes}
    return calibrate(processes, names) if len(machines) == 1 else None


def _assumed(record: Record, names: Sequence[str]) -> Calibration:
    """Return the noise that is assumed where none was measured: more than most machines have."""
    noise = {
        name: Noise(
            name,
            _ASSUMED_LOG_SD_OF_COUNTS if name.startswith(_COUNTS) else _ASSUMED_LOG_SD,
            FEWEST_PROCESSES,
            0.0,
            1.0,
        )
        for name in names
        if name not in _NO_COST
    }
    return Calibration(_machine(record), cell_name(record), noise)


def _admitted(
    result: GateResult, noise: Calibration, sides: tuple[int, int], hint: str, tests: int
) -> GateResult:
    """Return a result which admits of every check whose noise was assumed that it was."""
    checks = []
    for check in result.checks:
        assumed = noise.of(check.metric)
        if assumed is None or "noise" not in check.test:
            checks.append(check)
            continue
        t = t_quantile(1 - ALPHA / tests, assumed.df)
        beyond = (1 + result.margin) * math.exp(t * assumed.error(*sides))
        open_ = f"only a loss beyond ×{beyond:.2g} fails: {hint}"
        detail = open_ if check.verdict == "undecided" else check.detail
        checks.append(replace(check, test="Student's t, assumed noise", detail=detail))
    return replace(result, checks=tuple(checks))


def _hint(saved: int, of: str) -> str:
    """Return why the noise is assumed, and what would make it known."""
    more = FEWEST_PROCESSES - saved
    if more <= 0:
        return "the saved runs are of several machines"
    runs = "1 run is saved" if saved == 1 else f"{saved} runs are saved"
    said = f"{runs}, too few to know by how much equal runs differ here"
    if of.startswith("git:"):
        return f"{said}; --effmark-runs {FEWEST_PROCESSES} measures more of both"
    return f"{said}; save {more} more: pytest --effmark-save {of} --effmark-runs {more}"


def _judged(
    result: GateResult,
    processes: Sequence[Record],
    records: Sequence[Record],
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
        unproven = f"{metric(open_[0].metric).label}: {_why(open_[0], tests)}"
        note = f"by {metric(chosen.metric).label} alone; {unproven}"
    elif open_:
        chosen, verdict, note = open_[0], "undecided", _why(open_[0], tests)
    else:
        chosen, verdict, note = result.checks[0], "pass", ""
    before, now = _mean(chosen.metric, processes), _mean(chosen.metric, records)
    shown = worse or [chosen]
    said = "; ".join(_sentence(check, processes, records, result.margin) for check in shown)
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


def _mean(name: str, processes: Sequence[Record]) -> float | None:
    """Return the geometric mean over processes, in the unit of the metric; None for none."""
    values = [v for r in processes if (v := process_value(r, name)) is not None]
    if not values or min(values) <= 0:
        return values[-1] if values else None
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def _sentence(
    check: GateCheck, processes: Sequence[Record], records: Sequence[Record], margin: float
) -> str:
    """Return baseline, candidate, ratio and interval of a metric."""
    unit, label = metric(check.metric).unit, metric(check.metric).label
    values = (_mean(check.metric, side) for side in (processes, records))
    shown = " -> ".join("?" if v is None else format_quantity(v, unit) for v in values)
    if check.ratio is None:
        return f"{label} {shown}"
    interval = (
        "" if check.low is None or check.high is None or check.low == check.high
        else f" (95 % interval {check.low:.4g} to {check.high:.4g})"
    )  # fmt: skip
    return (
        f"{label} {shown}, ratio {check.ratio:.4g}{interval}, "
        f"accepted {_accepted(check.metric, margin):.4g}, {check.test}"
    )


def _accepted(name: str, margin: float) -> float:
    return 1 + margin if metric(name).direction == "lower" else 1 / (1 + margin)


def _changed(result: GateResult, processes: Sequence[Record], record: Record) -> tuple[str, ...]:
    """Return what differs between baseline and candidate, one line each."""
    lines = [f"{d.field}: {d.a} -> {d.b}" for d in result.differences]
    dirty = [bool(r.environment and r.environment.git_dirty) for r in (processes[-1], record)]
    if any(dirty):
        words = ["uncommitted changes" if side else "as committed" for side in dirty]
        lines.append(f"checkout: {words[0]} -> {words[1]}")
    more = len(lines) - _MOST_DIFFERENCES
    return (*lines[:_MOST_DIFFERENCES], *([f"… and {more} more"] if more > 0 else []))
