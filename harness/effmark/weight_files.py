"""How many weights the files of a model hold, read from their headers.

Formats: safetensors (https://huggingface.co/docs/safetensors) and GGUF.
"""

from __future__ import annotations

from pathlib import Path

from effmark.folder_weights import count_folder_weights
from effmark.gguf_header import gguf_header, gguf_shards

__all__ = ["count_weights"]


def count_weights(path: Path) -> int | None:
    """Return the number of weights of a GGUF file or a Hugging Face folder, None if unknown.

    A tied head counts as often as the files hold it; all files of a split model count.
    """
    if path.is_file():
        return sum(t.weights for shard in gguf_shards(path) for t in gguf_header(shard).tensors)
    return count_folder_weights(path)
