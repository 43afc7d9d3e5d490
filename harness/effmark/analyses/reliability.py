"""Ranking reliability: would another draw of the same kind of items give the same order?

* DIoR, leader flips and the largest change of a mean win rate, by `effmark.scores.dior` (Perlitz et
  al., NAACL 2024): the table is resampled at growing numbers of items, up to all of them. Each
  number answers "if the benchmark had only so many": the smallest that reaches the wanted DIoR is
  enough. The bound is one-sided.
* Mean win rates with ties as half a win (HELM) and as no win (DIoR's paper).
* Resolution: the difference between two configurations that these items can show with power 0.8
  at the two-sided level 0.05, (z_0.975 + z_0.8) s / sqrt(n), s the deviation of paired differences,
  for the median and the widest pair (Miller, arXiv 2411.00640); solved for n it is the number of
  items that a wanted resolution needs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median, stdev

from effmark.analyses.examples import Scores, item_scores, workload_scores
from effmark.analyses.field import Field
from effmark.analyses.finding import Cell, Finding, Quantity, Table, TooLittle
from effmark.metrics import METRICS
from effmark.record import Missing
from effmark.scores import Dior, bootstrap_indices, dior, mean_win_rate
from effmark.stats.distributions import normal_quantile

__all__ = ["Step", "needed_items", "reliability", "resolution", "steps"]

_SIZES = (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
_MOST_WORK = 1_000_000
_REPETITIONS = (100, 1000)
_FEWEST_COLUMNS = 4
_MOST_CONFIGURATIONS = 60
_QUALITIES = ("accuracy", "bits_per_byte", "top1_agreement")
_TIMES = ("tpot_s", "ttft_s", "latency_s", "e2e_latency_s")
_FACTOR = normal_quantile(0.975) + normal_quantile(0.8)
_SCOPE = ("Other items of the same kind are meant; other tasks or machines may give other orders, "
          "and noise of timing is not resampled.")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """How reliable the order is with so many columns."""

    size: int
    repetitions: int
    found: Dior

    @property
    def undefined(self) -> float:
        """Return the share of resamples in which all configurations tie: they have no order."""
        return self.found.undefined / self.repetitions

    @property
    def lower_bound(self) -> float:
        """Return the DIoR, -1 where more than 5 % of the resamples show no order at all."""
        return -1.0 if self.found.value is None or self.undefined > 0.05 else self.found.value


def steps(table: Sequence[Sequence[float]], *, seed: int = 0) -> list[Step]:
    """Return the reliability at growing numbers of columns, the last being all of them."""
    models, columns = len(table), len(table[0])
    sizes = [*(s for s in _SIZES if s < columns), columns]
    found = []
    for size in sizes:
        most = _MOST_WORK // (size * models)
        repetitions = min(max(most, _REPETITIONS[0]), _REPETITIONS[1])
        resamples = bootstrap_indices(columns, size, repetitions, seed=seed)
        found.append(Step(size, repetitions, dior(table, resamples)))
    return found


def resolution(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the difference of means that paired columns can show, in their unit."""
    return _FACTOR * stdev(x - y for x, y in zip(a, b, strict=True)) / math.sqrt(len(a))


def needed_items(a: Sequence[float], b: Sequence[float], wanted: float) -> int:
    """Return how many columns would show a wanted difference of means."""
    return max(2, math.ceil(len(a) * (resolution(a, b) / wanted) ** 2))


def reliability(
    field: Field, name: str | None = None, *, over: str | None = None, dior_wanted: float = 0.9,
    resolution_wanted: float | None = None, everything: bool = False,
) -> Finding:  # fmt: skip
    """Return how far the ranking by a metric can be trusted, and what more items would buy.

    Args:
        field: whose ranking.
        name: the metric; None for quality by items where there is some, else time by workloads.
        over: what is resampled, `items` or `workloads`; None for what there is.
        dior_wanted: the DIoR that counts as reliable.
        resolution_wanted: the difference that should be visible, in the unit of the metric; None
            for a twentieth of the best score.
        everything: whether numbers without a rank take part, too.
    """
    scores, left_out = _best(_scores(field, name, over, everything=everything))
    found = steps(scores.table)
    full = found[-1].found
    shared = sum(rate == max(full.win_rates) for rate in full.win_rates)
    wanted = resolution_wanted or abs(_mean(max(scores.table, key=_mean))) / 20
    tables = [_win_rates(scores, full), _sizes(scores, found, shared)]
    if scores.columns == "items" and full.value is not None:
        tables.append(_resolutions(scores, wanted))
    enough = next((s.size for s in found if s.lower_bound >= dior_wanted), None)
    values = {
        "metric": scores.metric, "columns": scores.columns, "count": scores.count,
        "dior": full.value,
        "leader_flips": None if shared > 1 else full.switch_rate,
        "undefined": found[-1].undefined,
        "shared_lead": shared,
        "enough": enough,
        "dior_wanted": dior_wanted,
    }  # fmt: skip
    return Finding(
        "reliability", f"Reliability of the ranking by {METRICS[scores.metric].label}",
        _conclusion(scores, found[-1], shared, enough, dior_wanted), (_SCOPE, *left_out),
        tuple(tables), field.suite, field.machine, "", values,
    )  # fmt: skip


