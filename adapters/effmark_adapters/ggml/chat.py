"""The chat template of a model, rendered without any other part of transformers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from effmark.errors import UnsupportedError

__all__ = ["render_chat"]


def render_chat(
    template: str | None, messages: Sequence[dict[str, str]], special: dict[str, str]
) -> str:
    """Return the prompt that a template makes of messages, ready for the assistant's answer.

    Raises:
        UnsupportedError: there is no template, or it refuses these messages.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    if template is None:
        raise UnsupportedError("the model has no chat template; give plain text")
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _refuse
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    try:
        return environment.from_string(template).render(
            messages=list(messages), add_generation_prompt=True, **special
        )
    except TemplateError as error:
        raise UnsupportedError(f"the chat template refuses these messages: {error}") from error


def _refuse(message: str) -> Any:
    from jinja2 import TemplateError

    raise TemplateError(message)
