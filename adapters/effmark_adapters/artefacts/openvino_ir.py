"""An ONNX causal LM as OpenVINO's IR: stateful, with the attention kernel that grows its cache.

Heavy where weights are compressed: NNCF imports torch if it is installed, so only `prepare` may
call `write_ir`. Four changes to the graph as it is read:

* head and embedding become one constant again, so that NNCF compresses it once;
* products, softmax and mask become `ScaledDotProductAttention`, keys and values of one head
  repeated by a product with ones, which is how OpenVINO's CPU plugin recognises grouped queries;
* the cache becomes state of the request, gathered by `beam_idx`: only in this form does the
  plugin fuse cache and attention and append in place (2.6 -> 0.9 ms of CPU time per step of
  effmark-1m at 300 tokens);
* the state starts with as many sequences as the first input has, so that any batch fits.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from effmark.errors import UnsupportedError
from effmark_adapters.artefacts.telemetry import without_telemetry

__all__ = ["write_ir"]

_MODES = {"int8": "INT8_ASYM", "int4": "INT4_ASYM"}


def write_ir(
    source: Path, folder: Path, *, precision: str, group_size: int, symmetric: bool
) -> None:
    """Write `model.xml`, `model.bin` and `meta.json` of the ONNX graph in `source`."""
    meta = json.loads((source / "meta.json").read_text())
    model = ov.Core().read_model(str(source / "model.onnx"))
    if meta["tied"]:
        _share_head(model)
    _fuse_attention(model, meta["heads"], meta["kv_heads"], meta["head_size"])
    _make_stateful(model)
    if precision != "fp32":
        model = _compressed(model, precision, group_size, symmetric)
    ov.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)
    meta["quantisation"] = _quantisation(precision, group_size, symmetric, meta["tied"])
    meta.update(_weights(model))
    (folder / "meta.json").write_text(json.dumps(meta, indent=1, sort_keys=True))


def _quantisation(precision: str, group_size: int, symmetric: bool, tied: bool) -> dict[str, Any]:
    if precision == "fp32":
        return {"bits": 32, "head_bits": 32, "embedding_bits": 32}
    return {
        "bits": int(precision.removeprefix("int")),
        "group_size": group_size if precision == "int4" else None,
        "symmetric": symmetric,
        "head_bits": 8,
        "embedding_bits": 8,
        "embedding_and_head_shared": tied,
    }


def _share_head(model: Any) -> None:
    """Multiply by the embedding itself, not by a transposed copy of it."""
    for node in model.get_ops():
        if node.get_type_name() != "MatMul":
            continue
        weight = node.input_value(1).get_node()
        if weight.get_type_name() != "Transpose":
            continue
        table = weight.input_value(0)
        if table.get_node().get_type_name() == "Constant":
            product = op.matmul(node.input_value(0), table, False, True)
            _replace(node, product)


def _fuse_attention(model: Any, heads: int, kv_heads: int, size: int) -> None:
    """Put one attention node where the exporter wrote products and a softmax."""
    ones = np.ones((1, 1, heads // kv_heads, 1, 1), np.float32)

    def repeated(cache: Any) -> Any:
        if heads == kv_heads:
            return cache
        copies = op.multiply(op.unsqueeze(cache, op.constant(2)), op.constant(ones))
        return op.reshape(copies, op.constant([0, heads, -1, size]), True)

    for softmax in [n for n in model.get_ops() if n.get_type_name() == "Softmax"]:
        query, key, mask = _attention_inputs(softmax)
        product = _only(_only(softmax, "Reshape"), "MatMul")
        unit = op.constant(np.float32(1.0))  # the exporter scales the query itself
        fused = op.scaled_dot_product_attention(
            query, repeated(key), repeated(product.input_value(1)), mask, unit, causal=False
        )
        _replace(_only(product, "Reshape"), fused)
    model.validate_nodes_and_infer_types()


def _attention_inputs(softmax: Any) -> tuple[Any, Any, Any]:
    """Return query, key and mask of a softmax over reshape(query x transpose(key)) + mask."""
    total = _kind(softmax.input_value(0).get_node(), "Add")
    parts = [total.input_value(i) for i in (0, 1)]
    parts.sort(key=lambda output: output.get_node().get_type_name() != "Reshape")
    scores = _kind(parts[0].get_node().input_value(0).get_node(), "MatMul")
    grouped = _kind(scores.input_value(0).get_node(), "Reshape")
    transposed = _kind(scores.input_value(1).get_node(), "Transpose")
    return grouped.input_value(0), transposed.input_value(0), parts[1]


def _make_stateful(model: Any) -> None:
    from openvino._offline_transformations import apply_make_stateful_transformation

    past = [n for i in model.inputs if (n := i.get_any_name()).startswith("past_key_values")]
    beam = op.parameter([-1], ov.Type.i32, name="beam_idx")
    beam.output(0).get_tensor().set_names({"beam_idx"})
    model.add_parameters([beam])
    for name in past:
        port = model.input(name)
        readers = [t for t in port.get_target_inputs() if t.get_node().get_type_name() == "Concat"]
        gathered = op.gather(port, beam, op.constant(0))
        for reader in readers:
            reader.replace_source_output(gathered.output(0))
    pairs = {name: name.replace("past_key_values", "present") for name in past}
    apply_make_stateful_transformation(model, pairs)
    _size_state_by_input(model)


def _size_state_by_input(model: Any) -> None:
    rows = op.gather(
        op.shape_of(model.input("input_ids"), output_type="i64"), op.constant([0]), op.constant(0)
    )
    for node in [n for n in model.get_ops() if n.get_type_name() == "ReadValue"]:
        _, heads, _, size = node.get_output_partial_shape(0)
        rest = op.constant(np.array([heads.get_length(), 0, size.get_length()], np.int64))
        zero = op.constant(np.float32(0))
        node.set_arguments([op.broadcast(zero, op.concat([rows, rest], axis=0))])
    model.validate_nodes_and_infer_types()


def _compressed(model: Any, precision: str, group_size: int, symmetric: bool) -> Any:
    """Return the model with weights of few bits; head and embedding stay at 8."""
    without_telemetry()
    with _stdout_on_stderr():
        import nncf

        mode = _MODES[precision].replace("ASYM", "SYM" if symmetric else "ASYM")
        settings = {"group_size": group_size, "ratio": 1.0, "all_layers": False}
        try:
            return nncf.compress_weights(
                model,
                mode=nncf.CompressWeightsMode[mode],
                **(settings if precision == "int4" else {}),
            )
        except nncf.errors.InvalidGroupSizeError as error:
            raise UnsupportedError(
                f"openvino: group_size {group_size} does not divide the rows of this model; "
                "give another one with the option 'group_size'"
            ) from error


def _weights(model: Any) -> dict[str, Any]:
    """Return the bytes of all weights, scales included, and the types of what is large."""
    constants = [n for n in model.get_ops() if n.get_type_name() == "Constant"]
    weights = [n for n in constants if _is_weight(n)]
    types = Counter(n.get_output_element_type(0).get_type_name() for n in weights)
    return {"weights_b": sum(_bytes(n) for n in weights), "weight_nodes": dict(types)}


def _is_weight(node: Any) -> bool:
    kind = node.get_output_element_type(0)
    index = kind in (ov.Type.i64, ov.Type.i32, ov.Type.boolean)
    return not index and _count(node) >= 64 and "inv_freq" not in node.get_friendly_name()


def _bytes(node: Any) -> int:
    return (_count(node) * int(node.get_output_element_type(0).bitwidth) + 7) // 8


def _count(node: Any) -> int:
    return int(np.prod(list(node.get_output_shape(0)), dtype=np.int64))


def _only(node: Any, kind: str) -> Any:
    """Return the one reader of a node, which must be of a kind."""
    readers = list(node.output(0).get_target_inputs())
    return _kind(readers[0].get_node(), kind)


def _kind(node: Any, kind: str) -> Any:
    if node.get_type_name() != kind:
        raise UnsupportedError(
            f"openvino: attention of this model has {node.get_type_name()} where {kind} "
            "was expected; its cache cannot become state"
        )
    return node


def _replace(old: Any, new: Any) -> None:
    new.set_friendly_name(old.get_friendly_name())
    names = old.output(0).get_tensor().get_names()
    for reader in list(old.output(0).get_target_inputs()):
        reader.replace_source_output(new.output(0))
    new.output(0).get_tensor().set_names(names)


@contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Keep what NNCF draws (table, progress bar) off the stdout of the process."""
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)
