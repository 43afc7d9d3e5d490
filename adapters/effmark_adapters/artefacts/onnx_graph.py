"""The graph of an ONNX model: its weights, its head and embedding, what is written to a file.

Imports onnx, so only `prepare` may import this module.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

__all__ = [
    "constants",
    "drop_unread",
    "embeddings",
    "graph_facts",
    "head_of",
    "plain_products",
    "save_model",
    "weight_elements",
]

_INDEX_TYPES = (onnx.TensorProto.INT64, onnx.TensorProto.INT32, onnx.TensorProto.BOOL)
_WEIGHT_NODES = (
    *("MatMul", "MatMulNBits", "Gather", "GatherBlockQuantized"),
    *("Conv", "Gemm", "QLinearConv", "QGemm"),
)
_SAME_IDS = ("Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze")


def graph_facts(path: Path) -> dict[str, Any]:
    """Return the bytes of the weights of a graph, and how many nodes of each kind multiply."""
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = _weights(graph)
    names = {t.name for t in weights}
    found = Counter(
        n.op_type for n in graph.node if n.op_type in _WEIGHT_NODES and names.intersection(n.input)
    )
    return {"weights_b": sum(_bytes(t) for t in weights), "weight_nodes": dict(found)}


def weight_elements(graph: Any) -> int:
    """Return how many numbers the weights of a graph are, before any is packed."""
    return sum(int(np.prod(t.dims)) for t in _weights(graph))


def save_model(model: Any, path: Path) -> None:
    """Write a graph with its tensors in one file beside it, `NAME.data`."""
    onnx.save_model(
        model,
        str(path),
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=f"{path.name}.data",
        size_threshold=1024,
    )


def constants(graph: Any) -> dict[str, Any]:
    """Return the initializers of a graph by name."""
    return {t.name: t for t in graph.initializer}


def plain_products(graph: Any) -> None:
    """Make `MatMul` with a constant matrix of transposed constants and of `Gemm`."""
    tensors = constants(graph)
    for node in [n for n in graph.node if n.op_type == "Transpose" and n.input[0] in tensors]:
        order = next((tuple(a.ints) for a in node.attribute if a.name == "perm"), None)
        array = numpy_helper.to_array(tensors[node.input[0]]).transpose(order)
        _add(graph, array, node.output[0])
        graph.node.remove(node)
    tensors = constants(graph)
    for node in [n for n in graph.node if n.op_type == "Gemm" and n.input[1] in tensors]:
        _plain_gemm(graph, node, numpy_helper.to_array(tensors[node.input[1]]))


def _plain_gemm(graph: Any, old: Any, matrix: Any) -> None:
    """Put a product and a sum for alpha * A @ B + beta * C, where both factors are 1."""
    given = {a.name: onnx.helper.get_attribute_value(a) for a in old.attribute}
    if given.get("alpha", 1.0) != 1.0 or given.get("beta", 1.0) != 1.0 or given.get("transA"):
        return
    name, product = f"{old.name}_plain", f"{old.output[0]}_product"
    weight = f"{name}_weight" if given.get("transB") else old.input[1]
    if given.get("transB"):
        _add(graph, matrix.T, weight)
    summed = len(old.input) > 2 and bool(old.input[2])
    make, result = onnx.helper.make_node, [product] if summed else list(old.output)
    nodes = [make("MatMul", [old.input[0], weight], result, name=name)]
    if summed:
        nodes.append(make("Add", [product, old.input[2]], list(old.output), name=f"{name}_bias"))
    position = list(graph.node).index(old)
    graph.node.remove(old)
    for node in reversed(nodes):
        graph.node.insert(position, node)


def head_of(graph: Any) -> Any:
    """Return the node of the head: the nearest product with a constant before the logits."""
    makers = {output: node for node in graph.node for output in node.output}
    tensors = constants(graph)
    waiting = [makers[graph.output[0].name]]
    while waiting:
        node = waiting.pop(0)
        if node.op_type in ("MatMul", "MatMulNBits") and node.input[1] in tensors:
            return node
        waiting += [makers[name] for name in node.input if name in makers]
    raise ValueError("a causal LM without a head")


def embeddings(graph: Any) -> list[Any]:
    """Return the nodes that look up rows of a constant table by `input_ids`."""
    tensors, ids = constants(graph), {"input_ids"}
    found = []
    for node in graph.node:
        if node.op_type in _SAME_IDS and node.input[0] in ids:
            ids.update(node.output)
        elif node.op_type == "Gather" and node.input[1] in ids and node.input[0] in tensors:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            if len(tensors[node.input[0]].dims) == 2 and axis == 0:
                found.append(node)
    return found


def drop_unread(graph: Any) -> None:
    """Remove constants that no node reads any more."""
    read = {name for node in graph.node for name in node.input}
    for tensor in [t for t in graph.initializer if t.name not in read]:
        graph.initializer.remove(tensor)


def _add(graph: Any, array: Any, name: str) -> None:
    graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))


def _weights(graph: Any) -> list[Any]:
    return [
        t
        for t in graph.initializer
        if t.dims and t.data_type not in _INDEX_TYPES and not t.name.endswith("inv_freq")
    ]


def _bytes(tensor: Any) -> int:
    bits = 4 if tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4) else None
    bits = bits or 8 * np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    return (int(np.prod(tensor.dims)) * bits + 7) // 8
