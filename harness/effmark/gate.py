"""A verdict for continuous integration: pass, worse, undecided, not comparable.

The question of a gate is not "is there a difference" but "is it worse beyond the margin". Worse
needs proof (a one-sided test against the margin, Holm-corrected over metrics), and so does a pass
(the same test the other way round); what lies between is undecided. The noise comes from A/A runs
on the same machine, or from at least three processes a side, never from the blocks of a single
process: those share its luck, and a gate that trusts them raises false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from effmark.compare.comparison import ALPHA, MARGIN, check_alpha
from effmark.compare.differences import Difference, comparable
from effmark.compare.noise import Calibration, against_noise, cell_name, matching
from effmark.compare.tests import FEWEST_PROCESSES, ChosenTest, choose_test
from effmark.compare.units import by_process, process_value
from effmark.compare.verdicts import MetricMissing
from effmark.errors import SpecError
from effmark.metrics import METRICS, metric
from effmark.record import SCHEMA_VERSION, Record
from effmark.stats.decisions import check_margin, holm
from effmark.stats.distributions import t_quantile
from effmark.stats.ranks import StudentRatio

__all__ = ["EXIT_CODES", "GATED", "GateCheck", "GateResult", "gate", "gate_json"]

GateVerdict = Literal["pass", "worse", "undecided", "not_comparable"]

EXIT_CODES: dict[GateVerdict, int] = {
    "pass": 0,
    "worse": 10,
    "undecided": 11,
    "not_comparable": 12,
}
"""None of them is a code that a crash gives."""

GATED = (
    "instructions_per_output_token",
    "instructions_per_image",
    "instructions_per_call",
    "tpot_s",
    "ttft_s",
    "latency_s",
    "peak_memory_b",
    "bits_per_byte",
    "accuracy",
)
"""Looked at unless told otherwise: few, so that the correction for many costs little."""

POWER = 0.8
"""With which the smallest detectable effect is found."""


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One metric of one cell against the margin."""

    cell: str
    metric: str
    verdict: GateVerdict
    ratio: float | None
    """Candidate / baseline; None where it could not be formed."""
    low: float | None
    high: float | None
    test: str
    p_worse: float | None
    """p of "worse beyond the margin", Holm-adjusted over all checks."""
    p_pass: float | None
    """p of "not worse beyond the margin"."""
    detectable_ratio: float | None
    """Smallest slow-down that this many processes on this machine show with a power of 80 %."""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class GateResult:
    """What the gate says, and why."""

    verdict: GateVerdict
    margin: float
    alpha: float
    checks: tuple[GateCheck, ...]
    differences: tuple[Difference, ...]
    detail: str

    @property
    def exit_code(self) -> int:
        """Return 0 pass, 10 worse, 11 undecided, 12 not comparable."""
        return EXIT_CODES[self.verdict]


@dataclass(frozen=True, slots=True)
class _Asked:
    cell: str
    metric: str
    chosen: ChosenTest | MetricMissing
    detectable_ratio: float | None


def gate(
    baseline: Sequence[Record],
    candidate: Sequence[Record],
    margin: float = MARGIN,
    *,
    calibration: Calibration | Sequence[Calibration] | None = None,
    alpha: float = ALPHA,
    metrics: Iterable[str] | None = None,
    allow_invalid: bool = False,
    allow: Iterable[str] = (),
    interleaved: bool = False,
) -> GateResult:
    """Return whether a candidate is worse than a baseline beyond a margin.

    Args:
        baseline: records of one or more cells, better of several processes each.
        candidate: records of the same cells.
        margin: relative loss that is accepted.
        calibration: noise of this machine, for each cell or for some.
        alpha: accepted rate of false alarms over all checks together.
        metrics: names to look at; None for `GATED`.
        allow_invalid: whether records that are marked invalid count.
        allow: fields that may differ although they spoil metrics.
        interleaved: whether processes of both sides took turns; otherwise calibrated drift counts.

    Raises:
        SpecError: no records, a bad margin or alpha, or records of another schema version.
    """
    try:
        check_margin(margin)
    except ValueError as error:
        raise SpecError(str(error)) from None
    check_alpha(alpha)
    sides = [
        _cells(side, name) for side, name in ((baseline, "baseline"), (candidate, "candidate"))
    ]
    given = calibration or ()
    calibrations = [given] if isinstance(given, Calibration) else list(given)
    problem, differences = _problem(sides[0], sides[1], allow_invalid, set(allow))
    if problem:
        return GateResult("not_comparable", margin, alpha, (), differences, problem)
    names = _names(metrics)
    asked = [
        _ask(cell, name, sides[0][cell], sides[1][cell], calibrations, margin, alpha, interleaved)
        for cell in sides[0]
        for name in names
    ]
    checks = _judged([a for a in asked if a is not None], margin, alpha)
    return _result(checks, differences, margin, alpha)


