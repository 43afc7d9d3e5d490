"""Questions for log-probabilities: cut to what the model reads, equal ones once, in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["Pair", "Text", "batches", "cut", "texts"]

Pair = tuple[list[int], list[int]]
"""Context and continuation."""


@dataclass
class Text:
    """Tokens that go through the model once, and the requests that they answer."""

    context: list[int]
    continuation: list[int]
    requests: list[int] = field(default_factory=list)


def cut(context: list[int], continuation: list[int], length: int) -> tuple[Pair, str]:
    """Return a question that fits and what was cut off its beginning, as lm-eval cuts it.

    A model that reads `length` tokens can be asked about as many and one before them: it never
    reads the last one. A continuation that is longer alone loses its context and its beginning;
    its first token that is left stands for a context and is not scored.

    Returns:
        The question, and `contexts`, `continuations`, or nothing where all of it is there.
    """
    over = len(context) + len(continuation) - (length + 1)
    if over <= 0:
        return (context, continuation), ""
    if over < len(context):
        return (context[over:], continuation), "contexts"
    left = [*context, *continuation][over:]
    return (left[:1], left[1:]), "continuations"


def texts(pairs: Sequence[Pair]) -> list[Text]:
    """Return what must be computed: requests that differ in the last token only are one text."""
    found: dict[tuple[int, ...], Text] = {}
    for i, (context, continuation) in enumerate(pairs):
        seen = (*context, *continuation[:-1])
        text = found.setdefault(seen, Text(context, continuation))
        if len(continuation) > len(text.continuation):
            text.context, text.continuation = context, continuation
        text.requests.append(i)
    return list(found.values())


def batches(asked: Sequence[Text], size: int, rows: int) -> Iterator[list[Text]]:
    """Yield batches of about `size` texts and at most `rows` rows; one context stays together.

    A context of one token, which is the start of every text without context, is nothing to share.
    """
    groups: dict[tuple[int, ...], list[Text]] = {}
    for text in asked:
        shared = text.context if len(text.context) > 1 else [*text.context, *text.continuation]
        groups.setdefault(tuple(shared), []).append(text)
    longest_first = sorted(
        groups.values(),
        key=lambda group: -max(len(text.context) + len(text.continuation) for text in group),
    )
    batch: list[Text] = []
    wanted = 0
    for text in (text for group in longest_first for text in group):
        alone = len(text.context) == 1 or not batch or batch[-1].context != text.context
        full = len(batch) >= size and alone
        if batch and (full or wanted + len(text.continuation) > rows):
            yield batch
            batch, wanted = [], 0
        batch.append(text)
        wanted += len(text.continuation)
    if batch:
        yield batch
