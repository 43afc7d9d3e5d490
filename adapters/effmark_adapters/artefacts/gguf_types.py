"""Which type each tensor of a GGUF file gets: llama.cpp's own choice, with one exception.

* Vectors (norms) stay F32, and so do the few matrices that route or convolve.
* With the block-of-32 types (Q4_0 … Q8_0) embedding and head are Q8_0, so that a "4-bit" file
  spends its 4 bits on the matrices. (The exception: where rows are a multiple of 256 llama.cpp
  takes Q6_K. At 8 bits the ends compare with those of other runtimes.)
* Q4_K_M gives the embedding, the head, and the value and down projections of the outer and every
  third layer Q6_K, the rest Q4_K. Q6_K is Q6_K throughout.
* A K-quant needs rows of a multiple of 256 values. Other rows fall back: Q4_K to Q5_0, Q6_K to
  Q8_0; rows that no multiple of 32 fits stay F16. So a name says little about a file's bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from effmark.errors import UnsupportedError

__all__ = ["PRECISIONS", "check_types", "choose_type", "is_matrix", "tensor_b"]

PRECISIONS: dict[str, str] = {
    "f32": "F32",
    "f16": "F16",
    "q8_0": "Q8_0",
    "q6_k": "Q6_K",
    "q5_1": "Q5_1",
    "q5_0": "Q5_0",
    "q4_k_m": "Q4_K",
    "q4_1": "Q4_1",
    "q4_0": "Q4_0",
}
"""The type that most weights get at each precision."""

_FALLBACK = {"Q4_K": "Q5_0", "Q6_K": "Q8_0"}
_ENDS = ("token_embd.weight", "output.weight")
_KEPT = (
    *("_norm.weight", "ffn_gate_inp.weight", "position_embd.weight", "token_types.weight"),
    *("ssm_conv1d.weight", "ssm_a", "ssm_d", "shortconv.conv.weight"),
)
"""Matrices that llama.cpp's quantiser leaves alone."""
_NAMED_AFTER_MOST = ("Q4_0", "Q4_1", "Q5_0", "Q5_1")
"""Types by which a file is called if most weights have them; a K mixture is more types anyway."""
_PROMOTED = ("attn_v", "ffn_down")
"""What Q4_K_M keeps at 6 bits in some layers."""


def is_matrix(name: str, shape: tuple[int, ...]) -> bool:
    """Return whether a tensor is a weight matrix inside a layer."""
    return len(shape) > 1 and name.startswith("blk.") and not name.endswith(_KEPT)


def choose_type(name: str, shape: tuple[int, ...], precision: str, layers: int) -> str:
    """Return the name of the type of one tensor, `Q4_0` say.

    Args:
        name: Name in the file, `blk.3.attn_v.weight`.
        shape: Rows first; the last number is the length of a row.
        precision: One of `PRECISIONS`.
        layers: How many layers the model has.
    """
    wanted = PRECISIONS[precision]
    if len(shape) < 2 or name.endswith(_KEPT):
        return "F32"
    if wanted in ("F32", "F16"):
        return wanted
    if name in _ENDS:
        wanted = "Q6_K" if wanted.endswith("_K") else "Q8_0"
    elif precision == "q4_k_m" and _is_promoted(name, layers):
        wanted = "Q6_K"
    return _fit(wanted, shape[-1])


def check_types(shapes: Sequence[tuple[str, tuple[int, ...]]], precision: str, layers: int) -> None:
    """Refuse a precision that no matrix of the model can have, or less than half of the weights.

    Raises:
        UnsupportedError: every row has the wrong length for the type, or the rest dominates.
    """
    wanted = PRECISIONS[precision]
    matrices = [(name, shape) for name, shape in shapes if is_matrix(name, shape)]
    if not any(_fit(wanted, shape[-1]) == wanted for _, shape in matrices):
        rows = sorted({shape[-1] for _, shape in matrices})
        raise UnsupportedError(
            f"{precision}: no matrix has rows of a multiple of {_block(wanted)} values, they have "
            f"{rows}; take {_instead(rows)}"
        )
    share = _share(shapes, precision, layers)
    if wanted in _NAMED_AFTER_MOST and share < 0.5:
        raise UnsupportedError(
            f"{precision}: only {share:.0%} of the weights would be {wanted}, embedding, head and "
            "rows that no block fits stay at more bits; take q8_0 or f16"
        )


def _instead(rows: Sequence[int]) -> str:
    """Return the precisions that rows of these lengths can have instead."""
    simple = "q4_0, q4_1, q5_0 or q8_0"
    return simple if any(row % _block("Q8_0") == 0 for row in rows) else "f16 or f32"


def _share(shapes: Sequence[tuple[str, tuple[int, ...]]], precision: str, layers: int) -> float:
    """Return which share of the weights gets the type that a precision is named after."""
    counts = {name: math.prod(shape) for name, shape in shapes}
    wanted = PRECISIONS[precision]
    named = [n for n, shape in shapes if choose_type(n, shape, precision, layers) == wanted]
    return sum(counts[name] for name in named) / sum(counts.values())


def tensor_b(shape: tuple[int, ...], kind: str) -> int:
    """Return the bytes of a tensor in a type."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    block, size_b = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    return int(math.prod(shape) // block * size_b)


def _is_promoted(name: str, layers: int) -> bool:
    block, number, part, *_ = (*name.split("."), "", "", "")
    if block != "blk" or part not in _PROMOTED:
        return False
    layer, eighth = int(number), layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def _block(kind: str) -> int:
    if kind.endswith("_K"):
        return 256
    return 32 if kind.startswith("Q") else 1


def _fit(wanted: str, row: int) -> str:
    if row % _block(wanted) == 0:
        return wanted
    fallback = _FALLBACK.get(wanted, "F16")
    return fallback if row % _block(fallback) == 0 else "F16"
