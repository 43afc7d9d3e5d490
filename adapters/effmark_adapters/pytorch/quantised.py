"""Layers with packed weights, called without the detour through a tensor subclass.

torchao quantises and packs; what it would call for one row is called here directly, since its
dispatch costs as much as the product itself on small matrices, and since its eager int8 path
expands the whole matrix for every token.
"""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["NATIVE_TOKENS", "Int4Linear", "Int8Embedding", "Int8Linear", "SharedInt8Embedding"]

NATIVE_TOKENS = 16
"""Up to so many tokens per sequence the int8 kernel is faster than expanding the matrix (measured
on AVX-512). Not rows: a sequence shall take the same way alone and in a batch."""
_NATIVE_ROWS = 64


class Int8Linear(nn.Module):
    """A linear layer with int8 weights and one scale per row; bf16 activations."""

    qdata: torch.Tensor
    scale: torch.Tensor
    bias: torch.Tensor | None

    def __init__(self, qdata: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None) -> None:
        super().__init__()
        self.register_buffer("qdata", qdata)
        self.register_buffer("scale", scale)
        self.register_buffer("bias", bias)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the product; of few tokens by the int8 kernel of the CPU."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        few = inputs.shape[-2] <= NATIVE_TOKENS and rows.shape[0] <= _NATIVE_ROWS
        if few and rows.device.type == "cpu":
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
        qdata: torch.Tensor,
        scale_and_zero: torch.Tensor,
        bias: torch.Tensor | None,
        group: int,
    ) -> None:
        super().__init__()
        self.register_buffer("qdata", qdata)
        self.register_buffer("scale_and_zero", scale_and_zero)
        self.register_buffer("bias", bias)
        self.group = group

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the product by the tinygemm kernel."""
        rows = inputs.reshape(-1, inputs.shape[-1]).contiguous()
        found: torch.Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            rows, self.qdata, self.group, self.scale_and_zero
        )
        if self.bias is not None:
            found = found + self.bias
        return found.view(*inputs.shape[:-1], found.shape[-1])


class Int8Embedding(nn.Module):
    """A table of int8 rows, each with its scale."""

    qdata: torch.Tensor
    scale: torch.Tensor

    def __init__(self, qdata: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("qdata", qdata)
        self.register_buffer("scale", scale)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows of token ids."""
        return self.qdata[ids] * self.scale[ids].unsqueeze(-1)


class SharedInt8Embedding(nn.Module):
    """The rows of a tied head, so that the largest matrix is held once."""

    def __init__(self, head: Int8Linear) -> None:
        super().__init__()
        self._head = (head,)  # in a tuple it is no submodule, so its tensors count once

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows of token ids."""
        (head,) = self._head
        return head.qdata[ids] * head.scale[ids].unsqueeze(-1)
