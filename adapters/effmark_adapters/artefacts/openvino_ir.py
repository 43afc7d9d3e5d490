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
from effmark_adapters.artefacts.openvino_attention import fuse_attention, replace_node
from effmark_adapters.artefacts.telemetry import without_telemetry
from effmark_adapters.graphs.adapter import conversion_errors

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
    with conversion_errors("openvino", "openvino: the graph of this model cannot be converted"):
        model = ov.Core().read_model(str(source / "model.onnx"))
        _share_head(model)
        fuse_attention(model)
        _make_stateful(model)
    _prove(model, folder, prove)
    everything = sum(_count(n) for n in _constants(model))
    if precision != "fp32":
        with conversion_errors("openvino", "openvino: NNCF cannot compress this model"):
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
            replace_node(node, product)


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
