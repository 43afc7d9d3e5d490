"""Mean win rate of HELM: how often a row of a table beats another, averaged over columns.

Per column: (wins + ties / 2) / (rows with a value - 1); then the mean, or median, over columns.
Columns without direction or with fewer than two values are skipped. With ``ties="none"`` a tie is
no win, as in the DIoR paper.

A win rate depends on who else is in the table: show the field, never merge rates of two tables.

Source: read in stanford-crfm/helm @ 63754d05db6f, ``compute_aggregate_row_win_rates``.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from effmark.scores import _average, _check

TIE_WORTH = {"half": 0.5, "none": 0.0}


def mean_win_rate(
    scores: Sequence[Sequence[float | None]],
    lower_is_better: Sequence[bool | None] | None = None,
    *,
    ties: str = "half",
    aggregation: str = "mean",
) -> list[float | None]:
    """Return each row's mean win rate, in 0..1; None for a row that is never comparable.

    Rows are models, columns scenarios; None in ``scores`` is a missing value, infinity a value.
    ``lower_is_better`` None: larger is better everywhere; an entry None: no direction.
    """
    _check.option("ties", ties, tuple(TIE_WORTH))
    _check.option("aggregation", aggregation, ("mean", "median"))
    columns = _columns(scores)
    lower = [False] * len(columns) if lower_is_better is None else lower_is_better
    _check.same_length("lower_is_better", lower, "scores[0]", columns)
    rates: list[list[float]] = [[] for _ in scores]
    for column, direction in zip(columns, lower, strict=True):
        if direction is not None:
            signed = [_signed(value, bool(direction)) for value in column]
            _add_rates(rates, signed, TIE_WORTH[ties])
    aggregate = _average.mean if aggregation == "mean" else _average.median
    return [aggregate(row) if row else None for row in rates]


def _columns(scores: Sequence[Sequence[float | None]]) -> list[list[float | None]]:
    _check.not_empty("scores", scores)
    _check.not_empty("scores[0]", scores[0])
    for i, row in enumerate(scores):
        _check.same_length(f"scores[{i}]", row, "scores[0]", scores[0])
        for j, value in enumerate(row):
            if value is not None:
                _check.number(f"scores[{i}][{j}]", value, infinite=True)
    return [list(column) for column in zip(*scores, strict=True)]


def _signed(value: float | None, lower: bool) -> float | None:
    return -value if lower and value is not None else value


def _add_rates(rates: list[list[float]], column: Sequence[float | None], tie_worth: float) -> None:
    """Append the win rate in one column, where larger is better, to each row that has a value."""
    ascending = sorted(value for value in column if value is not None)
    opponents = len(ascending) - 1
    if opponents < 1:
        return
    for row, value in zip(rates, column, strict=True):
        if value is not None:
            wins = bisect_left(ascending, value)
            ties = bisect_right(ascending, value) - wins - 1
            row.append((wins + tie_worth * ties) / opponents)
