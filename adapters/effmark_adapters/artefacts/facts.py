"""Facts of a model that every runtime reads in the same way: its shape, its size on disk."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from effmark.folder_weights import named_weight_files
from effmark.scores.architecture import architecture_from_config, kv_elements_per_token
from effmark.scores.flops import decode_flops_per_token

__all__ = [
    "Scalar",
    "bytes_on_disk",
    "context_tokens",
    "flat_config",
    "flops_per_token",
    "kv_bytes_per_token",
    "read_config",
    "weight_files",
]

Scalar = int | float | str | bool | None


def read_config(folder: Path) -> dict[str, Any]:
    """Return the config.json of a Hugging Face folder."""
    return dict(json.loads((folder / "config.json").read_text("utf-8")))


def flat_config(config: dict[str, Any]) -> dict[str, Scalar]:
    """Return the scalars of a config, those of its RoPE at top level, without private keys."""
    rope = config.get("rope_parameters") or {}
    return {
        key: value
        for key, value in {**rope, **config}.items()
        if isinstance(value, bool | int | float | str | None) and not key.startswith("_")
    }


def context_tokens(config: dict[str, Any]) -> int | None:
    """Return the longest context in tokens, where the config says it."""
    found = (config.get("text_config") or config).get("max_position_embeddings")
    return int(found) if found else None


def kv_bytes_per_token(config: dict[str, Any], value_b: float) -> int:
    """Return the bytes of keys and values of all layers for one token of `value_b` per number."""
    return round(kv_elements_per_token(architecture_from_config(config)) * value_b)


def flops_per_token(config: dict[str, Any]) -> float:
    """Return the FLOPs of decoding one token with an empty context, 2 per multiply-add."""
    return decode_flops_per_token(architecture_from_config(config), 1)


def weight_files(folder: Path) -> list[Path]:
    """Return the weight files of a Hugging Face folder that its config or its index names."""
    return named_weight_files(folder)


def bytes_on_disk(paths: Iterable[Path]) -> int:
    """Return the bytes of files; a folder counts as all files below it."""
    files = (f for p in paths for f in (p.rglob("*") if p.is_dir() else [p]) if f.is_file())
    return sum(file.stat().st_size for file in files)
