"""A model compiled by OpenVINO, and its request, which holds the cache."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from effmark.adapter import Array, LoadRequest
from effmark.errors import PrerequisiteError
from effmark_adapters.artefacts.telemetry import without_telemetry

__all__ = ["OpenVinoModel", "import_openvino", "prove"]

_ACTIVATION_GROUP = 32


class OpenVinoModel:
    """A compiled model and its request, which holds the cache."""

    def __init__(self, path: Path, request: LoadRequest) -> None:
        import numpy as np

        ov = import_openvino()
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

    def cache_b(self) -> int:
        """Return the bytes of the cache; its numbers are handed out as f32, whatever is held."""
        number_b = int(self._compiled.get_property("KV_CACHE_PRECISION").size)
        return sum(int(state.state.size) * number_b for state in self._request.query_state())

    def repeat(self, sequences: int) -> None:
        """Make the cache of one sequence the cache of several."""
        for state in self._request.query_state():
            copies = self._np.repeat(state.state.data, sequences, axis=0)
            state.state = self._ov.Tensor(copies)
        self._rows = self._np.arange(sequences, dtype=self._np.int32)


def prove(request: LoadRequest, entry: Path, path: Path) -> None:
    """Refuse a graph that does not compute, in f32, what its model computes.

    Args:
        request: What was asked for, of any precision.
        entry: The ONNX graph of the model, with its proof.
        path: The graph as OpenVINO's IR.

    Raises:
        UnsupportedError: it does not load, or computes something else.
    """
    from effmark_adapters.graphs.proof import Proof

    whole = request.model_copy(update={"precision": "fp32", "options": {}, "device": "cpu"})
    Proof.read(entry / "proof.npz").check(
        lambda: OpenVinoModel(path, whole), "openvino", request.model.name
    )


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


def import_openvino() -> Any:
    """Return the module, its telemetry replaced by the stub that it brings.

    Raises:
        PrerequisiteError: it is not installed.
    """
    without_telemetry()
    try:
        import openvino
    except ImportError as error:
        raise PrerequisiteError(
            "adapter 'openvino' needs 'openvino'; install it with: pip install 'effmark[openvino]'"
        ) from error
    return openvino


def _plain(value: Any) -> int | str | bool:
    """Return a property as a scalar; element types by their names."""
    if isinstance(value, bool | int | str):
        return value
    return str(value.get_type_name())
