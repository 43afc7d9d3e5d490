"""What a GGUF file holds, read from its tensors and header, never from its name."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from effmark.schema import Frozen
from effmark_adapters.artefacts.gguf_source import Source, Tensor
from effmark_adapters.artefacts.gguf_tokenizer import NORMALISER_KEY
from effmark_adapters.artefacts.gguf_types import is_matrix, tensor_b

__all__ = ["GgufFacts", "read_facts"]

_CONFIG = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
}
"""Keys of a Hugging Face config.json and their names in a GGUF header."""


class GgufFacts(Frozen):
    """What is known of a GGUF file."""

    parameters: int
    """Number of weights; a tied head counts once, also where the file holds it twice."""
    weights_b: int
    file_b: int
    types: dict[str, int]
    """How many tensors have each type."""
    shares: dict[str, float]
    """Which share of the weights has each type, 0 to 1."""
    matrix_type: str
    """The type of most weights inside the layers."""
    embedding_type: str
    head_type: str
    matrix_bits: float
    embedding_bits: float
    head_bits: float
    positions: int | None
    """How many positions the model has learned; None where they are calculated."""
    cache_elements: int
    """Numbers that all layers cache for one token, were there no windows."""
    normaliser: str | None
    """Unicode form of a text before it is read."""
    space_first: bool
    """Whether a text is read as if a space stood before it."""
    ends: tuple[int, ...] | None
    """Tokens that end an answer by the files of a folder; None: those that llama.cpp takes."""
    config: dict[str, Any]
    """The config.json of the source, or what the header says in its keys."""


def read_facts(source: Source, file_b: int) -> GgufFacts:
    """Return the facts of a GGUF file that was opened as a source."""
    size_b = {t.name: tensor_b(t.shape, str(t.stored)) for t in source.tensors}
    weights = {t.name: t for t in source.tensors if not t.name.startswith("rope_f")}
    embedding = weights["token_embd.weight"]
    head = weights.get("output.weight", embedding)
    matrices = [t for t in weights.values() if is_matrix(t.name, t.shape)]
    places = weights.get("position_embd.weight")
    header = {value.key: value.value for value in source.values}
    config = dict(source.config or _config(source, head is embedding, embedding.shape[0]))
    twice = head is not embedding and bool(config.get("tie_word_embeddings"))

    def bits(tensors: list[Tensor]) -> float:
        return 8 * sum(size_b[t.name] for t in tensors) / sum(_count(t) for t in tensors)

    return GgufFacts(
        parameters=sum(_count(t) for t in weights.values()) - (_count(head) if twice else 0),
        weights_b=sum(size_b[name] for name in weights),
        file_b=file_b,
        types=dict(sorted(Counter(str(t.stored) for t in weights.values()).items())),
        shares=_shares(list(weights.values())),
        matrix_type=_most(matrices),
        embedding_type=str(embedding.stored),
        head_type=str(head.stored),
        matrix_bits=bits(matrices),
        embedding_bits=bits([embedding]),
        head_bits=bits([head]),
        positions=places.shape[0] if places else None,
        cache_elements=_cache_elements(source),
        normaliser=_normaliser(header),
        space_first=header.get("tokenizer.ggml.model") == "llama"
        and bool(header.get("tokenizer.ggml.add_space_prefix", True)),
        ends=source.ends,
        config=config,
    )


def _normaliser(header: dict[str, Any]) -> str | None:
    """Return the form that the converter noted; Qwen's tokenizers all have the same one."""
    default = "NFC" if header.get("tokenizer.ggml.pre") == "qwen2" else None
    return header.get(NORMALISER_KEY, default) or None


def _shares(tensors: list[Tensor]) -> dict[str, float]:
    counts: Counter[str] = Counter()
    for tensor in tensors:
        counts[str(tensor.stored)] += _count(tensor)
    return {kind: count / counts.total() for kind, count in sorted(counts.items())}


def _cache_elements(source: Source) -> int:
    """Return how many numbers of keys and values one token takes, by the header."""
    header = {value.key.removeprefix(f"{source.architecture}."): value.value
              for value in source.values}  # fmt: skip
    heads = header.get("attention.head_count_kv", header.get("attention.head_count", 0))
    all_heads = heads if isinstance(heads, list) else [heads] * source.layers
    default = header["embedding_length"] // max(_first(header.get("attention.head_count", 1)), 1)
    widths = (header.get(f"attention.{what}_length", default) for what in ("key", "value"))
    return int(sum(all_heads) * sum(widths))


def _first(value: Any) -> int:
    """Return a number that may differ from layer to layer, the largest of them."""
    return int(max(value)) if isinstance(value, list) else int(value)


def _count(tensor: Tensor) -> int:
    return math.prod(tensor.shape)


def _most(tensors: list[Tensor]) -> str:
    """Return the type that holds most weights."""
    weights: Counter[str] = Counter()
    for tensor in tensors:
        weights[str(tensor.stored)] += _count(tensor)
    return weights.most_common(1)[0][0]


def _config(source: Source, tied: bool, vocabulary: int) -> dict[str, Any]:
    """Return the architecture in the keys of a Hugging Face config.json."""
    header = {value.key: value.value for value in source.values}
    prefix = source.architecture
    config: dict[str, Any] = {
        name: header[f"{prefix}.{key}"]
        for name, key in _CONFIG.items()
        if isinstance(header.get(f"{prefix}.{key}"), int | float)
    }
    heads = config.get("num_attention_heads")
    if heads:
        config.setdefault("num_key_value_heads", heads)
        default_dim = config["hidden_size"] // heads
        config["head_dim"] = header.get(f"{prefix}.attention.key_length", default_dim)
    special = {
        f"{name}_token_id": header[f"tokenizer.ggml.{name}_token_id"]
        for name in ("bos", "eos")
        if f"tokenizer.ggml.{name}_token_id" in header
    }
    return {
        "model_type": prefix,
        **config,
        **special,
        "vocab_size": vocabulary,
        "tie_word_embeddings": tied,
    }
