"""Which layers of a model are packed, and how: matrices, experts, embedding and head.

What must not be packed stays as it is and counts as such: routers, whose rounding would send
tokens to other experts; what a class keeps in float32; matrices that a model's code multiplies
itself; classes that do more than a plain layer does with its weight.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from effmark.errors import UnsupportedError
from effmark_adapters.pytorch.calls import inspect_calls, three_tokens
from effmark_adapters.pytorch.quantised import (
    Int4Linear,
    Int8Linear,
    Int8Rows,
    PackedExperts,
    keeps_what_it_does,
    pack_rows,
)

__all__ = ["Plan", "check_shares", "int4", "int4_on_gpu", "pack", "place", "shares"]

_INT4_ROWS = 16
"""The CPU kernel packs rows of the result by so many."""
_ROUTERS = ("gate", "router", "shared_expert_gate")
LEAST_SHARE = 0.5
"""A precision names a model only if so much of its weights is held at that many bits or fewer."""

Pack4 = Callable[[nn.Linear, int], nn.Module]


@dataclass
class Plan:
    """What was packed, so that it can be placed again."""

    groups: dict[str, int] = field(default_factory=dict)
    """Weights per scale of each packed layer; 0 for int8, which has one scale per row."""
    tables: dict[str, str] = field(default_factory=dict)
    """Embeddings of int8 rows, each with the head whose rows it reads, or nothing."""
    experts: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return the plan for JSON."""
        return asdict(self)


def pack(model: Any, group: int, pack4: Pack4) -> Plan:
    """Replace the matrices of a model by packed ones: int4 in groups, int8 where `group` is 0.

    Embedding and head are int8, one table for both where the model ties them.
    """
    plan = Plan()
    plan.experts = _open_experts(model, group, pack4, plan)
    tables = _tables(model)
    ends = _ends(model, tables)
    made: dict[tuple[int, int], nn.Module] = {}
    heads: dict[int, nn.Module] = {}
    for name, module in _matrices(model, tables):
        weight = _weight(module)
        size = 0 if not group or module in ends or not _fits(weight, group) else group
        key = id(module.weight), id(module.bias)
        if key not in made:
            made[key] = _packed(weight, module.bias, size, pack4)
        heads.setdefault(id(module.weight), made[key])
        plan.groups[name] = size
        model.set_submodule(name, made[key])
    for name, table in tables.items():
        head = heads.get(id(table.weight))
        if isinstance(head, Int8Linear):
            plan.tables[name] = next(n for n, m in model.named_modules() if m is head)
            pack_rows(table, head)
        else:
            plan.tables[name] = ""
            pack_rows(table, None, *_int8_rows(table.weight))
    return plan


def place(model: Any, plan: Plan) -> None:
    """Put empty packed layers where a plan has them."""
    for name in plan.experts:
        model.set_submodule(name, PackedExperts(model.get_submodule(name)))
    for name, group in plan.groups.items():
        model.set_submodule(name, Int4Linear(group) if group else Int8Linear())
    for name, head in plan.tables.items():
        pack_rows(model.get_submodule(name), model.get_submodule(head) if head else None)


def shares(model: Any, parameters: int) -> dict[int, float]:
    """Return the shares of a model's weights that are held at so many bits."""
    counts: Counter[int] = Counter()
    for module in model.modules():
        if isinstance(module, Int4Linear):
            counts[4] += module.weights()
        elif isinstance(module, Int8Linear | Int8Rows):
            counts[8] += module.weights()
        elif isinstance(module, nn.Linear) and hasattr(module.weight, "__tensor_flatten__"):
            counts[4] += module.in_features * module.out_features
    packed = {id(m.weight) for m in model.modules() if hasattr(getattr(m, "weight", None), "qdata")}
    for parameter in model.parameters():
        if id(parameter) not in packed and parameter.element_size() == 4:
            counts[32] += parameter.numel()
    counts[16] = parameters - counts.total()
    return {bits: count / parameters for bits, count in sorted(counts.items()) if count > 0}


def check_shares(what: str, found: dict[int, float], bits: int) -> None:
    """Refuse the name of a precision for a model that mostly has another.

    Raises:
        UnsupportedError: less than half of the weights are held at `bits` or fewer.
    """
    share = sum(part for width, part in found.items() if width <= bits)
    if share < LEAST_SHARE:
        parts = ", ".join(f"{part:.0%} at {width}" for width, part in found.items())
        raise UnsupportedError(
            f"torch: {what} would hold {share:.0%} of its weights at {bits} bits ({parts} bits); "
            f"less than half is not called int{bits}"
        )


def _open_experts(model: Any, group: int, pack4: Pack4, plan: Plan) -> list[str]:
    """Replace stacks of experts' matrices by one packed layer each; return their names."""
    found = [(n, m) for n, m in model.named_modules() if _is_stack(m)]
    for name, experts in found:
        stacks = [experts._parameters[part] for part in PackedExperts.matrices(experts)]
        biases = [
            getattr(experts, f"{part}_bias") if experts.has_bias else [None] * len(stack)
            for part, stack in zip(PackedExperts.matrices(experts), stacks, strict=True)
        ]
        packed = PackedExperts(experts)
        model.set_submodule(name, packed)
        for part, stack, bias in zip(("first", "second"), stacks, biases, strict=True):
            for number in range(len(stack)):
                weight = stack[number].T if experts.is_transposed else stack[number]
                size = group if group and _fits(weight, group) else 0
                layer = _packed(weight.contiguous(), bias[number], size, pack4)
                getattr(packed, part)[number] = layer
                plan.groups[f"{name}.{part}.{number}"] = size
    return [name for name, _ in found]


