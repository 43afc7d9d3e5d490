"""Llama and what is built like it; most of these rotate pairs in llama.cpp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from effmark_adapters.artefacts.gguf_families.changes import first_half, second_half
from effmark_adapters.artefacts.gguf_families.family import Family, HfConfig, Part, flag
from effmark_adapters.artefacts.gguf_families.parts import (
    RMS,
    SILU,
    attention,
    ends,
    experts,
    gated_mlp,
    mixture,
    no_window,
    no_window_if_used,
    norms,
    of,
    partly,
)

__all__ = [
    "ARCEE",
    "ERNIE",
    "GLM",
    "GLM4",
    "GRANITE",
    "GRANITE_MOE",
    "HELIUM",
    "HUNYUAN",
    "LLAMA",
    "MINISTRAL",
    "MISTRAL",
    "MIXTRAL",
    "SEED_OSS",
    "SMOLLM3",
]

ALL_ROPES = ("default", "linear", "llama3", "yarn")

LLAMA = Family(
    architecture="llama",
    model="LlamaForCausalLM",
    ends=ends(),
    block={
        **norms(),
        **attention(turned=True, bias=flag("attention_bias"), out_bias=flag("attention_bias")),
        **gated_mlp(flag("mlp_bias")),
    },
    values=RMS,
    needs=SILU,
    ropes=ALL_ROPES,
)

MISTRAL = replace(LLAMA, model="MistralForCausalLM", exact_tokens=no_window)

MINISTRAL = replace(MISTRAL, model="MinistralForCausalLM")

MIXTRAL = replace(
    LLAMA,
    model="MixtralForCausalLM",
    block={
        **norms(),
        **attention(turned=True),
        **experts("block_sparse_moe", "w1", "w3", "w2", "num_local_experts"),
    },
    values={**RMS, **mixture("num_local_experts")},
    theta=1e6,
    ropes=("default", "linear", "yarn"),
    exact_tokens=no_window,
)


def _smollm3(config: HfConfig) -> str | None:
    rotated = config.get("no_rope_layers")
    step = int(config.get("no_rope_layer_interval", 4))
    found = rotated or [int((i + 1) % step != 0) for i in range(config.layers)]
    if [int(x) for x in found] == [int((i + 1) % 4 != 0) for i in range(config.layers)]:
        return None
    return f"no_rope_layers {found!r}, llama.cpp leaves out every 4th only"


SMOLLM3 = replace(
    LLAMA,
    architecture="smollm3",
    model="SmolLM3ForCausalLM",
    needs={**SILU, "attention_bias": (False,), "mlp_bias": (False,)},
    tied=True,
    theta=2e6,
    ropes=("default", "linear", "yarn"),
    exact_tokens=no_window_if_used,
    refuse=_smollm3,
)

SCALES: dict[str, Callable[[HfConfig], Any]] = {
    "attention.scale": of("attention_multiplier", 1.0),
    "embedding_scale": of("embedding_multiplier", 1.0),
    "residual_scale": of("residual_multiplier", 1.0),
    "logit_scale": of("logits_scaling", 1.0),
}

GRANITE = replace(
    LLAMA,
    architecture="granite",
    model="GraniteForCausalLM",
    values={**RMS, **SCALES},
    needs={**SILU, "attention_bias": (False,), "mlp_bias": (False,)},
    ropes=("default", "linear", "yarn"),
)

GRANITE_MOE = replace(
    GRANITE,
    architecture="granitemoe",
    model="GraniteMoeForCausalLM",
    block={
        **norms(),
        **attention(turned=True),
        "block_sparse_moe.router.layer": Part("ffn_gate_inp"),
        "block_sparse_moe.input_linear": (
            Part("ffn_gate_exps", first_half),
            Part("ffn_up_exps", second_half),
        ),
        "block_sparse_moe.output_linear": Part("ffn_down_exps"),
    },
    values={**RMS, **SCALES, **mixture("num_local_experts")},
)

ARCEE = replace(
    LLAMA,
    architecture="arcee",
    model="ArceeForCausalLM",
    block={
        **norms(),
        **attention(turned=True),
        "mlp.up_proj": Part("ffn_up"),
        "mlp.down_proj": Part("ffn_down"),
    },
    values={"attention.layer_norm_rms_epsilon": of("rms_norm_eps", 1e-5)},
    needs={"hidden_act": ("relu2",), "attention_bias": (False,), "mlp_bias": (False,)},
)

HELIUM = replace(
    LLAMA,  # its heads rotate pairs already
    model="HeliumForCausalLM",
    block={**norms(), **attention(), **gated_mlp()},
    values={"attention.layer_norm_rms_epsilon": of("rms_norm_eps", 1e-8)},
    needs={**SILU, "attention_bias": (False,), "mlp_bias": (False,)},
    theta=100000.0,
    ropes=("default",),
)

SEED_OSS = replace(
    LLAMA,
    architecture="seed_oss",
    model="SeedOssForCausalLM",
    block={
        "input_layernorm": Part("attn_norm"),
        "post_attention_layernorm": Part("post_attention_norm"),
        **attention(bias=flag("attention_bias", True), out_bias=flag("attention_out_bias")),
        **gated_mlp(),
    },
    needs={**SILU, "mlp_bias": (False,), "attention_out_bias": (False,)},
    ropes=("default",),
)

HUNYUAN = replace(
    LLAMA,
    architecture="hunyuan-dense",
    model="HunYuanDenseV1ForCausalLM",
    block={
        **norms(),
        **attention(),
        "self_attn.query_layernorm": Part("attn_q_norm"),
        "self_attn.key_layernorm": Part("attn_k_norm"),
        **gated_mlp(),
    },
    needs={**SILU, "attention_bias": (False,), "mlp_bias": (False,)},
    ropes=("default",),
)

ERNIE = replace(
    LLAMA,
    architecture="ernie4_5",
    model="Ernie4_5ForCausalLM",
    block={**norms(), **attention(), **gated_mlp()},
    values={"attention.layer_norm_rms_epsilon": of("rms_norm_eps", 1e-5)},
    needs={**SILU, "use_bias": (False,)},
    tied=True,
    theta=500000.0,
    ropes=("default",),
)

FUSED_MLP = {"mlp.gate_up_proj": Part("ffn_up"), "mlp.down_proj": Part("ffn_down")}

GLM4 = Family(
    architecture="glm4",
    model="Glm4ForCausalLM",
    ends=ends(),
    block={
        **norms(),
        **attention(bias=flag("attention_bias")),
        "post_self_attn_layernorm": Part("post_attention_norm"),
        "post_mlp_layernorm": Part("post_ffw_norm"),
        **FUSED_MLP,
    },
    values={"attention.layer_norm_rms_epsilon": of("rms_norm_eps", 1.5625e-7)},
    needs=SILU,
    ropes=("default",),
    rope_dim=partly(0.5),
)

GLM = replace(
    GLM4,
    architecture="chatglm",
    model="GlmForCausalLM",
    block={**norms(), **attention(bias=flag("attention_bias", True)), **FUSED_MLP},
    writes_tied_head=True,
)
