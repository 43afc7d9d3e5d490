"""Phi, StarCoder2, StableLM, Nemotron: a part of each head is rotated."""

from __future__ import annotations

from effmark_adapters.artefacts.gguf_families.changes import plus_one
from effmark_adapters.artefacts.gguf_families.family import Family, Part, always, flag
from effmark_adapters.artefacts.gguf_families.parts import (
    SILU,
    attention,
    ends,
    exact_gelu,
    gated_mlp,
    no_window,
    norms,
    of,
    partly,
)

__all__ = ["NEMOTRON", "PHI", "PHI3", "STABLELM", "STARCODER2"]

PHI = Family(
    architecture="phi2",
    model="PhiForCausalLM",
    ends=ends("final_layernorm", bias=always),
    block={
        "input_layernorm": Part("attn_norm", bias=always),
        "self_attn.q_proj": Part("attn_q", bias=always),
        "self_attn.k_proj": Part("attn_k", bias=always),
        "self_attn.v_proj": Part("attn_v", bias=always),
        "self_attn.dense": Part("attn_output", bias=always),
        "mlp.fc1": Part("ffn_up", bias=always),
        "mlp.fc2": Part("ffn_down", bias=always),
    },
    values={"attention.layer_norm_epsilon": of("layer_norm_eps", 1e-5)},
    needs={**exact_gelu("hidden_act", "gelu_new"), "qk_layernorm": (False,)},
    head_bias=always,
    rope_dim=partly(0.5),
    writes_tied_head=True,
)

PHI3 = Family(
    architecture="phi3",
    model="Phi3ForCausalLM",
    ends=ends(),
    block={
        **norms(),
        "self_attn.qkv_proj": Part("attn_qkv"),
        "self_attn.o_proj": Part("attn_output"),
        "mlp.gate_up_proj": Part("ffn_up"),
        "mlp.down_proj": Part("ffn_down"),
    },
    values={"attention.layer_norm_rms_epsilon": of("rms_norm_eps", 1e-5)},
    needs=SILU,
    ropes=("default", "linear", "longrope"),
    rope_dim=partly(1.0),
    exact_tokens=no_window,
)

STARCODER2 = Family(
    architecture="starcoder2",
    model="Starcoder2ForCausalLM",
    ends=ends(bias=always),
    block={
        **norms(bias=always),
        **attention(bias=flag("use_bias", True), out_bias=flag("use_bias", True)),
        "mlp.c_fc": Part("ffn_up", bias=flag("use_bias", True)),
        "mlp.c_proj": Part("ffn_down", bias=flag("use_bias", True)),
    },
    values={"attention.layer_norm_epsilon": of("norm_epsilon", 1e-5)},
    needs={**exact_gelu("hidden_act", "gelu_pytorch_tanh"), "use_bias": (True,)},
    tied=True,
    exact_tokens=no_window,
)

STABLELM = Family(
    architecture="stablelm",
    model="StableLmForCausalLM",
    ends=ends(bias=always),
    block={
        "input_layernorm": Part("attn_norm", bias=always),
        "post_attention_layernorm": Part(
            "ffn_norm", when=lambda c, _: not c.get("use_parallel_residual", False), bias=always
        ),
        **attention(bias=flag("use_qkv_bias")),
        "self_attn.q_layernorm.norms.*": Part(
            "attn_q_norm", when=flag("qk_layernorm"), count=lambda c: c.heads
        ),
        "self_attn.k_layernorm.norms.*": Part(
            "attn_k_norm", when=flag("qk_layernorm"), count=lambda c: c.kv_heads
        ),
        **gated_mlp(),
    },
    values={
        "attention.layer_norm_epsilon": of("layer_norm_eps", 1e-5),
        "use_parallel_residual": lambda c: bool(c.get("use_parallel_residual", False)),
    },
    needs=SILU,
    rope_dim=partly(0.25),
    writes_tied_head=True,
)

NEMOTRON = Family(
    architecture="nemotron",
    model="NemotronForCausalLM",
    ends=ends(change=plus_one, bias=always, bias_too=False),
    block={
        **norms(change=plus_one, bias=always, bias_too=False),
        **attention(),
        "mlp.up_proj": Part("ffn_up"),
        "mlp.down_proj": Part("ffn_down"),
    },
    values={"attention.layer_norm_epsilon": of("norm_eps", 1e-5)},
    needs={"hidden_act": ("relu2",), "attention_bias": (False,), "mlp_bias": (False,)},
    writes_tied_head=True,
    rope_dim=partly(0.5),
)
