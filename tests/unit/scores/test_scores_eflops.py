"""eFLOPs of dense, sparse and block-sparse attention."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import eflops, eflops_block_sparse, eflops_sparse, mean_eflops

Oracles = Callable[[str], Any]

SHAPE = (1e9, 16, 8, 128, 4)
QUERIES = 16 * 128 * 4


def keys_read(context: int, generated: int, budget: int) -> float:
    return (eflops_sparse(*SHAPE, context, generated, budget).compute - 2e9 * generated) / (
        4 * QUERIES
    )


@given(st.integers(0, 500), st.integers(1, 500), st.integers(1, 800))
def test_keys_read_are_the_sum_over_the_steps(context: int, generated: int, budget: int) -> None:
    # The formula integrates over a step where the sum counts its start: at most half a key a step.
    exact = sum(min(budget, context + t) for t in range(generated))
    assert 0 <= keys_read(context, generated, budget) - exact <= generated / 2 + 1e-3


@given(st.integers(0, 300), st.integers(1, 300), st.integers(1, 300))
def test_a_larger_budget_costs_more_up_to_dense(context: int, generated: int, budget: int) -> None:
    small = eflops_sparse(*SHAPE, context, generated, budget).total
    large = eflops_sparse(*SHAPE, context, generated, budget + 10).total
    dense = eflops(*SHAPE, context, generated).total
    assert small <= large * (1 + 1e-12)
    assert large <= dense * (1 + 1e-12)


def test_an_endless_budget_is_dense_attention() -> None:
    dense = eflops(*SHAPE, 100, 50)
    assert eflops_sparse(*SHAPE, 100, 50, 10**9) == dense


def test_trials_share_the_prompt_in_dense_attention_only() -> None:
    one, four = eflops(*SHAPE, 1000, 10), eflops(*SHAPE, 1000, 10, trials=4)
    assert four.compute == 4 * one.compute
    assert four.memory < 4 * one.memory
    sparse = [eflops_sparse(*SHAPE, 1000, 10, 64, trials=n) for n in (1, 4)]
    assert sparse[1].memory == 4 * sparse[0].memory


def test_the_authors_sign_adds_what_should_be_subtracted() -> None:
    right = eflops_sparse(*SHAPE, 100, 500, 300)
    theirs = eflops_sparse(*SHAPE, 100, 500, 300, authors_sign=True)
    assert theirs.compute - right.compute == pytest.approx(4 * QUERIES * (300 - 100) ** 2)


def test_finding_blocks_costs_something() -> None:
    free = eflops_sparse(*SHAPE, 1000, 100, 128)
    found = eflops_block_sparse(*SHAPE, 1000, 100, 64, 16, 4)
    assert found.compute - free.compute == (2 * 1000 + 100) // 16 * 100 * QUERIES


def test_without_any_key_to_read_a_block_sparse_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="must be at least 1, got 0"):
        eflops_block_sparse(*SHAPE, 10, 10, 0, 16, 0)


@given(st.lists(st.integers(1, 1000), min_size=1, max_size=9))
def test_the_mean_cost_is_at_least_the_cost_of_the_mean_length(lengths: list[int]) -> None:
    mean = mean_eflops(eflops(*SHAPE, 100, length) for length in lengths)
    flat = eflops(*SHAPE, 100, math.fsum(lengths) / len(lengths))
    assert mean.total >= flat.total * (1 - 1e-9)


def test_costs_agree_with_the_authors(oracles: Oracles) -> None:
    functions = set()
    for case in oracles("kinetics_eflops")["cases"]:
        given = case["inputs"]
        shape = given["nparams"], given["num_attn_heads"], given["num_kv_heads"], given["head_dim"]
        lengths = 1, given["context_length"], given["generation_length"]
        options = {"trials": given["num_trials"], "intensity": given["E_flops"]}
        functions.add(case["function"])
        if case["function"] == "dense_cost":
            found = eflops(*shape, *lengths, **options)
        elif case["function"] == "zero_overhead_sparse_cost":
            found = eflops_sparse(*shape, *lengths, given["budget"], authors_sign=True, **options)
        else:
            blocks = given["local"], given["block_size"], given["block_topk"]
            found = eflops_block_sparse(*shape, *lengths, *blocks, **options)
        assert found.compute == pytest.approx(case["compute_tflops"] * 1e12, rel=1e-9), case
        assert found.memory == pytest.approx(case["memory_eq_tflops"] * 1e12, rel=1e-9), case
        assert found.total == pytest.approx(case["total_eflops"] * 1e12, rel=1e-9), case
    assert len(functions) == 3


def test_expected_costs_agree_with_the_authors(oracles: Oracles) -> None:
    for case in oracles("kinetics_eflops")["expected_cost"]:
        found = mean_eflops(
            eflops(
                *(8.19e9, 32, 8, 4608, 1, case["context_length"], length),
                trials=case["num_trials"],
                intensity=case["E_flops"],
            )
            for length in case["generation_lengths"]
        )
        assert found.compute == pytest.approx(case["compute"] * 1e12, rel=1e-9)
        assert found.memory == pytest.approx(case["memory"] * 1e12, rel=1e-9)
