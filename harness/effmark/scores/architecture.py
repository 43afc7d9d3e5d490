"""Shape of a transformer, read from a Hugging Face ``config.json``, and what follows from it.

With d hidden, H heads, K KV heads, D head_dim, per layer and token (parameters; twice that in
FLOPs); latent attention has a = kv_lora_rank, b = q_lora_rank, m = qk_nope_head_dim,
r = qk_rope_head_dim, v = v_head_dim:

- attention A = 2 d D (H + K). Latent: d H (m + r) for the queries, or d b + b H (m + r) where b is
  set; d (a + r) + a H (m + v) for keys and values; v H d for the output
- MLP: 3 d f gated, 2 d f plain; mixture layer: 3 d (experts * f_expert + f_shared)
- KV elements per token: 2 * layers * K * D; latent: layers * (a + r)

Embeddings, lm_head, router and norms are in none of these. The definitions are the base of MBU, MFU
and FLOPs; with them, Qwen2.5 3B to 14B agree with profiled FLOPs to 1e-4.

Every naming that transformers' causal language models use is read. The KV heads are those that the
config tells, one where it says ``multi_query``, else all heads. A model type whose layers are not
of this kind (recurrent, shared between layers, more than one MLP), or are unknown, is refused: a
number that does not hold is worse than none. ``scores.known_types`` are those for which a counted
forward of the model's own code agrees within 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from effmark.scores import _check
from effmark.scores.model_types import FOUR_TIMES_HIDDEN, FULL_EVERY, KNOWN_TYPES, PLAIN_MLP

WINDOW_KEYS = ("sliding_window", "sliding_window_size", "attention_chunk_size")

WIDTH_KEYS = ("hidden_size", "n_embd", "d_model")
LAYER_KEYS = ("num_hidden_layers", "decoder_layers", "n_layer", "n_layers", "num_layers")
HEAD_KEYS = (
    *("num_attention_heads", "decoder_attention_heads", "attention_heads", "n_head", "n_heads"),
    "num_heads",
)
KV_HEAD_KEYS = ("num_key_value_heads", "num_kv_heads", "kv_n_heads")
MLP_KEYS = (
    *("intermediate_size", "decoder_ffn_dim", "ffn_dim", "ffn_hidden_size", "n_inner", "dff"),
    "dim_ff",
)
EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts")
CHOSEN_KEYS = ("num_experts_per_tok", "num_experts_per_token", "moe_k", "moe_top_k", "moe_topk")


@dataclass(frozen=True, slots=True)
class LatentAttention:
    """Ranks and widths of multi-head latent attention."""

    kv_rank: int
    """Width of the compressed keys and values, ``kv_lora_rank``."""
    query_rank: int | None
    """Width of the compressed queries, ``q_lora_rank``; None if they are not compressed."""
    nope_dim: int
    """Width per head of query and key without position, ``qk_nope_head_dim``."""
    rope_dim: int
    """Width per head of query and key with position, ``qk_rope_head_dim``."""
    value_dim: int
    """Width per head of the values, ``v_head_dim``."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Shape of a decoder, as far as its cost depends on it."""

    layers: int
    """Number of layers."""
    hidden: int
    """Width of the residual stream."""
    heads: int
    """Number of query heads."""
    kv_heads: int
    """Number of key and value heads."""
    head_dim: int
    """Width of a head."""
    vocab: int
    """Size of the vocabulary, with padding."""
    dense_layers: int
    """Number of layers with one MLP."""
    moe_layers: int
    """Number of mixture layers."""
    experts: int
    """Number of routed experts of a mixture layer; 0 for a dense model."""
    experts_per_token: int
    """Number of routed experts that a token uses; 0 for a dense model."""
    mlp_width: int
    """Inner width of a dense layer's MLP; 0 if there is no dense layer."""
    expert_width: int
    """Inner width of a routed expert; 0 for a dense model."""
    shared_width: int
    """Inner width of all shared experts of a mixture layer together."""
    mlp_matrices: int
    """Matrices of an MLP: 3 if gated, else 2."""
    latent: LatentAttention | None
    """Shape of the latent attention; None for ordinary attention."""
    window: int | None = None
    """Tokens that a layer with a sliding window sees; None where there is none."""
    window_layers: int = 0
    """Number of layers with a sliding window."""


