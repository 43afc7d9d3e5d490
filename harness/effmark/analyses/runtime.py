"""Idealized runtime from a few points: seconds of a request from its prompt and output length.

T(p, o) = a + f p + g (o - 1), the form of HELM's idealized runtime (Narayanan et al. 2023, arXiv
2305.02440; evaluated by `effmark.scores.idealized_runtime`), fitted to a configuration's medians at
one batch size: least squares of relative errors, none of the three below 0 (time has no negative
parts, and without that bound four noisy points give nonsense). Every point is then foretold by the
fit to the others, so that each error is that of a request the fit has not seen. A held-out point
beyond the lengths of the others is marked: the form says it, no measurement does.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from effmark.analyses.field import Field, configuration_names
from effmark.analyses.finding import Cell, Finding, Quantity, Table, TooLittle
from effmark.record import Missing
from effmark.report.standing import exclusion
from effmark.rows import Number, Row
from effmark.scores import idealized_runtime
from effmark.spec import Decode, Prefill

__all__ = ["HeldOut", "Point", "RuntimeFit", "fit_runtime", "held_out", "runtime"]

FEWEST = 4
"""Three points fix the three numbers; the fourth checks them."""
_WORST_SHOWN = 6
_SCOPE = "One request at a time on an idle machine: no queue, no other batch size, no cold start."


@dataclass(frozen=True, slots=True)
class Point:
    """A measured request."""

    prompt_tokens: int
    output_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True)
class RuntimeFit:
    """The three numbers of the idealized runtime."""

    overhead_s: float
    s_per_prompt_token: float
    s_per_output_token: float

    def seconds(self, prompt_tokens: int, output_tokens: int) -> float:
        """Return the seconds of a request of one prompt token or more."""
        table = {prompt_tokens: self.overhead_s + self.s_per_prompt_token * prompt_tokens}
        found = idealized_runtime(prompt_tokens, output_tokens, table, self.s_per_output_token)
        assert found is not None  # only an unknown model, without a table, has none
        return found


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A point and what the others foretell for it."""

    point: Point
    foretold_s: float | None
    beyond: bool
    """Whether a length of it lies outside of those of the others."""

    @property
    def error(self) -> float | None:
        """Return (foretold - measured) / measured."""
        return None if self.foretold_s is None else self.foretold_s / self.point.seconds - 1


def fit_runtime(points: Sequence[Point]) -> RuntimeFit | None:
    """Return the fit of least relative squares, no part negative; None if points leave it open."""
    rows = [
        [1 / p.seconds, p.prompt_tokens / p.seconds, (p.output_tokens - 1) / p.seconds]
        for p in points
    ]
    scale = [max((abs(row[i]) for row in rows), default=0.0) or 1.0 for i in range(3)]
    scaled = [[v / s for v, s in zip(row, scale, strict=True)] for row in rows]
    if _least_squares(scaled, (0, 1, 2)) is None:
        return None
    # With three unknowns every choice of those that are 0 can be tried: the exact bounded optimum.
    choices = [c for n in (1, 2, 3) for c in itertools.combinations(range(3), n)]
    found = [f for c in choices if (f := _least_squares(scaled, c)) is not None and min(f) >= 0]
    best = min(found, key=lambda f: _misfit(scaled, f))
    return RuntimeFit(*(v / s for v, s in zip(best, scale, strict=True)))


def _least_squares(rows: Sequence[Sequence[float]], chosen: Sequence[int]) -> list[float] | None:
    """Return the coefficients that bring rows closest to 1, those not chosen being 0."""
    square = [[math.fsum(r[i] * r[j] for r in rows) for j in chosen] for i in chosen]
    solved = _solved(square, [math.fsum(r[i] for r in rows) for i in chosen])
    if solved is None:
        return None
    found = [0.0] * 3
    for index, value in zip(chosen, solved, strict=True):
        found[index] = value
    return found


def _misfit(rows: Sequence[Sequence[float]], found: Sequence[float]) -> float:
    return math.fsum(
        (math.fsum(v * c for v, c in zip(row, found, strict=True)) - 1) ** 2 for row in rows
    )


_SINGULAR = 1e-10


