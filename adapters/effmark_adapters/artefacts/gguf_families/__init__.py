"""Which architectures of Hugging Face become GGUF, and how: one entry each, tensors and settings.

Names of tensors and settings are those of the formats: `gguf.constants` and the configs of
transformers. Whether llama.cpp rotates halves or pairs, which settings it reads and which it takes
for granted stands in its source of each model (github.com/ggml-org/llama.cpp, src/models). Every
entry is proved by a random model against transformers' own forward.
"""

from __future__ import annotations

from collections.abc import Mapping

from effmark_adapters.artefacts.gguf_families.family import Family
from effmark_adapters.artefacts.gguf_families.gemma import GEMMA, GEMMA2, GEMMA3, GEMMA3_SEEING
from effmark_adapters.artefacts.gguf_families.gpt import (
    BLOOM,
    FALCON,
    GPT2,
    GPT_BIGCODE,
    GPT_NEOX,
    MPT,
)
from effmark_adapters.artefacts.gguf_families.llama import (
    ARCEE,
    ERNIE,
    GLM,
    GLM4,
    GRANITE,
    GRANITE_MOE,
    HELIUM,
    HUNYUAN,
    LLAMA,
    MINISTRAL,
    MISTRAL,
    MIXTRAL,
    SEED_OSS,
    SMOLLM3,
)
from effmark_adapters.artefacts.gguf_families.olmo import (
    COHERE,
    COHERE2,
    EXAONE4,
    OLMO,
    OLMO2,
    OLMO3,
)
from effmark_adapters.artefacts.gguf_families.phi import NEMOTRON, PHI, PHI3, STABLELM, STARCODER2
from effmark_adapters.artefacts.gguf_families.qwen import OLMOE, QWEN2, QWEN2_MOE, QWEN3, QWEN3_MOE
from effmark_adapters.artefacts.gguf_families.recurrent import FALCON_MAMBA, LFM2, MAMBA, MAMBA2

__all__ = ["FAMILIES"]

FAMILIES: Mapping[str, Family] = {
    "arcee": ARCEE,
    "bloom": BLOOM,
    "cohere": COHERE,
    "cohere2": COHERE2,
    "ernie4_5": ERNIE,
    "exaone4": EXAONE4,
    "falcon": FALCON,
    "falcon_mamba": FALCON_MAMBA,
    "gemma": GEMMA,
    "gemma2": GEMMA2,
    "gemma3": GEMMA3_SEEING,
    "gemma3_text": GEMMA3,
    "glm": GLM,
    "glm4": GLM4,
    "gpt2": GPT2,
    "gpt_bigcode": GPT_BIGCODE,
    "gpt_neox": GPT_NEOX,
    "granite": GRANITE,
    "granitemoe": GRANITE_MOE,
    "helium": HELIUM,
    "hunyuan_v1_dense": HUNYUAN,
    "lfm2": LFM2,
    "llama": LLAMA,
    "mamba": MAMBA,
    "mamba2": MAMBA2,
    "ministral": MINISTRAL,
    "mistral": MISTRAL,
    "mixtral": MIXTRAL,
    "mpt": MPT,
    "nemotron": NEMOTRON,
    "olmo": OLMO,
    "olmo2": OLMO2,
    "olmo3": OLMO3,
    "olmoe": OLMOE,
    "phi": PHI,
    "phi3": PHI3,
    "qwen2": QWEN2,
    "qwen2_moe": QWEN2_MOE,
    "qwen3": QWEN3,
    "qwen3_moe": QWEN3_MOE,
    "seed_oss": SEED_OSS,
    "smollm3": SMOLLM3,
    "stablelm": STABLELM,
    "starcoder2": STARCODER2,
}
"""By `model_type` of a config.json."""
