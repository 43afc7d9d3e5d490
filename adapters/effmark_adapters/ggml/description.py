"""What is told of a loaded GGUF file: bits, cache, FLOPs."""

from __future__ import annotations

import re

from effmark_adapters.artefacts.gguf_facts import GgufFacts

__all__ = ["is_exact", "quantisation"]

_QUANTISED_ACTIVATIONS = "int8 per block of the weights"


def quantisation(facts: GgufFacts) -> dict[str, int | float | str | bool | None]:
    """Return what is held at how many bits."""
    floats = facts.matrix_type in ("F32", "F16", "BF16")
    return {
        "scheme": facts.matrix_type,
        "matrix_bits": facts.matrix_bits,
        "embedding_bits": facts.embedding_bits,
        "head_bits": facts.head_bits,
        "embedding_type": facts.embedding_type,
        "head_type": facts.head_type,
        "group_size": None if floats else 256 if facts.matrix_type.endswith("_K") else 32,
        "symmetric": None if floats else facts.matrix_type in ("Q4_0", "Q5_0", "Q6_K", "Q8_0"),
        "activations": facts.matrix_type if floats else _QUANTISED_ACTIVATIONS,
        **_shares(facts),
        **{f"tensors_{kind}": count for kind, count in facts.types.items()},
    }


def _shares(facts: GgufFacts) -> dict[str, float]:
    """Return which share of the weights is held at 4, 8 … bits, scales not counted."""
    shares: dict[str, float] = {}
    for kind, share in facts.shares.items():
        digits = re.search(r"\d+", kind)
        name = f"share_{digits[0] if digits else kind}bit"
        shares[name] = shares.get(name, 0.0) + share
    return {name: round(share, 4) for name, share in shares.items()}


def is_exact(facts: GgufFacts) -> bool:
    """Return whether to calculate in f32 throughout, which is done where all weights are f32."""
    return facts.matrix_type == "F32"
