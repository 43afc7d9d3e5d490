"""GGUF files: made once from a Hugging Face folder or another GGUF file, at one precision.

The tensors are quantised by `gguf.quants` (numpy), K-quants by the quantiser inside the runtime's
library, which the adapter hands over: every tensor equals, bit for bit, what llama.cpp's
llama_model_quantize makes of it at the same type. Where the conversion would change no tensor's
type the given file is used untouched: SmolLM2's Q4_1 file is its own q4_1. What is known of the
file is read from its tensors and kept beside it.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from effmark.adapter import LoadRequest
from effmark.cache import build_once
from effmark.errors import PrerequisiteError, UnsupportedError
from effmark.schema import content_hash
from effmark_adapters.artefacts.gguf_facts import GgufFacts, read_facts
from effmark_adapters.artefacts.gguf_families.family import Limit
from effmark_adapters.artefacts.gguf_from_hf import exact_tokens, from_folder, read_family
from effmark_adapters.artefacts.gguf_reading import Reads, check_reading
from effmark_adapters.artefacts.gguf_source import (
    Source,
    Tensor,
    from_gguf,
    gguf_files,
)
from effmark_adapters.artefacts.gguf_types import (
    PRECISIONS,
    check_types,
    choose_type,
    tensor_b,
)
from effmark_adapters.artefacts.hf_folder import hf_folder

__all__ = ["AS_IS", "CONVERTER_VERSION", "GgufFile", "Quantise", "gguf_file", "write_gguf"]

CONVERTER_VERSION = 4
"""Rises whenever the same source would become another file."""
AS_IS = "as_is"
"""The precision that asks for the given file, whatever its types."""

Quantise = Callable[[Any, str], Any]
"""Takes a float32 matrix and the name of a type, returns rows of bytes."""

_FILE_TYPES = {
    "F32": 0,
    "F16": 1,
    "Q4_0": 2,
    "Q4_1": 3,
    "Q8_0": 7,
    "Q5_0": 8,
    "Q5_1": 9,
    "Q4_K": 15,
    "Q6_K": 18,
}
"""`general.file_type`, the number by which llama.cpp names the mixture (Q4_K is Q4_K_M)."""


class GgufFile:
    """A GGUF file that is ready to load, and what is known of it."""

    def __init__(self, path: Path, facts: GgufFacts) -> None:
        self.path = path
        self.facts = facts


def gguf_file(
    request: LoadRequest, quantise: Quantise | None = None, reads: Reads | None = None
) -> GgufFile:
    """Return the file of a request, made in the cache on the first call.

    Args:
        request: Names the model, the precision and the cache.
        quantise: Makes the types that `gguf.quants` cannot; None where there is no such library.
        reads: llama.cpp's reading of texts, to compare with the folder's own tokenizer.

    Raises:
        UnsupportedError: the model or the precision cannot be had.
        PrerequisiteError: the model or a package is missing.
    """
    path = _check(request)
    makers = [CONVERTER_VERSION, importlib.metadata.version("gguf"), GgufFacts.model_json_schema()]
    key = content_hash([request.model.sha256, *_texts(path), request.precision, *makers])[:32]
    what = f"{request.model.name} as GGUF {request.precision}"
    entry = build_once(
        request.cache,
        "gguf",
        key,
        lambda folder: _build(request, path, folder, quantise, reads),
        what,
    )
    made = entry / "model.gguf"
    facts = GgufFacts.model_validate_json((entry / "facts.json").read_bytes())
    _check_positions(request, facts)
    return GgufFile(made if made.is_file() else path, facts)


def _check(request: LoadRequest) -> Path:
    model = request.model
    if model.path is None or model.kind not in ("gguf", "hf"):
        raise UnsupportedError(
            f"model {model.name!r} is of the kind {model.kind!r}; llama.cpp runs a GGUF file or a "
            "Hugging Face folder"
        )
    if request.precision == AS_IS and model.kind != "gguf":
        raise UnsupportedError(f"{AS_IS}: model {model.name!r} is a folder, not a GGUF file")
    if not model.path.exists():
        raise PrerequisiteError(f"model {model.name!r} is not at {str(model.path)!r}")
    whole = model.base or model
    if whole.kind == "hf" and whole.path is not None:
        _check_length(request, exact_tokens(*read_family(whole.path)))
    return model.path


def _check_length(request: LoadRequest, limit: Limit | None) -> None:
    if limit is not None and request.context_tokens > limit.tokens:
        raise UnsupportedError(
            f"model {request.model.name!r} is right in llama.cpp up to {limit.tokens} tokens, "
            f"{request.context_tokens} are asked for; {limit.why}"
        )


def _check_positions(request: LoadRequest, facts: GgufFacts) -> None:
    """Refuse what llama.cpp would end the process for: learned positions that are not there."""
    if facts.positions is not None:
        _check_length(request, Limit(facts.positions, "it has no further positions"))


def _texts(path: Path) -> list[str]:
    """Return the hashes of all small files of a folder: templates and settings go into the file."""
    if path.is_file():
        return []
    files = sorted(file for file in path.iterdir() if file.suffix in (".json", ".jinja"))
    return [
        f"{file.name} {hashlib.sha256(file.read_bytes()).hexdigest()}"
        for file in files
        if file.is_file()
    ]


def _build(
    request: LoadRequest,
    path: Path,
    folder: Path,
    quantise: Quantise | None,
    reads: Reads | None,
) -> None:
    source = _source(request, path)
    if request.model.kind == "hf" and reads is not None:
        check_reading(hf_folder(request.model, request.cache), source.values, reads, write_gguf)
    made, precision = path, request.precision
    if precision != AS_IS:
        check_types([(t.name, t.shape) for t in source.tensors], precision, source.layers)
        if any(t.stored != _type(t, precision, source) for t in source.tensors):
            made = folder / "model.gguf"
            write_gguf(source, precision, made, quantise)
            source = replace(from_gguf(made), config=source.config, ends=source.ends)
    facts = read_facts(source, sum(file.stat().st_size for file in gguf_files(made)))
    (folder / "facts.json").write_text(facts.model_dump_json(), "utf-8")


def _source(request: LoadRequest, path: Path) -> Source:
    if request.model.kind == "gguf":
        return from_gguf(path)
    return from_folder(hf_folder(request.model, request.cache))


def _type(tensor: Tensor, precision: str, source: Source) -> str:
    return choose_type(tensor.name, tensor.shape, precision, source.layers)


def write_gguf(
    source: Source, precision: str, path: Path, quantise: Quantise | None = None
) -> None:
    """Write a source as a GGUF file at one precision, one tensor in memory at a time."""
    import numpy as np
    from gguf import GGMLQuantizationType, GGUFValueType, GGUFWriter

    types = [_type(tensor, precision, source) for tensor in source.tensors]
    with contextlib.closing(GGUFWriter(path, source.architecture)) as writer:
        for value in source.values:
            element = GGUFValueType[value.element] if value.element else None
            kind = GGUFValueType[value.kind]
            writer.add_key_value(value.key, value.value, kind, sub_type=element)
        writer.add_file_type(_FILE_TYPES[PRECISIONS[precision]])
        writer.add_quantization_version(2)
        for tensor, name in zip(source.tensors, types, strict=True):
            # The dtype only says that the shape counts values; the type is the last argument.
            size_b, dtype = tensor_b(tensor.shape, name), np.dtype(np.float32)
            kind = GGMLQuantizationType[name]
            writer.add_tensor_info(tensor.name, tensor.shape, dtype, size_b, kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor, name in zip(source.tensors, types, strict=True):
            writer.write_tensor_data(_encode(tensor.read(), name, quantise))


def _encode(values: Any, kind: str, quantise: Quantise | None) -> Any:
    """Return the bytes of a tensor in a type."""
    import numpy as np
    from gguf import GGMLQuantizationType
    from gguf.quants import quantize

    values = np.ascontiguousarray(values, dtype=np.float32)
    if not kind.endswith("_K"):
        return quantize(values, GGMLQuantizationType[kind])
    if quantise is None:
        raise UnsupportedError(
            f"{kind}: this library has no quantiser for it; "
            "install it with: pip install 'effmark[llama-cpp]'"
        )
    return quantise(values, kind)
