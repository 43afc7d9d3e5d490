"""Shapes read from configs, and FLOPs from shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import (
    Architecture,
    activated_parameters,
    architecture_from_config,
    attention_parameters,
    decode_flops,
    decode_flops_per_token,
    encoder_decoder_flops,
    kv_elements_per_token,
    prefill_flops,
)

Oracles = Callable[[str], Any]
Config = dict[str, Any]

LLAMA: Config = {
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "intermediate_size": 160,
    "vocab_size": 1000,
}
MIXTURE: Config = LLAMA | {
    "num_experts": 16,
    "num_experts_per_tok": 3,
    "moe_intermediate_size": 32,
    "n_shared_experts": 2,
    "first_k_dense_replace": 1,
}
LATENT: Config = LLAMA | {
    "kv_lora_rank": 16,
    "q_lora_rank": 24,
    "qk_nope_head_dim": 12,
    "qk_rope_head_dim": 4,
    "v_head_dim": 10,
}
ARCHITECTURES = [architecture_from_config(c) for c in (LLAMA, MIXTURE, LATENT)]
QWEN = {
    "Qwen2.5-3B": (36, 2048, 16, 2, 11008, 151936),
    "Qwen2.5-7B": (28, 3584, 28, 4, 18944, 152064),
    "Qwen2.5-14B": (48, 5120, 40, 8, 13824, 152064),
}
FLAN_T5 = {
    "flan-t5-large": (1024, 16, 2816),
    "flan-t5-xl": (2048, 32, 5120),
    "flan-t5-xxl": (4096, 64, 10240),
}


def test_every_matrix_of_a_dense_layer_is_counted() -> None:
    arch = architecture_from_config(LLAMA)
    queries_and_output = 2 * 64 * 64
    keys_and_values = 2 * 64 * 16
    assert attention_parameters(arch) == queries_and_output + keys_and_values
    assert activated_parameters(arch) == 4 * (attention_parameters(arch) + 3 * 64 * 160)
    assert kv_elements_per_token(arch) == 4 * 2 * 2 * 8


def test_every_matrix_of_latent_attention_is_counted() -> None:
    arch = architecture_from_config(LATENT)
    queries = 64 * 24 + 24 * 8 * (12 + 4)
    keys_and_values = 64 * (16 + 4) + 16 * 8 * (12 + 10)
    assert attention_parameters(arch) == queries + keys_and_values + 8 * 10 * 64
    assert kv_elements_per_token(arch) == 4 * (16 + 4)


def test_experts_shared_experts_and_dense_layers_are_counted() -> None:
    arch = architecture_from_config(MIXTURE)
    attention = 4 * attention_parameters(arch)
    dense = 3 * 64 * 160
    shared = 3 * 3 * 64 * 64
    assert (arch.dense_layers, arch.moe_layers, arch.shared_width) == (1, 3, 64)
    for experts in (0.0, 3.0, 7.5, 16.0):
        routed = 3 * 3 * 64 * 32 * experts
        assert activated_parameters(arch, experts) == attention + dense + shared + routed
    assert activated_parameters(arch) == activated_parameters(arch, 3)


def test_the_text_part_of_a_multimodal_config_is_read() -> None:
    nested = {"vision_config": {"hidden_size": 7}, "text_config": LLAMA}
    assert architecture_from_config(nested) == architecture_from_config(LLAMA)


def test_gpt_2_has_two_matrices_and_four_times_the_width() -> None:
    config = {"model_type": "gpt2", "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None}
    arch = architecture_from_config(config | {"vocab_size": 50257})
    assert (arch.mlp_width, arch.mlp_matrices, arch.kv_heads, arch.head_dim) == (3072, 2, 12, 64)
    # GPT-2 small has 85 million parameters besides embeddings, biases and norms.
    assert activated_parameters(arch) == 84_934_656


def test_a_caller_may_say_how_many_matrices_an_mlp_has() -> None:
    assert architecture_from_config(LLAMA, mlp_matrices=2).mlp_matrices == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_key_value_heads": 3}, "num_key_value_heads must divide the 8 heads, got 3"),
        ({"vocab_size": None}, "config must hold one of vocab_size, got"),
        ({"intermediate_size": None}, "one of intermediate_size, decoder_ffn_dim"),
        ({"num_experts": 4}, "config must hold one of num_experts_per_tok"),
        ({"hidden_size": 64.5}, "hidden_size must be a whole number, got 64.5"),
        ({"num_hidden_layers": 0}, "num_hidden_layers must be at least 1, got 0"),
        ({"kv_lora_rank": 16}, "config must hold one of qk_nope_head_dim"),
    ],
)
def test_an_impossible_config_is_named(change: Config, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        architecture_from_config(LLAMA | change)


@pytest.mark.parametrize("arch", ARCHITECTURES)
@given(tokens=st.integers(1, 200), more=st.integers(0, 50))
def test_a_prompt_costs_what_its_tokens_cost_one_by_one(
    arch: Architecture, tokens: int, more: int
) -> None:
    whole = prefill_flops(arch, tokens + more, logits="all")
    first, rest = (
        prefill_flops(arch, tokens, logits="all"),
        decode_flops(arch, more, context=tokens),
    )
    assert whole.total == first.total + rest.total
    assert whole.attention == first.attention + rest.attention


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_only_the_logits_differ_between_prefill_options(arch: Architecture) -> None:
    parts = {option: prefill_flops(arch, 9, logits=option) for option in ("all", "last", "none")}
    head = 2 * arch.hidden * arch.vocab
    assert [parts[o].lm_head for o in ("all", "last", "none")] == [9 * head, head, 0]
    assert len({parts[o].total - parts[o].lm_head for o in parts}) == 1


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_weights_cost_two_flops_each_per_token(arch: Architecture) -> None:
    found = decode_flops(arch, 1)
    router = 2 * arch.moe_layers * arch.hidden * arch.experts
    assert found.projections + found.feed_forward - router == 2 * activated_parameters(arch)


@given(st.integers(1, 500), st.integers(0, 500))
def test_cost_per_token_grows_with_the_context(generated: int, context: int) -> None:
    arch = ARCHITECTURES[0]
    here = decode_flops_per_token(arch, generated, context=context)
    assert decode_flops_per_token(arch, generated, context=context + 1) > here
    assert decode_flops_per_token(arch, generated + 1, context=context) > here


def t5(d_model: int, heads: int, d_ff: int) -> Config:
    return {
        "d_model": d_model,
        "num_layers": 24,
        "num_heads": heads,
        "d_kv": 64,
        "d_ff": d_ff,
        "vocab_size": 32128,
        "feed_forward_proj": "gated-gelu",
    }


def test_a_plain_t5_has_two_matrices_per_mlp() -> None:
    gated = encoder_decoder_flops(t5(64, 4, 96), 5, 3)
    plain = encoder_decoder_flops(t5(64, 4, 96) | {"feed_forward_proj": "relu"}, 5, 3)
    assert plain.feed_forward * 3 == gated.feed_forward * 2
    assert plain.attention == gated.attention


def test_decoder_layers_default_to_the_encoders() -> None:
    config = t5(64, 4, 96)
    assert encoder_decoder_flops(config, 5, 3) == encoder_decoder_flops(
        config | {"num_decoder_layers": 24}, 5, 3
    )


def moe_cap_config(arch: Config, model: str) -> Config:
    config: Config = {
        "hidden_size": arch["d_model"],
        "num_attention_heads": arch["n_attn_heads"],
        "num_key_value_heads": arch["n_kv_heads"],
        "head_dim": arch["d_head"],
        "intermediate_size": arch["d_ff"],
        "num_hidden_layers": arch["n_layers"],
        "num_experts": 256,
        "num_experts_per_tok": 1,
        "vocab_size": 1,
    }
    shared = {"n_shared_experts": 2} if model.startswith("deepseek") else {}
    return {**config, **shared, **arch["hf"]}


def test_attention_and_cache_sizes_agree_with_moe_cap(oracles: Oracles) -> None:
    for case in oracles("moe_cap")["cases"]:
        arch = architecture_from_config(moe_cap_config(case["arch"], case["model"]))
        wanted = case["components"]
        assert kv_elements_per_token(arch) == wanted["kv_elements_per_token"], case["model"]
        attention = wanted["attention_params_per_layer_T"] * 1e12
        assert attention_parameters(arch) == pytest.approx(attention, rel=1e-9), case["model"]
        if "num_moe_layers" in wanted["expert_config"]:
            assert arch.moe_layers == wanted["expert_config"]["num_moe_layers"], case["model"]


def test_qwen_prefill_agrees_with_profiled_flops(oracles: Oracles) -> None:
    compared = 0
    for row in oracles("e2r_flops")["measured_vs_estimated"]:
        if row["model"] not in QWEN:
            continue
        layers, d, heads, kv_heads, width, vocab = QWEN[row["model"]]
        arch = architecture_from_config(
            {
                "hidden_size": d,
                "num_hidden_layers": layers,
                "num_attention_heads": heads,
                "num_key_value_heads": kv_heads,
                "intermediate_size": width,
                "vocab_size": vocab,
            }
        )
        for call in row["first_calls"]:
            if call["output"] == 1:
                found = prefill_flops(arch, call["input"])
                seen = found.total - found.attention
                assert seen == pytest.approx(call["profiled_flops"], rel=2e-4), row["file"]
                compared += 1
    assert compared > 0


def test_flan_t5_agrees_with_profiled_flops(oracles: Oracles) -> None:
    compared = 0
    for row in oracles("e2r_flops")["measured_vs_estimated"]:
        if row["model"] not in FLAN_T5:
            continue
        config = t5(*FLAN_T5[row["model"]])
        for call in row["first_calls"]:
            found = encoder_decoder_flops(config, call["input"], call["output"]).total
            assert found == pytest.approx(call["profiled_flops"], rel=1e-2), row["file"]
            compared += 1
    assert compared > 0