def _scores(field: Field, name: str | None, over: str | None, *, everything: bool) -> Scores:
    tried = [
        item_scores(field, n, everything=everything)
        for n in ([name] if name else _QUALITIES) if over != "workloads"
    ] + [
        workload_scores(field, n, everything=everything)
        for n in ([name] if name else _TIMES) if over != "items"
    ]  # fmt: skip
    found = next((s for s in tried if s is not None and s.count >= _FEWEST_COLUMNS), None)
    if found is None:
        raise TooLittle(
            f"reliability: needs two configurations with {name or 'accuracy or a time'} on the "
            f"same {over or 'items or workloads'}, {_FEWEST_COLUMNS} or more of them"
        )
    return found


def _best(scores: Scores) -> tuple[Scores, tuple[str, ...]]:
    """Return the best configurations where there are too many to redraw, and a word on that."""
    count = len(scores.names)
    if count <= _MOST_CONFIGURATIONS:
        return scores, ()
    order = sorted(range(count), key=lambda i: -_mean(scores.table[i]))
    kept = sorted(order[:_MOST_CONFIGURATIONS])
    best = replace(
        scores, names=tuple(scores.names[i] for i in kept),
        table=tuple(scores.table[i] for i in kept),
    )  # fmt: skip
    return best, (f"Only the best {len(kept)} of {count} configurations, by their mean.",)


def _mean(row: Sequence[float]) -> float:
    return math.fsum(row) / len(row)


def _win_rates(scores: Scores, full: Dior) -> Table:
    half = mean_win_rate(scores.table, ties="half")
    order = sorted(range(len(scores.names)), key=lambda i: (-full.win_rates[i], -(half[i] or 0)))
    rows: list[tuple[Cell, ...]] = []
    for i in order:
        tied = half[i]
        shown: Cell = "–" if tied is None else Quantity(tied)
        rows.append((scores.names[i], Quantity(full.win_rates[i]), shown))
    return Table(
        f"mean win rate over {scores.count} {scores.columns}",
        ("configuration", "strict", "ties half"), tuple(rows),
    )  # fmt: skip


def _sizes(scores: Scores, found: Sequence[Step], shared: int) -> Table:
    """Return what fewer items would give; a lead that is shared cannot flip."""
    why = f"{shared} share the first place"
    tie = Missing(metric="leader_flips", reason="undefined", detail=why)
    rows: list[tuple[Cell, ...]] = []
    for step in found:
        flips = tie if shared > 1 else Quantity(step.found.switch_rate)
        change = Quantity(step.found.max_difference)
        rows.append((str(step.size), _dior(step.found), Quantity(step.undefined), flips, change))
    return Table(
        f"if there were so many {scores.columns}",
        (scores.columns, "DIoR", "no order at all", "leader flips", "change of a win rate"),
        tuple(rows),
    )  # fmt: skip


def _dior(found: Dior) -> Cell:
    if found.value is None:
        return Missing(metric="dior", reason="undefined", detail="all configurations tie")
    return Quantity(found.value)


def _resolutions(scores: Scores, wanted: float) -> Table:
    """Return what the items resolve for the typical and the widest pair, and what is needed."""
    pairs = [(a, b) for a, b in itertools.combinations(scores.table, 2) if a != b]
    widths = sorted((resolution(a, b), i) for i, (a, b) in enumerate(pairs))
    unit = METRICS[scores.metric].unit
    middle = median([w for w, _ in widths])
    chosen = [
        ("median pair", min(widths, key=lambda w: abs(w[0] - middle))),
        ("widest pair", widths[-1]),
    ]
    rows: list[tuple[Cell, ...]] = []
    for label, (width, index) in chosen:
        a, b = pairs[index]
        rows.append((label, Quantity(width, unit), str(needed_items(a, b, wanted))))
    target = Quantity(wanted, unit).text
    return Table("what these items can show (power 0.8, level 0.05), pairs that differ",
                 ("", "smallest difference", f"items for {target}"), tuple(rows))  # fmt: skip


def _conclusion(scores: Scores, last: Step, shared: int, enough: int | None, wanted: float) -> str:
    what, count = f"{scores.count} {scores.columns}", len(scores.names)
    if last.found.value is None:
        return f"On {what} no two of {count} configurations can be told apart."
    text = f"With {what} the order of {count} configurations has DIoR {last.found.value:.2f}"
    if last.undefined > 0.05:
        share = f"{100 * last.undefined:.0f} %"
        text += f", counted only where there is an order: {share} of redraws show none"
    if shared > 1:
        text += f"; {shared} share the first place"
    else:
        text += f", and the leader changes in {100 * last.found.switch_rate:.0f} % of redraws"
    if enough is None:
        return f"{text}. DIoR {wanted:g} needs more {scores.columns} than there are."
    return f"{text}. {enough} {scores.columns} would do for DIoR {wanted:g}."
