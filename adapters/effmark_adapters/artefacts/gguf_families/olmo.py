"""OLMo, EXAONE and Cohere: norms after the layer, or none; windows in three of four layers."""

from __future__ import annotations

from dataclasses import replace

from effmark_adapters.artefacts.gguf_families.family import Family, Part
from effmark_adapters.artefacts.gguf_families.parts import (
    HEAD_NORMS,
    SILU,
    attention,
    ends,
    gated_mlp,
    odd_windows,
    of,
    window_values,
)

__all__ = ["COHERE", "COHERE2", "EXAONE4", "OLMO", "OLMO2", "OLMO3"]

OLMO = Family(
    architecture="olmo",
    model="OlmoForCausalLM",
    ends={"embed_tokens": Part("token_embd")},
    block={**attention(turned=True), **gated_mlp()},
    values={
        "attention.layer_norm_epsilon": lambda _: 1e-5,
        "attention.clamp_kqv": of("clip_qkv"),
    },
    needs={**SILU, "attention_bias": (False,)},
)

OLMO2 = Family(
    architecture="olmo2",
    model="Olmo2ForCausalLM",
    ends=ends(),
    block={
        **HEAD_NORMS,
        **attention(),
        "post_attention_layernorm": Part("post_attention_norm"),
        "post_feedforward_layernorm": Part("post_ffw_norm"),
        **gated_mlp(),
    },
    values={"attention.layer_norm_rms_epsilon": of("rms_norm_eps", 1e-5)},
    needs={**SILU, "attention_bias": (False,)},
    ropes=("default", "linear", "yarn"),
    writes_tied_head=True,
)

OLMO3 = replace(
    OLMO2,
    model="Olmo3ForCausalLM",
    values={**OLMO2.values, **window_values(4)},
    ropes=("default", "yarn"),
    refuse=odd_windows(4),
)

EXAONE4 = replace(
    OLMO2,
    architecture="exaone4",
    model="Exaone4ForCausalLM",
    needs={**SILU, "sliding_window": (None,)},
    ropes=("default", "llama3"),
    writes_tied_head=False,
)

COHERE = Family(
    architecture="command-r",
    model="CohereForCausalLM",
    ends=ends(),
    block={
        "input_layernorm": Part("attn_norm"),
        **attention(),
        **gated_mlp(),
    },
    values={
        "attention.layer_norm_epsilon": of("layer_norm_eps", 1e-5),
        "logit_scale": of("logit_scale", 0.0625),
    },
    needs={**SILU, "attention_bias": (False,), "use_qk_norm": (False,)},
    tied=True,
    always_tied=True,
)

COHERE2 = replace(
    COHERE,
    architecture="cohere2",
    model="Cohere2ForCausalLM",
    block={"input_layernorm": Part("attn_norm"), **attention(), **gated_mlp()},
    values={**COHERE.values, **window_values(4)},
    refuse=odd_windows(4),
)
