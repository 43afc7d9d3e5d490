"""OpenVINO: a causal LM whose cache is state of the request, weights compressed by NNCF.

`int8` is one scale per row, `int4` one per group of 32 along the row (option `group_size`), both
with zero points (option `symmetric: true` without); head and embedding are int8, one tensor where
the model ties them. The precision of the arithmetic is always given, because OpenVINO's own choice
on a CPU with bf16 is bf16: `fp32`, `int8` and `int4` compute in f32 with an f32 cache, `bf16` in
bf16 with a bf16 cache. Products with compressed weights quantise their inputs to int8 in groups of
32, which is the plugin's default; option `dynamic_quantization: false` keeps them in f32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from effmark.adapter import LoadRequest
from effmark.cache import build_once
from effmark.errors import PrerequisiteError, UnsupportedError
from effmark.record import ModelFacts
from effmark_adapters.artefacts import facts as shape
from effmark_adapters.artefacts import onnx_file
from effmark_adapters.artefacts.costs import costs_of, fields_of, held_whole, prepare_costs
from effmark_adapters.artefacts.hf_folder import hf_folder, prepared_hf_folder
from effmark_adapters.artefacts.tokenizer import TextTokenizer
from effmark_adapters.graphs.adapter import (
    GraphAdapter,
    check_length,
    check_options,
    memory_errors,
)
from effmark_adapters.graphs.openvino_model import OpenVinoModel, import_openvino, prove

__all__ = ["OpenVinoAdapter"]

RECIPE = 2
"""Rises whenever the same source and versions would become another IR."""
_PACKAGES = ("torch", "transformers", "onnx", "onnxscript", "openvino", "nncf")
_OPTIONS: dict[str, type] = {"dynamic_quantization": bool, "group_size": int, "symmetric": bool}
_OPTIONS_OF = {
    "fp32": (),
    "bf16": (),
    "int8": ("dynamic_quantization", "symmetric"),
    "int4": ("dynamic_quantization", "group_size", "symmetric"),
}
_GROUP_SIZE = 32


class OpenVinoAdapter(GraphAdapter):
    """One compiled model with one request."""

    name: ClassVar[str] = "openvino"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "int8", "int4")
    distributions: ClassVar[tuple[str, ...]] = ("openvino", "nncf")
    quantised: ClassVar[tuple[str, ...]] = ("fp8", "mxfp4")  # transformers expands them to bf16

    @classmethod
    def import_runtime(cls) -> None:
        """Import OpenVINO."""
        import_openvino()

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        """Export the model to ONNX, make it stateful, compress its weights, save it as IR."""
        _check(request)
        prepare_costs(request.model, hf_folder(request.model, request.cache), request.cache)
        onnx = onnx_file.make(request.model, request.cache)

        def build(folder: Path) -> None:
            from effmark_adapters.artefacts.openvino_ir import write_ir

            write_ir(onnx, folder, lambda path: prove(request, onnx, path), **_conversion(request))

        key = _key(request, hf_folder(request.model, request.cache))
        what = f"{request.model.name} as OpenVINO IR, {request.precision}"
        build_once(request.cache, "openvino", key, build, what, remember_refusal=True)
        check_length(cls.name, request, onnx_file.read_meta(onnx))

    def load(self, request: LoadRequest) -> None:
        """Compile the prepared model."""
        self.close()
        _check(request)
        folder = prepared_hf_folder(request.model, request.cache)
        entry = request.cache / "openvino" / _key(request, folder)
        if not entry.is_dir():
            raise PrerequisiteError(
                f"model {request.model.name!r} is not converted yet; call prepare first"
            )
        meta = onnx_file.read_meta(entry)
        check_length(self.name, request, meta)
        with memory_errors(self.name):
            self._graph = OpenVinoModel(entry / "model.xml", request)
        self._rows = meta["embedding_rows"]
        self._tokenizer = TextTokenizer(folder)
        self._request, self._entry = request, entry

    def facts(self) -> ModelFacts:
        """Return facts counted in the constants of the graph."""
        (request, model), meta = self._loaded(), onnx_file.read_meta(self._entry)
        folder = prepared_hf_folder(request.model, request.cache)
        config = shape.read_config(folder)
        value_b = 2 if request.precision == "bf16" else 4
        # Under the bf16 hint the plugin holds the fp32 weights of the file as bf16.
        weights_b = meta["weights_b"] * value_b // 4 if value_b == 2 else meta["weights_b"]
        return ModelFacts(
            parameters=meta["parameters"],
            weights_b=weights_b,
            file_b=shape.bytes_on_disk(self._entry.glob("model.*")),
            effective_bits=8 * weights_b / meta["parameters"],
            kernel="native",
            weights="trained",
            weights_source=request.model.weights_source,
            quantisation=_quantisation(request, meta),
            runtime=model.facts(),
            **(
                fields_of(costs_of(request.model, folder, request.cache), config, value_b)
                | held_whole(meta["kv_elements_per_token"] * value_b)
            ),
        )


def _check(request: LoadRequest) -> None:
    """Refuse by name what this runtime cannot do on this machine."""
    if request.precision not in _OPTIONS_OF:
        known = ", ".join(_OPTIONS_OF)
        raise UnsupportedError(f"openvino: no precision {request.precision!r}; it has {known}")
    if request.model.kind not in ("hf", "gguf"):
        raise UnsupportedError(
            f"openvino: no model of kind {request.model.kind!r}; it runs language models"
        )
    check_options(
        request,
        f"openvino {request.precision}",
        {name: _OPTIONS[name] for name in _OPTIONS_OF[request.precision]},
    )
    core = import_openvino().Core()
    if request.device.upper() not in core.available_devices:
        here = ", ".join(name.lower() for name in core.available_devices)
        raise UnsupportedError(f"openvino: no device {request.device!r}; this machine has {here}")
    can = core.get_property(request.device.upper(), "OPTIMIZATION_CAPABILITIES")
    if request.precision == "bf16" and "BF16" not in can:
        raise UnsupportedError(
            f"openvino: device {request.device!r} has no bf16 arithmetic; it has {', '.join(can)}"
        )


def _conversion(request: LoadRequest) -> dict[str, Any]:
    """Return what the saved model depends on; bf16 is a matter of compiling fp32."""
    return {
        "precision": "fp32" if request.precision == "bf16" else request.precision,
        "group_size": int(request.options.get("group_size", _GROUP_SIZE)),
        "symmetric": bool(request.options.get("symmetric", False)),
    }


def _key(request: LoadRequest, folder: Path) -> str:
    return onnx_file.key_of(
        request.model, folder, _PACKAGES, openvino=RECIPE, onnx=onnx_file.RECIPE,
        **_conversion(request),
    )  # fmt: skip


def _quantisation(request: LoadRequest, meta: dict[str, Any]) -> dict[str, Any]:
    if request.precision == "bf16":
        return {"bits": 16, "head_bits": 16, "embedding_bits": 16, "activations": "bf16"}
    low = request.precision in ("int8", "int4")
    dynamic = low and request.options.get("dynamic_quantization", True)
    return {**meta["quantisation"], "activations": "int8" if dynamic else "f32"}
