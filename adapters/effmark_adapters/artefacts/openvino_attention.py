"""The attention of an exported graph as the one node that OpenVINO's CPU plugin has a kernel for.

Products, softmax and mask become `ScaledDotProductAttention`, keys and values of one head repeated
by a product with ones, which is how the plugin recognises grouped queries. Attention with sinks,
soft caps or biases of its own has no such node and stays as it was exported.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from openvino import opset13 as op

__all__ = ["fuse_attention", "replace_node"]


def fuse_attention(model: Any) -> None:
    """Put one attention node where the exporter wrote grouped products and a softmax."""
    for softmax in [n for n in model.get_ops() if n.get_type_name() == "Softmax"]:
        found = _attention(softmax)
        if found is None:
            continue
        query, key, value, mask, last = found
        heads = softmax.get_output_partial_shape(0)[1].get_length()
        unit = op.constant(np.float32(1.0))  # the exporter scales the query itself
        fused = op.scaled_dot_product_attention(
            query, _repeated(key, heads), _repeated(value, heads), mask, unit, causal=False
        )
        replace_node(last, fused)
    model.validate_nodes_and_infer_types()


def _repeated(cache: Any, heads: int) -> Any:
    """Return keys or values of each KV head once for each query head that shares it."""
    _, kv_heads, _, size = cache.get_partial_shape()
    if kv_heads.get_length() == heads:
        return cache
    ones = np.ones((1, 1, heads // kv_heads.get_length(), 1, 1), np.float32)
    copies = op.multiply(op.unsqueeze(cache, op.constant(2)), op.constant(ones))
    return op.reshape(copies, op.constant([0, heads, -1, size.get_length()]), True)


def _attention(softmax: Any) -> tuple[Any, Any, Any, Any, Any] | None:
    """Return query, key, value, mask and the last node of an attention around a softmax.

    None where it is not `reshape(softmax(reshape(query x transpose(key)) + mask)) x value`.
    """
    total = _of_kind(softmax.input_value(0).get_node(), "Add")
    if total is None:
        return None
    parts = [total.input_value(i) for i in (0, 1)]
    parts.sort(key=lambda output: output.get_node().get_type_name() != "Reshape")
    scores = _before(parts[0].get_node(), "Reshape", "MatMul")
    grouped = scores and _of_kind(scores.input_value(0).get_node(), "Reshape")
    transposed = scores and _of_kind(scores.input_value(1).get_node(), "Transpose")
    weights = _reader(softmax, "Reshape")
    product = weights and _reader(weights, "MatMul")
    last = product and _reader(product, "Reshape")
    if not (grouped and transposed and last):
        return None
    key, value = transposed.input_value(0), product.input_value(1)
    sizes = [node.get_partial_shape()[3] for node in (grouped.output(0), key, value)]
    counts = [node.get_partial_shape()[1] for node in (softmax.output(0), key, value)]
    if not all(d.is_static for d in (*sizes, *counts)) or len({d.get_length() for d in sizes}) > 1:
        return None
    query = grouped.input_value(0)
    return query, key, value, parts[1], last


def _of_kind(node: Any, kind: str) -> Any:
    """Return a node if it is of a kind, else None."""
    return node if node.get_type_name() == kind else None


def _before(node: Any, kind: str, wanted: str) -> Any:
    """Return what feeds a node of a kind if it is of the wanted kind, else None."""
    if node.get_type_name() != kind:
        return None
    return _of_kind(node.input_value(0).get_node(), wanted)


def _reader(node: Any, kind: str) -> Any:
    """Return the one reader of a node if it is of a kind, else None."""
    readers = list(node.output(0).get_target_inputs())
    return _of_kind(readers[0].get_node(), kind) if len(readers) == 1 else None


def replace_node(old: Any, new: Any) -> None:
    """Let a node be read wherever another is, under its names."""
    new.set_friendly_name(old.get_friendly_name())
    names = old.output(0).get_tensor().get_names()
    for reader in list(old.output(0).get_target_inputs()):
        reader.replace_source_output(new.output(0))
    new.output(0).get_tensor().set_names(names)