def _is_stack(module: nn.Module) -> bool:
    """Return whether a module holds experts in the way that transformers' kernels expect."""
    if not all(hasattr(module, name) for name in ("has_gate", "is_transposed", "num_experts")):
        return False
    stacks = [module._parameters.get(name) for name in PackedExperts.matrices(module)]
    return all(s is not None and s.ndim == 3 and s.dtype is torch.bfloat16 for s in stacks)


def _tables(model: Any) -> dict[str, Any]:
    """Return the embeddings of tokens whose class keeps what it does with int8 rows."""
    first = model.get_input_embeddings()
    rows = getattr(first, "num_embeddings", None)
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding)
        and module.num_embeddings == rows
        and module.weight.dtype is torch.bfloat16
        and keeps_what_it_does(type(module), nn.Embedding)
    }


def _ends(model: Any, tables: dict[str, Any]) -> list[Any]:
    """Return the modules that share a table or are the head; they are int8."""
    shared = {id(table.weight) for table in tables.values()}
    head = model.get_output_embeddings()
    return [m for m in model.modules() if m is head or id(getattr(m, "weight", None)) in shared]


def _matrices(model: Any, tables: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the linear layers to pack, those that stand in several places with each name."""
    by_value = _read_by_value(model)
    called = _called(model, by_value)
    first = model.get_input_embeddings()
    unpacked = {id(first.weight)} if first is not None and first not in tables.values() else set()
    for name, module in list(model.named_modules(remove_duplicate=False)):
        plain = keeps_what_it_does(type(module), nn.Linear) or type(module) is Conv1D
        last = name.rpartition(".")[2]
        if not plain or last in _ROUTERS or (last in by_value and module not in called):
            continue
        if module.weight.dtype is torch.bfloat16 and id(module.weight) not in unpacked:
            yield name, module


def _read_by_value(model: Any) -> set[str]:
    """Return the names of layers whose weight a model's code uses itself."""
    code = ""
    for module in {type(part).__module__ for part in model.modules()}:
        if module.startswith("transformers.models.") or module.startswith("transformers_modules."):
            code += _without_initialisation(sys.modules[module])
    return set(re.findall(r"\.(\w+)\.weight\b(?!\.(?:dtype|device))", code))


@torch.inference_mode()
def _called(model: Any, names: set[str]) -> list[nn.Module]:
    """Return which of the layers so named are called as layers when the model reads a text."""
    found: list[nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, *_: found.append(module))
        for name, module in model.named_modules()
        if name.rpartition(".")[2] in names
    ]
    if hooks:
        uncached = inspect_calls(model).arguments(use_cache=False)
        model(input_ids=three_tokens(model), **uncached)
    for hook in hooks:
        hook.remove()
    return found


def _without_initialisation(module: Any) -> str:
    code = inspect.getsource(module)
    for kind in vars(module).values():
        if inspect.isclass(kind) and issubclass(kind, PreTrainedModel):
            method = vars(kind).get("_init_weights")
            code = code.replace(inspect.getsource(method), "") if method else code
    return code


def _weight(module: nn.Linear | Conv1D) -> torch.Tensor:
    """Return the matrix [out, in] of a layer; a Conv1D holds it transposed."""
    weight = module.weight.detach()
    return weight.T.contiguous() if isinstance(module, Conv1D) else weight


def _fits(weight: torch.Tensor, group: int) -> bool:
    rows, columns = weight.shape
    return columns % group == 0 and rows % _INT4_ROWS == 0


def _packed(weight: torch.Tensor, bias: torch.Tensor | None, group: int, pack4: Pack4) -> nn.Module:
    bias = None if bias is None else bias.detach()
    if not group:
        return Int8Linear(*_int8_rows(weight), bias)
    carrier = _carrier(weight)
    carrier.register_parameter(
        "bias", None if bias is None else nn.Parameter(bias, requires_grad=False)
    )
    return pack4(carrier, group)


def _carrier(weight: torch.Tensor) -> nn.Linear:
    """Return a linear layer of a given matrix, which is not copied."""
    carrier = nn.Linear(1, 1, bias=False)
    carrier.weight = nn.Parameter(weight.detach(), requires_grad=False)
    carrier.out_features, carrier.in_features = weight.shape
    return carrier


def int4(module: nn.Linear, group: int) -> nn.Module:
    """Return a linear layer with int4 weights for the kernel of the CPU."""
    from torchao.prototype.quantization.int4 import PrototypeInt4WeightOnlyConfig
    from torchao.quantization import quantize_

    quantize_(module, PrototypeInt4WeightOnlyConfig(group_size=group))
    weight: Any = module.weight
    bias: torch.Tensor | None = module._parameters["bias"]
    return Int4Linear(group, weight.qdata, weight.scale_and_zero, bias)


def int4_on_gpu(module: nn.Linear, group: int) -> nn.Module:
    """Return a linear layer with int4 weights for the kernel of a GPU."""
    from torchao.quantization import Int4WeightOnlyConfig, quantize_

    quantize_(module, Int4WeightOnlyConfig(group_size=group))
    return module


def _int8_rows(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the int8 values of a matrix and the scale of each row in bf16."""
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    carrier = _carrier(weight)
    quantize_(carrier, Int8WeightOnlyConfig())
    packed: Any = carrier.weight
    return packed.qdata, packed.scale.flatten().to(torch.bfloat16)
