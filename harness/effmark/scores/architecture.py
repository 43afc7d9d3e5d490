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

The KV heads are ``num_key_value_heads``, else all heads: older models that say ``multi_query`` or
``num_kv_heads`` (Falcon, GPT-BigCode) need that key added to their config.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from effmark.scores import _check

# Models whose MLP has two matrices; all others are taken as gated, with three.
PLAIN_MLP = frozenset(
    (
        *("gpt2", "gpt_neo", "gpt_neox", "gptj", "gpt_bigcode", "opt"),
        *("bloom", "falcon", "mpt", "phi", "starcoder2", "codegen"),
    )
)
# Models whose transformers config leaves the MLP width open and means 4 d by that.
FOUR_TIMES_HIDDEN = frozenset(
    ("gpt2", "gpt_neo", "gptj", "gpt_bigcode", "bloom", "falcon", "codegen")
)

WIDTH_KEYS = ("hidden_size", "n_embd")
LAYER_KEYS = ("num_hidden_layers", "n_layer")
HEAD_KEYS = ("num_attention_heads", "n_head")
MLP_KEYS = ("intermediate_size", "ffn_hidden_size", "n_inner")
EXPERT_KEYS = ("num_experts", "num_local_experts", "n_routed_experts")


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


def architecture_from_config(
    config: Mapping[str, Any], *, mlp_matrices: int | None = None
) -> Architecture:
    """Return the shape that a Hugging Face config describes (its ``text_config`` if present)."""
    config = config.get("text_config") or config
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
    )


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
    """Return the number of cached elements per token over all layers."""
    if arch.latent is None:
        return 2 * arch.layers * arch.kv_heads * arch.head_dim
    return arch.layers * (arch.latent.kv_rank + arch.latent.rope_dim)


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
        raise ValueError(f"config must hold {' or '.join(keys)}, got the keys {sorted(config)!r}")
    return found


def _kv_heads(config: Mapping[str, Any], heads: int) -> int:
    found = _optional(config, "num_key_value_heads", least=1)
    if found is None:
        return heads
    if heads % found:
        raise ValueError(f"num_key_value_heads must divide the {heads} heads, got {found!r}")
    return found


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
    found = _required(config, "num_experts_per_tok")
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
