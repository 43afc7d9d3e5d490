"""Rotary positions of a Hugging Face config as entries and tensors of a GGUF file.

Definitions: `ROPE_INIT_FUNCTIONS` of transformers, `ggml_rope_ext` of ggml. Where the frequencies
are not a geometric row GGUF holds a factor for each, by which llama.cpp divides it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from effmark_adapters.artefacts.gguf_families.family import Family, HfConfig, Limit
from effmark_adapters.artefacts.gguf_source import Tensor

__all__ = ["llama3_factors", "longrope_limit", "rope_tensors", "rope_values", "unread_rope"]

_ROOM = 256
_YARN = {
    "beta_fast": (32,),
    "beta_slow": (1,),
    "mscale": (),
    "mscale_all_dim": (),
    "truncate": (True,),
}
"""What llama.cpp takes for granted of yarn: headers say more, most architectures do not read it."""


def rope_values(family: Family, config: HfConfig) -> dict[str, Any]:
    """Return the entries of the header, less the architecture; None is to be left out."""
    if family.theta is None:
        return {}
    rope = config.rope
    dim = family.rope_dim(config) if family.rope_dim else config.head_dim
    values: dict[str, Any] = {
        "rope.dimension_count": dim,
        "rope.freq_base": float(rope.get("rope_theta") or family.theta),
    }
    kind = rope["rope_type"]
    if kind in ("linear", "yarn"):
        values |= {"rope.scaling.type": kind, "rope.scaling.factor": float(rope["factor"])}
    if kind == "yarn":
        values |= _yarn(config, rope)
    if kind == "longrope":
        values |= _longrope(config, rope)
    return values


def unread_rope(config: HfConfig) -> str | None:
    """Return a setting of the rotation that llama.cpp does not follow, as the end of a sentence."""
    rope = config.rope
    if rope["rope_type"] != "yarn":
        return None
    for name, known in _YARN.items():
        if (value := rope.get(name)) is not None and value not in known:
            usual = f"takes {known[0]!r} for granted" if known else "does not know it"
            return f"{name} {value!r} for rope_type 'yarn', llama.cpp {usual}"
    return None


def _original(config: HfConfig, rope: Any) -> int:
    found = rope.get("original_max_position_embeddings")
    return int(found or config.number("max_position_embeddings"))


def _yarn(config: HfConfig, rope: Any) -> dict[str, Any]:
    # llama.cpp multiplies by 1 + 0.1 ln(factor) itself; what is written comes on top of it.
    usual = 0.1 * math.log(rope["factor"]) + 1 if rope["factor"] > 1 else 1.0
    return {
        "rope.scaling.original_context_length": _original(config, rope),
        "rope.scaling.attn_factor": float(rope.get("attention_factor") or usual) / usual,
    }


def _longrope(config: HfConfig, rope: Any) -> dict[str, Any]:
    original = _original(config, rope)
    longer = config.number("max_position_embeddings") / original
    usual = math.sqrt(1 + math.log(longer) / math.log(original)) if longer > 1 else 1.0
    return {
        "rope.scaling.original_context_length": original,
        "rope.scaling.attn_factor": float(rope.get("attention_factor") or usual),
    }


def longrope_limit(config: HfConfig) -> Limit | None:
    """Return how long a context may be to get the factors of short ones.

    Hugging Face takes those of long ones once a sequence is long, llama.cpp once the context is,
    whose room it rounds up to a multiple of 256.
    """
    rope = config.rope
    if rope["rope_type"] != "longrope":
        return None
    tokens = _original(config, rope) // _ROOM * _ROOM
    return Limit(tokens, "llama.cpp rotates short texts by the factors of long ones beyond")


def rope_tensors(config: HfConfig) -> Iterator[Tensor]:
    """Yield the factors of frequencies that a kind of rotation needs."""
    rope = config.rope
    if rope["rope_type"] == "llama3":
        whole = {"rope_theta": 10000.0, **rope}
        whole["original_max_position_embeddings"] = _original(config, rope)
        yield _vector("rope_freqs.weight", llama3_factors(whole, config.head_dim))
    if rope["rope_type"] == "longrope":
        yield _vector("rope_factors_long.weight", rope["long_factor"])
        yield _vector("rope_factors_short.weight", rope["short_factor"])


def llama3_factors(rope: Mapping[str, Any], head_dim: int) -> list[float]:
    """Return 1 for high frequencies, the factor for low ones, and a way between."""
    factor, low, high = (
        float(rope[key]) for key in ("factor", "low_freq_factor", "high_freq_factor")
    )
    original, base = int(rope["original_max_position_embeddings"]), float(rope["rope_theta"])
    factors = []
    for i in range(0, head_dim, 2):
        wavelength = 2 * math.pi * base ** (i / head_dim)
        if wavelength < original / high:
            factors.append(1.0)
        elif wavelength > original / low:
            factors.append(factor)
        else:
            smooth = (original / wavelength - low) / (high - low)
            factors.append(1 / ((1 - smooth) / factor + smooth))
    return factors


def _vector(name: str, values: list[float]) -> Tensor:
    import numpy as np

    return Tensor(name, (len(values),), None, lambda: np.array(values, np.float32))
