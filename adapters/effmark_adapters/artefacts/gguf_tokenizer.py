"""The tokenizer of a Hugging Face folder as entries of a GGUF header.

Two kinds become GGUF: byte-level BPE, whose rule of splitting llama.cpp knows by a name, and BPE
over pieces with a byte fallback (SentencePiece's), which llama.cpp merges by the score of a piece:
here minus the rank of the merge that makes it. What a normaliser does to a text is not in the
format; it is noted under a key of ours, and done before the text is handed over.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, UnsupportedError
from effmark_adapters.artefacts.chat_template import default_template
from effmark_adapters.artefacts.gguf_source import Value

__all__ = ["NORMALISER_KEY", "tokenizer_values"]

NORMALISER_KEY = "effmark.tokenizer.normaliser"
"""A form of `unicodedata.normalize`, or empty."""

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_NEVER_MERGED = -1e9
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {
    # The regular expressions by which llama.cpp knows a pre-tokenizer, from the tokenizers' files.
    _WORDS + r"\p{N}{1,3}" + _REST: "llama-bpe",
    _WORDS + r"\p{N}" + _REST: "qwen2",
    r" ?[^(\s|[.,!?…。，、।۔،])]+": "bloom",  # noqa: RUF001 - its marks
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+"
    r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+": "gpt-4o",
}


def tokenizer_values(folder: Path, config: Mapping[str, Any]) -> Iterator[Value]:
    """Yield the `tokenizer.*` entries.

    Raises:
        UnsupportedError: a kind of tokenizer that does not become GGUF, or a rule of splitting
            that llama.cpp has no name for.
        PrerequisiteError: the folder has no tokenizer.json.
    """
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise PrerequisiteError(f"model folder {str(folder)!r} has no tokenizer.json")
    tokenizer = json.loads(path.read_text("utf-8"))
    if tokenizer["model"]["type"] != "BPE":
        raise UnsupportedError(
            f"{folder.name}: the tokenizer is {tokenizer['model']['type']!r}, not byte-level BPE "
            "and not BPE with a byte fallback, which are what becomes GGUF here"
        )
    size = int(config["vocab_size"])
    if tokenizer["model"].get("byte_fallback"):
        yield from _pieces(tokenizer, size, folder)
    else:
        yield from _byte_level(tokenizer, size, folder)
    settings = _settings(folder)
    yield from _special(tokenizer, config, settings)
    if template := default_template(folder, settings):
        yield Value("tokenizer.chat_template", template, "STRING")


def _byte_level(tokenizer: dict[str, Any], size: int, folder: Path) -> Iterator[Value]:
    yield Value("tokenizer.ggml.model", "gpt2", "STRING")
    yield Value("tokenizer.ggml.pre", _pre_tokenizer(tokenizer, folder), "STRING")
    yield Value(NORMALISER_KEY, _normaliser(tokenizer, folder), "STRING")
    yield from _vocabulary(tokenizer, size, folder)
    merges = [" ".join(pair) for pair in _merges(tokenizer)]
    yield Value("tokenizer.ggml.merges", merges, "ARRAY", "STRING")


def _normaliser(tokenizer: dict[str, Any], folder: Path) -> str:
    rule = tokenizer.get("normalizer") or {}
    kinds = [step.get("type") for step in rule.get("normalizers", [rule] if rule else [])]
    if kinds and kinds not in (["NFC"], ["NFD"], ["NFKC"], ["NFKD"]):
        raise UnsupportedError(f"{folder.name}: the normaliser {kinds} is not known here")
    return str(kinds[0]) if kinds else ""


def _pre_tokenizer(tokenizer: dict[str, Any], folder: Path) -> str:
    rule = tokenizer.get("pre_tokenizer") or {}
    steps = rule.get("pretokenizers", [rule])
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
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


def _pieces(tokenizer: dict[str, Any], size: int, folder: Path) -> Iterator[Value]:
    yield Value("tokenizer.ggml.model", "llama", "STRING")
    yield Value("tokenizer.ggml.pre", "default", "STRING")
    values = {value.key: value for value in _vocabulary(tokenizer, size, folder)}
    tokens, kinds = values["tokenizer.ggml.tokens"], values["tokenizer.ggml.token_type"]
    unknown = tokenizer["model"].get("unk_token")
    for number, token in enumerate(tokens.value):
        if token == unknown:
            kinds.value[number] = _UNKNOWN
        elif len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            kinds.value[number] = _BYTE
    ranks = {a + b: rank for rank, (a, b) in reversed(list(enumerate(_merges(tokenizer), 1)))}
    scores = [float(-ranks[token]) if token in ranks else _NEVER_MERGED for token in tokens.value]
    yield from (tokens, kinds)
    yield Value("tokenizer.ggml.scores", scores, "ARRAY", "FLOAT32")
    yield Value("tokenizer.ggml.add_space_prefix", _puts_a_space_first(tokenizer), "BOOL")


def _puts_a_space_first(tokenizer: dict[str, Any]) -> bool:
    """Return whether a text begins as if a space stood before it."""
    rules = [tokenizer.get("normalizer") or {}, tokenizer.get("pre_tokenizer") or {}]
    steps = [
        step
        for rule in rules
        for step in rule.get("normalizers") or rule.get("pretokenizers") or [rule]
    ]
    return any(
        step.get("type") == "Prepend"
        or (step.get("type") == "Metaspace" and step.get("prepend_scheme", "always") != "never")
        for step in steps
    )


def _merges(tokenizer: dict[str, Any]) -> list[tuple[str, str]]:
    pairs = (m.split(" ", 1) if isinstance(m, str) else m for m in tokenizer["model"]["merges"])
    return [(first, second) for first, second in pairs]


def _vocabulary(tokenizer: dict[str, Any], size: int, folder: Path) -> Iterator[Value]:
    """Yield as many tokens as the embedding has rows: what it has no row for nobody can say."""
    tokens = [f"[PAD{i}]" for i in range(size)]
    kinds = [_UNUSED] * size
    for token, number in tokenizer["model"]["vocab"].items():
        if number >= size:
            raise UnsupportedError(
                f"{folder.name}: tokenizer.json has token {number} {token!r}, the embedding has "
                f"rows for {size} (vocab_size)"
            )
        tokens[number], kinds[number] = token, _NORMAL
    for added in tokenizer.get("added_tokens", []):
        if added["id"] < size:
            tokens[added["id"]] = added["content"]
            kinds[added["id"]] = _CONTROL if added["special"] else _USER_DEFINED
    yield Value("tokenizer.ggml.tokens", tokens, "ARRAY", "STRING")
    yield Value("tokenizer.ggml.token_type", kinds, "ARRAY", "INT32")


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / "tokenizer_config.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def _special(
    tokenizer: dict[str, Any], config: Mapping[str, Any], settings: dict[str, Any]
) -> Iterator[Value]:
    numbers = {added["content"]: added["id"] for added in tokenizer.get("added_tokens", [])}
    names = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
    found: dict[str, int] = {}
    for short, name in names.items():
        token = settings.get(f"{short}_token")
        text = token.get("content") if isinstance(token, dict) else token
        number = numbers.get(text, _first(config.get(f"{short}_token_id")))
        if isinstance(number, int) and 0 <= number < int(config["vocab_size"]):
            found[short] = number
            yield Value(f"tokenizer.ggml.{name}_token_id", number, "UINT32")
    # `add_bos_token` in the settings has no effect beside a tokenizer.json, which is read here.
    first = [numbers.get(text) for text in _before_a_text(tokenizer)]
    begins = first == [found.get("bos", -1)]
    yield Value("tokenizer.ggml.add_bos_token", begins, "BOOL")


def _first(value: Any) -> Any:
    """Return the first where a config names several."""
    return value[0] if isinstance(value, list) and value else value


def _before_a_text(tokenizer: dict[str, Any]) -> list[str]:
    """Return the special tokens that the tokenizer puts before a text by its own rule."""
    rule = tokenizer.get("post_processor") or {}
    found = []
    for step in rule.get("processors", [rule]):
        for item in step.get("single", []) if step.get("type") == "TemplateProcessing" else []:
            if "SpecialToken" not in item:
                break
            found.append(str(item["SpecialToken"]["id"]))
    return found
