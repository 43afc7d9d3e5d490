"""The digits classifier as an ONNX graph, in fp32 and in int8; written from its weights."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from effmark.cache import build_once
from effmark_adapters.artefacts.digits import CONFIG, digits_data, digits_key, digits_model

__all__ = ["digits_onnx"]

OPSET = 18
CALIBRATION_IMAGES = 256
"""Training images from which the ranges of the activations are taken."""


def digits_onnx(cache: Path, precision: str) -> Path:
    """Return the folder with model.onnx and meta.json; `fp32` or `int8`, made once."""
    source = digits_model(cache)
    packages = ("torch", "scikit-learn", "onnx", "onnxruntime")
    key = digits_key(*packages, precision=precision, opset=OPSET)

    def build(folder: Path) -> None:
        from effmark_adapters.artefacts.onnx_graph import graph_facts

        path = folder / "model.onnx"
        if precision == "int8":
            _quantise(digits_onnx(cache, "fp32") / "model.onnx", path)
        else:
            _write(source / "model.safetensors", path)
        facts = {"parameters": _parameters(source), **graph_facts(path)}
        (folder / "meta.json").write_text(json.dumps(facts, indent=1, sort_keys=True))

    return build_once(
        cache, "digits-onnx", key, build, f"the digits classifier as {precision} ONNX"
    )


def _parameters(source: Path) -> int:
    from safetensors.numpy import load_file

    return sum(t.size for t in load_file(source / "model.safetensors").values())


def _write(weights: Path, path: Path) -> None:
    """Write the graph: the modules of `nn.Sequential` by their numbers."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper
    from safetensors.numpy import load_file

    tensors = [numpy_helper.from_array(t, name) for name, t in load_file(weights).items()]
    image = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 1, 8, 8])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", CONFIG["num_labels"]])
    graph = helper.make_graph(_nodes(helper.make_node), "digits", [image], [scores], tensors)
    opset = helper.make_opsetid("", OPSET)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))


def _nodes(make: Any) -> list[Any]:
    pad = CONFIG["kernel_size"] // 2
    conv = {"pads": [pad] * 4, "kernel_shape": [CONFIG["kernel_size"]] * 2}
    return [
        make("Conv", ["images", "0.weight", "0.bias"], ["a0"], "conv0", **conv),
        make("Relu", ["a0"], ["r0"], "relu0"),
        make("Conv", ["r0", "2.weight", "2.bias"], ["a1"], "conv1", **conv),
        make("Relu", ["a1"], ["r1"], "relu1"),
        make("MaxPool", ["r1"], ["pooled"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        make("Flatten", ["pooled"], ["flat"], "flatten", axis=1),
        make("Gemm", ["flat", "6.weight", "6.bias"], ["a2"], "linear0", transB=1),
        make("Relu", ["a2"], ["r2"], "relu2"),
        make("Gemm", ["r2", "8.weight", "8.bias"], ["scores"], "linear1", transB=1),
    ]


def _quantise(source: Path, path: Path) -> None:
    """Write the graph with int8 weights and activations; ranges from training images."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Images(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            images, _ = digits_data("train")
            self._batches = iter([{"images": images[:CALIBRATION_IMAGES]}])

        def get_next(self) -> dict[str, Any] | None:
            return next(self._batches, None)

    logging.disable(logging.WARNING)  # its advice to run a preparation that changes nothing here
    try:
        quantize_static(
            str(source),
            str(path),
            Images(),
            quant_format=QuantFormat.QOperator,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
    finally:
        logging.disable(logging.NOTSET)
