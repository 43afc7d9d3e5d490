"""OpenVINO: a causal LM whose cache is state of the request, weights compressed by NNCF.

`int8` is one scale per row, `int4` one per group of 32 along the row (option `group_size`), both
with zero points (option `symmetric: true` without); head and embedding are int8, one tensor where
the model ties them. The precision of the arithmetic is always given, because OpenVINO's own choice
on a CPU with bf16 is bf16: `fp32`, `int8` and `int4` compute in f32 with an f32 cache, `bf16` in
bf16 with a bf16 cache. Products with compressed weights quantise their inputs to int8 in groups of
32, which is the plugin's default; option `dynamic_quantization: false` keeps them in f32.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from effmark.adapter import Array, Generation, LoadRequest, OnStep
from effmark.cache import build_once
from effmark.errors import AdapterError, OutOfMemoryError, PrerequisiteError, UnsupportedError
from effmark.record import ModelFacts
from effmark_adapters.artefacts import facts as shape
from effmark_adapters.artefacts import onnx_file
from effmark_adapters.artefacts.hf_folder import hf_folder, prepared_hf_folder
from effmark_adapters.artefacts.tokenizer import TextTokenizer

__all__ = ["OpenVinoAdapter"]

RECIPE = 1
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
_ACTIVATION_GROUP = 32


class OpenVinoAdapter:
    """One compiled model with one request."""

    name: ClassVar[str] = "openvino"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "bf16", "int8", "int4")

    def __init__(self) -> None:
        self._request: LoadRequest | None = None
        self._model: _StatefulModel | None = None
        self._tokenizer: TextTokenizer | None = None
        self._entry = Path()

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        """Export the model to ONNX, make it stateful, compress its weights, save it as IR."""
        _check(request)
        onnx = onnx_file.make(request.model, request.cache)

        def build(folder: Path) -> None:
            from effmark_adapters.artefacts.openvino_ir import write_ir

            write_ir(onnx, folder, **_conversion(request))

        key = _key(request, hf_folder(request.model, request.cache))
        what = f"{request.model.name} as OpenVINO IR, {request.precision}"
        build_once(request.cache, "openvino", key, build, what)

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
        with _memory_errors():
            self._model = _StatefulModel(entry / "model.xml", request)
        self._tokenizer = TextTokenizer(folder)
        self._request, self._entry = request, entry

    def facts(self) -> ModelFacts:
        """Return facts counted in the constants of the graph."""
        request, meta = self._loaded(), onnx_file.read_meta(self._entry)
        config = shape.read_config(prepared_hf_folder(request.model, request.cache))
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
            kv_bytes_per_token=shape.kv_bytes_per_token(config, value_b),
            flops_per_unit=shape.flops_per_token(config),
            context_tokens=shape.context_tokens(config),
            config=shape.flat_config(config),
            quantisation=_quantisation(request, meta),
            runtime=self._compiled().facts(),
        )

    def synchronize(self) -> None:
        """Return at once: every inference ends with its results on the host."""

    def close(self) -> None:
        """Free the compiled model."""
        self._model = self._request = self._tokenizer = None

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text."""
        return self._text().encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids."""
        return self._text().decode(ids)

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the prompt of messages."""
        return self._text().chat(messages)

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Continue the prompts together, the shorter ones padded on the left."""
        from effmark_adapters.artefacts.kv_loop import continue_prompts

        request, model = self._loaded(), self._compiled()
        with _memory_errors():
            continue_prompts(model, generation, on_step, request.context_tokens, request.batch)

    def log_probs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Array]:
        """Return the log-probabilities of continuations; a shared context is computed once."""
        from effmark_adapters.artefacts.kv_loop import score_pairs

        with _memory_errors():
            return list(score_pairs(self._compiled(), pairs, self._loaded().context_tokens))

    def _loaded(self) -> LoadRequest:
        if self._request is None:
            raise AdapterError("openvino: no model is loaded; call load first")
        return self._request

    def _compiled(self) -> _StatefulModel:
        if self._model is None:
            raise AdapterError("openvino: no model is loaded; call load first")
        return self._model

    def _text(self) -> TextTokenizer:
        if self._tokenizer is None:
            raise AdapterError("openvino: no model is loaded; call load first")
        return self._tokenizer


class _StatefulModel:
    """A compiled model and its request, which holds the cache."""

    def __init__(self, path: Path, request: LoadRequest) -> None:
        import numpy as np

        ov = _openvino()
        self._np, self._ov = np, ov
        core = ov.Core()
        self._settings = _settings(request)
        self._compiled = core.compile_model(
            core.read_model(str(path)), request.device.upper(), self._settings
        )
        self._request = self._compiled.create_infer_request()
        self._wanted = {i.get_any_name() for i in self._compiled.inputs}
        self._rows: Array = None

    def facts(self) -> dict[str, int | float | str | bool | None]:
        """Return the settings as the plugin has them, and the kernels of its graph."""
        found: dict[str, int | float | str | bool | None] = {"openvino": self._ov.__version__}
        for name in self._settings:
            found[name.lower()] = _plain(self._compiled.get_property(name))
        kernels: Counter[str] = Counter()
        for node in self._compiled.get_runtime_model().get_ops():
            told = {k: node.get_rt_info()[k].astype(str) for k in ("layerType", "runtimePrecision")}
            if told["layerType"] in ("FullyConnected", "ScaledDotProductAttention"):
                kernels[f"{told['layerType']}_{told['runtimePrecision']}"] += 1
        return {**found, **{f"nodes_{kind}": count for kind, count in kernels.items()}}

    def start(self, sequences: int) -> None:
        """Empty the cache, for so many sequences."""
        self._request.reset_state()
        self._rows = self._np.arange(sequences, dtype=self._np.int32)

    def step(self, ids: Array, mask: Array, positions: Array, wanted: Array) -> Array:
        """Return the logits of ids, valid until the next step; the cache grows by them."""
        fed = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            "logit_positions": wanted,
            "beam_idx": self._rows,
        }
        fed = {name: array for name, array in fed.items() if name in self._wanted}
        return self._request.infer(fed, share_inputs=True, share_outputs=True)[0]

    def repeat(self, sequences: int) -> None:
        """Make the cache of one sequence the cache of several."""
        for state in self._request.query_state():
            copies = self._np.repeat(state.state.data, sequences, axis=0)
            state.state = self._ov.Tensor(copies)
        self._rows = self._np.arange(sequences, dtype=self._np.int32)


def _settings(request: LoadRequest) -> dict[str, Any]:
    precision = "bf16" if request.precision == "bf16" else "f32"
    dynamic = request.options.get("dynamic_quantization", True)
    return {
        "INFERENCE_PRECISION_HINT": precision,
        "KV_CACHE_PRECISION": precision,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _ACTIVATION_GROUP if dynamic else 0,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
        "INFERENCE_NUM_THREADS": request.threads,
        # Pinned threads of two processes can share a core while others idle.
        "ENABLE_CPU_PINNING": False,
    }


def _openvino() -> Any:
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # then it has a stub
    try:
        import openvino
    except ImportError as error:
        raise PrerequisiteError(
            "adapter 'openvino' needs 'openvino'; install it with: pip install 'effmark[openvino]'"
        ) from error
    return openvino


def _check(request: LoadRequest) -> None:
    """Refuse by name what this runtime cannot do on this machine."""
    if request.precision not in _OPTIONS_OF:
        known = ", ".join(_OPTIONS_OF)
        raise UnsupportedError(f"openvino: no precision {request.precision!r}; it has {known}")
    if request.model.kind not in ("hf", "gguf"):
        raise UnsupportedError(
            f"openvino: no model of kind {request.model.kind!r}; it runs language models"
        )
    _check_options(request)
    core = _openvino().Core()
    if request.device.upper() not in core.available_devices:
        here = ", ".join(name.lower() for name in core.available_devices)
        raise UnsupportedError(f"openvino: no device {request.device!r}; this machine has {here}")
    can = core.get_property(request.device.upper(), "OPTIMIZATION_CAPABILITIES")
    if request.precision == "bf16" and "BF16" not in can:
        raise UnsupportedError(
            f"openvino: device {request.device!r} has no bf16 arithmetic; it has {', '.join(can)}"
        )


def _check_options(request: LoadRequest) -> None:
    for name, value in request.options.items():
        if name not in _OPTIONS_OF[request.precision]:
            known = ", ".join(_OPTIONS_OF[request.precision]) or "none"
            raise UnsupportedError(
                f"openvino: unknown option {name!r} for {request.precision}; it has {known}"
            )
        if type(value) is not _OPTIONS[name]:
            raise UnsupportedError(
                f"openvino: option {name!r} is {value!r}, not of type {_OPTIONS[name].__name__}"
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


def _plain(value: Any) -> int | str | bool:
    """Return a property as a scalar; element types by their names."""
    if isinstance(value, bool | int | str):
        return value
    return str(value.get_type_name())


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn OpenVINO's failed allocations into the error that is recorded as `oom`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        asked = ("bad_alloc", "allocate", "out of memory")
        if isinstance(error, MemoryError) or any(words in text.lower() for words in asked):
            raise OutOfMemoryError(f"openvino: out of memory: {text[:200]}") from error
        raise