def architecture_from_config(
    config: Mapping[str, Any], *, mlp_matrices: int | None = None
) -> Architecture:
    """Return the shape that a Hugging Face config describes (its ``text_config`` if present)."""
    config = config.get("text_config") or config
    _check_known(config)
    hidden = _required(config, *WIDTH_KEYS)
    layers = _required(config, *LAYER_KEYS)
    heads = _required(config, *HEAD_KEYS)
    latent = _latent(config)
    experts = _optional(config, *EXPERT_KEYS) or 0
    moe_layers = _moe_layers(config, layers) if experts else 0
    expert_width = _expert_width(config, hidden) if moe_layers else 0
    return Architecture(
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_kv_heads(config, heads),
        head_dim=_head_dim(config, hidden, heads, latent),
        vocab=_required(config, "vocab_size"),
        dense_layers=layers - moe_layers,
        moe_layers=moe_layers,
        experts=experts,
        experts_per_token=_experts_per_token(config, experts) if experts else 0,
        mlp_width=_mlp_width(config, hidden) if moe_layers < layers else 0,
        expert_width=expert_width,
        shared_width=_shared_width(config, expert_width) if moe_layers else 0,
        mlp_matrices=_mlp_matrices(config, mlp_matrices),
        latent=latent,
        window=_window(config, layers)[0],
        window_layers=_window(config, layers)[1],
    )


def _check_known(config: Mapping[str, Any]) -> None:
    """Refuse a model type of another kind; a config without a type is taken at its word."""
    kind = config.get("model_type")
    if kind is not None and kind not in KNOWN_TYPES:
        raise ValueError(f"model_type {kind!r} is not one whose cost follows from its config alone")
    table = config.get("word_embed_proj_dim")
    if table is not None and table != config.get("hidden_size"):
        raise ValueError(f"word_embed_proj_dim must be the width, got {table!r}")


def attention_parameters(arch: Architecture) -> int:
    """Return the number of attention parameters of one layer."""
    latent = arch.latent
    if latent is None:
        return 2 * arch.hidden * arch.head_dim * (arch.heads + arch.kv_heads)
    query_width = arch.heads * (latent.nope_dim + latent.rope_dim)
    rank = latent.query_rank
    queries = arch.hidden * query_width if rank is None else rank * (arch.hidden + query_width)
    down = arch.hidden * (latent.kv_rank + latent.rope_dim)
    up = latent.kv_rank * arch.heads * (latent.nope_dim + latent.value_dim)
    return queries + down + up + latent.value_dim * arch.heads * arch.hidden


def kv_elements_per_token(arch: Architecture) -> int:
    """Return the number of cached elements per token over all layers, within every window."""
    return arch.layers * _kv_elements_per_layer(arch)


def kv_window_elements_per_token(arch: Architecture) -> int:
    """Return how many of them are in layers that keep a window only."""
    return arch.window_layers * _kv_elements_per_layer(arch)


def _kv_elements_per_layer(arch: Architecture) -> int:
    if arch.latent is None:
        return 2 * arch.kv_heads * arch.head_dim
    return arch.latent.kv_rank + arch.latent.rope_dim


def activated_parameters(arch: Architecture, activated_experts: float | None = None) -> float:
    """Return the parameters of attention and MLPs that a step touches.

    ``activated_experts`` is the mean number of distinct experts per mixture layer, by default those
    of one token.
    """
    experts: float = arch.experts_per_token
    if activated_experts is not None:
        experts = _check.number("activated_experts", activated_experts, least=0, most=arch.experts)
    dense = arch.dense_layers * arch.mlp_width
    mixture = arch.moe_layers * (experts * arch.expert_width + arch.shared_width)
    mlps = arch.mlp_matrices * arch.hidden * (dense + mixture)
    return float(arch.layers * attention_parameters(arch) + mlps)


def _optional(config: Mapping[str, Any], *keys: str, least: int = 0) -> int | None:
    for key in keys:
        if config.get(key) is not None:
            return _check.whole(key, config[key], least=least)
    return None


