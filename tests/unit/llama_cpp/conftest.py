"""A llama of a few thousand weights as a Hugging Face folder, and its arithmetic in numpy."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effmark.adapter import LoadRequest
from effmark.schema import content_hash
from effmark.spec import ModelRef

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}: {{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
EPSILON, THETA = 1e-5, 10000.0


@dataclass(frozen=True)
class TinyLlama:
    """A random llama: its folder, its weights, its shape."""

    folder: Path
    weights: dict[str, Any]
    heads: int
    kv_heads: int
    layers: int
    vocabulary: int

    @property
    def parameters(self) -> int:
        return sum(int(w.size) for w in self.weights.values())

    def request(self, cache: Path, precision: str, **changes: Any) -> LoadRequest:
        files = {p.name: content_hash(p.read_bytes().hex()) for p in self.folder.iterdir()}
        model = ModelRef(
            name="tiny", task="lm", kind="hf", path=self.folder, sha256=content_hash(files)
        )
        settings: dict[str, Any] = {"context_tokens": 128, **changes}
        return LoadRequest(model=model, precision=precision, cache=cache, **settings)

    def log_probs(self, ids: list[int]) -> Any:
        """Return natural-log probabilities after every token, in float64."""
        w = {name: value.astype(np.float64) for name, value in self.weights.items()}
        x = w["model.embed_tokens.weight"][ids]
        for layer in range(self.layers):
            at = f"model.layers.{layer}."
            h = _norm(x, w[at + "input_layernorm.weight"])
            x = x + self._attention(h, w, at + "self_attn.")
            h = _norm(x, w[at + "post_attention_layernorm.weight"])
            gate = h @ w[at + "mlp.gate_proj.weight"].T
            up = h @ w[at + "mlp.up_proj.weight"].T
            x = x + (gate / (1 + np.exp(-gate)) * up) @ w[at + "mlp.down_proj.weight"].T
        logits = _norm(x, w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T
        logits -= logits.max(axis=-1, keepdims=True)
        return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))

    def _attention(self, h: Any, w: dict[str, Any], at: str) -> Any:
        query = _rotate(_heads(h @ w[at + "q_proj.weight"].T, self.heads))
        key = _rotate(_heads(h @ w[at + "k_proj.weight"].T, self.kv_heads))
        value = _heads(h @ w[at + "v_proj.weight"].T, self.kv_heads)
        repeat = self.heads // self.kv_heads
        key, value = key.repeat(repeat, axis=0), value.repeat(repeat, axis=0)
        scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])
        scores = np.where(np.tri(len(h)) > 0, scores, -np.inf)
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        return mixed.swapaxes(0, 1).reshape(len(h), -1) @ w[at + "o_proj.weight"].T

    def greedy(self, prompt: list[int], count: int) -> list[int]:
        ids = list(prompt)
        for _ in range(count):
            ids.append(int(self.log_probs(ids)[-1].argmax()))
        return ids[len(prompt) :]


def _norm(x: Any, weight: Any) -> Any:
    return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPSILON) * weight


def _heads(x: Any, heads: int) -> Any:
    return x.reshape(len(x), heads, -1).swapaxes(0, 1)


def _rotate(x: Any) -> Any:
    """Rotate dimension i with i + d/2, as Hugging Face does."""
    half = x.shape[-1] // 2
    angles = np.outer(np.arange(x.shape[1]), THETA ** (-np.arange(half) / half))
    cos, sin = np.cos(angles), np.sin(angles)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def _byte_letters() -> list[str]:
    """Return the letter that stands for each byte in byte-level BPE."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = iter(range(256, 512))
    return [chr(byte if byte in plain else next(shifted)) for byte in range(256)]


def _tokenizer(vocabulary: int) -> dict[str, Any]:
    letters = _byte_letters()
    space = letters[32]
    merges = [["t", "h"], ["th", "e"], [space, "the"], [space, "a"]]
    tokens = ["<|endoftext|>", "<|im_start|>", *letters, *(a + b for a, b in merges)]
    assert len(tokens) <= vocabulary
    added = [
        {
            **{"id": i, "content": tokens[i], "special": True, "normalized": False},
            **{"single_word": False, "lstrip": False, "rstrip": False},
        }
        for i in range(2)
    ]
    return {
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            **{"type": "ByteLevel", "add_prefix_space": False},
            **{"use_regex": True, "trim_offsets": True},
        },
        "model": {
            "type": "BPE",
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": merges,
        },
    }


def _save_safetensors(path: Path, weights: dict[str, Any]) -> None:
    header: dict[str, Any] = {}
    start = 0
    for name, value in weights.items():
        end = start + value.nbytes
        header[name] = {"dtype": "F32", "shape": value.shape, "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    body = b"".join(value.tobytes() for value in weights.values())
    path.write_bytes(len(text).to_bytes(8, "little") + text + body)


def make_llama(folder: Path, *, hidden: int = 64, ffn: int = 96, layers: int = 2) -> TinyLlama:
    """Write a random llama with tied head, 4 heads and 2 KV heads."""
    folder.mkdir(parents=True)
    vocabulary, heads, kv_heads = 288, 4, 2
    random = np.random.default_rng(7)

    def matrix(rows: int, columns: int) -> Any:
        scale = columns**-0.5
        return (random.standard_normal((rows, columns)) * scale).astype(np.float32)

    def vector() -> Any:
        return random.uniform(0.5, 1.5, hidden).astype(np.float32)

    kv = hidden // heads * kv_heads
    weights = {"model.embed_tokens.weight": matrix(vocabulary, hidden) * np.float32(2)}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        weights |= {
            at + "input_layernorm.weight": vector(),
            at + "self_attn.q_proj.weight": matrix(hidden, hidden),
            at + "self_attn.k_proj.weight": matrix(kv, hidden),
            at + "self_attn.v_proj.weight": matrix(kv, hidden),
            at + "self_attn.o_proj.weight": matrix(hidden, hidden),
            at + "post_attention_layernorm.weight": vector(),
            at + "mlp.gate_proj.weight": matrix(ffn, hidden),
            at + "mlp.up_proj.weight": matrix(ffn, hidden),
            at + "mlp.down_proj.weight": matrix(hidden, ffn),
        }
    weights["model.norm.weight"] = vector()
    _save_safetensors(folder / "model.safetensors", weights)
    config = {
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": ffn,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": 128,
        "rms_norm_eps": EPSILON,
        "rope_theta": THETA,
        "tie_word_embeddings": True,
        "vocab_size": vocabulary,
    }
    settings = {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(vocabulary)))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({**settings, "chat_template": TEMPLATE})
    )
    return TinyLlama(folder, weights, heads, kv_heads, layers, vocabulary)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyLlama:
    return make_llama(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> TinyLlama:
    """Rows of 256, which K-quants need."""
    return make_llama(tmp_path_factory.mktemp("model") / "wide", hidden=256, ffn=512, layers=8)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def xllamacpp() -> None:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("xllamacpp is not installed: pip install 'effmark[llama-cpp]'")


@pytest.fixture
def load(xllamacpp: None, cache: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that loads a tiny llama; what it loaded is closed at the end."""
    from effmark_adapters.llama_cpp import LlamaCppAdapter

    opened = []

    def loaded(model: TinyLlama, precision: str = "f32", **changes: Any) -> LlamaCppAdapter:
        adapter = LlamaCppAdapter()
        adapter.load(model.request(cache, precision, **changes))
        opened.append(adapter)
        return adapter

    yield loaded
    for adapter in opened:
        adapter.close()
