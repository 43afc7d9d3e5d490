"""Idealized runtime (HELM): seconds of a request on reference hardware, from a table of a model.

T = F(p) + g (o - 1) for o > 0 output tokens, else F(p); plus the overhead of denoised tables.
F(p) = value(K) * p / K for the smallest table key K >= p; above the largest key the same with that
key; F(0) = 0. o = tokens of all completions, with an echoed prompt minus the prompt's tokens.

Source: Narayanan et al. 2023, arXiv 2305.02440; read in stanford-crfm/helm @ 63754d05db6f. The
paper calls F piecewise linear; the code's F is not, and not even monotone (davinci: F(16) = 0.087
s, F(17) = 0.047 s). The code is followed, because the published values come from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from effmark.scores import _check


def idealized_runtime(
    prompt_tokens: int,
    output_tokens: int,
    prompt_s: Mapping[int, float] | None,
    s_per_output_token: float,
    *,
    overhead_s: float = 0.0,
) -> float | None:
    """Return the idealized seconds of a request; None for an unknown model (no ``prompt_s``)."""
    prompt = _check.whole("prompt_tokens", prompt_tokens)
    output = _check.whole("output_tokens", output_tokens)
    if prompt_s is None:
        return None
    _check.number("s_per_output_token", s_per_output_token, least=0)
    _check.number("overhead_s", overhead_s, least=0)
    reading = _prompt_seconds(prompt, prompt_s)
    return reading + s_per_output_token * max(0, output - 1) + overhead_s


def _prompt_seconds(tokens: int, table: Mapping[int, float]) -> float:
    _check.not_empty("prompt_s", table)
    for key, seconds in table.items():
        _check.whole("prompt_s key", key, least=1)
        _check.number(f"prompt_s[{key}]", seconds, least=0)
    size = min((key for key in table if key >= tokens), default=max(table))
    return table[size] * tokens / size
