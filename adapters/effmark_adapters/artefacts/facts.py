"""Facts of a model that every runtime reads in the same way: its shape, its size on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from effmark.folder_weights import named_weight_files

__all__ = [
    "Scalar",
    "bytes_on_disk",
    "context_tokens",
    "flat_config",
    "read_config",
    "weight_files",
]

Scalar = int | float | str | bool | None


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config.json of a Hugging Face folder."""
    return dict(json.loads((folder / "config.json").read_text("utf-8")))


def flat_config(config: dict[str, Any]) -> dict[str, Scalar]:
    """Return the scalars of a config and of its text model and RoPE, without private keys.

    A list of names becomes one text with commas.
    """
    text = config.get("text_config") or {}
    rope = {**(config.get("rope_parameters") or {}), **(text.get("rope_parameters") or {})}
    found: dict[str, Scalar] = {}
    for key, value in {**rope, **config, **text}.items():
        if key.startswith("_"):
            continue
        if isinstance(value, bool | int | float | str | None):
            found[key] = value
        elif isinstance(value, list) and value and all(isinstance(v, str) for v in value):
            found[key] = ",".join(value)
    return found


_CONTEXT_KEYS = (
    *("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "max_sequence_length"),
    *("seq_length", "max_target_positions", "model_max_length"),
)
_AFTER_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "roberta-prelayernorm",
                  "data2vec-text", "xmod")  # fmt: skip
"""Model types that count positions from the padding id + 1, and so have that many fewer."""


def context_tokens(config: dict[str, Any]) -> int | None:
    """Return the longest context in tokens, where the config says it."""
    config = config.get("text_config") or config
    if config.get("alibi"):
        return None  # distances have no end; what such a config names is where training ended
    found = next((config[key] for key in _CONTEXT_KEYS if config.get(key)), None)
    if not isinstance(found, int):
        return None
    if config.get("model_type") in _AFTER_PADDING:
        found -= int(config.get("pad_token_id") or 0) + 1
    return found


def weight_files(folder: Path) -> list[Path]:
    """Return the weight files of a Hugging Face folder that its config or its index names."""
    return named_weight_files(folder)


def bytes_on_disk(paths: Iterable[Path]) -> int:
    """Return the bytes of files; a folder counts as all files below it."""
    files = (f for p in paths for f in (p.rglob("*") if p.is_dir() else [p]) if f.is_file())
    return sum(file.stat().st_size for file in files)
