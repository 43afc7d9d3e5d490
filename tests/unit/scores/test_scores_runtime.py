"""Idealized runtime, against HELM's own tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import idealized_runtime

Oracles = Callable[[str], Any]
TABLE = {1: 0.084, 16: 0.087, 32: 0.089}


@given(st.integers(0, 100), st.integers(1, 50))
def test_each_further_output_token_costs_the_same(prompt: int, output: int) -> None:
    first = idealized_runtime(prompt, 1, TABLE, 0.08)
    later = idealized_runtime(prompt, output, TABLE, 0.08)
    assert first is not None
    assert later == pytest.approx(first + 0.08 * (output - 1))
    assert idealized_runtime(prompt, 0, TABLE, 0.08) == first


@given(st.integers(32, 10_000))
def test_beyond_the_table_the_last_entry_is_scaled(prompt: int) -> None:
    assert idealized_runtime(prompt, 0, TABLE, 0.0) == pytest.approx(0.089 * prompt / 32)


def test_the_published_table_is_not_monotone() -> None:
    at_16, at_17 = (idealized_runtime(p, 0, TABLE, 0.0) for p in (16, 17))
    assert at_16 == 0.087
    assert at_17 == pytest.approx(0.047, abs=5e-4)


def test_the_order_of_the_table_does_not_matter() -> None:
    backwards = dict(reversed(TABLE.items()))
    assert idealized_runtime(20, 3, backwards, 0.08) == idealized_runtime(20, 3, TABLE, 0.08)


@pytest.mark.parametrize("table", [{"16": 0.1}, {0: 0.1}, {16: -0.1}])
def test_an_impossible_table_is_refused(table: Any) -> None:
    with pytest.raises(ValueError, match="prompt_s"):
        idealized_runtime(5, 1, table, 0.01)


def test_runtimes_agree_with_helm(oracles: Oracles) -> None:
    data = oracles("helm_idealized_runtime")
    for case in data["cases"]:
        row = data[f"{case['table']}_table"].get(case["model"], {})
        table = row.get("runtime_for_prompt_tokens")
        value = idealized_runtime(
            case["num_prompt_tokens"],
            case["num_output_tokens"],
            None if table is None else {int(size): s for size, s in table.items()},
            row.get("runtime_per_output_token", 0.0),
            overhead_s=row.get("overhead") or 0.0,
        )
        wanted = case["runtime_s"]
        assert value == (wanted if wanted is None else pytest.approx(wanted, rel=1e-9)), case
