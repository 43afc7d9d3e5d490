"""What an adapter was really asked for a task: counted where it is sent, not where it was wished.

lm-eval builds prompts and effmark's bridge cuts and sends them. Both are watched here, so that the
record tells shots, template, stop strings, limits and truncation of what the model has seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from effmark.quality.items import naming_items

__all__ = ["Sent", "watch"]

_LONGEST_TEXT = 400
"""Characters of a system prompt that a record keeps."""


class Sent:
    """The questions of one task, as they went to the adapter."""

    def __init__(self) -> None:
        self.shots: list[int] = []
        """Solved examples before each item."""
        self.templated = 0
        """Prompts that went through the chat template."""
        self.systems: Counter[str] = Counter()
        """System prompts by text; only a chat template has them."""
        self.requests: Counter[str] = Counter()
        """Questions by kind."""
        self.settings: dict[str, dict[str, Any]] = {}
        """How text was generated: stop strings, most tokens, sampling; each way once."""
        self.cut: Counter[str] = Counter({"contexts": 0, "continuations": 0, "prompts": 0})
        """Questions that lost their beginning, because the model reads no longer ones."""
        self.longest_tokens = 0
        self.context_tokens: int | None = None
        """What the model could read at most."""

    def add(self, kind: str, tokens: int, context_tokens: int) -> None:
        """Count a question that is sent, with what the model reads of it and could read at most."""
        self.requests[kind] += 1
        self.longest_tokens = max(self.longest_tokens, tokens)
        self.context_tokens = context_tokens

    def add_settings(self, settings: dict[str, Any]) -> None:
        """Note one way of generating text."""
        self.settings.setdefault(repr(settings), settings)

    def facts(self) -> dict[str, Any]:
        """Return all of it as plain values."""
        found: dict[str, Any] = {
            "items": len(self.shots),
            "shots": _one_or_range(self.shots),
            "chat_template": self.templated > 0,
            "system": [text[:_LONGEST_TEXT] for text in self.systems] or None,
            "requests": dict(self.requests),
            "longest_tokens": self.longest_tokens,
            "context_tokens": self.context_tokens,
            "cut": dict(self.cut),
        }
        if self.settings:
            found["generation"] = list(self.settings.values())
        return found


def watch(task: Any, sent: Sent) -> None:
    """Count the shots and templates of a task's prompts as they are made; a bad item is named."""
    naming_items(task)
    drawn = 0
    build, sampler = task.fewshot_context, getattr(task, "sampler", None)
    sample = getattr(sampler, "sample", None)

    def counted_sample(*args: Any, **kwargs: Any) -> Any:
        nonlocal drawn
        assert sample is not None
        found = sample(*args, **kwargs)
        drawn += len(found)
        return found

    def counted_build(*args: Any, **kwargs: Any) -> Any:
        nonlocal drawn
        drawn = 0
        if kwargs.get("apply_chat_template") and kwargs.get("chat_template"):
            kwargs["chat_template"] = _counted_template(kwargs["chat_template"], sent)
        prompt = build(*args, **kwargs)
        sent.shots.append(drawn)
        return prompt

    if sampler is not None:
        sampler.sample = counted_sample
    task.fewshot_context = counted_build


def _counted_template(render: Callable[..., Any], sent: Sent) -> Callable[..., Any]:
    def counted(messages: list[dict[str, str]], *args: Any, **kwargs: Any) -> Any:
        sent.templated += 1
        sent.systems.update(m["content"] for m in messages if m["role"] == "system")
        return render(messages, *args, **kwargs)

    return counted


def _one_or_range(counts: Sequence[int]) -> int | list[int] | None:
    """Return what all counts are, or the least and the largest."""
    if not counts:
        return None
    least, most = min(counts), max(counts)
    return least if least == most else [least, most]
