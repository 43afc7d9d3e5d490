"""ONNX Runtime: a causal LM with its KV cache as inputs and outputs, or the digits classifier.

`int8` and `int4` are weights in blocks with ONNX Runtime's own kernels (`MatMulNBits`), head and
embedding at 8 bits. With the option `accuracy_level: 4`, which is the default, the arithmetic of
these kernels is int8 x int8; with 1 the activations stay fp32: two different things called int4.

The cache stays in ONNX Runtime's own values between steps, and a step hands them over as one
vector: of six ways to call a session this is never slower than plain `run`, which copies the cache
to numpy, and the readable ways (`io_binding`, `run_with_ort_values`) cost more Python than they
save copying (per step of effmark-1m: 195 us against 199 with `run`, 221 and 258).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from effmark.adapter import Array, Generation, LoadRequest, OnStep
from effmark.errors import AdapterError, OutOfMemoryError, PrerequisiteError, UnsupportedError
from effmark.record import ModelFacts
from effmark_adapters.artefacts import facts as shape
from effmark_adapters.artefacts import onnx_file
from effmark_adapters.artefacts.digits import CONFIG, digits_flops
from effmark_adapters.artefacts.hf_folder import prepared_hf_folder
from effmark_adapters.artefacts.onnx_file import Blocks
from effmark_adapters.artefacts.tokenizer import TextTokenizer

__all__ = ["OnnxRuntimeAdapter"]

_OPTIONS: dict[str, type] = {"accuracy_level": int, "block_size": int, "provider": str}
_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_BITS = {"fp32": 32, "int8": 8, "int4": 4}


class OnnxRuntimeAdapter:
    """One session of ONNX Runtime."""

    name: ClassVar[str] = "onnxruntime"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8", "int4")

    def __init__(self) -> None:
        self._request: LoadRequest | None = None
        self._session: _Session | None = None
        self._entry = Path()
        self._tokenizer: TextTokenizer | None = None

    @classmethod
    def prepare(cls, request: LoadRequest) -> None:
        """Export the model to ONNX and quantise it."""
        _check(request)
        if request.model.kind == "digits":
            from effmark_adapters.artefacts.digits_onnx import digits_onnx

            digits_onnx(request.cache, request.precision)
        else:
            onnx_file.make(request.model, request.cache, _blocks(request))

    def load(self, request: LoadRequest) -> None:
        """Open a session on the prepared graph."""
        self.close()
        _check(request)
        if request.model.kind == "digits":
            from effmark_adapters.artefacts.digits_onnx import digits_onnx

            self._entry = digits_onnx(request.cache, request.precision)
        else:
            self._entry = onnx_file.prepared(request.model, request.cache, _blocks(request))
            self._tokenizer = TextTokenizer(prepared_hf_folder(request.model, request.cache))
        with _memory_errors():
            self._session = _Session(self._entry / "model.onnx", request)
        self._request = request

    def facts(self) -> ModelFacts:
        """Return facts counted in the graph."""
        request, meta = self._loaded(), onnx_file.read_meta(self._entry)
        config = self._config(request)
        language = request.model.kind != "digits"
        return ModelFacts(
            parameters=meta["parameters"],
            weights_b=meta["weights_b"],
            file_b=shape.bytes_on_disk(self._entry.glob("model.onnx*")),
            effective_bits=8 * meta["weights_b"] / meta["parameters"],
            kernel="native",
            weights="trained",
            weights_source=request.model.weights_source,
            kv_bytes_per_token=shape.kv_bytes_per_token(config, 4) if language else None,
            flops_per_unit=shape.flops_per_token(config) if language else digits_flops(),
            context_tokens=shape.context_tokens(config) if language else None,
            config=shape.flat_config(config),
            quantisation=meta.get("quantisation") or _unquantised(request),
            runtime={**self._open().facts(), **_node_counts(meta)},
        )

    def synchronize(self) -> None:
        """Return at once: every run ends with its results on the host."""

    def close(self) -> None:
        """Close the session."""
        self._session = self._request = self._tokenizer = None

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

        self._text()
        request = self._loaded()
        with _memory_errors():
            continue_prompts(
                self._open(), generation, on_step, request.context_tokens, request.batch
            )

    def log_probs(self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Array]:
        """Return the log-probabilities of continuations; a shared context is computed once."""
        from effmark_adapters.artefacts.kv_loop import score_pairs

        self._text()
        with _memory_errors():
            return list(score_pairs(self._open(), pairs, self._loaded().context_tokens))

    def infer(self, batch: Array) -> Array:
        """Return the scores of the classes of images."""
        if self._loaded().model.kind != "digits":
            raise UnsupportedError("onnxruntime: a language model does not classify images")
        with _memory_errors():
            return self._open().infer(batch)

    def _loaded(self) -> LoadRequest:
        if self._request is None:
            raise AdapterError("onnxruntime: no model is loaded; call load first")
        return self._request

    def _open(self) -> _Session:
        if self._session is None:
            raise AdapterError("onnxruntime: no model is loaded; call load first")
        return self._session

    def _text(self) -> TextTokenizer:
        model = self._loaded().model
        if self._tokenizer is None:
            raise UnsupportedError(f"onnxruntime: model {model.name!r} reads no text")
        return self._tokenizer

    def _config(self, request: LoadRequest) -> dict[str, Any]:
        if request.model.kind == "digits":
            return CONFIG
        return shape.read_config(prepared_hf_folder(request.model, request.cache))


class _Session:
    """A session whose cache stays where it was computed."""

    def __init__(self, path: Path, request: LoadRequest) -> None:
        import numpy as np

        ort = _onnxruntime()
        self._np, self._ort = np, ort
        self._state = ort.capi.onnxruntime_pybind11_state
        self._session = ort.InferenceSession(
            str(path), _session_options(ort, request), providers=_provider_list(request)
        )
        self._threads = request.threads
        self._provider = _require_provider(self._session, request)
        names = [i.name for i in self._session.get_inputs()]
        self._past = [n for n in names if n.startswith("past_key_values")]
        # The exporter drops inputs that a model does not use.
        self._fed = [n for n in names if n not in self._past]
        shapes = {i.name: i.shape for i in self._session.get_inputs()}
        self._shape = shapes[self._past[0]] if self._past else [0, 0, 0, 0]
        self._results = [o.name for o in self._session.get_outputs()]
        self._host = _place(self._state, "CPUExecutionProvider", 0)
        self._place = _place(self._state, self._provider, _device_number(request))
        self._places = [self._host] + [self._place] * (len(self._results) - 1)
        self._run_options = ort.RunOptions()
        self._cache: list[Any] = []

    def facts(self) -> dict[str, int | float | str | bool | None]:
        """Return what ran, with which threads and where."""
        return {
            "onnxruntime": self._ort.__version__,
            "provider": self._provider,
            "intra_op_threads": self._threads,
            "spinning": False,
            "graph_optimization": "all",
        }

    def start(self, sequences: int) -> None:
        """Empty the cache, for so many sequences."""
        _, heads, _, size = self._shape
        empty = self._np.zeros((sequences, heads, 0, size), self._np.float32)
        self._cache = self._owned([empty] * len(self._past))

    def step(self, ids: Array, mask: Array, positions: Array, wanted: Array) -> Array:
        """Return the logits of ids, and keep the new cache."""
        arrays = {
            "input_ids": ids,
            "attention_mask": mask,
            "position_ids": positions,
            "logit_positions": wanted,
        }
        feeds, found = self._state.OrtValueVector(), self._state.OrtValueVector()
        for name in self._fed:
            feeds.push_back(self._value(arrays[name], self._host))
        for value in self._cache:
            feeds.push_back(value)
        self._session.run_with_ortvaluevector(
            self._run_options, self._fed + self._past, feeds, self._results, found, self._places
        )
        self._cache = [found[i] for i in range(1, len(self._results))]
        return found[0].numpy()

    def repeat(self, sequences: int) -> None:
        """Make the cache of one sequence the cache of several."""
        copies = [self._np.repeat(v.numpy(), sequences, axis=0) for v in self._cache]
        self._cache = self._owned(copies)

    def infer(self, batch: Array) -> Array:
        """Return the only output for the only input."""
        return self._session.run(None, {self._fed[0]: self._np.asarray(batch, self._np.float32)})[0]

    def _owned(self, arrays: Sequence[Array]) -> list[Any]:
        """Return values of arrays, which are kept: a value on the host only borrows its array."""
        self._arrays = list(arrays)
        return [self._value(array, self._place) for array in arrays]

    def _value(self, array: Array, place: Any) -> Any:
        return self._state.OrtValue.ortvalue_from_numpy(array, place)


def _onnxruntime() -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # on by default, read at import
    try:
        import onnxruntime
    except ImportError as error:
        raise PrerequisiteError(
            "adapter 'onnxruntime' needs 'onnxruntime'; install it with: "
            "pip install 'effmark[onnx]'"
        ) from error
    return onnxruntime


def _place(state: Any, provider: str, number: int) -> Any:
    """Return where a provider keeps its values; all but CUDA exchange them on the host."""
    kind = state.OrtDevice.cuda() if provider == _PROVIDERS["cuda"] else state.OrtDevice.cpu()
    return state.OrtDevice(kind, state.OrtDevice.default_memory(), number)


def _session_options(ort: Any, request: LoadRequest) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = request.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Spinning barriers burn the core that a neighbour needs, and count as CPU time and energy.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _provider(request: LoadRequest) -> str:
    """Return the execution provider that was asked for, by option or by device."""
    kind = request.device.partition(":")[0]
    default = _PROVIDERS.get(kind)
    if default is None and "provider" not in request.options:
        raise UnsupportedError(
            f"onnxruntime: no provider for device {request.device!r}; name one with the option "
            f"'provider', or use {', '.join(_PROVIDERS)}"
        )
    return str(request.options.get("provider", default))


def _provider_list(request: LoadRequest) -> list[Any]:
    name = _provider(request)
    if name != _PROVIDERS["cuda"]:
        return [name]
    return [(name, {"device_id": _device_number(request)})]


def _device_number(request: LoadRequest) -> int:
    """Return the number of a device, of `cuda:1` say; 0 where there is none."""
    number = request.device.partition(":")[2]
    return int(number) if number.isdigit() else 0


def _require_provider(session: Any, request: LoadRequest) -> str:
    """Return the provider; ONNX Runtime falls back without an error, this does not."""
    wanted, got = _provider(request), session.get_providers()
    if got[0] != wanted:
        raise UnsupportedError(f"onnxruntime: provider {wanted!r} did not start; it chose {got}")
    return wanted


def _check(request: LoadRequest) -> None:
    """Refuse by name what this runtime, in this installation, cannot do."""
    if request.precision not in OnnxRuntimeAdapter.precisions:
        known = ", ".join(OnnxRuntimeAdapter.precisions)
        raise UnsupportedError(f"onnxruntime: no precision {request.precision!r}; it has {known}")
    if request.model.kind not in ("hf", "gguf", "digits"):
        raise UnsupportedError(f"onnxruntime: no model of kind {request.model.kind!r}")
    if request.model.kind == "digits" and request.precision == "int4":
        raise UnsupportedError("onnxruntime: no int4 convolutions; digits run in fp32 and int8")
    for name, value in request.options.items():
        if name not in _OPTIONS:
            known = ", ".join(_OPTIONS)
            raise UnsupportedError(f"onnxruntime: unknown option {name!r}; it has {known}")
        if type(value) is not _OPTIONS[name]:
            raise UnsupportedError(
                f"onnxruntime: option {name!r} is {value!r}, not of type {_OPTIONS[name].__name__}"
            )
    _blocks(request)
    installed = _onnxruntime().get_available_providers()
    if _provider(request) not in installed:
        raise UnsupportedError(
            f"onnxruntime: provider {_provider(request)!r} is not in this installation, "
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


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turn ONNX Runtime's failed allocations into the error that is recorded as `oom`."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    try:
        yield
    except (MemoryError, RuntimeError, state.Fail, state.RuntimeException) as error:
        text = str(error)
        asked = ("allocate memory", "bad allocation", "bad_alloc", "out of memory")
        if isinstance(error, MemoryError) or any(words in text for words in asked):
            raise OutOfMemoryError(f"onnxruntime: out of memory: {text[:200]}") from error
        raise
