"""What a GGUF file holds, read from its tensors and header, never from its name."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from effmark.schema import Frozen
from effmark_adapters.artefacts.gguf_source import Source, Tensor
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
    """Number of weights; a tied head is not in the file, so it counts once."""
    weights_b: int
    file_b: int
    types: dict[str, int]
    """How many tensors have each type."""
    matrix_type: str
    """The type of most weights inside the layers."""
    embedding_type: str
    head_type: str
    matrix_bits: float
    embedding_bits: float
    head_bits: float
    config: dict[str, int | float | str | bool | None]


def read_facts(source: Source, file_b: int) -> GgufFacts:
    """Return the facts of a GGUF file that was opened as a source."""
    size_b = {t.name: tensor_b(t.shape, str(t.stored)) for t in source.tensors}
    weights = {t.name: t for t in source.tensors if not t.name.startswith("rope_freqs")}
    embedding = weights["token_embd.weight"]
    head = weights.get("output.weight", embedding)
    matrices = [t for t in weights.values() if is_matrix(t.name, t.shape)]

    def bits(tensors: list[Tensor]) -> float:
        return 8 * sum(size_b[t.name] for t in tensors) / sum(_count(t) for t in tensors)

    config = _config(source, tied=head is embedding, vocabulary=embedding.shape[0])
    return GgufFacts(
        parameters=sum(_count(t) for t in weights.values()),
        weights_b=sum(size_b[name] for name in weights),
        file_b=file_b,
        types=dict(sorted(Counter(str(t.stored) for t in weights.values()).items())),
        matrix_type=_most(matrices),
        embedding_type=str(embedding.stored),
        head_type=str(head.stored),
        matrix_bits=bits(matrices),
        embedding_bits=bits([embedding]),
        head_bits=bits([head]),
        config=config,
    )


def _count(tensor: Tensor) -> int:
    return math.prod(tensor.shape)


def _most(tensors: list[Tensor]) -> str:
    """Return the type that holds most weights."""
    weights: Counter[str] = Counter()
    for tensor in tensors:
        weights[str(tensor.stored)] += _count(tensor)
    return weights.most_common(1)[0][0]


def _config(source: Source, *, tied: bool, vocabulary: int) -> dict[str, Any]:
    """Return the architecture in the keys of a Hugging Face config.json."""
    header = {value.key: value.value for value in source.values}
    prefix = source.architecture
    config = {
        name: header[f"{prefix}.{key}"]
        for name, key in _CONFIG.items()
        if isinstance(header.get(f"{prefix}.{key}"), int | float)
    }
    config.setdefault("num_key_value_heads", config["num_attention_heads"])
    default_dim = config["hidden_size"] // config["num_attention_heads"]
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
