"""Text to token ids and back, by the files of a Hugging Face folder; no torch, no transformers."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from effmark.adapter import SpecialTokens
from effmark.errors import PrerequisiteError
from effmark_adapters.artefacts.chat_template import (
    SPECIAL_TOKENS,
    find_template,
    render_chat,
)

__all__ = ["ReadsText", "TextTokenizer"]


class TextTokenizer:
    """The tokenizer and the chat template of one folder.

    Raises:
        PrerequisiteError: the folder has no tokenizer.json, or a package is missing.
    """

    def __init__(self, folder: Path) -> None:
        try:
            from tokenizers import Tokenizer
        except ImportError as error:
            raise PrerequisiteError(
                "reading text needs 'tokenizers'; install it with: pip install tokenizers"
            ) from error
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise PrerequisiteError(
                f"model folder {str(folder)!r} has no tokenizer.json; save one there with "
                "AutoTokenizer.from_pretrained(...).save_pretrained(folder)"
            )
        self._folder = folder
        self._tokenizer = Tokenizer.from_file(str(path))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self._settings = _settings(folder)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text; special tokens only where the text spells them."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; special tokens are left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the prompt text of messages, ready for the assistant's words.

        Raises:
            UnsupportedError: the model has no chat template.
        """
        subject = f"model {self._folder.name!r}"
        template = find_template(self._folder, self._settings, subject)
        return render_chat(template, messages, self._named(), subject)

    def special_tokens(self) -> SpecialTokens:
        """Return the special tokens, and what stands before a text by the tokenizer's own rule."""
        added = self._tokenizer.get_added_tokens_decoder()
        ids = {str(token.content): int(i) for i, token in added.items() if token.special}
        named, config = self._named(), _read(self._folder / "config.json")
        eos = named.get("eos_token")
        ends = {ids[eos]} if eos in ids else set()
        for table in (config, _read(self._folder / "generation_config.json")):
            ends |= _numbers(table.get("eos_token_id"))
        return SpecialTokens(
            ids=ids,
            start=tuple(self._tokenizer.encode("", add_special_tokens=True).ids),
            bos=self._number(named.get("bos_token")),
            eos=self._number(eos),
            ends=tuple(sorted(ends)),
        )

    def _number(self, token: str | None) -> int | None:
        return None if token is None else self._tokenizer.token_to_id(token)

    def _named(self) -> dict[str, str]:
        """Return the named special tokens that there are, by name."""
        found = {name: _content(self._settings.get(name)) for name in SPECIAL_TOKENS}
        return {name: text for name, text in found.items() if text}


class ReadsText(ABC):
    """An adapter whose text goes through a `TextTokenizer`."""

    @abstractmethod
    def _text(self) -> TextTokenizer:
        """Return the tokenizer of the loaded model."""

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, without special tokens."""
        return self._text().encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; special tokens are left out."""
        return self._text().decode(ids)

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the prompt that the model's chat template makes of messages."""
        return self._text().chat(messages)

    def special_tokens(self) -> SpecialTokens:
        """Return the special tokens of the model's tokenizer."""
        return self._text().special_tokens()


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def _settings(folder: Path) -> dict[str, Any]:
    """Return the settings of a tokenizer; older folders name special tokens in a file apart."""
    found = _read(folder / "tokenizer_config.json")
    if "added_tokens_decoder" not in found:
        found |= _read(folder / "special_tokens_map.json")
    return found


def _numbers(value: Any) -> set[int]:
    """Return the token ids of a setting that is one, a list, or nothing."""
    values = value if isinstance(value, list) else [value]
    return {number for number in values if type(number) is int}


def _content(token: Any) -> str:
    """Return the text of a special token, which may be written as an object."""
    if isinstance(token, dict):
        return str(token.get("content", ""))
    return str(token or "")
