"""Few bits of models that are not of the family: whatever is packed stays near the same in fp32."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from effmark_adapters.onnxruntime import OnnxRuntimeAdapter

pytest.importorskip("onnxruntime")

IDS = [int(i) for i in np.random.default_rng(0).integers(3, 130, 40)]
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "untied": ("llama", {}),
    "tied-odd-vocabulary": ("llama", {"tie_word_embeddings": True, "vocab_size": 131}),
    "rows-that-blocks-do-not-divide": ("qwen2", {"hidden_size": 72, "vocab_size": 131}),
    "scaled-embedding": ("gemma", {"head_dim": 16}),
    "head-with-a-bias": ("phi", {}),
    "matrices-as-gemm": ("gpt2", {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 128}),
}
LOW: list[tuple[dict[str, Any], float]] = [
    ({"precision": "int8"}, 0.01),
    ({"precision": "int8", "options": {"accuracy_level": 1}}, 0.01),
    ({"precision": "int8", "options": {"block_size": 16}}, 0.01),
    ({"precision": "int4"}, 0.3),
    ({"precision": "int4", "options": {"accuracy_level": 1}}, 0.3),
]
"""Requests and the largest mean KL divergence from fp32, in nats; garbage has more than 1."""


ROUTINE, THOROUGH = list(MODELS)[:2], list(MODELS)[2:]


def prepared(tiny_models: Any, names: list[str]) -> dict[str, Any]:
    planned, requests = tiny_models(), [{"precision": "fp32"}, *(low for low, _ in LOW)]
    wanted = [(OnnxRuntimeAdapter, request) for request in requests]
    models = {name: planned.add(name, *MODELS[name], *wanted) for name in names}
    assert planned.prepare() == {}
    return models


def log_probs(model: Any, request: dict[str, Any]) -> Any:
    adapter = OnnxRuntimeAdapter()
    adapter.load(model.request(**request))
    (found,) = adapter.log_probs([(IDS[:1], IDS[1:])])
    adapter.close()
    return found


def check(model: Any) -> None:
    whole = log_probs(model, {"precision": "fp32"})
    for request, bound in LOW:
        found = log_probs(model, request)
        divergence = (np.exp(whole) * (whole - found)).sum(-1).mean()
        assert divergence < bound, (model.model.name, request)
        assert_named_by_most_weights(model, request)


def assert_named_by_most_weights(model: Any, request: dict[str, Any]) -> None:
    adapter = OnnxRuntimeAdapter()
    adapter.load(model.request(**request))
    quantisation: Any = adapter.facts().quantisation
    bits = quantisation["bits"]
    assert quantisation[f"share_at_{bits}_bits_ratio"] >= 0.5
    assert sum(v for k, v in quantisation.items() if k.startswith("share_at_")) <= 1


def test_few_bits_stay_near_fp32_of_the_same_runtime(tiny_models: Any) -> None:
    for model in prepared(tiny_models, ROUTINE).values():
        check(model)


@pytest.mark.slow
def test_few_bits_of_unusual_shapes_stay_near_fp32(tiny_models: Any) -> None:
    for model in prepared(tiny_models, THOROUGH).values():
        check(model)


@pytest.mark.slow
def test_experts_that_are_not_packed_are_not_called_int4(tiny_models: Any) -> None:
    planned = tiny_models()
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
    planned.add("experts", "mixtral", experts, (OnnxRuntimeAdapter, {"precision": "int4"}))
    (refusal,) = planned.prepare()["experts"]
    assert re.search(r"int4 of this model would have \d+% of its weights at 4 bits", refusal)