def _required(config: Mapping[str, Any], *keys: str) -> int:
    found = _optional(config, *keys, least=1)
    if found is None:
        raise ValueError(f"config must hold one of {', '.join(keys)}, got {len(config)} other keys")
    return found


def _kv_heads(config: Mapping[str, Any], heads: int) -> int:
    if _is_multi_query(config):
        return 1
    found = _optional(config, *KV_HEAD_KEYS, least=1)
    if found is None:
        return heads
    if heads % found:
        raise ValueError(f"num_key_value_heads must divide the {heads} heads, got {found!r}")
    return found


def _is_multi_query(config: Mapping[str, Any]) -> bool:
    """Return whether all heads share one key and value: GPT-BigCode, and the older Falcon."""
    by_default = config.get("model_type") in ("falcon", "gpt_bigcode")
    return bool(config.get("multi_query", by_default)) and not config.get(
        "new_decoder_architecture"
    )


def _window(config: Mapping[str, Any], layers: int) -> tuple[int | None, int]:
    """Return the length of sliding windows, and in how many layers they are."""
    width = _optional(config, *WINDOW_KEYS)
    if not width or config.get("use_sliding_window") is False:
        return None, 0
    kinds = config.get("layer_types")
    if kinds:
        names = kinds.split(",") if isinstance(kinds, str) else kinds
        count = sum(name.startswith(("sliding", "chunked")) for name in names)
    else:
        every = config.get("sliding_window_pattern") or FULL_EVERY.get(
            str(config.get("model_type")), 0
        )
        first = _optional(config, "max_window_layers") if config.get("use_sliding_window") else 0
        full = layers // every if every else first or 0
        count = max(0, layers - full)
    return (width, count) if count else (None, 0)


def _head_dim(
    config: Mapping[str, Any], hidden: int, heads: int, latent: LatentAttention | None
) -> int:
    found = _optional(config, "head_dim", least=1)
    if found is not None:
        return found
    if hidden % heads and latent is None:
        raise ValueError(f"num_attention_heads must divide the width {hidden}, got {heads!r}")
    return hidden // heads


def _latent(config: Mapping[str, Any]) -> LatentAttention | None:
    kv_rank = _optional(config, "kv_lora_rank", least=1)
    if kv_rank is None:
        return None
    return LatentAttention(
        kv_rank=kv_rank,
        query_rank=_optional(config, "q_lora_rank", least=1),
        nope_dim=_required(config, "qk_nope_head_dim"),
        rope_dim=_required(config, "qk_rope_head_dim"),
        value_dim=_required(config, "v_head_dim"),
    )


def _mlp_width(config: Mapping[str, Any], hidden: int) -> int:
    found = _optional(config, *MLP_KEYS, least=1)
    if found is None and config.get("model_type") in FOUR_TIMES_HIDDEN:
        return 4 * hidden
    return _required(config, *MLP_KEYS) if found is None else found


def _mlp_matrices(config: Mapping[str, Any], given: int | None) -> int:
    if given is not None:
        return _check.whole("mlp_matrices", given, least=1)
    return 2 if config.get("model_type") in PLAIN_MLP else 3


def _experts_per_token(config: Mapping[str, Any], experts: int) -> int:
    found = _required(config, *CHOSEN_KEYS)
    return _check.whole("num_experts_per_tok", found, most=experts)


def _expert_width(config: Mapping[str, Any], hidden: int) -> int:
    found = _optional(config, "moe_intermediate_size", least=1)
    return _mlp_width(config, hidden) if found is None else found


def _shared_width(config: Mapping[str, Any], expert_width: int) -> int:
    found = _optional(config, "shared_expert_intermediate_size")
    if found is not None:
        return found
    return (_optional(config, "n_shared_experts") or 0) * expert_width


def _moe_layers(config: Mapping[str, Any], layers: int) -> int:
    dense: Sequence[int] = config.get("mlp_only_layers") or ()
    first = _optional(config, "first_k_dense_replace") or 0
    step = _optional(config, "decoder_sparse_step", least=1) or 1
    every = _optional(config, "moe_layer_freq", least=1) or 1
    return sum(
        index not in dense and (index + 1) % step == 0 and index >= first and index % every == 0
        for index in range(layers)
    )
