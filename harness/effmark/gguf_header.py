"""What the headers of GGUF files say: their weights and types, and which files are one model.

Only headers are read. Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
A model in several files says so by the keys `split.*` (llama.cpp's gguf-split); the files are
called `NAME-00001-of-00003.gguf`, and only by these names can they find each other.
"""

from __future__ import annotations

import math
import re
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from effmark.errors import PrerequisiteError

__all__ = ["GgufHeader", "TensorEntry", "gguf_header", "gguf_shards", "gguf_type", "shard_stem"]

_SCALARS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 6: "Q5_0", 7: "Q5_1", 8: "Q8_0", 10: "Q2_K",
    11: "Q3_K", 12: "Q4_K", 13: "Q5_K", 14: "Q6_K", 16: "IQ2_XXS", 17: "IQ2_XS", 18: "IQ3_XXS",
    19: "IQ1_S", 20: "IQ4_NL", 21: "IQ3_S", 22: "IQ2_S", 23: "IQ4_XS", 29: "IQ1_M", 30: "BF16",
    34: "TQ1_0", 35: "TQ2_0", 39: "MXFP4",
}  # fmt: skip
_DAMAGE = (struct.error, OverflowError, MemoryError, LookupError, RecursionError, TypeError,
           ValueError)  # fmt: skip
"""What reading a header raises that is none."""
_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """One tensor of a header."""

    name: str
    shape: tuple[int, ...]
    """The length of a row first, as the format has it."""
    kind: int

    @property
    def weights(self) -> int:
        """How many numbers it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The tensors of one file, and its place among the files of a split model."""

    tensors: tuple[TensorEntry, ...]
    number: int
    """Counts from 1."""
    count: int
    """How many files the model has; 1 if it is not split."""
    all_tensors: int
    """How many tensors all files have together."""


def gguf_header(path: Path) -> GgufHeader:
    """Return what the header of one file says.

    Raises:
        ValueError: the header is damaged.
    """
    try:
        with path.open("rb") as file:
            _, _, count, keys = _read(file, "<4sIQQ")
            said = dict(_key(file) for _ in range(keys))
            tensors = tuple(_tensor(file) for _ in range(count))
        files = int(said.get("split.count") or 1)
        number = int(said.get("split.no", 0)) + 1 if files > 1 else 1
        everything = int(said.get("split.tensors.count", count)) if files > 1 else count
    except _DAMAGE as error:
        raise ValueError(f"{path}: the header is damaged: {error}") from error
    return GgufHeader(tensors, number, files, everything)


def gguf_shards(path: Path) -> tuple[Path, ...]:
    """Return all files of the model that a file belongs to, in their order.

    Raises:
        ValueError: a header is damaged.
        PrerequisiteError: a file of a split model is missing, misnamed or of another model.
    """
    header = gguf_header(path)
    if header.count == 1:
        return (path,)
    subject = f"GGUF file {path.name!r} is number {header.number} of {header.count}"
    named = _SHARD.fullmatch(path.name)
    if named is None or (int(named["number"]), int(named["count"])) != (
        header.number,
        header.count,
    ):
        raise PrerequisiteError(
            f"{subject} by its header; the others are found only beside a file that is called "
            f"NAME-{header.number:05d}-of-{header.count:05d}.gguf; rename it"
        )
    shards = tuple(
        path.with_name(f"{named['stem']}-{number:05d}-of-{header.count:05d}.gguf")
        for number in range(1, header.count + 1)
    )
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise PrerequisiteError(
            f"{subject}, and {', '.join(map(repr, missing))} {'is' if len(missing) == 1 else 'are'}"
            " not beside it; download all files of the model"
        )
    _check_shards(shards, header)
    return shards


def _check_shards(shards: tuple[Path, ...], one: GgufHeader) -> None:
    headers = [gguf_header(shard) for shard in shards]
    for number, (shard, header) in enumerate(zip(shards, headers, strict=True), 1):
        if (header.number, header.count) != (number, one.count):
            raise PrerequisiteError(
                f"GGUF file {shard.name!r} is number {header.number} of {header.count} by its "
                "header; download all files of the model again"
            )
    found = sum(len(header.tensors) for header in headers)
    if found != one.all_tensors:
        raise PrerequisiteError(
            f"GGUF files {shards[0].name!r} and following hold {found} tensors, their headers tell "
            f"of {one.all_tensors}; download all of them again"
        )


def shard_stem(path: Path) -> str:
    """Return what a file is called less its ending and its number."""
    named = _SHARD.fullmatch(path.name)
    return named["stem"] if named else path.stem


def gguf_type(paths: tuple[Path, ...]) -> str:
    """Return the type of most weights of the matrices in the layers, `Q4_K` say.

    Embedding and head do not count: in a small model they are most weights, and of another type.

    Raises:
        ValueError: a header is damaged, or they tell of no weights.
    """
    tensors = [tensor for path in paths for tensor in gguf_header(path).tensors]
    matrices = [t for t in tensors if len(t.shape) > 1]
    inside = [t for t in matrices if t.name.startswith("blk.")]
    counts: Counter[int] = Counter()
    for tensor in inside or matrices or tensors:
        counts[tensor.kind] += tensor.weights
    if not counts:
        raise ValueError(f"{paths[0]}: holds no weights")
    number, _ = counts.most_common(1)[0]
    return _TYPES.get(number, f"type {number}")


def _tensor(file: BinaryIO) -> TensorEntry:
    name = _text(file)
    (dimensions,) = _read(file, "<I")
    shape = _read(file, f"<{dimensions}Q")
    kind, _ = _read(file, "<IQ")
    return TensorEntry(name, shape, kind)


def _key(file: BinaryIO) -> tuple[str, Any]:
    """Return an entry; the values of texts and arrays are passed over."""
    name = _text(file)
    (kind,) = _read(file, "<I")
    if kind in (_STRING, _ARRAY):
        _skip(file, kind)
        return name, None
    return name, _read(file, f"<{_SCALARS[kind]}")[0]


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        file.seek(_read(file, "<Q")[0], 1)
    elif kind == _ARRAY:
        of, count = _read(file, "<IQ")
        if of in (_STRING, _ARRAY):
            for _ in range(count):
                _skip(file, of)
        else:
            file.seek(count * struct.calcsize(f"<{_SCALARS[of]}"), 1)
    else:
        file.seek(struct.calcsize(f"<{_SCALARS[kind]}"), 1)


def _text(file: BinaryIO) -> str:
    (length,) = _read(file, "<Q")
    raw = file.read(length)
    if len(raw) < length:
        raise ValueError("it ends within a name")
    return raw.decode(errors="replace")


def _read(file: BinaryIO, form: str) -> tuple[Any, ...]:
    return struct.unpack(form, file.read(struct.calcsize(form)))
