"""Qwen and mixtures of its shape; these rotate halves, as Hugging Face does."""

from __future__ import annotations

from dataclasses import replace

from effmark_adapters.artefacts.gguf_families.family import Family, HfConfig, Part, always, flag
from effmark_adapters.artefacts.gguf_families.parts import (
    EXPERT_WIDTH,
    HEAD_NORMS,
    RMS,
    SILU,
    attention,
    ends,
    experts,
    gated_mlp,
    mixture,
    no_window_if_used,
    norms,
    of,
)

__all__ = ["OLMOE", "QWEN2", "QWEN2_MOE", "QWEN3", "QWEN3_MOE"]

QWEN2 = Family(
    architecture="qwen2",
    model="Qwen2ForCausalLM",
    ends=ends(),
    block={**norms(), **attention(bias=always), **gated_mlp()},
    values=RMS,
    needs=SILU,
    ropes=("default", "linear", "yarn"),
    exact_tokens=no_window_if_used,
)

QWEN3 = replace(
    QWEN2,
    architecture="qwen3",
    model="Qwen3ForCausalLM",
    block={**norms(), **HEAD_NORMS, **attention(), **gated_mlp()},
    needs={**SILU, "attention_bias": (False,)},
)


def _unscaled(config: HfConfig) -> str | None:
    if config.get("norm_topk_prob"):
        return None
    return "norm_topk_prob False, llama.cpp takes True for granted"


def _grouped(config: HfConfig) -> str | None:
    if config.kv_heads == config.heads:
        return None
    return f"num_key_value_heads {config.kv_heads}, llama.cpp takes all {config.heads} for granted"


QWEN3_MOE = replace(
    QWEN3,
    architecture="qwen3moe",
    model="Qwen3MoeForCausalLM",
    block={
        **norms(),
        **HEAD_NORMS,
        **attention(),
        **experts("mlp", "gate_proj", "up_proj", "down_proj", "num_experts"),
    },
    values={**RMS, **mixture("num_experts"), **EXPERT_WIDTH},
    needs={
        **SILU,
        "attention_bias": (False,),
        "decoder_sparse_step": (1,),
        "mlp_only_layers": ([],),
    },
    refuse=_unscaled,
)

QWEN2_MOE = replace(
    QWEN2,
    architecture="qwen2moe",
    model="Qwen2MoeForCausalLM",
    block={
        **norms(),
        **attention(bias=flag("qkv_bias", True)),
        **experts("mlp", "gate_proj", "up_proj", "down_proj", "num_experts"),
        "mlp.shared_expert_gate": Part("ffn_gate_inp_shexp", lambda v, _: v.reshape(-1)),
        "mlp.shared_expert.gate_proj": Part("ffn_gate_shexp"),
        "mlp.shared_expert.up_proj": Part("ffn_up_shexp"),
        "mlp.shared_expert.down_proj": Part("ffn_down_shexp"),
    },
    values={
        **RMS,
        **mixture("num_experts"),
        **EXPERT_WIDTH,
        "expert_shared_feed_forward_length": of("shared_expert_intermediate_size"),
    },
    needs={
        **SILU,
        "norm_topk_prob": (False,),
        "decoder_sparse_step": (1,),
        "mlp_only_layers": ([],),
    },
    writes_tied_head=True,
)

OLMOE = replace(
    QWEN3_MOE,
    architecture="olmoe",
    model="OlmoeForCausalLM",
    values={
        "attention.layer_norm_rms_epsilon": of("rms_norm_eps", 1e-5),
        **mixture("num_experts"),
    },
    needs={**SILU, "attention_bias": (False,), "norm_topk_prob": (False,), "clip_qkv": (None,)},
    refuse=_grouped,
    ropes=("default", "linear"),
)
