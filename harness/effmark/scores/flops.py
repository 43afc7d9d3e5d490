"""FLOPs of a transformer, from its shape: 2 per multiply-add.

- projections: 2 * layers * attention parameters per token; feed-forward: 2 * MLP parameters per
  token, with the router of a mixture layer (2 d E); lm_head: 2 d V per scored position
- attention scores per layer and (query, key) pair: 4 H D; latent: 2 H (m + r + v). A token at
  position p (from 0) sees p + 1 keys: prefill of N tokens has N (N + 1) / 2 pairs, decoding g
  tokens after c of context g c + g (g + 1) / 2; a layer with a sliding window sees it at most
- a request of N prompt and o output tokens costs prefill(N, "last") + decode(o - 1, context N)
- T5, with I = num_heads * d_kv, m = 3 if gated else 2, e and x layers, n tokens in and o out:
  projections 8 d I (e n + x o) + 4 d I x (o + n); feed-forward 2 m d f (e n + x o); attention
  4 I (e n^2 + x (o (o + 1) / 2 + o n)); lm_head 2 d V o

They agree with profiled FLOPs of Qwen2.5 3B to 14B to 1e-4 (without attention, which the profiler
does not see when it is fused) and of Flan-T5 large to xxl to 1 %.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from effmark.scores import _check
from effmark.scores.architecture import Architecture, activated_parameters, attention_parameters

LOGITS = ("all", "last", "none")


@dataclass(frozen=True, slots=True)
class Flops:
    """Work of a forward pass or of several, in FLOPs."""

    projections: float
    """Query, key, value and output projections."""
    feed_forward: float
    """MLPs, experts and router."""
    attention: float
    """Attention scores and their weighted sums."""
    lm_head: float
    """Logits."""

    @property
    def total(self) -> float:
        """Sum of all parts, in FLOPs."""
        return self.projections + self.feed_forward + self.attention + self.lm_head


def prefill_flops(arch: Architecture, tokens: int, *, logits: str = "last") -> Flops:
    """Return the FLOPs of processing a prompt, with logits for all, the last or no position."""
    tokens = _check.whole("tokens", tokens, least=1)
    _check.option("logits", logits, LOGITS)
    scored = {"all": tokens, "last": 1, "none": 0}[logits]
    return _flops(arch, 0, tokens, scored)


def decode_flops(arch: Architecture, generated: int, *, context: int = 0) -> Flops:
    """Return the FLOPs of generating tokens one by one after ``context`` cached ones."""
    generated = _check.whole("generated", generated)
    context = _check.whole("context", context)
    return _flops(arch, context, generated, generated)


def decode_flops_per_token(arch: Architecture, generated: int, *, context: int = 0) -> float:
    """Return the mean FLOPs per generated token."""
    generated = _check.whole("generated", generated, least=1)
    return decode_flops(arch, generated, context=context).total / generated


def attention_flops_per_pair(arch: Architecture) -> int:
    """Return the FLOPs of one query looking at one key, over all layers."""
    latent = arch.latent
    if latent is None:
        return arch.layers * 4 * arch.heads * arch.head_dim
    widths = latent.nope_dim + latent.rope_dim + latent.value_dim
    return arch.layers * 2 * arch.heads * widths


def encoder_decoder_flops(
    config: Mapping[str, Any], input_tokens: int, output_tokens: int
) -> Flops:
    """Return the FLOPs of a T5 model that reads and writes so many tokens, from its config."""
    n = _check.whole("input_tokens", input_tokens, least=1)
    o = _check.whole("output_tokens", output_tokens, least=1)
    d, f = _key(config, "d_model"), _key(config, "d_ff")
    inner = _key(config, "num_heads") * _key(config, "d_kv")
    encoder = _key(config, "num_layers")
    given = config.get("num_decoder_layers")
    decoder = encoder if given is None else _key(config, "num_decoder_layers")
    matrices = 3 if str(config.get("feed_forward_proj", "relu")).startswith("gated") else 2
    passes = encoder * n + decoder * o
    pairs = encoder * n**2 + decoder * (o * (o + 1) // 2 + o * n)
    return Flops(
        projections=float(8 * d * inner * passes + 4 * d * inner * decoder * (o + n)),
        feed_forward=float(2 * matrices * d * f * passes),
        attention=float(4 * inner * pairs),
        lm_head=float(2 * d * _key(config, "vocab_size") * o),
    )


def _flops(arch: Architecture, context: int, tokens: int, scored: int) -> Flops:
    """Return the work of `tokens` positions that follow `context` ones."""
    attention = arch.layers * attention_parameters(arch)
    mlps = activated_parameters(arch) - attention
    router = arch.moe_layers * arch.hidden * arch.experts
    pairs = (arch.layers - arch.window_layers) * _pairs(context, tokens, None)
    pairs += arch.window_layers * _pairs(context, tokens, arch.window)
    return Flops(
        projections=float(2 * attention * tokens),
        feed_forward=2 * (mlps + router) * tokens,
        attention=float(attention_flops_per_pair(arch) // arch.layers * pairs),
        lm_head=float(2 * arch.hidden * arch.vocab * scored),
    )


def _pairs(context: int, tokens: int, window: int | None) -> int:
    """Return how many keys these positions see in one layer: p + 1 at p, at most the window."""
    growing = tokens if window is None else min(tokens, max(0, window - context))
    pairs = growing * context + growing * (growing + 1) // 2
    return pairs + (tokens - growing) * (window or 0)


def _key(config: Mapping[str, Any], key: str) -> int:
    if config.get(key) is None:
        raise ValueError(f"config must hold {key}, got the keys {sorted(config)!r}")
    return _check.whole(key, config[key], least=1)
