"""Weights at a precision: quantised once, saved packed, loaded without the full-precision ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import init_empty_weights
from safetensors.torch import load_file, save_file
from torch import nn

from effmark.adapter import Array
from effmark.errors import UnsupportedError
from effmark_adapters.artefacts.facts import weight_files
from effmark_adapters.artefacts.hf_model import load_causal_lm, make_causal_lm
from effmark_adapters.pytorch.calls import inspect_calls, three_tokens
from effmark_adapters.pytorch.devices import memory_errors
from effmark_adapters.pytorch.packing import (
    Plan,
    check_shares,
    int4,
    int4_on_gpu,
    pack,
    place,
    shares,
)

__all__ = [
    "Weights",
    "load_classifier",
    "load_full",
    "load_packed",
    "pack_for_gpu",
    "run_classifier",
    "save_packed",
]

_FILE, _PLAN = "model.safetensors", "quantised.json"
_BITS = {"int8": 8, "int4": 4}


@dataclass
class Weights:
    """A network with its weights, and what is known of them."""

    net: Any
    parameters: int
    """Number of weights before packing, tied ones once."""
    files: list[Path]
    """Where they were read from."""
    plan: Plan = field(default_factory=Plan)
    """Which layers are packed."""

    def held_b(self) -> int:
        """Return the bytes of all weights as they are held, tied ones once."""
        held = {id(tensor): tensor for tensor in self.net.state_dict(keep_vars=True).values()}
        return sum(_tensor_b(tensor) for tensor in held.values())

    def shares(self) -> dict[int, float]:
        """Return the shares of all weights that are held at so many bits."""
        return shares(self.net, self.parameters)


def load_full(
    folder: Path,
    dtype: torch.dtype,
    attention: str = "auto",
    *,
    trust_remote_code: bool = False,
) -> Weights:
    """Return the model of a Hugging Face folder, in evaluation mode."""
    model = load_causal_lm(folder, dtype, attention=attention, trust_remote_code=trust_remote_code)
    return Weights(model, _count(model), weight_files(folder))


def save_packed(
    folder: Path, precision: str, group: int, out: Path, *, trust_remote_code: bool = False
) -> None:
    """Write a model's weights at a precision into an empty folder.

    Args:
        folder: Hugging Face folder.
        precision: `bf16`, `int8` or `int4`.
        group: Weights that share a scale at int4.
        out: Where they go.
        trust_remote_code: Whether Python code of the folder may run.
    """
    weights = load_full(folder, torch.bfloat16, trust_remote_code=trust_remote_code)
    _check_runs(weights.net, "bf16")
    if precision != "bf16":
        weights.plan = pack(weights.net, group if precision == "int4" else 0, int4)
        _check(weights, folder.name, precision)
        _check_runs(weights.net, precision)
    tensors, aliases = _unique(weights.net)
    tensors = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    save_file(tensors, out / _FILE, metadata={"format": "pt"})
    plan = {"parameters": weights.parameters, "aliases": aliases, **weights.plan.as_dict()}
    (out / _PLAN).write_text(json.dumps(plan, indent=1) + "\n", "utf-8")


def load_packed(
    folder: Path, packed: Path, attention: str = "auto", *, trust_remote_code: bool = False
) -> Weights:
    """Return the model of `folder` with the weights that `save_packed` wrote."""
    with init_empty_weights(include_buffers=False):
        model = make_causal_lm(
            folder, torch.bfloat16, attention=attention, trust_remote_code=trust_remote_code
        )
    plan = json.loads((packed / _PLAN).read_text("utf-8"))
    parameters, aliases = plan.pop("parameters"), plan.pop("aliases")
    weights = Weights(model.eval(), parameters, [packed / _FILE], Plan(**plan))
    place(model, weights.plan)
    # The int8 kernel reads whole vectors: it needs aligned memory, which a mapped file is not.
    for name, tensor in load_file(packed / _FILE).items():
        _assign(model, name, tensor.clone())
    for name, first in aliases.items():
        _assign(model, name, _held(model, first))
    missing = [name for name, tensor in _named(model) if tensor.is_meta]
    if missing:
        raise UnsupportedError(f"torch: the packed weights of {folder.name!r} lack {missing[0]!r}")
    return weights


def pack_for_gpu(weights: Weights, group: int, name: str) -> None:
    """Replace the matrices of a model on a GPU by int4 in the layout of its kernel.

    Raises:
        UnsupportedError: the kernel's package is not installed, or it holds too few weights.
    """
    try:
        weights.plan = pack(weights.net, group, int4_on_gpu)
    except ImportError as error:
        raise UnsupportedError(f"torch: no int4 on this GPU: {error}") from error
    _check(weights, name, "int4")


def _check(weights: Weights, name: str, precision: str) -> None:
    check_shares(f"{precision} of {name!r}", weights.shares(), _BITS[precision])


def load_classifier(folder: Path, precision: str, device: torch.device) -> Weights:
    """Return the digits network; int8 holds the matrices, not the convolutions."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    from effmark_adapters.artefacts.digits import load_digits_net

    net = load_digits_net(folder).eval()
    parameters = _count(net)
    if precision == "bf16":
        net = net.to(torch.bfloat16)
    elif precision == "int8":
        quantize_(net, Int8DynamicActivationInt8WeightConfig())
    return Weights(net.to(device), parameters, weight_files(folder))