def _names(metrics: Iterable[str] | None) -> tuple[str, ...]:
    names = tuple(GATED if metrics is None else metrics)
    for name in names:
        if name not in METRICS or METRICS[name].direction == "none":
            raise SpecError(f"gate: metric {name!r} has no direction, wants one such as 'tpot_s'")
    return names


def _cells(records: Sequence[Record], name: str) -> dict[str, list[Record]]:
    """Return the records of each cell."""
    if not records:
        raise SpecError(f"gate: {name} has no records, wants one or more")
    found: dict[str, list[Record]] = {}
    for record in records:
        if record.schema_version != SCHEMA_VERSION:
            raise SpecError(
                f"gate: record {record.id} has schema version {record.schema_version!r}, "
                f"wants {SCHEMA_VERSION}"
            )
        found.setdefault(cell_name(record), []).append(record)
    return found


def _problem(
    a: dict[str, list[Record]], b: dict[str, list[Record]], allow_invalid: bool, allowed: set[str]
) -> tuple[str, tuple[Difference, ...]]:
    """Return why the sides do not compare, empty if they do, and the fields that differ."""
    if a.keys() != b.keys():
        lonely = sorted(a.keys() ^ b.keys())
        return f"only one side has {lonely[0]}", ()
    seen: dict[tuple[str, str, str], Difference] = {}
    for cell in a:
        for name, side in (("baseline", a[cell]), ("candidate", b[cell])):
            bad = next((r for r in side if r.outcome != "ok"), None)
            if bad is not None:
                return f"{name} {cell}: {bad.outcome}: {bad.detail}", ()
            invalid = next((r for r in side if r.validity == "invalid"), None)
            if invalid is not None and not allow_invalid:
                codes = ", ".join(x.code for x in invalid.advice if x.severity == "invalid")
                return f"{name} {cell}: invalid ({codes or 'no reason given'})", ()
        first, *others = (*a[cell], *b[cell])
        for record in others:
            for d in comparable(first, record):
                if d.field not in allowed:
                    seen[d.field, d.a, d.b] = d
    differences = tuple(seen.values())
    spoiling = [d for d in differences if d.scope in ("all", "speed")]
    if spoiling:
        d = spoiling[0]
        return f"{d.field} differs: {d.a} and {d.b}", differences
    return "", differences


def _ask(
    cell: str,
    name: str,
    a: Sequence[Record],
    b: Sequence[Record],
    calibrations: Sequence[Calibration],
    margin: float,
    alpha: float,
    interleaved: bool,
) -> _Asked | None:
    """Return the test that answers for a metric, None where neither side has it."""
    first, second = by_process(a), by_process(b)
    values = [
        [v for r in side if (v := process_value(r, name)) is not None] for side in (first, second)
    ]
    if not any(values):
        return None
    if not all(len(v) == len(s) for v, s in zip(values, (first, second), strict=True)):
        return _Asked(cell, name, MetricMissing(name, "a record does not have it"), None)
    calibration = matching(calibrations, first[0])
    noise = calibration.of(name) if calibration else None
    chosen = choose_test(name, first, second, paired=interleaved, calibration=calibration)
    if isinstance(chosen, MetricMissing) or chosen.per in ("item", "exact"):
        return _Asked(cell, name, chosen, None)
    if not chosen.decides:
        needed = FEWEST_PROCESSES - min(len(first), len(second))
        reason = f"noise unknown: calibrate this machine, or run {needed} more processes a side"
        return _Asked(cell, name, MetricMissing(name, reason), None)
    test = against_noise(values[0], values[1], noise, interleaved=interleaved)
    chosen = replace(chosen, test=test, name=test.name)
    return _Asked(cell, name, chosen, _detectable(test, margin, alpha))


