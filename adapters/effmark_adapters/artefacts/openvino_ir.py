"""An ONNX causal LM as OpenVINO's IR: stateful, with the attention kernel that grows its cache.

Heavy where weights are compressed: NNCF imports torch if it is installed, so only `prepare` may
call `write_ir`. Four changes to the graph as it is read:

* head and embedding become one constant again, so that NNCF compresses it once;
* products, softmax and mask become `ScaledDotProductAttention`, keys and values of one head
  repeated by a product with ones, which is how OpenVINO's CPU plugin recognises grouped queries;
  attention with sinks, soft caps or biases of its own stays as it was exported;
* the cache becomes state of the request, gathered by `beam_idx`: only in this form does the
  plugin fuse cache and attention and append in place (2.6 -> 0.9 ms of CPU time per step of
  effmark-1m at 300 tokens);
* the state starts with as many sequences as the first input has, so that any batch fits.

The result, before its weights are compressed, is held against what the model itself computes.
"""

from __future__ import annotations

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as op

from effmark.errors import UnsupportedError
from effmark_adapters.artefacts.telemetry import without_telemetry

__all__ = ["write_ir"]

LEAST_SHARE = 0.5
"""Of the weights, at the bits that the precision is called by."""
_MODES = {"int8": "INT8_ASYM", "int4": "INT4_ASYM"}


def write_ir(
    source: Path,
    folder: Path,
    prove: Callable[[Path], None],
    *,
    precision: str,
    group_size: int,
    symmetric: bool,
) -> None:
    """Write `model.xml`, `model.bin` and `meta.json` of the ONNX graph in `source`.

    Args:
        source: An entry of ONNX graphs.
        folder: An empty folder.
        prove: Raises where the graph in a file, not yet compressed, computes something else.
        precision: `fp32`, `int8` or `int4`.
        group_size: Of int4, along a row.
        symmetric: Whether there are no zero points.
    """
    meta = json.loads((source / "meta.json").read_text())
    model = ov.Core().read_model(str(source / "model.onnx"))
    _share_head(model)
    _fuse_attention(model)
    _make_stateful(model)
    _prove(model, folder, prove)
    everything = sum(_count(n) for n in _constants(model))
    if precision != "fp32":
        model = _compressed(model, precision, group_size, symmetric)
    shares = {bits: n / everything for bits, n in sorted(_elements_by_bits(model).items())}
    meta["quantisation"] = _quantisation(precision, group_size, symmetric, meta["tied"], shares)
    ov.save_model(model, str(folder / "model.xml"), compress_to_fp16=False)
    meta.update(_weights(model))
    (folder / "meta.json").write_text(json.dumps(meta, indent=1, sort_keys=True))


def _prove(model: Any, folder: Path, prove: Callable[[Path], None]) -> None:
    """Check a graph by way of a file, which is removed again."""
    whole = folder / "whole.xml"
    ov.save_model(model, str(whole), compress_to_fp16=False)
    prove(whole)
    for path in folder.glob("whole.*"):
        path.unlink()


def _quantisation(
    precision: str, group_size: int, symmetric: bool, tied: bool, shares: dict[int, float]
) -> dict[str, Any]:
    if precision == "fp32":
        return {"bits": 32, "head_bits": 32, "embedding_bits": 32}
    bits = int(precision.removeprefix("int"))
    if shares.get(bits, 0.0) < LEAST_SHARE:
        raise UnsupportedError(
            f"openvino: {precision} of this model would have {shares.get(bits, 0.0):.0%} of its "
            f"weights at {bits} bits, fewer than half (the head and embedding have 8, and NNCF "
            "compresses the matrices of plain products only)"
        )
    return {
        "bits": bits,
        "group_size": group_size if precision == "int4" else None,
        "symmetric": symmetric,
        "head_bits": 8,
        "embedding_bits": 8,
        "embedding_and_head_shared": tied,
        **{f"share_at_{kept}_bits_ratio": round(share, 4) for kept, share in shares.items()},
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


def _fuse_attention(model: Any) -> None:
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
        _replace(last, fused)
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


def _make_stateful(model: Any) -> None:
    from openvino._offline_transformations import apply_make_stateful_transformation

    past = [n for i in model.inputs if (n := i.get_any_name()).startswith("past_key_values")]
    beam = op.parameter([-1], ov.Type.i32, name="beam_idx")
    beam.output(0).get_tensor().set_names({"beam_idx"})
    model.add_parameters([beam])
    for name in past:
        port = model.input(name)
        readers = [t for t in port.get_target_inputs() if t.get_node().get_type_name() == "Concat"]
        if not readers:
            raise UnsupportedError(
                f"openvino: {name} of this model is not appended to; its cache cannot become state"
            )
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
    weights = _constants(model)
    types = Counter(n.get_output_element_type(0).get_type_name() for n in weights)
    return {"weights_b": sum(_bytes(n) for n in weights), "weight_nodes": dict(types)}


def _elements_by_bits(model: Any) -> Counter[int]:
    """Return how many compressed weights, without scales and zero points, have how many bits."""
    found: Counter[int] = Counter()
    for node in _constants(model):
        kind = node.get_output_element_type(0)
        if kind.is_integral() and not _is_zero_point(node):
            found[int(kind.bitwidth)] += _count(node)
    return found


def _is_zero_point(node: Any) -> bool:
    """Return whether a constant is what is subtracted from compressed weights."""
    for converted in node.output(0).get_target_inputs():
        for reader in converted.get_node().output(0).get_target_inputs():
            if reader.get_node().get_type_name() == "Subtract" and reader.get_index() == 1:
                return True
    return False


def _constants(model: Any) -> list[Any]:
    return [n for n in model.get_ops() if n.get_type_name() == "Constant" and _is_weight(n)]


def _is_weight(node: Any) -> bool:
    kind = node.get_output_element_type(0)
    index = kind in (ov.Type.i64, ov.Type.i32, ov.Type.boolean)
    return not index and _count(node) >= 64 and "inv_freq" not in node.get_friendly_name()


def _bytes(node: Any) -> int:
    return (_count(node) * int(node.get_output_element_type(0).bitwidth) + 7) // 8


def _count(node: Any) -> int:
    return int(np.prod(list(node.get_output_shape(0)), dtype=np.int64))


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
