"""Weights of an ONNX causal LM in blocks of few bits, with ONNX Runtime's own kernels.

Matrices become `MatMulNBits`, one scale per block of the input dimension, symmetric. The head is
never below 8 bits. The embedding becomes `GatherBlockQuantized` at 8 bits; where the model ties
embedding and head, both read one tensor, so it is stored once. A tied head is a product with the
transposed embedding, which the quantiser would skip without a word: it is made a constant first.

Heavy: imports onnx and ONNX Runtime's quantiser, so only `prepare` may import this module.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization.matmul_nbits_quantizer import (
    DefaultWeightOnlyQuantConfig,
    DefaultWeightOnlyQuantizer,
    MatMulNBitsQuantizer,
)

__all__ = ["graph_facts", "quantise_blocks", "save_model"]

HEAD_BITS = 8
logging.getLogger("onnxruntime.quantization").setLevel(logging.WARNING)
_INDEX_TYPES = (onnx.TensorProto.INT64, onnx.TensorProto.BOOL)
_WEIGHT_NODES = (
    *("MatMul", "MatMulNBits", "Gather", "GatherBlockQuantized"),
    *("Conv", "Gemm", "QLinearConv", "QGemm"),
)


def quantise_blocks(
    source: Path, folder: Path, *, bits: int, block_size: int, accuracy_level: int
) -> None:
    """Write `model.onnx`, its data and `meta.json` of the quantised graph of `source`."""
    meta = json.loads((source / "meta.json").read_text())
    model = onnx.load(str(source / "model.onnx"))
    _untie(model.graph)
    head = _head(model.graph, meta["vocabulary"])
    if bits < HEAD_BITS:
        model = _matrices(model, bits, block_size, accuracy_level, exclude=[head.name])
    model = _matrices(model, HEAD_BITS, block_size, accuracy_level, exclude=[])
    embedding_bits = _embedding(model, meta["tied"], block_size)
    save_model(model, folder / "model.onnx")
    quantisation = {
        "bits": bits,
        "block_size": block_size,
        "symmetric": True,
        "head_bits": HEAD_BITS,
        "embedding_bits": embedding_bits,
        "embedding_and_head_shared": embedding_bits == HEAD_BITS and meta["tied"],
        "activations": "int8" if accuracy_level == 4 else "float",
        "accuracy_level": accuracy_level,
    }
    facts = {**meta, "quantisation": quantisation, **graph_facts(folder / "model.onnx")}
    (folder / "meta.json").write_text(json.dumps(facts, indent=1, sort_keys=True))


def graph_facts(path: Path) -> dict[str, Any]:
    """Return the bytes of the weights of a graph, and how many nodes of each kind multiply."""
    graph = onnx.load(str(path), load_external_data=False).graph
    weights = [
        t
        for t in graph.initializer
        if t.dims and t.data_type not in _INDEX_TYPES and not t.name.endswith("inv_freq")
    ]
    names = {t.name for t in weights}
    found = Counter(
        n.op_type for n in graph.node if n.op_type in _WEIGHT_NODES and names.intersection(n.input)
    )
    return {"weights_b": sum(_bytes(t) for t in weights), "weight_nodes": dict(found)}


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


def _bytes(tensor: Any) -> int:
    bits = 4 if tensor.data_type in (onnx.TensorProto.INT4, onnx.TensorProto.UINT4) else None
    bits = bits or 8 * np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize
    return (int(np.prod(tensor.dims)) * bits + 7) // 8


def _untie(graph: Any) -> None:
    """Make constants of transposed constants."""
    tensors = {t.name: t for t in graph.initializer}
    for node in [n for n in graph.node if n.op_type == "Transpose" and n.input[0] in tensors]:
        order = next((tuple(a.ints) for a in node.attribute if a.name == "perm"), None)
        array = numpy_helper.to_array(tensors[node.input[0]]).transpose(order)
        constant = numpy_helper.from_array(np.ascontiguousarray(array), node.output[0])
        graph.initializer.append(constant)
        graph.node.remove(node)


def _head(graph: Any, vocabulary: int) -> Any:
    """Return the node of the head: the last product with a constant of `vocabulary` columns."""
    columns = {t.name: t.dims[-1] for t in graph.initializer if len(t.dims) == 2}
    return next(
        n
        for n in reversed(graph.node)
        if n.op_type == "MatMul" and columns.get(n.input[1]) == vocabulary
    )


def _matrices(model: Any, bits: int, block: int, level: int, exclude: list[str]) -> Any:
    quantiser = MatMulNBitsQuantizer(
        model, nodes_to_exclude=exclude, algo_config=_config(bits, block, level)
    )
    quantiser.process()
    return quantiser.model.model


def _config(bits: int, block: int, level: int) -> Any:
    return DefaultWeightOnlyQuantConfig(
        block_size=block, is_symmetric=True, accuracy_level=level, bits=bits
    )


def _embedding(model: Any, tied: bool, block: int) -> int:
    """Put the embedding into blocks of 8 bits; return its bits (32 where rows do not divide)."""
    graph = model.graph
    sizes = {t.name: tuple(t.dims) for t in graph.initializer}
    old = next(n for n in graph.node if n.op_type == "Gather" and n.input[1] == "input_ids")
    rows, columns = sizes[old.input[0]]
    if columns % block:
        return 32
    table = next(t for t in graph.initializer if t.name == old.input[0])
    head = next(n for n in reversed(graph.node) if n.op_type == "MatMulNBits")
    if tied and sizes[head.input[1]] == (rows, columns // block, block):
        data, scales = head.input[1], head.input[2]
    else:
        data, scales = _quantised_table(graph, table, block)
    position = list(graph.node).index(old)
    graph.node.remove(old)
    for node in reversed(_gather_nodes(graph, old, data, scales, block)):
        graph.node.insert(position, node)
    graph.initializer.remove(table)
    return HEAD_BITS


def _quantised_table(graph: Any, table: Any, block: int) -> tuple[str, str]:
    quantiser = DefaultWeightOnlyQuantizer(_config(HEAD_BITS, block, 0))
    # The packing kernel reads memory row by row and ignores strides: a view would be garbage.
    columns = np.ascontiguousarray(numpy_helper.to_array(table).T)
    packed, scales, _ = quantiser.qbits_block_quant(columns)
    names = f"{table.name}_Q8", f"{table.name}_scales"
    for array, name in zip((packed, scales), names, strict=True):
        graph.initializer.append(numpy_helper.from_array(array, name))
    return names


def _gather_nodes(graph: Any, old: Any, data: str, scales: str, block: int) -> list[Any]:
    """Return nodes that look up rows of `data` [rows, blocks, block], as the head stores them."""
    name = "embedding_blocks"
    graph.initializer.append(numpy_helper.from_array(np.array([0, 0, -1]), f"{name}_shape"))
    graph.initializer.append(numpy_helper.from_array(np.array([2]), f"{name}_axis"))
    make = onnx.helper.make_node
    return [
        make("Unsqueeze", [scales, f"{name}_axis"], [f"{name}_scales"], name=f"{name}_unsqueeze"),
        make(
            "GatherBlockQuantized",
            [data, old.input[1], f"{name}_scales"],
            [f"{name}_rows"],
            name=name,
            domain="com.microsoft",
            bits=HEAD_BITS,
            block_size=block,
            gather_axis=0,
            quantize_axis=2,
        ),
        make("Reshape", [f"{name}_rows", f"{name}_shape"], list(old.output), name=f"{name}_join"),
    ]
