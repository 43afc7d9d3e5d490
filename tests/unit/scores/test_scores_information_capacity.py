"""Information capacity and the authors' FLOPs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import (
    architecture_from_config,
    decode_flops_per_token,
    ic_flops_per_token,
    information_capacity,
    nll_bits_per_token,
    text_bits_per_token,
)

Oracles = Callable[[str], Any]
Config = dict[str, Any]

SMALL: Config = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 128,
    "vocab_size": 1000,
}
GEMMA_3: dict[str, Config] = {
    "gemma-3-4b": {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 262208},
    "gemma-3-12b": {"num_attention_heads": 16, "num_key_value_heads": 8, "vocab_size": 262208},
}


@given(st.lists(st.integers(1, 500), min_size=1, max_size=20))
def test_one_byte_per_token_is_eight_bits(tokens: list[int]) -> None:
    assert text_bits_per_token(tokens, tokens) == 8.0


@given(st.floats(0, 50), st.floats(0, 20), st.floats(2, 1e15))
def test_fewer_nll_bits_mean_more_capacity(text: float, nll: float, flops: float) -> None:
    worse = information_capacity(text, nll + 1, flops, bias=-24)
    assert information_capacity(text, nll, flops, bias=-24) > worse


def test_text_is_averaged_by_sample_and_nll_by_token() -> None:
    assert text_bits_per_token([1, 30], [1, 10]) == pytest.approx((8 + 24) / 2)
    assert nll_bits_per_token([[1.0], [4.0, 4.0]]) == 3.0


def test_no_sample_has_no_nll() -> None:
    assert nll_bits_per_token([]) is None


def test_the_authors_formula_counts_one_key_less_than_the_correct_one() -> None:
    # With head_dim = width / heads only the number of keys differs: t instead of t + 1.
    arch = architecture_from_config(SMALL)
    for steps in (1, 7, 64):
        correct = decode_flops_per_token(arch, steps, context=5)
        missing = 4 * arch.layers * arch.heads * arch.head_dim
        assert ic_flops_per_token(SMALL, steps, context=5) == correct - missing


def test_a_batch_multiplies_the_cost() -> None:
    one = ic_flops_per_token(SMALL, 16, context=3)
    assert ic_flops_per_token(SMALL, 16, context=3, batch_size=5) == 5 * one


def test_a_missing_key_is_named() -> None:
    with pytest.raises(ValueError, match="config must hold moe_intermediate_size"):
        ic_flops_per_token(SMALL | {"num_experts_per_tok": 1}, variant="moe")


def variant_of(case: dict[str, Any], config: Config) -> str:
    name, kwargs = case["model_dir_name"], case["kwargs"]
    if case["function"] == "gqa":
        if "gpt-oss" in name:
            return "gpt-oss"
        if "Llama-4" in name:
            return "llama-4"
        is_mixture = name.startswith(("Qwen1.5", "Qwen2-")) and "B-A" in name
        return "qwen-moe" if is_mixture else "dense"
    if kwargs.get("attention_type") == "mha":
        return "moe"
    if kwargs.get("mla_mode") == "recompute":
        return "latent-recompute"
    is_latent = "deepseek" in config.get("model_type", "") or config.get("n_group")
    return "latent" if is_latent else "moe"


def test_flops_agree_with_the_authors(oracles: Oracles) -> None:
    variants = set()
    for case in oracles("information_capacity")["flops"]:
        name, kwargs = case["model_dir_name"], case["kwargs"]
        config = case["config"].get("text_config", case["config"]) | GEMMA_3.get(name, {})
        variant = variant_of(case, config)
        variants.add(variant)
        value = ic_flops_per_token(
            config,
            kwargs["gen_len"],
            context=kwargs.get("seq_len", 0),
            batch_size=kwargs.get("batch_size", 1),
            variant=variant,
        )
        assert value == pytest.approx(case["flops_per_token_N"], rel=1e-9), (name, variant)
        assert math.log2(value) == pytest.approx(case["log2_N"], rel=1e-9), name
    assert len(variants) == 7


def test_capacities_agree_with_the_authors(oracles: Oracles) -> None:
    for case in oracles("information_capacity")["ic_ratio"]:
        value = information_capacity(
            case["mean_text_bits_per_token"],
            case["mean_nll_bits_per_token"],
            case["flops_per_token"],
            bias=case["bias"],
        )
        assert value == pytest.approx(case["information_capacity"], rel=1e-9, abs=1e-12)


def test_published_capacities_follow_from_their_numerators(oracles: Oracles) -> None:
    for row in oracles("published_values")["information_capacity_figure"]["rows"]:
        flops = row["flops_from_authors_code"] or row["flops_axis"]
        bits = row["implied_numerator_bits"]
        value = information_capacity(bits, 0.0, flops, bias=0.0)
        assert value == pytest.approx(row["ic"], abs=3e-4), row
