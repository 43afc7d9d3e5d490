"""What an export computes in another way than transformers, with the same result and less work.

Heavy: imports torch and transformers, so only `prepare` may import this module.

* Attention groups the queries of one KV head into one product instead of copying the cache once
  per query head (no `Expand` of the whole cache at every token). Soft capping of the scores and
  attention sinks are kept.
* The norm divides by a square root instead of multiplying by a reciprocal one, which is the
  pattern that ONNX Runtime fuses into one kernel.

Neither goes by a name: a function is replaced only where its code is, statement by statement, one
of those in transformers that the replacement was written for. All others stay as they are.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
import types
from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.gemma2 import modeling_gemma2
from transformers.models.gpt_oss import modeling_gpt_oss
from transformers.models.llama import modeling_llama
from transformers.models.opt import modeling_opt
from transformers.models.persimmon import modeling_persimmon

__all__ = ["rewrite"]

GROUPED = "effmark_grouped"
EXPERTS = "batched_mm"
"""How transformers computes mixtures of experts: of its ways the one without a loop over data."""
_ATTENTION = "eager_attention_forward"
_KNOWN = (modeling_llama, modeling_persimmon, modeling_opt, modeling_gemma2, modeling_gpt_oss)
"""Modules whose attention `_grouped_attention` computes: plain twice, without groups, capped, with
sinks."""


def rewrite(model: Any) -> None:
    """Let a model compute attention and norms in the exported way, where that is the same."""
    model.config._experts_implementation = EXPERTS
    if _has_known_attention(model):
        ALL_ATTENTION_FUNCTIONS.register(GROUPED, _grouped_attention)
        ALL_MASK_ATTENTION_FUNCTIONS.register(GROUPED, eager_mask)
        model.set_attn_implementation(GROUPED)
    norm = _code(modeling_llama.LlamaRMSNorm.forward)
    for module in model.modules():
        if hasattr(module, "variance_epsilon") and _code(type(module).forward) == norm:
            module.forward = types.MethodType(_root_mean_square_norm, module)


def _has_known_attention(model: Any) -> bool:
    files = {sys.modules[type(module).__module__] for module in model.modules()}
    found = [getattr(file, _ATTENTION) for file in files if hasattr(file, _ATTENTION)]
    known = {_code(getattr(file, _ATTENTION)) for file in _KNOWN}
    return bool(found) and all(_code(function) in known for function in found)


@cache
def _code(function: Callable[..., Any]) -> str:
    """Return the statements of a function, without comments, annotations and documentation."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, ast.FunctionDef)
    documented = ast.get_docstring(tree) is not None
    statements = [ast.unparse(s) for s in tree.body[1 if documented else 0 :]]
    return "\n".join([",".join(a.arg for a in tree.args.args), *statements])


def _grouped_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    softcap: float | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Return attention with all queries of one KV head in one matrix product."""
    batch, heads, length, size = query.shape
    scaling = module.head_dim**-0.5 if scaling is None else scaling
    grouped = (query * scaling).reshape(batch, key.shape[1], -1, size)
    scores = torch.matmul(grouped, key.transpose(2, 3)).reshape(batch, heads, length, -1)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    if attention_mask is not None:
        scores = scores + attention_mask
    weights = _weights(scores, getattr(module, "sinks", None))
    weights = weights.reshape(batch, key.shape[1], -1, key.shape[2])
    out = torch.matmul(weights, value).reshape(batch, heads, length, value.shape[3])
    return out.transpose(1, 2).contiguous(), None


def _weights(scores: torch.Tensor, sinks: torch.Tensor | None) -> torch.Tensor:
    """Return the softmax of scores [n, heads, t, keys]; a sink takes its share and gives none."""
    if sinks is None:
        return torch.softmax(scores, dim=-1)
    batch, _, length, _ = scores.shape
    sunk = sinks.reshape(1, -1, 1, 1).expand(batch, -1, length, -1)
    return torch.softmax(torch.cat([scores, sunk], dim=-1), dim=-1)[..., :-1]


def _root_mean_square_norm(self: Any, hidden: torch.Tensor) -> torch.Tensor:
    mean_square = hidden.pow(2).mean(-1, keepdim=True)
    normed = hidden / torch.sqrt(mean_square + self.variance_epsilon)
    return torch.as_tensor(normed * self.weight)