def _solved(matrix: list[list[float]], right: list[float]) -> list[float] | None:
    """Return the solution of linear equations by elimination; None where they are singular."""
    n = len(right)
    rows = [[*line, value] for line, value in zip(matrix, right, strict=True)]
    for i in range(n):
        pivot = max(range(i, n), key=lambda k: abs(rows[k][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        if abs(rows[i][i]) < _SINGULAR:
            return None
        for k in range(i + 1, n):
            factor = rows[k][i] / rows[i][i]
            rows[k] = [a - factor * b for a, b in zip(rows[k], rows[i], strict=True)]
    found = [0.0] * n
    for i in reversed(range(n)):
        rest = sum(rows[i][j] * found[j] for j in range(i + 1, n))
        found[i] = (rows[i][n] - rest) / rows[i][i]
    return found


def held_out(points: Sequence[Point]) -> list[HeldOut]:
    """Return for each point what the fit to all others says."""
    found = []
    for index, point in enumerate(points):
        others = [*points[:index], *points[index + 1 :]]
        fit = fit_runtime(others)
        foretold = None if fit is None else fit.seconds(point.prompt_tokens, point.output_tokens)
        found.append(HeldOut(point, foretold, _beyond(point, others)))
    return found


def _beyond(point: Point, others: Sequence[Point]) -> bool:
    prompts, outputs = [o.prompt_tokens for o in others], [o.output_tokens for o in others]
    return not (min(prompts) <= point.prompt_tokens <= max(prompts)
                and min(outputs) <= point.output_tokens <= max(outputs))  # fmt: skip


def runtime(field: Field, *, batch: int = 1, everything: bool = False) -> Finding:
    """Return the fitted runtime of each configuration and how it does on held-out points."""
    series = _series(field, batch, everything=everything)
    fits = {name: fit_runtime(points) for name, points in series.items()}
    checks = {name: held_out(points) for name, points in series.items() if fits[name] is not None}
    if not _errors([h for found in checks.values() for h in found]):
        most = max((len(p) for p in series.values()), default=0)
        raise TooLittle(
            f"runtime: needs {FEWEST} prompt and output lengths of one configuration at batch "
            f"{batch} that differ in both, got {most} at most; add prefill and decode workloads"
        )
    order = sorted(checks, key=lambda name: _worst_error(checks[name]))
    tables = (
        Table("fitted to all points, checked on held-out ones",
              ("configuration", "overhead", "per prompt token", "per output token", "points",
               "median error", "worst error"),
              tuple(_row(name, fits[name], checks[name]) for name in order)),
        _worst(checks),
    )  # fmt: skip
    everyone = [h for found in checks.values() for h in found]
    lost = sum(h.error is None for h in everyone)
    caveats = [_SCOPE] + ([f"{lost} points cannot be foretold: the others do not fix the fit."]
                          if lost else [])  # fmt: skip
    return Finding(
        "runtime", "Idealized runtime from a few lengths", _conclusion(everyone, len(checks)),
        tuple(caveats), tables, field.suite, field.machine, "",
        {"batch": batch, "median_error": median(_errors(everyone)),
         "worst_error": max(_errors(everyone)),
         "fits": {n: [f.overhead_s, f.s_per_prompt_token, f.s_per_output_token]
                  for n, f in fits.items() if f is not None}},
    )  # fmt: skip


def _errors(found: Sequence[HeldOut]) -> list[float]:
    return [abs(e) for h in found if (e := h.error) is not None]


def _worst_error(found: Sequence[HeldOut]) -> float:
    """Return the largest error; what cannot be foretold is worse than any."""
    return max((math.inf if h.error is None else abs(h.error) for h in found), default=math.inf)


def _conclusion(found: Sequence[HeldOut], configurations: int) -> str:
    worst = [
        f"{_percent(max(errors))} {where}"
        for beyond, where in ((False, "between the other lengths"), (True, "beyond them"))
        if (errors := _errors([h for h in found if h.beyond is beyond]))
    ]
    return (f"Three numbers per configuration foretell a request that the fit has not seen within "
            f"{_percent(median(_errors(found)))} (median over {configurations} configurations); at "
            f"worst {' and '.join(worst)}.")  # fmt: skip


def _series(field: Field, batch: int, *, everything: bool) -> dict[str, list[Point]]:
    """Return the points of every configuration that has enough of them, in rising order."""
    rows = [r for r in field.rows if _point(r, batch, everything=everything) is not None]
    found: dict[str, set[Point]] = {}
    for name, row in zip(configuration_names(rows), rows, strict=True):
        point = _point(row, batch, everything=everything)
        if point is not None:
            found.setdefault(name, set()).add(point)
    ordered = {
        n: sorted(p, key=lambda q: (q.prompt_tokens, q.output_tokens)) for n, p in found.items()
    }
    return {name: points for name, points in ordered.items() if len(points) >= FEWEST}


def _point(row: Row, batch: int, *, everything: bool) -> Point | None:
    workload = row.record.cell.workload
    if not isinstance(workload, Decode | Prefill) or workload.batch != batch:
        return None
    name, output = (
        ("e2e_latency_s", workload.new_tokens) if isinstance(workload, Decode) else ("ttft_s", 1)
    )
    number = row.metrics.get(name)
    if not isinstance(number, Number) or number.value <= 0:
        return None
    if not everything and exclusion(row, name):
        return None
    return Point(workload.prompt_tokens, output, number.value)


def _row(name: str, fit: RuntimeFit | None, found: Sequence[HeldOut]) -> tuple[Cell, ...]:
    assert fit is not None
    errors = _errors(found)
    if not errors:
        none = Missing(
            metric="e2e_latency_s", reason="undefined", detail="no point can be foretold"
        )
        return (name, *_numbers(fit), str(len(found)), none, none)
    return (name, *_numbers(fit), str(len(found)), _percent(median(errors)), _percent(max(errors)))


def _numbers(fit: RuntimeFit) -> tuple[Cell, Cell, Cell]:
    each = (fit.overhead_s, fit.s_per_prompt_token, fit.s_per_output_token)
    first, second, third = (Quantity(value, "s") for value in each)
    return first, second, third


def _worst(checks: dict[str, list[HeldOut]]) -> Table:
    each = [(n, h, e) for n, found in checks.items() for h in found if (e := h.error) is not None]
    each.sort(key=lambda entry: -abs(entry[2]))
    return Table(
        "the worst held-out points",
        ("configuration", "prompt", "output", "measured", "foretold", ""),
        tuple(
            (name, str(h.point.prompt_tokens), str(h.point.output_tokens),
             Quantity(h.point.seconds, "s"), f"{_percent(error, sign=True)}",
             "beyond the others" if h.beyond else "between the others")
            for name, h, error in each[:_WORST_SHOWN]
        ),
    )  # fmt: skip


def _percent(share: float, *, sign: bool = False) -> str:
    return f"{100 * share:{'+' if sign else ''}.1f} %"
