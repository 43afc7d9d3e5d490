"""The tensors of a Hugging Face folder, by name, read one at a time; no framework needed."""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effmark.errors import UnsupportedError
from effmark.folder_weights import check_weights, named_weight_files

__all__ = ["Stored", "stored_tensors"]

_KINDS = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}


@dataclass(frozen=True)
class Stored:
    """One tensor in a file."""

    shape: tuple[int, ...]
    read: Callable[[], Any]
    """Returns its values in float32."""


def stored_tensors(folder: Path) -> dict[str, Stored]:
    """Return every tensor of the model by name.

    Raises:
        PrerequisiteError: a file that the model needs is missing or damaged.
        UnsupportedError: a tensor of a type that is no plain number.
    """
    found: dict[str, Stored] = {}
    for path in _files(folder):
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        header.pop("__metadata__", None)
        for name, entry in header.items():
            found[name] = _stored(name, data, start, entry)
    return found


def _files(folder: Path) -> list[Path]:
    check_weights(folder)
    files = named_weight_files(folder)
    others = [path.name for path in files if path.suffix != ".safetensors"]
    if others:
        raise UnsupportedError(
            f"{folder.name}: the weights are in {others[0]!r}, this converter reads safetensors; "
            "save the model again with save_pretrained"
        )
    return files


def _stored(name: str, data: mmap.mmap, start: int, entry: dict[str, Any]) -> Stored:
    import numpy as np

    kind, shape = entry["dtype"], tuple(entry["shape"])
    first = start + entry["data_offsets"][0]
    if kind not in _KINDS:
        raise UnsupportedError(
            f"tensor {name!r} has the safetensors type {kind!r}; this converter reads "
            f"{', '.join(_KINDS)}"
        )

    def read() -> Any:
        raw = np.frombuffer(data, _KINDS[kind], math.prod(shape), first).reshape(shape)
        if kind == "BF16":  # the upper half of a float32
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32)

    return Stored(shape, read)
