"""The tokenizer in a GGUF header as tokenizer.json and tokenizer_config.json.

How text is split before the merges is only a name in the header (`tokenizer.ggml.pre`). Readers
that ignore it make other tokens than the model was trained on: SmolLM2 wants digits one by one.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from effmark.errors import UnsupportedError
from effmark_adapters.artefacts.gguf_tokenizer import NORMALISER_KEY

__all__ = ["write_tokenizer"]

_CONTROL, _USER_DEFINED = 3, 4
_BYTE_LEVEL = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": True,
}
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _split_by(pattern: str) -> list[dict[str, Any]]:
    split = {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
    return [split, {**_BYTE_LEVEL, "use_regex": False}]


_SPLITS: dict[str, list[dict[str, Any]]] = {
    # As the tokenizer.json files of the models that llama.cpp names these rules after.
    "gpt-2": [_BYTE_LEVEL],
    "smollm": [{"type": "Digits", "individual_digits": True}, _BYTE_LEVEL],
    "llama-bpe": _split_by(_WORDS + r"\p{N}{1,3}" + _REST),
    "qwen2": _split_by(_WORDS + r"\p{N}" + _REST),
}


def write_tokenizer(header: dict[str, Any], context_tokens: int, folder: Path) -> None:
    """Write the tokenizer files of a GGUF header into a folder.

    Raises:
        UnsupportedError: not byte-level BPE, or split by a rule that is not known here.
    """
    kind, rule = header.get("tokenizer.ggml.model"), header.get("tokenizer.ggml.pre")
    if kind != "gpt2" or rule not in _SPLITS:
        raise UnsupportedError(
            f"GGUF tokenizer {kind!r} with the rule {rule!r} is not known here, only 'gpt2' with "
            f"one of {', '.join(_SPLITS)}; give the model's Hugging Face folder"
        )
    _write(folder / "tokenizer.json", _tokenizer(header, str(rule)))
    _write(folder / "tokenizer_config.json", _settings(header, context_tokens))


def _write(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", "utf-8")


def _tokenizer(header: dict[str, Any], rule: str) -> dict[str, Any]:
    tokens = header["tokenizer.ggml.tokens"]
    form = header.get(NORMALISER_KEY, "NFC" if rule == "qwen2" else "")
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": _added(tokens, header.get("tokenizer.ggml.token_type") or []),
        "normalizer": {"type": form} if form else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": _SPLITS[rule]},
        "post_processor": _beginning(header, rule),
        "decoder": {**_BYTE_LEVEL, "add_prefix_space": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": rule == "llama-bpe",
            "vocab": {token: number for number, token in enumerate(tokens)},
            "merges": [merge.split(" ", 1) for merge in header["tokenizer.ggml.merges"]],
        },
    }


def _beginning(header: dict[str, Any], rule: str) -> dict[str, Any] | None:
    """Return the step that puts the begin token before a text; None where llama.cpp puts none.

    Where a header does not say it, llama.cpp does it for the tokenizers of Llama 3.
    """
    number = header.get("tokenizer.ggml.bos_token_id")
    if number is None or not header.get("tokenizer.ggml.add_bos_token", rule == "llama-bpe"):
        return None
    token = header["tokenizer.ggml.tokens"][number]
    begin = {"SpecialToken": {"id": token, "type_id": 0}}
    first, second = ({"Sequence": {"id": n, "type_id": i}} for i, n in enumerate("AB"))
    return {
        "type": "TemplateProcessing",
        "single": [begin, first],
        "pair": [begin, first, second],
        "special_tokens": {token: {"id": token, "ids": [int(number)], "tokens": [token]}},
    }


def _added(tokens: list[str], types: list[int]) -> list[dict[str, Any]]:
    return [
        {
            "id": number,
            "content": tokens[number],
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kind == _CONTROL,
        }
        for number, kind in enumerate(types)
        if kind in (_CONTROL, _USER_DEFINED)
    ]


def _settings(header: dict[str, Any], context_tokens: int) -> dict[str, Any]:
    tokens = header["tokenizer.ggml.tokens"]
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context_tokens,
        "clean_up_tokenization_spaces": False,
    }
    names = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    for name, long_name in names.items():
        number = header.get(f"tokenizer.ggml.{long_name}_token_id")
        if number is not None:
            settings[f"{name}_token"] = tokens[number]
    if "tokenizer.chat_template" in header:
        settings["chat_template"] = header["tokenizer.chat_template"]
    return settings
