"""A byte-level BPE tokenizer of a Hugging Face folder as entries of a GGUF header."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, UnsupportedError
from effmark_adapters.artefacts.gguf_source import Value

__all__ = ["tokenizer_values"]

_NORMAL, _CONTROL, _USER_DEFINED, _UNUSED = 1, 3, 4, 5
_SPLITS = {
    # The regular expressions by which llama.cpp knows a pre-tokenizer, from the tokenizers' files.
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "llama-bpe",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+": "qwen2",
}


def tokenizer_values(folder: Path, config: Mapping[str, Any]) -> Iterator[Value]:
    """Yield the `tokenizer.*` entries.

    Raises:
        UnsupportedError: not byte-level BPE, or split by a rule that llama.cpp has no name for.
        PrerequisiteError: the folder has no tokenizer.json.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise PrerequisiteError(f"model folder {str(folder)!r} has no tokenizer.json")
    tokenizer = json.loads(path.read_text("utf-8"))
    if tokenizer["model"]["type"] != "BPE" or tokenizer["model"].get("byte_fallback"):
        raise UnsupportedError(f"{folder.name}: the tokenizer is not byte-level BPE")
    yield Value("tokenizer.ggml.model", "gpt2", "STRING")
    yield Value("tokenizer.ggml.pre", _pre_tokenizer(tokenizer, folder), "STRING")
    yield from _vocabulary(tokenizer, int(config["vocab_size"]))
    settings = _settings(folder)
    yield from _special(tokenizer, config, settings)
    template = settings.get("chat_template")
    if isinstance(template, str):
        yield Value("tokenizer.chat_template", template, "STRING")


def _pre_tokenizer(tokenizer: dict[str, Any], folder: Path) -> str:
    rule = tokenizer.get("pre_tokenizer") or {}
    steps = rule.get("pretokenizers", [rule])
    kinds = [step.get("type") for step in steps]
    if tokenizer.get("normalizer") is None:
        if kinds == ["ByteLevel"] and steps[0].get("use_regex"):
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
            return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        known = _SPLITS.get(steps[0].get("pattern", {}).get("Regex", ""))
        if known:
            return known
    raise UnsupportedError(
        f"{folder.name}: the pre-tokenizer {kinds} has no name in llama.cpp that this converter "
        "knows; convert it with llama.cpp's convert_hf_to_gguf.py and give the file"
    )


def _vocabulary(tokenizer: dict[str, Any], size: int) -> Iterator[Value]:
    tokens = [f"[PAD{i}]" for i in range(size)]
    kinds = [_UNUSED] * size
    for token, number in tokenizer["model"]["vocab"].items():
        tokens[number], kinds[number] = token, _NORMAL
    for added in tokenizer.get("added_tokens", []):
        tokens[added["id"]] = added["content"]
        kinds[added["id"]] = _CONTROL if added["special"] else _USER_DEFINED
    merges = [m if isinstance(m, str) else " ".join(m) for m in tokenizer["model"]["merges"]]
    yield Value("tokenizer.ggml.tokens", tokens, "ARRAY", "STRING")
    yield Value("tokenizer.ggml.token_type", kinds, "ARRAY", "INT32")
    yield Value("tokenizer.ggml.merges", merges, "ARRAY", "STRING")


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    settings: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    template = folder / "chat_template.jinja"
    if template.is_file():
        settings["chat_template"] = template.read_text("utf-8")
    return settings


def _special(
    tokenizer: dict[str, Any], config: Mapping[str, Any], settings: dict[str, Any]
) -> Iterator[Value]:
    numbers = {added["content"]: added["id"] for added in tokenizer.get("added_tokens", [])}
    names = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    for short, name in names.items():
        token = settings.get(f"{short}_token")
        text = token.get("content") if isinstance(token, dict) else token
        number = numbers.get(text, config.get(f"{short}_token_id"))
        if isinstance(number, int):
            yield Value(f"tokenizer.ggml.{name}_token_id", number, "UINT32")
    yield Value("tokenizer.ggml.add_bos_token", bool(settings.get("add_bos_token")), "BOOL")
