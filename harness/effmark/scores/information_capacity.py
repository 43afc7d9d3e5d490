"""Information capacity: bits of text that a model explains per token, per log2 of its FLOPs.

IC = (S - H + b) / log2(N), a plain number. S: bits of text per token, mean over samples of
8 * UTF-8 bytes / tokens, the first token dropped. H: bits of negative log-likelihood per token,
pooled over ALL predicted tokens. b: a constant fitted to each corpus (-24 mixed text, -18.7
Ch-FineWeb-Edu, -27 otherwise): always show it. N: FLOPs per token of decoding 1024 tokens from an
empty context. Negative values are possible on other corpora.

Source: TeleAI, arXiv 2511.08066; read in TeleAI-AI-Flow/InformationCapacity @ 0aa716818a5c.

Faults of the reference code: S and H average differently (as here, it is part of the definition);
the formula in its README leaves out b; its FLOPs ignore ``head_dim``, sum over t keys instead of
t + 1, choose a variant by DIRECTORY name, and use ``kv_lora_rank`` as a sequence length.
``ic_flops_per_token`` therefore reproduces their N for published comparisons only; effmark's own
column takes N from ``decode_flops_per_token``, and the two are different metrics.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from effmark.scores import _average, _check

BIASES = {"mixed": -24.0, "ch-fineweb-edu": -18.7, "other": -27.0}
"""The authors' constants by the corpus that they were fitted to; their code takes the last one for
every text that is not one of their own."""

VARIANTS = ("dense", "gpt-oss", "llama-4", "qwen-moe", "moe", "latent", "latent-recompute")


def information_capacity(
    text_bits_per_token: float, nll_bits_per_token: float, flops_per_token: float, *, bias: float
) -> float:
    """Return the information capacity, in bits per token per log2 FLOP."""
    _check.number("text_bits_per_token", text_bits_per_token)
    _check.number("nll_bits_per_token", nll_bits_per_token)
    _check.number("flops_per_token", flops_per_token, above=1)
    _check.number("bias", bias)
    return (text_bits_per_token - nll_bits_per_token + bias) / math.log2(flops_per_token)


def text_bits_per_token(
    byte_counts: Sequence[float], token_counts: Sequence[float], *, ndigits: int | None = None
) -> float:
    """Return the mean over samples of bits of text per token; the authors round to 2 digits."""
    _check.same_length("byte_counts", byte_counts, "token_counts", token_counts)
    sizes = _check.numbers("byte_counts", byte_counts, least=0)
    tokens = _check.numbers("token_counts", token_counts, above=0)
    mean = _average.mean([8 * b / t for b, t in zip(sizes, tokens, strict=True)])
    return mean if ndigits is None else round(mean, ndigits)


def nll_bits_per_token(nll_bits: Sequence[Sequence[float]]) -> float | None:
    """Return the mean bits per token, pooled over ``nll_bits[sample][token]``; None without one."""
    pooled: list[float] = []
    for index, sample in enumerate(nll_bits):
        pooled += _check.numbers(f"nll_bits[{index}]", sample, empty=True)
    return _average.mean(pooled) if pooled else None


def ic_flops_per_token(
    config: Mapping[str, Any],
    generated: int = 1024,
    *,
    context: int = 0,
    batch_size: int = 1,
    variant: str = "dense",
) -> float:
    """Return N as the authors' code computes it, in FLOPs per token, from a flat config."""
    steps = _check.whole("generated", generated, least=1)
    cached = _check.whole("context", context)
    batch = _check.whole("batch_size", batch_size, least=1)
    _check.option("variant", variant, VARIANTS)
    hidden = _key(config, "hidden_size")
    heads = _key(config, "num_attention_heads")
    kv_heads = _key(config, "num_key_value_heads", heads)
    width = hidden // heads
    projections = 4 * hidden**2 + 4 * hidden * kv_heads * width
    layer = steps * (projections + _mlp_flops(config, hidden, variant))
    layer += _attention_flops(config, hidden, heads * width, steps, cached, variant)
    lm_head = steps * 2 * hidden * _key(config, "vocab_size")
    return batch * (_key(config, "num_hidden_layers") * layer + lm_head) / steps


def _mlp_flops(config: Mapping[str, Any], hidden: int, variant: str) -> int:
    if variant == "dense":
        return 6 * hidden * _key(config, "intermediate_size")
    if variant == "gpt-oss":
        top_k = _key(config, "num_experts_per_tok")
        return 4 * hidden * _key(config, "intermediate_size") * top_k
    if variant == "llama-4":
        wide, narrow = _key(config, "intermediate_size_mlp"), _key(config, "intermediate_size")
        return hidden * (6 * wide + 4 * narrow)
    if variant == "qwen-moe":
        shared = _key(config, "shared_expert_intermediate_size")
        return 6 * hidden * (_key(config, "intermediate_size") + shared)
    experts = _key(config, "n_shared_experts", 0) + _key(config, "num_experts_per_tok")
    return 6 * hidden * _key(config, "moe_intermediate_size") * experts


def _attention_flops(
    config: Mapping[str, Any], hidden: int, inner: int, steps: int, cached: int, variant: str
) -> int:
    pairs = steps * cached + steps * (steps - 1) // 2
    if variant not in ("latent", "latent-recompute"):
        return 4 * inner * pairs
    rank = _key(config, "kv_lora_rank", max(1, min(256, cached // 16)))
    if variant == "latent":
        return 4 * inner * steps * rank
    return 4 * inner * pairs + 2 * hidden * rank * steps


def _key(config: Mapping[str, Any], key: str, default: int | None = None) -> int:
    value = config.get(key)
    if value is not None:
        return _check.whole(key, value)
    if default is None:
        raise ValueError(f"config must hold {key}, got the keys {sorted(config)!r}")
    return default
