"""Which model types the formulas of a transformer hold for, by the names that configs use."""

from __future__ import annotations

KNOWN_TYPES = frozenset(
    (
        *("apertus", "arcee", "axk1", "bart", "bert-generation", "bigbird_pegasus", "biogpt"),
        *("bitnet", "blenderbot", "blenderbot-small", "bloom", "codegen", "cohere", "cohere2"),
        *("cohere2_moe", "cohere_compass_text", "ctrl", "cwm", "deepseek_v2", "deepseek_v3"),
        *("diffllama", "dots1", "ernie4_5", "exaone4", "falcon", "flex_olmo", "flint", "fuyu"),
        *("gemma", "gemma2", "gemma3", "gemma3_text", "gemma4_unified", "gemma4_unified_text"),
        *("git", "glm", "glm4", "glm4_moe", "glm4_moe_lite", "got_ocr2", "gpt2", "gpt_bigcode"),
        *("gpt_neo", "gpt_neox", "gpt_oss", "gptj", "granite", "granite_swa", "granitemoe"),
        *("helium", "hunyuan_v1_dense", "hyperclovax", "internlm3", "iquestcoder", "jais2"),
        *("kolibri1", "llama", "marian", "mbart", "mellum", "minicpm3", "minimax_m2"),
        *("ministral", "ministral3", "mistral", "mixtral", "mllama", "mllama_text_model"),
        *("moss_transcribe_diarize", "mpt", "mvp", "nanochat", "nemotron", "olmo", "olmo2"),
        *("olmo3", "olmoe", "opt", "pegasus", "persimmon", "phi", "phi3", "phimoe", "plbart"),
        *("qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "seed_oss", "smollm3", "solar_open"),
        *("stablelm", "starcoder2", "trocr", "vaultgemma", "whisper", "xglm", "youtu"),
    )
)
"""Model types for which a counted forward of their own code agrees within 1 %."""

PLAIN_MLP = frozenset(
    (
        *("apertus", "arcee", "bart", "bert-generation", "bigbird_pegasus", "biogpt"),
        *("blenderbot", "blenderbot-small", "bloom", "codegen", "ctrl", "falcon", "fuyu"),
        *("git", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "jais2", "marian"),
        *("mbart", "mpt", "mvp", "nanochat", "nemotron", "opt", "pegasus", "persimmon", "phi"),
        *("plbart", "starcoder2", "trocr", "whisper", "xglm"),
    )
)
"""Model types whose MLP has two matrices; all others are taken as gated, with three."""

FOUR_TIMES_HIDDEN = frozenset(
    (
        *("gpt2", "gpt_neo", "gptj", "gpt_bigcode", "bloom", "falcon", "codegen", "mpt"),
        *("openai-gpt", "gpt-sw3"),
    )
)
"""Model types whose config leaves the MLP width open and means 4 d by that."""

FULL_EVERY = {"gemma2": 2, "gemma3": 6, "gemma3_text": 6, "cohere2": 4, "olmo3": 4}
"""Every how many layers one has no window, where an older config does not tell it."""
