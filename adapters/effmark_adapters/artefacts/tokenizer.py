"""Text to token ids and back, by the files of a Hugging Face folder; no torch, no transformers."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, UnsupportedError

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
        self._settings = _read(folder / "tokenizer_config.json")

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text; special tokens only where the text spells them."""
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of token ids; special tokens are left out."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))

    def chat(self, messages: Sequence[dict[str, str]]) -> str:
        """Return the prompt text of messages, ready for the answer.

        Raises:
            UnsupportedError: the model has no chat template.
        """
        from jinja2.exceptions import TemplateError
        from jinja2.sandbox import ImmutableSandboxedEnvironment

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals.update(raise_exception=_refuse, strftime_now=_now)
        special = {
            name: _content(self._settings.get(name))
            for name in ("bos_token", "eos_token", "pad_token", "unk_token")
        }
        try:
            template = environment.from_string(self._template())
            text = template.render(messages=list(messages), add_generation_prompt=True, **special)
        except TemplateError as error:
            raise UnsupportedError(
                f"the chat template of {self._folder.name!r} cannot render these messages: {error}"
            ) from error
        return str(text)

    def _template(self) -> str:
        path = self._folder / "chat_template.jinja"
        if path.is_file():
            return path.read_text("utf-8")
        found = self._settings.get("chat_template")
        if isinstance(found, list):  # several named ones
            found = {entry["name"]: entry["template"] for entry in found}.get("default")
        if not isinstance(found, str):
            raise UnsupportedError(f"model {self._folder.name!r} has no chat template")
        return found


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


def _read(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text("utf-8"))) if path.is_file() else {}


def _content(token: Any) -> str:
    """Return the text of a special token, which may be written as an object."""
    if isinstance(token, dict):
        return str(token.get("content", ""))
    return str(token or "")


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _refuse(message: str) -> None:
    from jinja2.exceptions import TemplateError

    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