def run_classifier(weights: Weights, precision: str, batch: Array) -> Array:
    """Return the outputs of the network for host inputs, as float32 on the host."""
    device = next(weights.net.parameters()).device
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    with torch.inference_mode():
        inputs = torch.as_tensor(batch, dtype=dtype, device=device)
        return weights.net(inputs).float().cpu().numpy()


def _count(net: nn.Module) -> int:
    return sum(parameter.numel() for parameter in net.parameters())


def _tensor_b(tensor: torch.Tensor) -> int:
    if hasattr(tensor, "__tensor_flatten__"):  # a subclass of torchao: count what is inside
        inner, _ = tensor.__tensor_flatten__()
        return sum(_tensor_b(getattr(tensor, name)) for name in inner)
    return tensor.numel() * tensor.element_size()


@torch.inference_mode()
def _check_runs(model: Any, precision: str) -> None:
    """Refuse a class that does not read a text with weights of this type."""
    uncached = inspect_calls(model).arguments(use_cache=False)
    kind, version = type(model).__name__, transformers.__version__
    try:
        with memory_errors(f"three tokens of {kind} at {precision}"):
            model(input_ids=three_tokens(model), **uncached)
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnsupportedError(
            f"torch: {kind} of transformers {version} does not run at {precision}: {reason}"
        ) from error


def _named(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield all tensors of a model by name, also those that a file of it would not hold."""
    for module_name, module in model.named_modules(remove_duplicate=False):
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                if tensor is not None:
                    yield f"{module_name}.{name}" if module_name else name, tensor


def _unique(model: Any) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Return the tensors of a model by name, and the other names of those that have several."""
    first: dict[int, str] = {}
    tensors: dict[str, torch.Tensor] = {}
    aliases: dict[str, str] = {}
    for name, tensor in _named(model):
        known = first.setdefault(id(tensor), name)
        if known == name:
            tensors[name] = tensor.detach()
        else:
            aliases[name] = known
    return tensors, aliases


def _assign(model: Any, name: str, tensor: torch.Tensor) -> None:
    """Put a tensor where a model has a parameter or a buffer of this name."""
    module_name, _, leaf = name.rpartition(".")
    module = model.get_submodule(module_name)
    if leaf in module._parameters:
        is_one = isinstance(tensor, nn.Parameter)
        module._parameters[leaf] = tensor if is_one else nn.Parameter(tensor, requires_grad=False)
    else:
        module._buffers[leaf] = tensor


def _held(model: Any, name: str) -> torch.Tensor:
    module_name, _, leaf = name.rpartition(".")
    module = model.get_submodule(module_name)
    found: torch.Tensor = module._parameters.get(leaf, module._buffers.get(leaf))
    return found
