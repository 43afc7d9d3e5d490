"""What a GGUF file is made from, and how another GGUF file is read as that."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, UnsupportedError
from effmark.gguf_header import gguf_shards

__all__ = ["Source", "Tensor", "Value", "from_gguf", "gguf_files"]


@dataclass(frozen=True)
class Value:
    """One entry of a GGUF header."""

    key: str
    value: Any
    kind: str
    """`UINT32`, `STRING`, `ARRAY` … as the format names it."""
    element: str | None = None
    """Kind of the elements of an array."""


@dataclass(frozen=True)
class Tensor:
    """One tensor of the source, read only when it is asked for."""

    name: str
    shape: tuple[int, ...]
    """Rows first."""
    stored: str | None
    """Its type in a GGUF file; None in a folder."""
    read: Callable[[], Any]
    """Returns its float32 values in the order of GGUF."""


@dataclass(frozen=True)
class Source:
    """Everything that a GGUF file is made from."""

    architecture: str
    layers: int
    values: tuple[Value, ...]
    tensors: tuple[Tensor, ...]
    config: Mapping[str, Any] | None = None
    """The config.json of a folder; None where the header is all there is."""
    ends: tuple[int, ...] | None = None
    """Tokens that end an answer by the files of a folder."""


def from_gguf(path: Path) -> Source:
    """Return the header and the tensors of a GGUF model, which may lie in several files.

    Raises:
        PrerequisiteError: a file is damaged or missing, or is not the first of several.
        UnsupportedError: it holds something else than a language model.
    """
    shards = gguf_files(path)
    readers = [_reader_of(shard) for shard in shards]
    header = {value.key: value for value in _header(readers[0])}
    names = {entry.name for reader in readers for entry in reader.tensors}
    architecture = header["general.architecture"].value if "general.architecture" in header else ""
    layers = header.get(f"{architecture}.block_count")
    if layers is None or "token_embd.weight" not in names:
        raise UnsupportedError(
            f"{path.name}: a GGUF file of architecture {architecture!r} without "
            f"{'block_count' if layers is None else 'token_embd.weight'} is no language model"
        )
    return Source(
        str(architecture),
        int(layers.value),
        tuple(v for v in header.values() if not v.key.startswith(_OWN)),
        tuple(_from_entry(entry) for reader in readers for entry in reader.tensors),
    )


def gguf_files(path: Path) -> tuple[Path, ...]:
    """Return the files of a model, of which `path` is the first or the only one.

    Raises:
        PrerequisiteError: a file is damaged or missing, or `path` is not the first.
    """
    try:
        shards = gguf_shards(path)
    except ValueError as error:
        raise PrerequisiteError(
            f"{path.name}, not a readable GGUF file: {error}; fetch it again"
        ) from error
    if path.name != shards[0].name:
        raise PrerequisiteError(f"{path.name} is a part of a model; give {shards[0].name!r}")
    return shards


def _reader_of(path: Path) -> Any:
    from gguf import GGUFReader

    try:
        return GGUFReader(path)
    except (ValueError, IndexError, OSError) as error:
        raise PrerequisiteError(
            f"{path.name}, not a readable GGUF file: {error}; fetch it again"
        ) from error


def _from_entry(entry: Any) -> Tensor:
    from gguf.quants import dequantize

    shape = tuple(int(n) for n in reversed(entry.shape))
    return Tensor(
        entry.name,
        shape,
        entry.tensor_type.name,
        lambda: dequantize(entry.data, entry.tensor_type).reshape(shape),
    )


_OWN = (
    "GGUF.",
    "split.",
    "general.architecture",
    "general.file_type",
    "general.quantization_version",
)
"""Entries that the writer makes itself."""


def _header(reader: Any) -> Iterator[Value]:
    for key, field in reader.fields.items():
        kinds = [kind.name for kind in field.types]
        yield Value(key, field.contents(), kinds[0], kinds[-1] if kinds[0] == "ARRAY" else None)
