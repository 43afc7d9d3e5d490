"""Weights at a precision: quantised once, saved packed, loaded without the full-precision ones."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors.torch import load_file, save_file
from torch import nn

from effmark.adapter import Array
from effmark.errors import UnsupportedError
from effmark_adapters.artefacts.facts import weight_files
from effmark_adapters.artefacts.hf_model import load_causal_lm, make_causal_lm
from effmark_adapters.pytorch.quantised import (
    Int4Linear,
    Int8Embedding,
    Int8Linear,
    SharedInt8Embedding,
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

Groups = dict[str, int]

_FILE, _PLAN = "model.safetensors", "quantised.json"
_INT4_ROWS = 16
"""The CPU kernel packs rows of the result by so many."""


@dataclass
class Weights:
    """A network with its weights, and what is known of them."""

    net: Any
    parameters: int
    """Number of weights before packing, tied ones once."""
    files: list[Path]
    """Where they were read from."""
    groups: dict[str, int] = field(default_factory=dict)
    """Weights per scale of each packed layer; 0 for int8, which has one scale per row."""

    def held_b(self) -> int:
        """Return the bytes of all weights as they are held, tied ones once."""
        return sum(_tensor_b(tensor) for _, tensor in _unique(self.net))


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
    if precision == "int4":
        weights.groups = _quantise(weights.net, group, _int4)
    elif precision == "int8":
        weights.groups = _quantise(weights.net, 0, _int4)
    tensors = {name: tensor.contiguous() for name, tensor in _unique(weights.net)}
    save_file(tensors, out / _FILE, metadata={"format": "pt"})
    plan = {"parameters": weights.parameters, "groups": weights.groups}
    (out / _PLAN).write_text(json.dumps(plan, indent=1) + "\n", "utf-8")


def load_packed(
    folder: Path, packed: Path, attention: str, *, trust_remote_code: bool = False
) -> Weights:
    """Return the model of `folder` with the weights that `save_packed` wrote."""
    with init_empty_weights(include_buffers=False):
        model = make_causal_lm(
            folder, torch.bfloat16, attention=attention, trust_remote_code=trust_remote_code
        )
    # The int8 kernel reads whole vectors: it needs aligned memory, which a mapped file is not.
    tensors = {name: tensor.clone() for name, tensor in load_file(packed / _FILE).items()}
    plan = json.loads((packed / _PLAN).read_text("utf-8"))
    for name, group in plan["groups"].items():
        _put(model, name, tensors, group)
    model.load_state_dict(tensors, strict=False, assign=True)
    _tie(model, tensors, packed=bool(plan["groups"]))
    missing = [name for name, tensor in _unique(model) if tensor.is_meta]
    if missing:
        raise UnsupportedError(f"torch: the packed weights of {folder.name!r} lack {missing[0]!r}")
    return Weights(model.eval(), plan["parameters"], [packed / _FILE], plan["groups"])


def pack_for_gpu(weights: Weights, group: int) -> None:
    """Replace the matrices of a model on a GPU by int4 in the layout of its kernel.

    Raises:
        UnsupportedError: the kernel's package is not installed.
    """
    try:
        weights.groups = _quantise(weights.net, group, _int4_on_gpu)
    except ImportError as error:
        raise UnsupportedError(f"torch: no int4 on this GPU: {error}") from error


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


def _unique(model: Any) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of a model by name, those that share memory once."""
    seen: set[int] = set()
    for name, tensor in model.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:
            seen.add(id(tensor))
            yield name, tensor.detach()


def _quantise(model: Any, group: int, int4: Callable[[nn.Linear, int], nn.Module]) -> Groups:
    """Replace the matrices by packed ones; return the group of each, 0 for int8.

    Embedding and head are int8, one table for both where the model ties them.
    """
    tied = _is_tied(model)
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    groups: Groups = {}
    linear = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear)]
    for name, module in linear:
        groups[name] = group if group and module is not head and _fits(module, group) else 0
        packed = int4(module, group) if groups[name] else _int8(module)
        model.set_submodule(name, packed)
    if tied:
        model.set_input_embeddings(SharedInt8Embedding(model.get_output_embeddings()))
    else:
        model.set_input_embeddings(Int8Embedding(*_int8_rows(table.weight)))
    return groups


def _is_tied(model: Any) -> bool:
    return model.get_output_embeddings().weight is model.get_input_embeddings().weight


def _fits(module: nn.Linear, group: int) -> bool:
    return module.in_features % group == 0 and module.out_features % _INT4_ROWS == 0


def _int4(module: nn.Linear, group: int) -> Int4Linear:
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig
    from torchao.quantization import quantize_

    quantize_(module, PrototypeInt4WeightOnlyConfig(group_size=group))
    weight: Any = module.weight
    return Int4Linear(weight.qdata, weight.scale_and_zero, _data(module.bias), group)


def _int4_on_gpu(module: nn.Linear, group: int) -> nn.Module:
    from torchao.quantization import Int4WeightOnlyConfig, quantize_

    quantize_(module, Int4WeightOnlyConfig(group_size=group))
    return module


def _int8(module: nn.Linear) -> Int8Linear:
    return Int8Linear(*_int8_rows(module.weight), _data(module.bias))


def _int8_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the int8 values of a matrix and the scale of each row in bf16."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    carrier = nn.Linear(1, 1, bias=False)
    carrier.weight = nn.Parameter(weight.detach(), requires_grad=False)
    quantize_(carrier, Int8WeightOnlyConfig())
    packed: Any = carrier.weight
    return packed.qdata, packed.scale.flatten().to(torch.bfloat16)


def _data(bias: torch.Tensor | None) -> torch.Tensor | None:
    return None if bias is None else bias.detach()


def _put(model: Any, name: str, tensors: dict[str, torch.Tensor], group: int) -> None:
    """Put the packed layer `name` where the empty one is."""
    qdata, bias = tensors[f"{name}.qdata"], tensors.get(f"{name}.bias")
    if group:
        layer: nn.Module = Int4Linear(qdata, tensors[f"{name}.scale_and_zero"], bias, group)
    else:
        layer = Int8Linear(qdata, tensors[f"{name}.scale"], bias)
    model.set_submodule(name, layer)


def _tie(model: Any, tensors: dict[str, torch.Tensor], *, packed: bool) -> None:
    """Fill the embedding: with the head's table where the two were tied, else with its own."""
    if not packed:
        model.tie_weights()
        return
    table = model.get_input_embeddings()
    name = next(name for name, module in model.named_modules() if module is table)
    if f"{name}.qdata" in tensors:
        rows = Int8Embedding(tensors[f"{name}.qdata"], tensors[f"{name}.scale"])
        model.set_input_embeddings(rows)
    else:
        model.set_input_embeddings(SharedInt8Embedding(model.get_output_embeddings()))
