"""What the headers of weight files say: how many weights there are, and of which type.

Only headers are read. Formats: safetensors (https://huggingface.co/docs/safetensors) and GGUF
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
"""

from __future__ import annotations

import json
import math
import struct
from collections import Counter
from pathlib import Path
from typing import BinaryIO

__all__ = ["count_weights", "gguf_type"]

_SCALARS_B = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K",
    11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 30: "BF16", 39: "MXFP4",
}  # fmt: skip


def count_weights(path: Path) -> int | None:
    """Return the number of weights of a GGUF file or a Hugging Face folder, None if unknown.

    A tied head counts as often as the files hold it.
    """
    if path.is_file():
        return sum(_gguf_weights(path).values())
    files = sorted(path.glob("*.safetensors"))
    return sum(map(_safetensors_weights, files)) if files else None


def gguf_type(path: Path) -> str:
    """Return the type of most weights of a GGUF file, `Q4_K` say.

    Raises:
        ValueError: the header is damaged, or tells of no weights.
    """
    found = _gguf_weights(path)
    if not found:
        raise ValueError(f"{path}: holds no weights")
    number, _ = found.most_common(1)[0]
    return _TYPES.get(number, f"type {number}")


def _safetensors_weights(path: Path) -> int:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(e["shape"]) for name, e in header.items() if name != "__metadata__")


def _gguf_weights(path: Path) -> Counter[int]:
    """Return the number of weights of each type.

    Raises:
        ValueError: the header is damaged.
    """
    found: Counter[int] = Counter()
    try:
        with path.open("rb") as file:
            _, _, tensors, keys = _read(file, "<4sIQQ")
            for _ in range(keys):
                _skip_text(file)
                _skip_value(file, _read(file, "<I")[0])
            for _ in range(tensors):
                _skip_text(file)
                (dimensions,) = _read(file, "<I")
                size = math.prod(_read(file, f"<{dimensions}Q"))
                number, _ = _read(file, "<IQ")
                found[number] += size
    except (struct.error, OverflowError, MemoryError, KeyError) as error:
        raise ValueError(f"{path}: the header is damaged: {error}") from error
    return found


def _read(file: BinaryIO, form: str) -> tuple[int, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))


def _skip_text(file: BinaryIO) -> None:
    file.seek(_read(file, "<Q")[0], 1)


def _skip_value(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _skip_text(file)
    elif kind == _ARRAY:
        of, count = _read(file, "<IQ")
        if of in (_STRING, _ARRAY):
            for _ in range(count):
                _skip_value(file, of)
        else:
            file.seek(count * _SCALARS_B[of], 1)
    else:
        file.seek(_SCALARS_B[kind], 1)
