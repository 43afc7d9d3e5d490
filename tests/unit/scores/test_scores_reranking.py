"""Queries and quality per PetaFLOP, and the authors' estimate of FLOPs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import e2r_decoder_flops, e2r_encoder_decoder_flops, qpp, rpp

Oracles = Callable[[str], Any]

QWEN = {
    "Qwen2.5-3B": (36, 2048, 11008, 8),
    "Qwen2.5-7B": (28, 3584, 18944, 7),
    "Qwen2.5-14B": (48, 5120, 13824, 5),
}
FLAN_T5 = {
    "flan-t5-large": (24, 1024, 2816),
    "flan-t5-xl": (24, 2048, 5120),
    "flan-t5-xxl": (24, 4096, 10240),
}


@given(st.lists(st.floats(1e12, 1e16), min_size=1, max_size=20))
def test_perfect_quality_makes_rpp_at_least_qpp(flops: list[float]) -> None:
    # The mean of inverses is never below the inverse of the mean.
    queries, quality = qpp(flops), rpp([1.0] * len(flops), flops)
    assert queries is not None
    assert quality is not None
    assert quality >= queries * (1 - 1e-12)


@given(st.floats(1e9, 1e18))
def test_equal_queries_cost_the_same_either_way(flops: float) -> None:
    assert rpp([1.0, 1.0], [flops, flops]) == pytest.approx(qpp([flops, flops]))


@given(st.integers(0, 2000), st.integers(0, 50))
def test_longer_requests_cost_more(tokens: int, output: int) -> None:
    shape = (24, 1024, 2816)
    more = e2r_decoder_flops(tokens + 1, output, *shape, 4)
    assert more > e2r_decoder_flops(tokens, output, *shape, 4)
    longer = e2r_encoder_decoder_flops(tokens, output + 1, *shape)
    assert longer > e2r_encoder_decoder_flops(tokens, output, *shape)


def test_a_free_query_has_no_quality_per_flop() -> None:
    assert rpp([0.5, 0.5], [1e15, 0.0]) is None
    assert qpp([1e15, 0.0]) == 2.0


def test_fewer_query_heads_than_kv_heads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"gqa_ratio must be at least 1, got 0.5"):
        e2r_decoder_flops(1, 1, 1, 8, 16, 0.5)


def test_the_estimators_agree_with_the_authors(oracles: Oracles) -> None:
    for case in oracles("e2r_flops")["calculator"]:
        shape = case["num_layers"], case["dimensions"], case["ffsize"]
        tokens = case["input_tokens"], case["output_tokens"]
        if case["function"] == "flops_decoder":
            value = e2r_decoder_flops(*tokens, *shape, case["ratio"])
        else:
            value = e2r_encoder_decoder_flops(*tokens, *shape)
        assert value == pytest.approx(case["flops"], rel=1e-9), case


def test_the_published_estimates_are_reproduced(oracles: Oracles) -> None:
    for row in oracles("e2r_flops")["measured_vs_estimated"]:
        assert qpp([row["profiled_flops_total"]]) == pytest.approx(
            row["queries_per_petaflop_profiled"], rel=1e-9
        )
        for call in row["first_calls"]:
            tokens = call["input"], call["output"]
            if row["model"] in QWEN:
                layers, hidden, width, ratio = QWEN[row["model"]]
                value = e2r_decoder_flops(*tokens, layers, hidden, width, ratio)
            else:
                value = e2r_encoder_decoder_flops(*tokens, *FLAN_T5[row["model"]])
            assert value == pytest.approx(call["estimated_flops"], rel=1e-9), row["file"]
