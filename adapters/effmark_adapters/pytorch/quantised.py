"""Layers with packed weights, called without the detour through a tensor subclass.

torchao quantises and packs; what it would call for one row is called here directly, since its
dispatch costs as much as the product itself on small matrices, and since its eager int8 path
expands the whole matrix for every token.

Code of a model asks a layer for the type or device of its `weight`; a packed layer answers with an
empty tensor of both. Whoever would compute with it fails for its shape.
"""

from __future__ import annotations

import inspect
import re
from functools import cache
from typing import Any

import torch
from torch import nn

__all__ = [
    "NATIVE_TOKENS",
    "Int4Linear",
    "Int8Linear",
    "Int8Rows",
    "PackedExperts",
    "keeps_what_it_does",
    "pack_rows",
]

NATIVE_TOKENS = 16
"""Up to so many tokens per sequence the int8 kernel is faster than expanding the matrix (measured
on AVX-512). Not rows: a sequence shall take the same way alone and in a batch."""
_NATIVE_ROWS = 64
_NATIVE_COLUMNS = 16
"""The int8 kernel reads so many weights of a row at once, also past the end of the row: other
widths (24, 72, 100) end in a segmentation fault with torch 2.13 on AVX-512."""
_PLAIN = ("FalconLinear",)
"""Classes that write a plain layer's product out by hand."""


