"""How many weights the files of a model hold, read from their headers.

Formats: safetensors (https://huggingface.co/docs/safetensors) and GGUF.
"""

from __future__ import annotations

import json
import math
from pathlib import Path

from effmark.gguf_header import gguf_header, gguf_shards

__all__ = ["count_weights"]


def count_weights(path: Path) -> int | None:
    """Return the number of weights of a GGUF file or a Hugging Face folder, None if unknown.

    A tied head counts as often as the files hold it; all files of a split model count.
    """
    if path.is_file():
        return sum(t.weights for shard in gguf_shards(path) for t in gguf_header(shard).tensors)
    files = sorted(path.glob("*.safetensors"))
    return sum(map(_safetensors_weights, files)) if files else None


def _safetensors_weights(path: Path) -> int:
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    return sum(math.prod(e["shape"]) for name, e in header.items() if name != "__metadata__")
