"""A Hugging Face causal LM as an ONNX graph with its KV cache as inputs and outputs.

Heavy: imports torch and transformers, so only `prepare` may import this module.

Two things differ from a plain export, each for the arithmetic that then runs:

* attention groups the queries of one KV head into one product instead of copying the cache once
  per query head (no `Expand` of the whole cache at every token);
* the norm divides by a square root instead of multiplying by a reciprocal one, which is the
  pattern that ONNX Runtime fuses into one kernel.

The graph takes `input_ids [n, t]`, `attention_mask [n, past + t]`, `position_ids [n, t]`,
`logit_positions [k]` (which of the t positions to give logits for: the head costs a quarter of a
small model) and `past_key_values.I.key|value [n, heads, past, size]`; it gives `logits [n, k, v]`
and `present.I.key|value`.
"""

from __future__ import annotations

import json
import logging
import types
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import torch
from transformers import AutoModelForCausalLM
from transformers.cache_utils import DynamicCache
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from effmark.errors import UnsupportedError

__all__ = ["export_lm"]

OPSET = 18
GROUPED = "effmark_grouped"
TOLERANCE = 1e-3
"""Largest difference of a logit between the graph and torch on random tokens, relative to the
largest logit; measured about 1e-6."""


def export_lm(source: Path, folder: Path) -> None:
    """Write `model.onnx`, its data and `meta.json` for a model folder, checked against torch."""
    model, tied = _load(source)
    names = _past_names(model.config)
    path = folder / "model.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            _Step(model).eval(),
            _example(model.config),
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
            input_names=["input_ids", "attention_mask", "position_ids", "logit_positions", *names],
            output_names=["logits", *(n.replace("past_key_values", "present") for n in names)],
            dynamic_shapes=_dynamic_shapes(len(names)),
        )
    if program is None:
        raise UnsupportedError(f"onnx export of {type(model).__name__}: the exporter gave nothing")
    program.save(str(path), external_data=True)
    _strip(path)
    _check(model, path, names)
    (folder / "meta.json").write_text(json.dumps(_meta(model, tied), indent=1, sort_keys=True))


def _load(source: Path) -> tuple[Any, bool]:
    """Return the model in fp32, rewritten, and whether head and embedding are one tensor."""
    ALL_ATTENTION_FUNCTIONS.register(GROUPED, _grouped_attention)
    ALL_MASK_ATTENTION_FUNCTIONS.register(GROUPED, eager_mask)
    model = AutoModelForCausalLM.from_pretrained(
        source, dtype=torch.float32, attn_implementation=GROUPED, local_files_only=True
    ).eval()
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    for module in model.modules():
        if type(module).__name__.endswith("RMSNorm") and hasattr(module, "variance_epsilon"):
            module.forward = types.MethodType(_root_mean_square_norm, module)
    return model, tied


def _grouped_attention(
    _module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Return attention with all queries of one KV head in one matrix product."""
    batch, heads, length, size = query.shape
    grouped = (query * scaling).reshape(batch, key.shape[1], -1, size)
    scores = torch.matmul(grouped, key.transpose(2, 3)).reshape(batch, heads, length, -1)
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = torch.softmax(scores, dim=-1).reshape(batch, key.shape[1], -1, key.shape[2])
    out = torch.matmul(weights, value).reshape(batch, heads, length, size)
    return out.transpose(1, 2), None


def _root_mean_square_norm(self: Any, hidden: torch.Tensor) -> torch.Tensor:
    mean_square = hidden.pow(2).mean(-1, keepdim=True)
    normed = hidden / torch.sqrt(mean_square + self.variance_epsilon)
    return torch.as_tensor(normed * self.weight)


class _Step(torch.nn.Module):
    """One step with the cache as a flat list: key, value, key, value and so on."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        logit_positions: torch.Tensor,
        past: Sequence[torch.Tensor],
    ) -> tuple[torch.Tensor, ...]:
        cache = DynamicCache(config=self.model.config)
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        out = self.model.base_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        wanted = out.last_hidden_state.index_select(1, logit_positions)
        logits = self.model.get_output_embeddings()(wanted)
        layers = out.past_key_values.layers
        return logits, *(t for layer in layers for t in (layer.keys, layer.values))


def _strip(path: Path) -> None:
    """Remove what the exporter notes at every node, stack traces say; it is most of the file."""
    graph = onnx.load(str(path), load_external_data=False)
    for node in graph.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    graph.graph.ClearField("value_info")
    onnx.save_model(graph, str(path))


def _head_size(config: Any) -> int:
    return int(
        getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    )


def _kv_heads(config: Any) -> int:
    return int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)


def _past_names(config: Any) -> list[str]:
    layers = range(config.num_hidden_layers)
    return [f"past_key_values.{i}.{part}" for i in layers for part in ("key", "value")]


def _example(config: Any, batch: int = 2, length: int = 5, past: int = 7) -> tuple[Any, ...]:
    """Return inputs whose dynamic sizes all differ and are neither 0 nor 1."""
    cache = torch.zeros(batch, _kv_heads(config), past, _head_size(config))
    return (
        torch.zeros(batch, length, dtype=torch.long),
        torch.ones(batch, past + length, dtype=torch.long),
        torch.arange(past, past + length)[None].repeat(batch, 1),
        torch.tensor([1, 2, 4]),
        [cache.clone() for _ in range(2 * config.num_hidden_layers)],
    )


def _dynamic_shapes(caches: int) -> tuple[Any, ...]:
    free = torch.export.Dim.DYNAMIC
    plain = {0: free, 1: free}
    return plain, plain, plain, {0: free}, [{0: free, 2: free}] * caches


def _check(model: Any, path: Path, names: Sequence[str]) -> None:
    """Refuse a graph that does not compute what the model computes."""
    import onnxruntime as ort

    ids = torch.randint(0, model.config.vocab_size, (1, 8), generator=torch.Generator())
    with torch.inference_mode():
        reference = model(input_ids=ids, use_cache=False).logits.numpy()
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    empty = torch.zeros(1, _kv_heads(model.config), 0, _head_size(model.config)).numpy()
    fed = {
        "input_ids": ids.numpy(),
        "attention_mask": torch.ones_like(ids).numpy(),
        "position_ids": torch.arange(8)[None].numpy(),
        "logit_positions": torch.arange(8).numpy(),
        **dict.fromkeys(names, empty),
    }
    wanted = {i.name for i in session.get_inputs()}
    got = session.run(["logits"], {k: v for k, v in fed.items() if k in wanted})[0]
    difference = float(abs(got - reference).max() / abs(reference).max())
    if not difference <= TOLERANCE:
        raise UnsupportedError(
            f"onnx export of {type(model).__name__}: logits differ from torch by {difference:.3g}"
            f" of the largest, more than {TOLERANCE}; this architecture is not exported correctly"
        )


def _meta(model: Any, tied: bool) -> dict[str, Any]:
    config = model.config
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "tied": tied,
        "layers": config.num_hidden_layers,
        "heads": config.num_attention_heads,
        "kv_heads": _kv_heads(config),
        "head_size": _head_size(config),
        "vocabulary": config.vocab_size,
    }
