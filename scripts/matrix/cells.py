"""The cells of the matrix: which family, made how, on which runtime, at which precision."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

__all__ = ["EXACT", "NAMED", "ROUTINE", "VARIANTS", "Cell", "cells_of"]

EXACT = {"torch": "fp32", "onnxruntime": "fp32", "openvino": "fp32", "llama-cpp": "f32"}
"""The precision of each runtime that must give the source model's own logits."""
LOW = {
    "torch": ("bf16", "int8", "int4"),
    "onnxruntime": ("int8", "int4"),
    "openvino": ("bf16", "int8", "int4"),
    "llama-cpp": ("f16", "bf16", "q8_0", "q4_0"),
}
"""Low precisions; K-quants need rows of 256, which no tiny model has."""

VARIANTS: dict[str, dict[str, object]] = {
    "untied": {},
    "tied": {"tied": True, "dtype": "bfloat16", "shards": 2},
}
"""How a model is made. `tied` is untied, too, where the family has no shared table."""

NAMED = (
    *("bloom", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "mpt", "opt", "phi"),
    *("codegen", "xglm", "biogpt", "openai-gpt", "bart", "bert", "stablelm", "starcoder2"),
    *("llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gemma2", "gemma3", "gemma3_text"),
    *("gemma3n_text", "gemma4_text", "olmo", "olmo2", "olmo3", "smollm3", "granite", "cohere"),
    *("cohere2", "glm4", "ernie4_5", "exaone4", "nemotron", "helium", "seed_oss", "ministral"),
    *("gpt_oss", "mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "granitemoe", "deepseek_v2"),
    *("deepseek_v3", "llama4", "mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma"),
    *("lfm2", "jamba", "bamba", "zamba", "zamba2", "falcon_h1", "granitemoehybrid", "qwen3_next"),
    *("qwen3_5", "nemotron_h", "xlstm", "minimax"),
)
"""Families tried at every precision, both tied and untied."""

ROUTINE = (
    *("gpt2", "falcon", "opt", "llama", "mistral", "gemma2", "qwen3", "mixtral", "deepseek_v3"),
    *("mamba", "jamba", "lfm2", "bert"),
)
"""Families that the routine tests try."""


@dataclass(frozen=True)
class Cell:
    """One family on one runtime."""

    family: str
    variant: str
    adapter: str
    precision: str

    @property
    def key(self) -> str:
        """What names the cell among the results."""
        return "/".join((self.family, self.variant, self.adapter, self.precision))

    @property
    def exact(self) -> bool:
        """Whether this cell must give the source model's own logits."""
        return self.precision == EXACT[self.adapter]


def cells_of(
    families: Sequence[str], adapters: Sequence[str], *, low: Sequence[str] = NAMED
) -> Iterator[Cell]:
    """Yield the cells of families in an order in which each export is used while it is there."""
    for family in families:
        for variant in VARIANTS if family in low else ["untied"]:
            for adapter in adapters:
                yield Cell(family, variant, adapter, EXACT[adapter])
                if family in low:
                    for precision in LOW[adapter]:
                        yield Cell(family, variant, adapter, precision)
