"""GPT-2, GPT-NeoX, BLOOM, Falcon, MPT: fused query, key and value, LayerNorm, plain MLP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from effmark_adapters.artefacts.gguf_families.changes import qkv_by_group, qkv_by_head, transposed
from effmark_adapters.artefacts.gguf_families.family import (
    Family,
    HfConfig,
    Limit,
    Part,
    always,
    flag,
)
from effmark_adapters.artefacts.gguf_families.parts import (
    LAYER_NORM,
    exact_gelu,
    norms,
    of,
)

__all__ = ["BLOOM", "FALCON", "GPT2", "GPT_BIGCODE", "GPT_NEOX", "MPT"]

GPT2 = Family(
    architecture="gpt2",
    kv_heads=lambda c: c.heads,
    model="GPT2LMHeadModel",
    root="transformer.",
    layers="h.",
    ends={
        "wte": Part("token_embd"),
        "wpe": Part("position_embd"),
        "ln_f": Part("output_norm", bias=always),
    },
    block={
        "ln_1": Part("attn_norm", bias=always),
        "attn.c_attn": Part("attn_qkv", transposed, bias=always),
        "attn.c_proj": Part("attn_output", transposed, bias=always),
        "ln_2": Part("ffn_norm", bias=always),
        "mlp.c_fc": Part("ffn_up", transposed, bias=always),
        "mlp.c_proj": Part("ffn_down", transposed, bias=always),
    },
    values=LAYER_NORM,
    needs={
        **exact_gelu("activation_function", "gelu_new"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
        "add_cross_attention": (False,),
    },
    tied=True,
    theta=None,
    exact_tokens=lambda c: Limit(
        c.number("max_position_embeddings"), "it has no further positions"
    ),
)

GPT_BIGCODE = replace(
    GPT2,
    architecture="starcoder",
    model="GPTBigCodeForCausalLM",
    block={
        "ln_1": Part("attn_norm", bias=always),
        "attn.c_attn": Part("attn_qkv", bias=always),
        "attn.c_proj": Part("attn_output", bias=always),
        "ln_2": Part("ffn_norm", bias=always),
        "mlp.c_fc": Part("ffn_up", bias=always),
        "mlp.c_proj": Part("ffn_down", bias=always),
    },
    values=LAYER_NORM,
    kv_heads=lambda _: 1,
    needs={
        **exact_gelu("activation_function", "gelu_pytorch_tanh"),
        "multi_query": (True,),
        "scale_attn_weights": (True,),
    },
)

GPT_NEOX = Family(
    architecture="gptneox",
    kv_heads=lambda c: c.heads,
    model="GPTNeoXForCausalLM",
    root="gpt_neox.",
    head="embed_out",
    ends={
        "embed_in": Part("token_embd"),
        "final_layer_norm": Part("output_norm", bias=always),
    },
    block={
        **norms(bias=always),
        "attention.query_key_value": Part(
            "attn_qkv", qkv_by_head, bias=flag("attention_bias", True)
        ),
        "attention.dense": Part("attn_output", bias=flag("attention_bias", True)),
        "mlp.dense_h_to_4h": Part("ffn_up", bias=always),
        "mlp.dense_4h_to_h": Part("ffn_down", bias=always),
    },
    values={
        "attention.layer_norm_epsilon": of("layer_norm_eps", 1e-5),
        "use_parallel_residual": lambda c: bool(c.get("use_parallel_residual", True)),
    },
    needs={
        "hidden_act": ("gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
        "attention_bias": (True,),
    },
    ropes=("default",),
    writes_tied_head=True,
    rope_dim=lambda c: int(
        float(c.rope.get("partial_rotary_factor") or c.get("rotary_pct", 0.25)) * c.head_dim
    ),
)

BLOOM = Family(
    architecture="bloom",
    kv_heads=lambda c: c.heads,
    model="BloomForCausalLM",
    root="transformer.",
    layers="h.",
    ends={
        "word_embeddings": Part("token_embd"),
        "word_embeddings_layernorm": Part("token_embd_norm", bias=always),
        "ln_f": Part("output_norm", bias=always),
    },
    block={
        **norms(bias=always),
        "self_attention.query_key_value": Part("attn_qkv", qkv_by_head, bias=always),
        "self_attention.dense": Part("attn_output", bias=always),
        "mlp.dense_h_to_4h": Part("ffn_up", bias=always),
        "mlp.dense_4h_to_h": Part("ffn_down", bias=always),
    },
    values=LAYER_NORM,
    needs={"apply_residual_connection_post_layernorm": (False,)},
    tied=True,
    theta=None,
)


def _falcon_kv(config: HfConfig) -> int:
    if config.get("new_decoder_architecture"):
        return int(config.get("num_kv_heads", config.heads))
    return 1 if config.get("multi_query", True) else config.heads


def _falcon_qkv(values: Any, config: HfConfig) -> Any:
    raw = {**config.raw, "num_key_value_heads": _falcon_kv(config)}
    return qkv_by_group(values, HfConfig(raw))


def _two_norms(config: HfConfig, _: int) -> bool:
    return (
        bool(config.get("new_decoder_architecture")) and config.get("num_ln_in_parallel_attn") != 1
    )


FALCON = Family(
    architecture="falcon",
    model="FalconForCausalLM",
    root="transformer.",
    layers="h.",
    ends={"word_embeddings": Part("token_embd"), "ln_f": Part("output_norm", bias=always)},
    block={
        "input_layernorm": Part("attn_norm", when=lambda c, i: not _two_norms(c, i), bias=always),
        "ln_mlp": Part("attn_norm", when=_two_norms, bias=always),
        "ln_attn": Part("attn_norm_2", when=_two_norms, bias=always),
        "self_attention.query_key_value": Part("attn_qkv", _falcon_qkv),
        "self_attention.dense": Part("attn_output"),
        "mlp.dense_h_to_4h": Part("ffn_up"),
        "mlp.dense_4h_to_h": Part("ffn_down"),
    },
    values=LAYER_NORM,
    kv_heads=_falcon_kv,
    needs={
        "alibi": (False,),
        "bias": (False,),
        "parallel_attn": (True,),
        "activation": ("gelu", "gelu_new", "gelu_pytorch_tanh"),
    },
    tied=True,
)

MPT = Family(
    architecture="mpt",
    kv_heads=lambda c: c.heads,
    model="MptForCausalLM",
    root="transformer.",
    layers="blocks.",
    ends={"wte": Part("token_embd"), "norm_f": Part("output_norm")},
    block={
        "norm_1": Part("attn_norm"),
        "attn.Wqkv": Part("attn_qkv"),
        "attn.out_proj": Part("attn_output"),
        "norm_2": Part("ffn_norm"),
        "ffn.up_proj": Part("ffn_up"),
        "ffn.down_proj": Part("ffn_down"),
    },
    values={
        **LAYER_NORM,
        "attention.max_alibi_bias": lambda c: float(
            (c.get("attn_config") or {}).get("alibi_bias_max", 8)
        ),
        "attention.clamp_kqv": lambda c: (c.get("attn_config") or {}).get("clip_qkv"),
    },
    mlp_width=lambda c: int(c.get("expansion_ratio", 4)) * c.width,
    tied=True,
    theta=None,
)
