"""Mamba and LFM2: layers with a state, or a convolution, instead of attention."""

from __future__ import annotations

from dataclasses import replace

from effmark_adapters.artefacts.gguf_families.changes import column, flat, minus_exp
from effmark_adapters.artefacts.gguf_families.family import (
    Condition,
    Family,
    HfConfig,
    Part,
    always,
)
from effmark_adapters.artefacts.gguf_families.parts import of

__all__ = ["FALCON_MAMBA", "LFM2", "MAMBA", "MAMBA2"]


def _mixer(**parts: Part) -> dict[str, Part]:
    return {"norm": Part("attn_norm"), **{f"mixer.{name}": part for name, part in parts.items()}}


def _inner(config: HfConfig) -> int:
    return int(config.get("intermediate_size", config.get("expand", 2) * config.width))


def _doubled(config: HfConfig) -> str | None:
    if _inner(config) == 2 * config.width:
        return None
    return f"an inner width of {_inner(config)}, llama.cpp has twice the width {config.width} only"


def _step_rank(config: HfConfig) -> int:
    found = config.get("time_step_rank", "auto")
    return -(-config.width // 16) if found == "auto" else int(found)


MAMBA = Family(
    architecture="mamba",
    model="MambaForCausalLM",
    root="backbone.",
    ends={"embeddings": Part("token_embd"), "norm_f": Part("output_norm")},
    block=_mixer(
        in_proj=Part("ssm_in"),
        conv1d=Part("ssm_conv1d", flat, bias=always, bias_too=False),
        x_proj=Part("ssm_x"),
        dt_proj=Part("ssm_dt", bias=always),
        A_log=Part("ssm_a", minus_exp, suffix=""),
        D=Part("ssm_d", suffix=""),
        out_proj=Part("ssm_out"),
    ),
    values={
        "attention.layer_norm_rms_epsilon": of("layer_norm_epsilon", 1e-5),
        "ssm.conv_kernel": of("conv_kernel", 4),
        "ssm.inner_size": _inner,
        "ssm.state_size": of("state_size", 16),
        "ssm.time_step_rank": _step_rank,
    },
    needs={"hidden_act": ("silu",), "use_bias": (False,), "use_conv_bias": (True,)},
    tied=True,
    theta=None,
    attends=False,
    refuse=_doubled,
    mlp_width=lambda _: 0,
)

FALCON_MAMBA = replace(
    MAMBA,
    model="FalconMambaForCausalLM",
    values={**MAMBA.values, "ssm.dt_b_c_rms": lambda _: True},
)


def _mamba2_inner(config: HfConfig) -> int:
    return int(config.get("expand", 2)) * config.width


MAMBA2 = replace(
    MAMBA,
    architecture="mamba2",
    model="Mamba2ForCausalLM",
    block=_mixer(
        in_proj=Part("ssm_in"),
        conv1d=Part("ssm_conv1d", flat, bias=always, bias_too=False),
        dt_bias=Part("ssm_dt.bias", suffix=""),
        A_log=Part("ssm_a", lambda v, c: column(minus_exp(v, c), c), suffix=""),
        D=Part("ssm_d", column, suffix=""),
        norm=Part("ssm_norm", lambda v, c: v.reshape(c.get("n_groups", 8), -1)),
        out_proj=Part("ssm_out"),
    ),
    values={
        "attention.layer_norm_rms_epsilon": of("layer_norm_epsilon", 1e-5),
        "ssm.conv_kernel": of("conv_kernel", 4),
        "ssm.inner_size": _mamba2_inner,
        "ssm.state_size": of("state_size", 128),
        "ssm.time_step_rank": of("num_heads", 128),
        "ssm.group_count": of("n_groups", 8),
    },
    tied=False,
    refuse=lambda _: None,
)


def _lfm2_width(config: HfConfig) -> int:
    width = config.number("intermediate_size")
    if not config.get("block_auto_adjust_ff_dim", True):
        return width
    width = int(config.get("block_ffn_dim_multiplier", 1.0) * int(2 * width / 3))
    multiple = int(config.get("block_multiple_of", 256))
    return -(-width // multiple) * multiple


def _kind(wanted: str) -> Condition:
    return lambda config, layer: config.raw["layer_types"][layer] == wanted


ATTENDS, CONVOLVES = _kind("full_attention"), _kind("conv")

LFM2 = Family(
    architecture="lfm2",
    model="Lfm2ForCausalLM",
    ends={"embed_tokens": Part("token_embd"), "embedding_norm": Part("token_embd_norm")},
    block={
        "operator_norm": Part("attn_norm"),
        "self_attn.q_proj": Part("attn_q", when=ATTENDS),
        "self_attn.k_proj": Part("attn_k", when=ATTENDS),
        "self_attn.v_proj": Part("attn_v", when=ATTENDS),
        "self_attn.out_proj": Part("attn_output", when=ATTENDS),
        "self_attn.q_layernorm": Part("attn_q_norm", when=ATTENDS),
        "self_attn.k_layernorm": Part("attn_k_norm", when=ATTENDS),
        "conv.in_proj": Part("shortconv.in_proj", when=CONVOLVES),
        "conv.out_proj": Part("shortconv.out_proj", when=CONVOLVES),
        "conv.conv": Part("shortconv.conv", flat, when=CONVOLVES),
        "ffn_norm": Part("ffn_norm"),
        "feed_forward.w1": Part("ffn_gate"),
        "feed_forward.w3": Part("ffn_up"),
        "feed_forward.w2": Part("ffn_down"),
    },
    values={
        "attention.layer_norm_rms_epsilon": of("norm_eps", 1e-5),
        "shortconv.l_cache": of("conv_L_cache", 3),
    },
    needs={"conv_bias": (False,)},
    tied=True,
    theta=1e6,
    ropes=("default",),
    kv_heads=lambda c: [
        c.kv_heads if kind == "full_attention" else 0 for kind in c.raw["layer_types"]
    ],
    mlp_width=_lfm2_width,
    refuse=lambda c: None if c.get("layer_types") else "no layer_types, which say where it attends",
)
