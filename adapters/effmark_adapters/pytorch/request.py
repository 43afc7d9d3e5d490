"""What the torch adapter makes of a request: what it refuses, what it packs, and where it lies."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from effmark.adapter import LoadRequest
from effmark.errors import PrerequisiteError, SpecError, UnsupportedError
from effmark.schema import content_hash

__all__ = [
    "PRECISIONS",
    "attention",
    "check_request",
    "group",
    "is_packed",
    "packed_folder",
    "packed_key",
    "stored_precision",
    "weights_source",
]

PACKING_VERSION = 2
"""Rises whenever the same model would be packed otherwise."""
PRECISIONS = ("fp32", "bf16", "int8", "int4")
_CLASSIFIER_PRECISIONS = ("fp32", "bf16", "int8")
_OPTIONS = {"attention", "compile", "group_size"}
_GROUPS = (32, 64, 128)
_ATTENTION = ("auto", "sdpa", "eager")


def check_request(request: LoadRequest) -> None:
    """Refuse by name what torch cannot do on this machine.

    Raises:
        UnsupportedError: precision, option, device or model.
        PrerequisiteError: a package is missing.
    """
    if request.precision not in PRECISIONS:
        raise UnsupportedError(
            f"torch: no precision {request.precision!r}; it has {', '.join(PRECISIONS)}"
        )
    _check_packages()
    _check_model(request)
    _check_options(request)
    from effmark_adapters.pytorch.devices import compiler, find_device

    find_device(request.device)
    if request.options.get("compile"):
        compiler()


def _check_packages() -> None:
    for name in ("torch", "transformers", "accelerate", "safetensors", "torchao"):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError as error:
            raise PrerequisiteError(
                f"adapter 'torch' needs {name!r}; install it with: pip install 'effmark[torch]'"
            ) from error


def _check_model(request: LoadRequest) -> None:
    model = request.model
    if model.kind == "synthetic":
        raise UnsupportedError(f"torch: model {model.name!r} is synthetic; it has no weights")
    if model.kind == "digits" and request.precision not in _CLASSIFIER_PRECISIONS:
        raise UnsupportedError(
            f"torch: no precision {request.precision!r} for a classifier; "
            f"it has {', '.join(_CLASSIFIER_PRECISIONS)}"
        )


def _check_options(request: LoadRequest) -> None:
    for name in sorted(request.options):
        if name not in _OPTIONS:
            raise UnsupportedError(
                f"torch: unknown option {name!r}; it knows {', '.join(sorted(_OPTIONS))}"
            )
        if request.model.kind == "digits":
            raise UnsupportedError(f"torch: option {name!r} is for language models")
    if not isinstance(request.options.get("compile", False), bool):
        raise SpecError(f"torch: option compile is true or false: {request.options['compile']!r}")
    if attention(request) not in _ATTENTION:
        raise SpecError(f"torch: option attention is auto, sdpa or eager: {attention(request)!r}")
    if "group_size" in request.options and request.precision != "int4":
        raise UnsupportedError(f"torch: option group_size is for int4, not {request.precision}")
    if group(request) not in _GROUPS:
        raise SpecError(f"torch: option group_size is 32, 64 or 128: {group(request)!r}")


def attention(request: LoadRequest) -> str:
    """Return how attention is asked for: `auto` is sdpa where the model's class has it."""
    return str(request.options.get("attention", "auto"))


def group(request: LoadRequest) -> int:
    """Return how many weights share a scale at int4."""
    return int(request.options.get("group_size", 32))


def is_packed(request: LoadRequest) -> bool:
    """Return whether `prepare` writes weights of its own; fp32 is read from the given folder."""
    return request.precision != "fp32"


def stored_precision(request: LoadRequest) -> str:
    """Return the precision of the packed weights; a GPU packs its int4 itself, from bf16."""
    on_gpu = request.device != "cpu"
    return "bf16" if on_gpu and request.precision == "int4" else request.precision


def weights_source(request: LoadRequest) -> str:
    """Return what the weights are that everything else is made of."""
    quantised = request.model.quantised
    return f"dequantised {quantised}" if quantised else request.model.weights_source


def packed_key(request: LoadRequest) -> str:
    """Return the hash of everything that packed weights depend on."""
    import torch

    stored = stored_precision(request)
    body = {
        "source": request.model.sha256,
        "precision": stored,
        "version": PACKING_VERSION,
        "torch": torch.__version__,
    }
    if stored == "int4":  # the layout follows the instruction set
        body["group"], body["cpu"] = group(request), torch.backends.cpu.get_cpu_capability()
    if stored in ("int4", "int8"):
        body["torchao"] = importlib.metadata.version("torchao")
    return content_hash(body)[:32]


def packed_folder(request: LoadRequest) -> Path:
    """Return where `prepare` put the packed weights.

    Raises:
        PrerequisiteError: it was not called yet.
    """
    entry = request.cache / "torch" / packed_key(request)
    if not entry.is_dir():
        raise PrerequisiteError(
            f"model {request.model.name!r} is not packed at {request.precision} yet; "
            "call prepare first"
        )
    return entry
