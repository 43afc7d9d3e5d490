"""Pieces of the table that several architectures share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from effmark_adapters.artefacts.gguf_families.changes import (
    kept,
    turned_keys,
    turned_queries,
)
from effmark_adapters.artefacts.gguf_families.family import (
    Condition,
    HfConfig,
    Limit,
    Part,
    never,
)

__all__ = [
    "EXPERT_WIDTH",
    "HEAD_NORMS",
    "LAYER_NORM",
    "RMS",
    "SILU",
    "attention",
    "ends",
    "exact_gelu",
    "experts",
    "gated_mlp",
    "mixture",
    "no_window",
    "no_window_if_used",
    "norms",
    "odd_windows",
    "of",
    "partly",
    "window_values",
]


def of(name: str, default: Any = None) -> Callable[[HfConfig], Any]:
    """Return what reads a setting."""
    return lambda config: config.get(name, default)


def attention(
    *, turned: bool = False, bias: Condition = never, out_bias: Condition = never
) -> dict[str, Part]:
    """Return the four matrices of attention.

    Args:
        turned: llama.cpp rotates pairs where Hugging Face rotates halves.
        bias: whether queries, keys and values have one.
        out_bias: whether the output has one.
    """
    queries, keys = (turned_queries, turned_keys) if turned else (kept, kept)
    return {
        "self_attn.q_proj": Part("attn_q", queries, bias=bias),
        "self_attn.k_proj": Part("attn_k", keys, bias=bias),
        "self_attn.v_proj": Part("attn_v", bias=bias),
        "self_attn.o_proj": Part("attn_output", bias=out_bias),
    }


def gated_mlp(bias: Condition = never) -> dict[str, Part]:
    """Return an MLP of three matrices."""
    return {
        "mlp.gate_proj": Part("ffn_gate", bias=bias),
        "mlp.up_proj": Part("ffn_up", bias=bias),
        "mlp.down_proj": Part("ffn_down", bias=bias),
    }


def norms(*, bias: Condition = never, **change: Any) -> dict[str, Part]:
    """Return the norms before attention and MLP."""
    return {
        "input_layernorm": Part("attn_norm", bias=bias, **change),
        "post_attention_layernorm": Part("ffn_norm", bias=bias, **change),
    }


def ends(norm: str = "norm", **of_norm: Any) -> dict[str, Part]:
    """Return embedding and last norm."""
    return {"embed_tokens": Part("token_embd"), norm: Part("output_norm", **of_norm)}


def experts(where: str, gate: str, up: str, down: str, name: str) -> dict[str, Part]:
    """Return the router and the experts of a mixture, each matrix a stack in GGUF."""
    stacked = {gate: "ffn_gate_exps", up: "ffn_up_exps", down: "ffn_down_exps"}
    return {
        f"{where}.gate": Part("ffn_gate_inp"),
        **{
            f"{where}.experts.*.{theirs}": Part(ours, count=lambda c: c.number(name))
            for theirs, ours in stacked.items()
        },
    }


def mixture(name: str, used: str = "num_experts_per_tok") -> dict[str, Callable[[HfConfig], Any]]:
    """Return how many experts there are, and how many a token uses."""
    return {
        "expert_count": lambda c: c.number(name),
        "expert_used_count": lambda c: c.number(used),
    }


def no_window(config: HfConfig) -> Limit | None:
    """Return the window of a model whose window llama.cpp does not keep: right up to there."""
    window = config.get("sliding_window")
    if not window or not config.get("use_sliding_window", True):
        return None
    return Limit(int(window), "llama.cpp has no sliding window for it")


def no_window_if_used(config: HfConfig) -> Limit | None:
    """Return the same where a config must say that it uses its window."""
    return no_window(config) if config.get("use_sliding_window") else None


def exact_gelu(name: str, default: str) -> dict[str, tuple[str, ...]]:
    """Return the activations that llama.cpp's GELU stands for.

    It calculates by tanh from a table of f16 (1e-3 in a log-probability); by erf the function is
    another by up to 5e-4, which is less.
    """
    tanh = ("gelu_new", "gelu_pytorch_tanh", "gelu_fast")
    return {name: tanh if default in tanh else (default, *tanh)}


def window_values(every: int) -> dict[str, Callable[[HfConfig], Any]]:
    """Return the window and how often a layer has none, by default each `every`th."""
    return {
        "attention.sliding_window": of("sliding_window", 4096),
        "attention.sliding_window_pattern": lambda c: _period(c, every),
    }


def _period(config: HfConfig, default: int) -> int:
    kinds = list(config.get("layer_types") or [])
    return kinds.index("full_attention") + 1 if "full_attention" in kinds else default


def odd_windows(every: int) -> Callable[[HfConfig], str | None]:
    """Refuse layers without a window that do not come at equal distances."""

    def refuse(config: HfConfig) -> str | None:
        kinds, period = config.get("layer_types"), _period(config, every)
        wanted = [
            "sliding_attention" if (i + 1) % period else "full_attention"
            for i in range(config.layers)
        ]
        if kinds and "sliding_attention" not in kinds:
            return f"layer_types {kinds!r}, llama.cpp needs a layer with a window"
        if kinds is None or list(kinds) == wanted:
            return None
        return f"layer_types {kinds!r}, llama.cpp has full layers at equal distances only"

    return refuse


RMS = {"attention.layer_norm_rms_epsilon": of("rms_norm_eps", 1e-6)}

SILU = {"hidden_act": ("silu",)}

HEAD_NORMS: dict[str, Part] = {
    "self_attn.q_norm": Part("attn_q_norm"),
    "self_attn.k_norm": Part("attn_k_norm"),
}

EXPERT_WIDTH = {"expert_feed_forward_length": of("moe_intermediate_size")}


LAYER_NORM = {"attention.layer_norm_epsilon": of("layer_norm_epsilon", 1e-5)}


def partly(default: float) -> Callable[[HfConfig], int]:
    """Return how many numbers of a head are rotated."""
    return lambda c: int(float(c.rope.get("partial_rotary_factor", default)) * c.head_dim)
