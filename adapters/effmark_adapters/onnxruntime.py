"""ONNX Runtime: a causal LM with its KV cache as inputs and outputs, or the digits classifier.

`int8` and `int4` are weights in blocks with ONNX Runtime's own kernels (`MatMulNBits`), head and
embedding at 8 bits. With the option `accuracy_level: 4`, which is the default, the arithmetic of
these kernels is int8 x int8; with 1 the activations stay fp32: two different things called int4.
"""

from __future__ import annotations

from typing import Any, ClassVar

from effmark.adapter import Array, LoadRequest
from effmark.errors import UnsupportedError
from effmark.record import ModelFacts
from effmark_adapters.artefacts import facts as shape
from effmark_adapters.artefacts import onnx_file
from effmark_adapters.artefacts.costs import costs_of, fields_of, held_whole, prepare_costs
from effmark_adapters.artefacts.digits import CONFIG, digits_flops
from effmark_adapters.artefacts.hf_folder import hf_folder, prepared_hf_folder
from effmark_adapters.artefacts.onnx_file import Blocks
from effmark_adapters.artefacts.tokenizer import TextTokenizer
from effmark_adapters.graphs.adapter import (
    GraphAdapter,
    check_length,
    check_options,
    memory_errors,
)
from effmark_adapters.graphs.ort_session import OrtSession, import_onnxruntime, provider_of

__all__ = ["OnnxRuntimeAdapter"]

_OPTIONS: dict[str, type] = {"accuracy_level": int, "block_size": int, "provider": str}
_BITS = {"fp32": 32, "int8": 8, "int4": 4}


class OnnxRuntimeAdapter(GraphAdapter):
    """One session of ONNX Runtime."""

    name: ClassVar[str] = "onnxruntime"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8", "int4")
    distributions: ClassVar[tuple[str, ...]] = ("onnxruntime", "onnxruntime-gpu")
    quantised: ClassVar[tuple[str, ...]] = ("fp8", "mxfp4")  # transformers expands them to bf16

    @classmethod
    def import_runtime(cls) -> None:
        """Import ONNX Runtime."""
        import_onnxruntime()

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        """Export the model to ONNX and quantise it."""
        _check(request)
        if request.model.kind == "digits":
            from effmark_adapters.artefacts.digits_onnx import digits_onnx

            digits_onnx(request.cache, request.precision)
        else:
            folder = hf_folder(request.model, request.cache)
            prepare_costs(request.model, folder, request.cache)
            entry = onnx_file.make(request.model, request.cache, _blocks(request))
            check_length(cls.name, request, onnx_file.read_meta(entry))

    def load(self, request: LoadRequest) -> None:
        """Open a session on the prepared graph."""
        self.close()
        _check(request)
        if request.model.kind == "digits":
            from effmark_adapters.artefacts.digits_onnx import digits_onnx

            self._entry = digits_onnx(request.cache, request.precision)
        else:
            self._entry = onnx_file.prepared(request.model, request.cache, _blocks(request))
            meta = onnx_file.read_meta(self._entry)
            check_length(self.name, request, meta)
            self._rows = meta["embedding_rows"]
            self._tokenizer = TextTokenizer(prepared_hf_folder(request.model, request.cache))
        with memory_errors(self.name):
            self._graph = OrtSession(self._entry / "model.onnx", request)
        self._request = request

    def facts(self) -> ModelFacts:
        """Return facts counted in the graph."""
        (request, session), meta = self._loaded(), onnx_file.read_meta(self._entry)
        return ModelFacts(
            parameters=meta["parameters"],
            weights_b=meta["weights_b"],
            file_b=shape.bytes_on_disk(self._entry.glob("model.onnx*")),
            effective_bits=8 * meta["weights_b"] / meta["parameters"],
            kernel="native",
            weights="trained",
            weights_source=request.model.weights_source,
            quantisation=meta.get("quantisation") or _unquantised(request),
            runtime={**session.facts(), **_node_counts(meta)},
            **self._of_model(request, meta),
        )

    def infer(self, batch: Array) -> Array:
        """Return the scores of the classes of images."""
        request, session = self._loaded()
        if request.model.kind != "digits":
            raise UnsupportedError("onnxruntime: a language model does not classify images")
        with memory_errors(self.name):
            return session.infer(batch)

    def _of_model(self, request: LoadRequest, meta: dict[str, Any]) -> dict[str, Any]:
        if request.model.kind == "digits":
            return {"flops_per_unit": digits_flops(), "config": shape.flat_config(CONFIG)}
        folder = prepared_hf_folder(request.model, request.cache)
        costs = costs_of(request.model, folder, request.cache)
        fields = fields_of(costs, shape.read_config(folder), 4)
        return fields | held_whole(meta["kv_elements_per_token"] * 4)


def _check(request: LoadRequest) -> None:
    """Refuse by name what this runtime, in this installation, cannot do."""
    if request.precision not in OnnxRuntimeAdapter.precisions:
        known = ", ".join(OnnxRuntimeAdapter.precisions)
        raise UnsupportedError(f"onnxruntime: no precision {request.precision!r}; it has {known}")
    if request.model.kind not in ("hf", "gguf", "digits"):
        raise UnsupportedError(f"onnxruntime: no model of kind {request.model.kind!r}")
    if request.model.kind == "digits" and request.precision == "int4":
        raise UnsupportedError("onnxruntime: no int4 convolutions; digits run in fp32 and int8")
    check_options(request, "onnxruntime", _OPTIONS)
    _blocks(request)
    installed = import_onnxruntime().get_available_providers()
    if provider_of(request) not in installed:
        raise UnsupportedError(
            f"onnxruntime: provider {provider_of(request)!r} is not in this installation, "
            f"which has {', '.join(installed)}"
        )


def _blocks(request: LoadRequest) -> Blocks | None:
    """Return how the weights are stored, None for fp32."""
    if request.precision == "fp32" or request.model.kind == "digits":
        unused = {"block_size", "accuracy_level"} & set(request.options)
        if unused:
            raise UnsupportedError(
                f"onnxruntime: option {min(unused)!r} is for int8 and int4 language models, "
                f"not for {request.precision} {request.model.task}"
            )
        return None
    block_size = int(request.options.get("block_size", 32))
    level = int(request.options.get("accuracy_level", 4))
    if block_size < 16 or block_size & (block_size - 1):
        raise UnsupportedError(
            f"onnxruntime: block_size {block_size} is not a power of 2 of at least 16"
        )
    if level not in (1, 4):
        raise UnsupportedError(
            f"onnxruntime: accuracy_level {level}; a CPU has 1 (fp32) and 4 (int8 activations)"
        )
    return Blocks(_BITS[request.precision], block_size, level)


def _unquantised(request: LoadRequest) -> dict[str, int | float | str | bool | None]:
    bits = _BITS[request.precision]
    if request.model.kind == "digits":
        return {"bits": bits, "activations": request.precision}
    return {"bits": bits, "head_bits": bits, "embedding_bits": bits, "activations": "float"}


def _node_counts(meta: dict[str, Any]) -> dict[str, int]:
    return {f"nodes_{kind}": count for kind, count in meta["weight_nodes"].items()}
