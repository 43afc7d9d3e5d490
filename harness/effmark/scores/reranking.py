"""Ranking quality and queries per PetaFLOP: RPP and QPP, and the authors' FLOPs estimate E2R.

RPP = mean over queries of quality(q) / (C_q / 1e15); QPP = 1e15 / mean of C_q. Quality is NDCG@10
or MRR; C_q = FLOPs of ALL model calls of the query (top-100 rerank).

E2R, with g query heads per KV head, L layers, width d, MLP width f, n tokens in, o out:

- decoder: N = 2 d L ((1 + 1/g) d + f); C = 2 N (n + o) + 4 L n^2 d / g + 2 L (d / g) (2 o n +
  o (o - 1))
- encoder-decoder: N = 2 d L (2 d + f), N' = 2 d L (3 d + f); C = 2 N n + 4 L n^2 d + 4 L n d^2 +
  2 N' o + 2 L d (2 o n + o (o - 1))

Source: Peng et al., EMNLP 2025 industry, arXiv 2507.06223; the estimators read in
zhiyuanpeng/EER-FLOPs @ 6ead316e985f.

Fault of the estimators, which are offered under the name E2R only: two MLP matrices where the
models have three, attention divided by g, no lm_head. They give 0.71 (Qwen2.5 3B, 7B), 0.75 (14B)
and 0.82 (Flan-T5) of the authors' own profiled FLOPs. The correct estimate is
``prefill_flops(...).total + decode_flops(...).total`` or ``encoder_decoder_flops(...).total``.
"""

from __future__ import annotations

from collections.abc import Sequence

from effmark.scores import _average, _check

PETA = 1e15


def e2r_decoder_flops(
    input_tokens: int,
    output_tokens: int,
    layers: int,
    hidden: int,
    feed_forward: int,
    gqa_ratio: float,
) -> float:
    """Return the authors' FLOPs estimate of a decoder call; too low, for comparisons only."""
    n, o = _tokens(input_tokens, output_tokens)
    _shape(layers, hidden, feed_forward)
    _check.number("gqa_ratio", gqa_ratio, least=1)
    keys = hidden / gqa_ratio
    parameters = 2 * hidden * layers * (hidden + keys + feed_forward)
    attention = 4 * layers * n**2 * keys + 2 * layers * keys * (2 * o * n + o * (o - 1))
    return float(2 * parameters * (n + o) + attention)


def e2r_encoder_decoder_flops(
    input_tokens: int, output_tokens: int, layers: int, hidden: int, feed_forward: int
) -> float:
    """Return the authors' FLOPs estimate of an encoder-decoder call; too low."""
    n, o = _tokens(input_tokens, output_tokens)
    _shape(layers, hidden, feed_forward)
    encoder = 2 * hidden * layers * (2 * hidden + feed_forward)
    decoder = 2 * hidden * layers * (3 * hidden + feed_forward)
    reading = 2 * encoder * n + 4 * layers * n**2 * hidden + 4 * layers * n * hidden**2
    writing = 2 * decoder * o + 2 * layers * hidden * (2 * o * n + o * (o - 1))
    return float(reading + writing)


def rpp(quality: Sequence[float], flops: Sequence[float]) -> float | None:
    """Return the mean ranking quality per PetaFLOP over queries; None if one cost 0 FLOPs."""
    _check.same_length("quality", quality, "flops", flops)
    gains = _check.numbers("quality", quality, least=0)
    costs = _check.numbers("flops", flops, least=0)
    if not all(costs):
        return None
    return _average.mean([gain / (cost / PETA) for gain, cost in zip(gains, costs, strict=True)])


def qpp(flops: Sequence[float]) -> float | None:
    """Return the queries that a PetaFLOP pays for; None if none cost anything."""
    mean = _average.mean(_check.numbers("flops", flops, least=0))
    return PETA / mean if mean > 0 else None


def _tokens(input_tokens: int, output_tokens: int) -> tuple[int, int]:
    return _check.whole("input_tokens", input_tokens), _check.whole("output_tokens", output_tokens)


def _shape(layers: int, hidden: int, feed_forward: int) -> None:
    _check.whole("layers", layers, least=1)
    _check.whole("hidden", hidden, least=1)
    _check.whole("feed_forward", feed_forward, least=1)
