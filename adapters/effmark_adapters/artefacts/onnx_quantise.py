"""Weights of an ONNX causal LM in blocks of few bits, with ONNX Runtime's own kernels.

Matrices become `MatMulNBits`, one scale per block of the input dimension, symmetric. The head is
never below 8 bits. The embedding becomes `GatherBlockQuantized` at 8 bits; where embedding and
head are one tensor, both read it, so it is stored once. What holds a matrix in a form that the
quantiser would skip without a word (a transposed constant, a `Gemm`) is made a plain product
first. What share of the weights then has which bits is counted, and a graph with less than half of
them at the bits of its name is refused.

Heavy: imports onnx and ONNX Runtime's quantiser, so only `prepare` may import this module.
"""

from __future__ import annotations

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

from effmark.errors import UnsupportedError
from effmark_adapters.artefacts.onnx_graph import (
    constants,
    drop_unread,
    embeddings,
    head_of,
    plain_products,
    save_model,
    weight_elements,
)

__all__ = ["quantise_blocks"]

HEAD_BITS = 8
LEAST_SHARE = 0.5
"""Of the weights, at the bits that the precision is called by."""
logging.getLogger("onnxruntime.quantization").setLevel(logging.WARNING)


def quantise_blocks(
    source: Path, folder: Path, *, bits: int, block_size: int, accuracy_level: int
) -> dict[str, Any]:
    """Write `model.onnx` and its data, the quantised graph of `source`; return what it holds.

    Raises:
        UnsupportedError: less than half of the weights can have so few bits.
    """
    model = onnx.load(str(source / "model.onnx"))
    everything = weight_elements(model.graph)
    plain_products(model.graph)
    packing = _Packing(model, block_size, accuracy_level)
    packing.matrices(bits)
    packing.embeddings()
    shares = {kept: count / everything for kept, count in sorted(packing.elements.items())}
    _check_share(bits, shares.get(bits, 0.0))
    drop_unread(packing.model.graph)
    save_model(packing.model, folder / "model.onnx")
    return {
        "bits": bits,
        "block_size": block_size,
        "symmetric": True,
        "head_bits": HEAD_BITS,
        "embedding_bits": packing.embedding_bits,
        "embedding_and_head_shared": packing.shared,
        "activations": "int8" if accuracy_level == 4 else "float",
        "accuracy_level": accuracy_level,
        **{f"share_at_{kept}_bits_ratio": round(share, 4) for kept, share in shares.items()},
    }


def _check_share(bits: int, share: float) -> None:
    if share < LEAST_SHARE:
        raise UnsupportedError(
            f"onnxruntime: int{bits} of this model would have {share:.0%} of its weights at {bits} "
            f"bits, fewer than half (the head and embedding have {HEAD_BITS}, and ONNX Runtime "
            "packs the matrices of plain products only)"
        )


class _Packing:
    """A graph while its weights are packed, and how many of them have which bits."""

    def __init__(self, model: Any, block: int, level: int) -> None:
        self.model, self.block, self.level = model, block, level
        self.elements: Counter[int] = Counter()
        self.embedding_bits = 32
        self.shared = False
        head = head_of(model.graph)
        self._head = head.name
        self._head_weight = numpy_helper.to_array(constants(model.graph)[head.input[1]])

    def matrices(self, bits: int) -> None:
        """Pack the matrices of all products, that of the head at 8 bits."""
        if bits < HEAD_BITS:
            self._pack(bits, [self._head])
        self._pack(HEAD_BITS, [])
        tensors = constants(self.model.graph)
        for node in self.model.graph.node:
            if node.op_type == "MatMulNBits":
                found = {a.name: a.i for a in node.attribute}
                if node.input[1] in tensors:
                    self.elements[found["bits"]] += found["K"] * found["N"]

    def _pack(self, bits: int, exclude: list[str]) -> None:
        quantiser = MatMulNBitsQuantizer(
            self.model,
            nodes_to_exclude=exclude,
            algo_config=_config(bits, self.block, self.level),
        )
        quantiser.process()
        self.model = quantiser.model.model

    def embeddings(self) -> None:
        """Put what is looked up by `input_ids` into blocks of 8 bits, where rows divide."""
        for node in embeddings(self.model.graph):
            table = constants(self.model.graph)[node.input[0]]
            if table.dims[1] % self.block:
                continue
            self._embedding(node, numpy_helper.to_array(table))

    def _embedding(self, old: Any, table: Any) -> None:
        graph, same = self.model.graph, np.array_equal(self._head_weight.T, table)
        head = head_of(graph)
        if same and head.op_type == "MatMulNBits":
            data, scales = head.input[1], head.input[2]
            self.shared = True
        else:
            data, scales = _quantised_table(graph, old.input[0], table, self.block)
            self.elements[HEAD_BITS] += table.size
        position = list(graph.node).index(old)
        graph.node.remove(old)
        for node in reversed(_gather_nodes(graph, old, data, scales, self.block)):
            graph.node.insert(position, node)
        self.embedding_bits = HEAD_BITS


def _config(bits: int, block: int, level: int) -> Any:
    return DefaultWeightOnlyQuantConfig(
        block_size=block, is_symmetric=True, accuracy_level=level, bits=bits
    )


def _quantised_table(graph: Any, name: str, table: Any, block: int) -> tuple[str, str]:
    quantiser = DefaultWeightOnlyQuantizer(_config(HEAD_BITS, block, 0))
    # The packing kernel reads memory row by row and ignores strides: a view would be garbage.
    packed, scales, _ = quantiser.qbits_block_quant(np.ascontiguousarray(table.T))
    names = f"{name}_Q8", f"{name}_scales"
    for array, given in zip((packed, scales), names, strict=True):
        graph.initializer.append(numpy_helper.from_array(array, given))
    return names


def _gather_nodes(graph: Any, old: Any, data: str, scales: str, block: int) -> list[Any]:
    """Return nodes that look up rows of `data` [rows, blocks, block], as the head stores them."""
    name = f"{old.name}_blocks"
    make, from_array = onnx.helper.make_node, numpy_helper.from_array
    graph.initializer.append(from_array(np.array([2]), f"{name}_axis"))
    graph.initializer.append(from_array(np.array([0, 0, -1]), f"{name}_shape"))
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