def _detectable(test: StudentRatio, margin: float, alpha: float) -> float:
    """Return the relative slow-down that is found with the stated power."""
    t = t_quantile(1 - alpha, test.df) + t_quantile(POWER, test.df)
    return math.expm1(math.log1p(margin) + t * test.error)


def _judged(asked: Sequence[_Asked], margin: float, alpha: float) -> tuple[GateCheck, ...]:
    tested = [a for a in asked if isinstance(a.chosen, ChosenTest)]
    raw = [_p_values(a.metric, a.chosen, margin) for a in tested]  # type: ignore[arg-type]
    adjusted = iter(zip(holm([worse for worse, _ in raw]), raw, strict=True))
    checks = []
    for one in asked:
        if isinstance(one.chosen, MetricMissing):
            checks.append(
                GateCheck(one.cell, one.metric, "undecided", None, None, None, "", None, None,
                          None, one.chosen.reason)
            )  # fmt: skip
        else:
            p_worse, (_, p_pass) = next(adjusted)
            checks.append(_check(one, one.chosen, p_worse, p_pass, margin, alpha))
    return tuple(checks)


def _p_values(name: str, chosen: ChosenTest, margin: float) -> tuple[float, float]:
    """Return the p of "worse beyond the margin" and of "not worse beyond it"."""
    lower_is_better = metric(name).direction == "lower"
    if chosen.test is None:
        worse = chosen.ratio > 1 + margin if lower_is_better else chosen.ratio < 1 / (1 + margin)
        return (0.0, 1.0) if worse else (1.0, 0.0)
    if lower_is_better:
        return chosen.test.p_above(1 + margin), chosen.test.p_below(1 + margin)
    return chosen.test.p_below(1 / (1 + margin)), chosen.test.p_above(1 / (1 + margin))


def _check(
    one: _Asked, chosen: ChosenTest, p_worse: float, p_pass: float, margin: float, alpha: float
) -> GateCheck:
    verdict: GateVerdict = "undecided"
    if p_worse < alpha:
        verdict = "worse"
    elif p_pass < alpha:
        verdict = "pass"
    bounds = (chosen.ratio, chosen.ratio) if chosen.test is None else (None, None)
    low, high = bounds if chosen.test is None else chosen.test.bounds(1 - alpha) or (None, None)
    detail = ""
    if verdict == "undecided" and one.detectable_ratio is not None:
        detail = (
            f"cannot see {100 * margin:g} % here, can see {100 * one.detectable_ratio:.3g} %: "
            "run more processes or accept a wider margin"
        )
    return GateCheck(
        one.cell, one.metric, verdict, chosen.ratio, low, high, chosen.name, p_worse, p_pass,
        one.detectable_ratio, detail,
    )  # fmt: skip


def _result(
    checks: tuple[GateCheck, ...],
    differences: tuple[Difference, ...],
    margin: float,
    alpha: float,
) -> GateResult:
    """Return the worst verdict of all checks, in one sentence."""
    for verdict in ("worse", "undecided"):
        bad = [c for c in checks if c.verdict == verdict]
        if bad:
            first = bad[0]
            said = "" if first.ratio is None else f" x{first.ratio:.4g}"
            detail = f"{len(bad)} of {len(checks)} checks {verdict}: {first.cell}: {first.metric}"
            detail += said + (f" ({first.detail})" if first.detail else "")
            return GateResult(verdict, margin, alpha, checks, differences, detail)
    if not checks:
        return GateResult(
            "not_comparable", margin, alpha, (), differences, "no metric that both sides have"
        )
    detail = f"{len(checks)} checks within {100 * margin:g} %"
    return GateResult("pass", margin, alpha, checks, differences, detail)


def gate_json(result: GateResult) -> dict[str, Any]:
    """Return a result as JSON data: unknown numbers are null."""
    return {"schema_version": 1, "exit_code": result.exit_code, **asdict(result)}
