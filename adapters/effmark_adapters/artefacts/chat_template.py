"""Chat templates as transformers renders them: one environment for every runtime.

What a template may use is defined by transformers' `apply_chat_template` and nothing else, since
templates are written against it: blocks are trimmed, loops know `break` and `continue`, `tojson`
leaves letters as they are and takes the arguments of `json.dumps`, `{% generation %}` marks the
assistant's words and prints them, `strftime_now` tells the date, `raise_exception` refuses;
`tools` and `documents` are there and None, and a special token that a model lacks is undefined.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, UnsupportedError

__all__ = ["SPECIAL_TOKENS", "default_template", "find_template", "render_chat"]

SPECIAL_TOKENS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"
)  # fmt: skip
"""The named tokens that a template is given, as far as the tokenizer has them."""
_OPEN = "\ue000goes-on-here\ue001"
"""Stands at the end of an answer that is to be continued; private-use letters are in no text."""


def find_template(folder: Path, settings: Mapping[str, Any], subject: str) -> str:
    """Return the template of a folder for plain talk.

    Raises:
        UnsupportedError: there is none, or several of which none is the default.
    """
    found = default_template(folder, settings)
    if found is None:
        known = ", ".join(sorted(_named_templates(settings)))
        several = f"chat templates {known}, none of them default"
        raise UnsupportedError(f"{subject} has {several if known else 'no chat template'}")
    return found


def default_template(folder: Path, settings: Mapping[str, Any]) -> str | None:
    """Return the template of a folder for plain talk, None where there is none.

    Args:
        folder: A Hugging Face folder; its `chat_template.jinja` comes first.
        settings: Its tokenizer_config.json, with one template or several by name.
    """
    path = folder / "chat_template.jinja"
    if path.is_file():
        return path.read_text("utf-8")
    found = _named_templates(settings).get("default", settings.get("chat_template"))
    return found if isinstance(found, str) else None


def _named_templates(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the templates that settings have by name, none where they have one or none."""
    found = settings.get("chat_template")
    if isinstance(found, list):
        return {entry["name"]: entry["template"] for entry in found}
    return dict(found) if isinstance(found, dict) else {}


def render_chat(
    template: str,
    messages: Sequence[Mapping[str, Any]],
    special: Mapping[str, str],
    subject: str = "the model",
) -> str:
    """Return the prompt that a template makes of messages, ready for the assistant's words.

    Args:
        template: Text of the template.
        messages: The conversation; where the last message is the assistant's, it is left open.
        special: The named special tokens that the tokenizer has.
        subject: Whose template it is, for errors.

    Raises:
        UnsupportedError: the template is not one, or refuses these messages.
    """
    # What is None is left out: templates ask whether a key is there.
    given = [{k: v for k, v in message.items() if v is not None} for message in messages]
    if not given:
        raise UnsupportedError(f"the chat template of {subject} needs at least one message")
    is_open = given[-1].get("role") == "assistant"
    if is_open:
        given[-1]["content"] = f"{given[-1].get('content', '')}{_OPEN} "
    text = _rendered(
        template,
        subject,
        messages=given,
        tools=None,
        documents=None,
        add_generation_prompt=not is_open,
        **special,
    )
    return _up_to_the_end_of_words(text, subject) if is_open else text


def _rendered(template: str, subject: str, **values: Any) -> str:
    from jinja2.exceptions import TemplateError

    try:
        return str(_compiled(template).render(**values))
    except (TemplateError, TypeError, ValueError, KeyError, IndexError, ArithmeticError) as error:
        # What a template does with values that it did not expect is Python's error, not Jinja's.
        raise UnsupportedError(
            f"the chat template of {subject} cannot render these messages: {error}"
        ) from error


def _up_to_the_end_of_words(text: str, subject: str) -> str:
    """Return a rendered text up to where the assistant goes on."""
    place = text.rfind(_OPEN)
    if place < 0:
        raise UnsupportedError(
            f"the chat template of {subject} does not show the assistant's words as they are, so "
            "they cannot be continued"
        )
    words_are_trimmed = text[place + len(_OPEN) :][:1] != " "
    return text[:place].rstrip() if words_are_trimmed else text[:place]


@functools.lru_cache(maxsize=16)
def _compiled(template: str) -> Any:
    return _environment().from_string(template)


@functools.lru_cache(maxsize=1)
def _environment() -> Any:
    """Return Jinja as transformers sets it up."""
    try:
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise PrerequisiteError(
            "a chat template needs 'jinja2'; install it with: pip install jinja2"
        ) from error
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.loopcontrols", _generation_tag()],
    )
    environment.filters["tojson"] = _to_json
    environment.globals.update(
        raise_exception=_refuse, strftime_now=_now, dict=_NewDict(), namespace=_namespace_type()
    )
    return environment


class _NewDict:
    """`dict` as templates may use it: it makes tables, and has nothing of the type to reach for."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, keys: Sequence[Any], value: Any = None) -> dict[Any, Any]:
        return dict.fromkeys(keys, value)


def _namespace_type() -> Any:
    """Return Jinja's namespace without names that begin with `_`, by which code could get out."""
    from jinja2.exceptions import SecurityError
    from jinja2.utils import Namespace

    def check(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(f"a namespace of a chat template holds no {name!r}")

    class PublicNamespace(Namespace):
        def __init__(*args: Any, **kwargs: Any) -> None:
            for name in dict(*args[1:], **kwargs):
                check(name)
            Namespace.__init__(*args, **kwargs)

        def __setitem__(self, name: str, value: Any) -> None:
            check(name)
            super().__setitem__(name, value)

    return PublicNamespace


def _generation_tag() -> Any:
    """Return the extension that knows `{% generation %} … {% endgeneration %}`.

    transformers marks the assistant's words by it, to train on them; a prompt just shows them. As
    there, the block is a scope of its own and what is printed in it comes out once.
    """
    from jinja2 import nodes
    from jinja2.ext import Extension

    class Generation(Extension):
        tags = {"generation"}

        def parse(self, parser: Any) -> Any:
            line = next(parser.stream).lineno
            body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
            return nodes.CallBlock(self.call_method("_shown"), [], [], body).set_lineno(line)

        @staticmethod
        def _shown(caller: Any) -> Any:
            return caller()

    return Generation


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | str | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Return JSON; Jinja's own filter writes `<` and `&` as HTML would."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _refuse(message: str) -> None:
    from jinja2.exceptions import TemplateError

    raise TemplateError(message)


def _now(pattern: str) -> str:
    return datetime.now().strftime(pattern)
