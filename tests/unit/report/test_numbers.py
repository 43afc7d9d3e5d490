"""Numbers as people read them, at the edges: zero, infinity, estimates."""

from __future__ import annotations

import math

import pytest

from effmark.report.numbers import format_number
from effmark.rows import Number


@pytest.mark.parametrize(
    ("value", "low", "high", "unit", "said"),
    [
        (2.0, 1.9, 2.1, "s", "2.00 s ±5 %"),
        (2.0, 1.0, math.inf, "USD", "2.00 USD ±∞"),
        (math.inf, 1.5, math.inf, "USD", "∞"),
        (0.0, 0.0, 0.161, "ratio", "0 ±0.161"),
        (0.0, -0.2, 0.1, "nat", "0 nat ±0.200 nat"),
        (0.0, 0.0, 0.0, "ratio", "0"),
        (0.0, None, None, "ratio", "0"),
    ],
)
def test_an_interval_is_shown_wherever_there_is_one(
    value: float, low: float | None, high: float | None, unit: str, said: str
) -> None:
    assert format_number(Number(value, low, high, unit, 5, "clock", "")) == said


def test_an_estimate_is_marked_and_without_interval_where_nobody_asks() -> None:
    number = Number(2.0, 1.9, 2.1, "J", 5, "model_estimate", "")
    assert format_number(number, interval=False) == "~2.00 J"
