"""Gemma: norms that keep a one out of their weights, norms on both sides, windows."""

from __future__ import annotations

from dataclasses import replace

from effmark_adapters.artefacts.gguf_families.changes import plus_one
from effmark_adapters.artefacts.gguf_families.family import Family, HfConfig, Part
from effmark_adapters.artefacts.gguf_families.parts import (
    RMS,
    attention,
    ends,
    gated_mlp,
    norms,
    odd_windows,
    of,
    window_values,
)

__all__ = ["GEMMA", "GEMMA2", "GEMMA3", "GEMMA3_SEEING"]


GEMMA = Family(
    architecture="gemma",
    model="GemmaForCausalLM",
    ends=ends(change=plus_one),
    block={**norms(change=plus_one), **attention(), **gated_mlp()},
    values=RMS,
    needs={
        "hidden_act": ("gelu_pytorch_tanh", "gelu"),  # transformers reads "gelu" as tanh here
        "hidden_activation": ("gelu_pytorch_tanh",),
        "attention_bias": (False,),
    },
    tied=True,
    always_tied=True,
    ropes=("default",),
)

SANDWICH = {
    "input_layernorm": Part("attn_norm", plus_one),
    "post_attention_layernorm": Part("post_attention_norm", plus_one),
    "pre_feedforward_layernorm": Part("ffn_norm", plus_one),
    "post_feedforward_layernorm": Part("post_ffw_norm", plus_one),
}


def _gemma_scale(config: HfConfig) -> str | None:
    scalar = config.get("query_pre_attn_scalar", 256)
    known = config.width // config.heads if config.layers == 46 else config.head_dim
    if scalar == known:
        return odd_windows(2)(config)
    return f"query_pre_attn_scalar {scalar!r}, llama.cpp takes {known} for granted"


GEMMA2 = replace(
    GEMMA,
    architecture="gemma2",
    model="Gemma2ForCausalLM",
    block={**SANDWICH, **attention(), **gated_mlp()},
    values={
        **RMS,
        **window_values(2),
        "attn_logit_softcapping": of("attn_logit_softcapping", 50.0),
        "final_logit_softcapping": of("final_logit_softcapping", 30.0),
    },
    refuse=_gemma_scale,
)


def _gemma3(config: HfConfig) -> str | None:
    scalar = config.get("query_pre_attn_scalar", 256)
    known = config.width // config.heads if config.layers == 62 else config.head_dim
    if scalar != known:
        return f"query_pre_attn_scalar {scalar!r}, llama.cpp takes {known} for granted"
    caps = [config.get(f"{what}_logit_softcapping") for what in ("attn", "final")]
    if any(caps):
        return f"softcapping {caps!r}, llama.cpp has none here"
    return odd_windows(6)(config)


GEMMA3 = replace(
    GEMMA2,
    architecture="gemma3",
    always_tied=False,
    model="Gemma3ForCausalLM",
    block={
        **SANDWICH,
        "self_attn.q_norm": Part("attn_q_norm", plus_one),
        "self_attn.k_norm": Part("attn_k_norm", plus_one),
        **attention(),
        **gated_mlp(),
    },
    values={
        **RMS,
        **window_values(6),
        "rope.freq_base_swa": lambda c: float(
            c.rope_of("sliding_attention").get("rope_theta")
            or c.get("rope_local_base_freq", 10000.0)
        ),
    },
    theta=1e6,
    ropes=("default", "linear"),
    refuse=_gemma3,
)

GEMMA3_SEEING = replace(
    GEMMA3,
    model="Gemma3ForConditionalGeneration",
    tied=True,
    beside=("vision_tower.", "multi_modal_projector."),
    defaults={  # of Gemma3TextConfig; published configs hold only what differs
        **{"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256},
        **{"vocab_size": 262208, "max_position_embeddings": 131072, "sliding_window": 4096},
        "query_pre_attn_scalar": 256,
    },
)
"""The text part of a model that sees; texts alone reach no other."""
