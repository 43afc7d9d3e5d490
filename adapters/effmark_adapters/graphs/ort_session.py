"""A session of ONNX Runtime whose cache stays where it was computed.

The cache stays in ONNX Runtime's own values between steps, and a step hands them over as one
vector: of six ways to call a session this is never slower than plain `run`, which copies the cache
to numpy, and the readable ways (`io_binding`, `run_with_ort_values`) cost more Python than they
save copying (per step of effmark-1m: 195 us against 199 with `run`, 221 and 258).
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effmark.adapter import Array, LoadRequest
from effmark.errors import PrerequisiteError, UnsupportedError
from effmark.spec import ModelRef
from effmark_adapters.artefacts.telemetry import without_telemetry

__all__ = ["OrtSession", "import_onnxruntime", "prove", "provider_of"]

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OrtSession:
    """A session whose cache stays where it was computed."""

    def __init__(self, path: Path, request: LoadRequest) -> None:
        import numpy as np

        ort = import_onnxruntime()
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
        self._shapes = [(shapes[name][1], shapes[name][3]) for name in self._past]
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
        made = self._np.zeros
        empty = [made((sequences, heads, 0, size), "float32") for heads, size in self._shapes]
        self._cache = self._owned(empty)

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

    def cache_b(self) -> int:
        """Return the bytes of the cache."""
        number_b = self._np.dtype(self._np.float32).itemsize
        return sum(math.prod(value.shape()) * number_b for value in self._cache)

    def infer(self, batch: Array) -> Array:
        """Return the only output for the only input."""
        return self._session.run(None, {self._fed[0]: self._np.asarray(batch, self._np.float32)})[0]

    def _owned(self, arrays: Sequence[Array]) -> list[Any]:
        """Return values of arrays, which are kept: a value on the host only borrows its array."""
        self._arrays = list(arrays)
        return [self._value(array, self._place) for array in arrays]

    def _value(self, array: Array, place: Any) -> Any:
        return self._state.OrtValue.ortvalue_from_numpy(array, place)


def import_onnxruntime() -> Any:
    """Return the module, its telemetry off.

    Raises:
        PrerequisiteError: it is not installed.
    """
    without_telemetry()
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


def provider_of(request: LoadRequest) -> str:
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
    name = provider_of(request)
    if name != _PROVIDERS["cuda"]:
        return [name]
    return [(name, {"device_id": _device_number(request)})]


def _device_number(request: LoadRequest) -> int:
    """Return the number of a device, of `cuda:1` say; 0 where there is none."""
    number = request.device.partition(":")[2]
    return int(number) if number.isdigit() else 0


def _require_provider(session: Any, request: LoadRequest) -> str:
    """Return the provider; ONNX Runtime falls back without an error, this does not."""
    wanted, got = provider_of(request), session.get_providers()
    if got[0] != wanted:
        raise UnsupportedError(f"onnxruntime: provider {wanted!r} did not start; it chose {got}")
    return wanted


def prove(model: ModelRef, entry: Path) -> None:
    """Refuse the fp32 graph of an entry that does not compute what its model computes.

    Raises:
        UnsupportedError: it does not load, or computes something else.
    """
    from effmark_adapters.graphs.proof import Proof

    threads = len(os.sched_getaffinity(0))
    request = LoadRequest(model=model, precision="fp32", threads=threads, cache=entry)
    Proof.read(entry / "proof.npz").check(
        lambda: OrtSession(entry / "model.onnx", request), "onnxruntime", model.name
    )
