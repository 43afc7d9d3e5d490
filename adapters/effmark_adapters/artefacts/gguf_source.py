"""Where a GGUF file comes from: another GGUF file, or a Hugging Face folder of a llama model."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, UnsupportedError
from effmark.folder_weights import named_weight_files
from effmark.gguf_header import gguf_shards

__all__ = ["Source", "Tensor", "Value", "from_folder", "from_gguf"]


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


def from_gguf(path: Path) -> Source:
    """Return the header and the tensors of a GGUF model, which may lie in several files.

    Raises:
        PrerequisiteError: a file is damaged or missing, or is not the first of several.
    """
    shards = gguf_files(path)
    readers = [_reader_of(shard) for shard in shards]
    header = {value.key: value for value in _header(readers[0])}
    architecture = str(header["general.architecture"].value)
    return Source(
        architecture,
        int(header[f"{architecture}.block_count"].value),
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


def from_folder(folder: Path) -> Source:
    """Return what a Hugging Face folder of a llama model becomes in GGUF.

    Raises:
        UnsupportedError: another architecture, or a feature that this converter does not know.
        PrerequisiteError: a file of the folder is missing.
    """
    from effmark_adapters.artefacts.gguf_tokenizer import tokenizer_values

    config = json.loads(_required(folder, "config.json").read_text("utf-8"))
    _check_config(config, folder)
    stored = _safetensors(folder)
    if config.get("tie_word_embeddings"):
        stored.pop("lm_head.weight", None)
    tensors = [_from_hf(name, *stored[name], config) for name in sorted(stored, key=_order)]
    values = (*_model_values(config, folder), *tokenizer_values(folder, config))
    return Source("llama", int(config["num_hidden_layers"]), values, tuple(tensors))


def _required(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise PrerequisiteError(f"model folder {str(folder)!r} has no {name}; it needs one")
    return path


def _check_config(config: dict[str, Any], folder: Path) -> None:
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    facts: dict[str, tuple[Any, tuple[Any, ...]]] = {
        "model_type": (config.get("model_type"), ("llama",)),
        "hidden_act": (config.get("hidden_act", "silu"), ("silu",)),
        "attention_bias": (config.get("attention_bias", False), (False,)),
        "mlp_bias": (config.get("mlp_bias", False), (False,)),
        "rope_type": (rope.get("rope_type", rope.get("type", "default")), ("default",)),
    }
    for name, (value, known) in facts.items():
        if value not in known:
            raise UnsupportedError(
                f"{folder.name}: config.json has {name} {value!r}, this converter knows "
                f"{known[0]!r}; convert it with llama.cpp's convert_hf_to_gguf.py and give the file"
            )


def _model_values(config: dict[str, Any], folder: Path) -> Iterator[Value]:
    heads = int(config["num_attention_heads"])
    head_dim = int(config.get("head_dim") or config["hidden_size"] // heads)
    theta = config.get("rope_theta") or (config.get("rope_parameters") or {}).get("rope_theta")
    yield Value("general.name", folder.name, "STRING")
    counts = {
        "block_count": config["num_hidden_layers"],
        "context_length": config["max_position_embeddings"],
        "embedding_length": config["hidden_size"],
        "feed_forward_length": config["intermediate_size"],
        "attention.head_count": heads,
        "attention.head_count_kv": config.get("num_key_value_heads") or heads,
        "attention.key_length": head_dim,
        "attention.value_length": head_dim,
        "rope.dimension_count": head_dim,
        "vocab_size": config["vocab_size"],
    }
    for name, count in counts.items():
        yield Value(f"llama.{name}", int(count), "UINT32")
    yield Value("llama.rope.freq_base", float(theta or 10000.0), "FLOAT32")
    epsilon = float(config.get("rms_norm_eps", 1e-6))
    yield Value("llama.attention.layer_norm_rms_epsilon", epsilon, "FLOAT32")


_NAMES = {
    "embed_tokens": "token_embd",
    "norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def _split(name: str) -> tuple[int | None, str]:
    """Return the layer and the part of a tensor's name in a Hugging Face folder."""
    part = name.removeprefix("model.").removesuffix(".weight")
    if not part.startswith("layers."):
        return None, part
    _, number, part = part.split(".", 2)
    return int(number), part


def _order(name: str) -> tuple[int, str]:
    layer, part = _split(name)
    return (-1 if layer is None else layer, part)


def _from_hf(name: str, shape: tuple[int, ...], read: Callable[[], Any], config: Any) -> Tensor:
    layer, part = _split(name)
    if part not in _NAMES:
        raise UnsupportedError(f"tensor {name!r} is not one of a llama model")
    block = "" if layer is None else f"blk.{layer}."
    heads = int(config["num_attention_heads"])
    turned = {"self_attn.q_proj": heads, "self_attn.k_proj": config.get("num_key_value_heads")}
    if part in turned:
        return Tensor(
            f"{block}{_NAMES[part]}.weight",
            shape,
            None,
            lambda: _interleave(read(), int(turned[part] or heads)),
        )
    return Tensor(f"{block}{_NAMES[part]}.weight", shape, None, read)


def _interleave(weight: Any, heads: int) -> Any:
    """Return a query or key matrix with the rotary halves of each head interleaved.

    Hugging Face rotates dimension i with i + d/2, GGUF's llama dimension 2i with 2i + 1.
    """
    rows, columns = weight.shape
    halves = weight.reshape(heads, 2, rows // heads // 2, columns)
    return halves.swapaxes(1, 2).reshape(rows, columns)


def _safetensors(folder: Path) -> dict[str, tuple[tuple[int, ...], Callable[[], Any]]]:
    """Return shape and reader of every tensor in the safetensors files that the folder names."""
    paths = [path for path in named_weight_files(folder) if path.suffix == ".safetensors"]
    if not paths:
        raise PrerequisiteError(f"model folder {str(folder)!r} has no *.safetensors; it needs one")
    found: dict[str, tuple[tuple[int, ...], Callable[[], Any]]] = {}
    for path in paths:
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = 8 + int.from_bytes(data[:8], "little")
        header = json.loads(data[8:start])
        header.pop("__metadata__", None)
        for name, entry in header.items():
            first = start + entry["data_offsets"][0]
            found[name] = (tuple(entry["shape"]), _reader(data, first, entry))
    return found


def _reader(data: mmap.mmap, first: int, entry: dict[str, Any]) -> Callable[[], Any]:
    import numpy as np

    kinds = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "F64": "<f8"}
    kind, shape = entry["dtype"], entry["shape"]
    if kind not in kinds:
        raise UnsupportedError(f"safetensors type {kind!r} is not one of {sorted(kinds)}")

    def read() -> Any:
        raw = np.frombuffer(data, kinds[kind], int(np.prod(shape)), first).reshape(shape)
        if kind == "BF16":  # the upper half of a float32
            return (raw.astype(np.uint32) << 16).view(np.float32)
        return raw.astype(np.float32)

    return read
