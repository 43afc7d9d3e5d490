"""What happens to the numbers of a tensor on its way from a Hugging Face folder to GGUF.

Every change takes a tensor and the config. All but `plus_one` and `minus_exp` only move numbers,
so that they are made once on a view of a single zero to learn the shape.
"""

from __future__ import annotations

from typing import Any

from effmark_adapters.artefacts.gguf_families.family import HfConfig

__all__ = [
    "column",
    "first_half",
    "flat",
    "kept",
    "minus_exp",
    "plus_one",
    "qkv_by_group",
    "qkv_by_head",
    "second_half",
    "transposed",
    "turned_keys",
    "turned_queries",
]


def turned_queries(values: Any, config: HfConfig) -> Any:
    """Interleave the rotary halves of each query head.

    Hugging Face rotates dimension i with i + d/2, llama.cpp's "normal" rotation 2i with 2i + 1.
    """
    return _turned(values, config.heads)


def turned_keys(values: Any, config: HfConfig) -> Any:
    """Interleave the rotary halves of each key head."""
    return _turned(values, config.kv_heads)


def _turned(values: Any, heads: int) -> Any:
    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
    return halves.swapaxes(1, 2).reshape(values.shape)


def plus_one(values: Any, _: HfConfig) -> Any:
    """Add the one that norms keep out of their weights (Gemma, Nemotron)."""
    import numpy as np

    return values + np.float32(1)


def minus_exp(values: Any, _: HfConfig) -> Any:
    """Return the decay of a state-space layer from its logarithm."""
    import numpy as np

    return -np.exp(values)


def transposed(values: Any, _: HfConfig) -> Any:
    """Turn a Conv1D of GPT-2, which holds inputs by outputs; its bias stays."""
    return values.T


def flat(values: Any, _: HfConfig) -> Any:
    """Drop the middle dimension of one of a depthwise convolution."""
    return values.reshape(values.shape[0], values.shape[-1])


def qkv_by_head(values: Any, config: HfConfig) -> Any:
    """Order rows that hold query, key and value of one head after another by their kind."""
    parts = values.reshape(config.heads, 3, config.head_dim, *values.shape[1:])
    return parts.swapaxes(0, 1).reshape(values.shape)


def qkv_by_group(values: Any, config: HfConfig) -> Any:
    """Order rows that hold the queries, the key and the value of one group after another."""
    import numpy as np

    groups = config.kv_heads
    parts = values.reshape(groups, -1, config.head_dim, *values.shape[1:])
    kinds = parts[:, :-2], parts[:, -2:-1], parts[:, -1:]
    return np.concatenate([kind.reshape(-1, *values.shape[1:]) for kind in kinds])


def first_half(values: Any, _: HfConfig) -> Any:
    """Return the first half of the rows of each expert."""
    return values[:, : values.shape[1] // 2]


def second_half(values: Any, _: HfConfig) -> Any:
    """Return the second half of the rows of each expert."""
    return values[:, values.shape[1] // 2 :]


def column(values: Any, _: HfConfig) -> Any:
    """Stand a row of numbers up."""
    return values.reshape(-1, 1)


def kept(values: Any, _: HfConfig) -> Any:
    """Leave a tensor as it is."""
    return values