class Int8Linear(nn.Module):
    """A linear layer with int8 weights and one scale per row; bf16 activations."""

    qdata: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(
        self,
        qdata: torch.Tensor | None = None,
        scale: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("qdata", qdata)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    @property
    def weight(self) -> torch.Tensor:
        """Return an empty tensor of the type and device of the unpacked weights."""
        return self.scale[:0]

    def weights(self) -> int:
        """Return the number of weights."""
        return self.qdata.numel()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the product; of few tokens by the int8 kernel of the CPU."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        few = inputs.shape[-2:-1].numel() <= NATIVE_TOKENS and rows.shape[0] <= _NATIVE_ROWS
        whole = rows.shape[1] % _NATIVE_COLUMNS == 0
        if few and whole and rows.device.type == "cpu":
            found = torch._weight_int8pack_mm(rows.contiguous(), self.qdata, self.scale)
        else:
            found = torch.mm(rows, self.qdata.t().to(rows.dtype)) * self.scale
        if self.bias is not None:
            found = found + self.bias
        return found.view(*inputs.shape[:-1], found.shape[-1])


class Int4Linear(nn.Module):
    """A linear layer with int4 weights in groups along the row; bf16 activations, CPU kernel."""

    qdata: torch.Tensor
    scale_and_zero: torch.Tensor
    bias: torch.Tensor | None

    def __init__(
        self,
        group: int,
        qdata: torch.Tensor | None = None,
        scale_and_zero: torch.Tensor | None = None,
        bias: torch.Tensor | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("qdata", qdata)
        self.register_buffer("scale_and_zero", scale_and_zero)
        self.register_buffer("bias", bias)
        self.group = group

    @property
    def weight(self) -> torch.Tensor:
        """Return an empty tensor of the type and device of the unpacked weights."""
        return self.scale_and_zero[:0]

    def weights(self) -> int:
        """Return the number of weights."""
        return self.scale_and_zero.numel() // 2 * self.group

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the product by the tinygemm kernel."""
        rows = inputs.reshape(-1, inputs.shape[-1]).contiguous()
        found: torch.Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            rows, self.qdata, self.group, self.scale_and_zero
        )
        if self.bias is not None:
            found = found + self.bias
        return found.view(*inputs.shape[:-1], found.shape[-1])


class Int8Rows(nn.Embedding):
    """An embedding of int8 rows, each with its scale: its own ones, or those of a tied head."""

    qdata: torch.Tensor
    scale: torch.Tensor
    _head: tuple[Int8Linear, ...]
    """In a tuple it is no submodule, so its tensors count once."""

    @property
    def weight(self) -> PackedRows:  # type: ignore[override]  # a parameter until it is packed
        """Return what a model's code may ask of the unpacked rows."""
        return PackedRows(self._table())

    def weights(self) -> int:
        """Return the number of weights that are not those of a head."""
        return 0 if self._head else self.qdata.numel()

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows of token ids."""
        return _rows(self._table(), ids)

    def _table(self) -> Int8Rows | Int8Linear:
        return self._head[0] if self._head else self


class PackedRows:
    """Stands for the weight of a packed embedding: its type, its device, and single rows."""

    def __init__(self, table: Int8Rows | Int8Linear) -> None:
        self._table = table
        self.dtype = table.scale.dtype
        self.device = table.scale.device
        self.shape = table.qdata.shape

    def __getitem__(self, key: Any) -> torch.Tensor:
        """Return one row."""
        row, *rest = key if isinstance(key, tuple) else (key,)
        return _rows(self._table, torch.as_tensor(row, device=self.device))[(*rest,)]


def _rows(table: Int8Rows | Int8Linear, ids: torch.Tensor) -> torch.Tensor:
    return table.qdata[ids] * table.scale[ids].unsqueeze(-1)


def pack_rows(
    embedding: Any,
    head: Int8Linear | None,
    qdata: torch.Tensor | None = None,
    scale: torch.Tensor | None = None,
) -> None:
    """Give an embedding int8 rows, in place; what its class does with a row it goes on doing."""
    del embedding._parameters["weight"]
    embedding._head = () if head is None else (head,)
    if head is None:
        embedding.register_buffer("qdata", qdata)
        embedding.register_buffer("scale", scale)
    kind: Any = type(embedding)
    embedding.__class__ = _int8_class(kind)


def keeps_what_it_does(kind: type[nn.Module], plain: type[nn.Module]) -> bool:
    """Return whether a subclass only adds to what a plain layer computes from its weight."""
    if kind.forward is plain.forward or kind.__name__ in _PLAIN:
        return True
    code = re.sub(r"self\.weight\.(dtype|device)", "", inspect.getsource(kind.forward))
    return issubclass(kind, plain) and "super().forward(" in code and "self.weight" not in code


@cache
def _int8_class(kind: Any) -> type[nn.Embedding]:
    """Return the class whose `super().forward` reads int8 rows: a subclass's own code stays."""
    return Int8Rows if kind is nn.Embedding else type(f"Int8{kind.__name__}", (kind, Int8Rows), {})


class PackedExperts(nn.Module):
    """Experts whose matrices are packed layers, one for each expert and product."""

    def __init__(self, experts: Any) -> None:
        super().__init__()
        self.rest = experts
        """What is left of the model's own module: biases and how gate and value are joined."""
        names = self.matrices(experts)
        for name in names:
            del experts._parameters[name]
        count = int(experts.num_experts)
        self.first = nn.ModuleList(nn.Identity() for _ in range(count))
        self.second = nn.ModuleList(nn.Identity() for _ in range(count))

    @staticmethod
    def matrices(experts: Any) -> tuple[str, str]:
        """Return the names of the two stacks of matrices."""
        return "gate_up_proj" if experts.has_gate else "up_proj", "down_proj"

    def forward(self, hidden: torch.Tensor, *routing: Any, **named: Any) -> torch.Tensor:
        """Return the weighted sum of what the chosen experts make of each token [n, width]."""
        chosen, shares = (*routing, *named.values())
        found = torch.zeros_like(hidden)
        for number in chosen.unique().tolist():
            if number >= len(self.first):  # stands for no expert
                continue
            tokens, places = torch.where(chosen == number)
            made = self._expert(number, hidden[tokens]) * shares[tokens, places, None]
            found.index_add_(0, tokens, made.to(found.dtype))
        return found

    def _expert(self, number: int, rows: torch.Tensor) -> torch.Tensor:
        rest = self.rest
        inner = self.first[number](rows)
        inner = rest._apply_gate(inner) if rest.has_gate else rest.act_fn(inner)
        made: torch.Tensor = self.second[number](inner)
        return rest.post_expert_norm(made) if rest.has_post_expert_norm else made
