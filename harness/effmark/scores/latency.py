"""Timing of a streamed request, and goodput.

TTFT = first chunk - start; time per output token (TPOT) = (last chunk - first chunk) / (n - 1);
normalised latency = (last chunk, else end, - start) / n; latency = end (default last chunk) -
start. Gaps are those between chunks: a pooled inter-token latency adds a zero gap for each further
token of a chunk, here they are not added. Goodput = requests that meet ALL objectives (bounds
included, a missing value fails) / seconds of the window.

The same words mean different things elsewhere (GuideLLM's "TPOT" includes the first token, LoadGen
and aiperf divide latency - TTFT): name the definition next to every number. Output tokens must be
counted, not taken from chunks.

Sources: mlcommons/inference @ b66003e10e2d, vllm-project/guidellm @ ee7a77457ba6,
ai-dynamo/aiperf @ db4f6397d11e.

Faults of reference codes that are not followed: one chunk holds no interval, so its TPOT is None,
where aiperf and GuideLLM say 0; equal chunk times are a gap of 0, where aiperf raises; an empty
distribution is None, where GuideLLM says 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from effmark.scores import _check


@dataclass(frozen=True, slots=True)
class RequestTiming:
    """When the parts of one answer came, in the unit of the times given (seconds by name)."""

    ttft_s: float | None
    """Start to first chunk; None without a chunk."""
    ttst_s: float | None
    """First to second chunk; None with fewer than two."""
    tpot_s: float | None
    """Time per output token after the first; None with one chunk or fewer than two tokens."""
    latency_s: float | None
    """Start to end, by default to the last chunk; None without either."""
    normalized_latency_s: float | None
    """Start to last chunk (else end) per token, the first included; None without tokens."""
    gaps_s: tuple[float, ...]
    """Gaps between chunks."""
    output_tokens_per_s: float | None
    """Output tokens / latency; None for unknown tokens or no latency."""


def request_timing(
    start_s: float,
    chunk_times_s: Sequence[float],
    *,
    output_tokens: int | None = None,
    end_s: float | None = None,
) -> RequestTiming:
    """Return the timing of one request; scale-free: nanoseconds in, nanoseconds out."""
    chunks = _check.numbers("chunk_times_s", chunk_times_s, empty=True)
    start = _check.number("start_s", start_s)
    tokens = None if output_tokens is None else _check.whole("output_tokens", output_tokens)
    if chunks and chunks[0] < start:
        raise ValueError(
            f"chunk_times_s[0] must not be before start_s = {start!r}, got {chunks[0]!r}"
        )
    _check.ascending("chunk_times_s", chunks)
    last = chunks[-1] if chunks else None
    end = _end(end_s, start if last is None else last, last)
    # Differences come first: nanoseconds since 1970 do not fit the digits of a float.
    latency = None if end is None else float(end - start)
    answered = end if last is None else last
    gaps = tuple(float(b - a) for a, b in pairwise(chunks))
    tpot = None
    if tokens is not None and tokens > 1 and gaps:
        tpot = (chunks[-1] - chunks[0]) / (tokens - 1)
    return RequestTiming(
        ttft_s=float(chunks[0] - start) if chunks else None,
        ttst_s=gaps[0] if gaps else None,
        tpot_s=tpot,
        latency_s=latency,
        normalized_latency_s=(answered - start) / tokens
        if tokens and answered is not None
        else None,
        gaps_s=gaps,
        output_tokens_per_s=tokens / latency if tokens is not None and latency else None,
    )


def goodput(
    requests: Sequence[Mapping[str, float | None]],
    at_most: Mapping[str, float] | None = None,
    at_least: Mapping[str, float] | None = None,
    *,
    window_s: float,
) -> float:
    """Return the requests per second that meet every objective; ``requests[i][measure]``."""
    _check.number("window_s", window_s, above=0)
    upper, lower = dict(at_most or {}), dict(at_least or {})
    if not upper and not lower:
        raise ValueError(
            f"at_most and at_least must hold an objective, got {at_most!r}, {at_least!r}"
        )
    for name, bound in [*upper.items(), *lower.items()]:
        _check.number(f"bound of {name!r}", bound)
    _check.not_empty("requests", requests)
    return sum(_meets(i, r, upper, lower) for i, r in enumerate(requests)) / window_s


def _end(end_s: float | None, earliest: float, last: float | None) -> float | None:
    if end_s is None:
        return last
    _check.number("end_s", end_s)
    if end_s < earliest:
        raise ValueError(f"end_s must not be before {earliest!r}, got {end_s!r}")
    return end_s


def _meets(
    index: int,
    request: Mapping[str, float | None],
    upper: Mapping[str, float],
    lower: Mapping[str, float],
) -> bool:
    for name in (*upper, *lower):
        value = request.get(name)
        if value is None:
            return False
        _check.number(f"requests[{index}][{name!r}]", value, infinite=True)
        if value > upper.get(name, value) or value < lower.get(name, value):
            return False
    return True
