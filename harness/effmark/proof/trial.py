"""What a loaded adapter answers to the questions of a proof, by each of its paths."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from effmark.adapter import Adapter, Array, Generates, Generation, Replays, Scores
from effmark.errors import UnsupportedError
from effmark.proof.answers import STEPS, Answers

__all__ = ["Rows", "Tokens", "has_paths", "rows_of", "tokens_of"]


@dataclass(frozen=True)
class Rows:
    """Log-probabilities that came by one path, beside the reference's."""

    path: str
    """What was asked, in words that continue "log-probabilities of …"."""
    wanted: Array
    got: Array


@dataclass(frozen=True)
class Tokens:
    """Greedy tokens of one prompt beside the reference's."""

    path: str
    wanted: tuple[int, ...]
    rows: Array
    """The reference's log-probabilities from which the wanted tokens were chosen."""
    got: tuple[int | None, ...]


def has_paths(adapter: Adapter) -> bool:
    """Return whether an adapter has a path that text goes through."""
    return isinstance(adapter, Scores | Generates)


def rows_of(adapter: Adapter, answers: Answers) -> Iterator[Rows]:
    """Yield the log-probabilities of the text as a whole, after a shared context, of decoding."""
    if isinstance(adapter, Scores):
        yield from _scored(adapter, answers)
    if isinstance(adapter, Replays):
        yield from _replayed(adapter, answers)


def _scored(adapter: Scores, answers: Answers) -> Iterator[Rows]:
    text, rows = answers.text, answers.text_rows
    whole = adapter.log_probs([(text[:1], text[1:])])[0]
    yield Rows("a text", rows, whole)
    half = len(text) // 2
    context, rest = text[:half], text[half:]
    shared = adapter.log_probs([(context, rest[:2]), (context, rest), (context, rest[:5])])
    yield Rows("continuations that share a context", rows[half - 1 :], shared[1])


def _replayed(adapter: Replays, answers: Answers) -> Iterator[Rows]:
    together = range(len(answers.prompts))
    yield from _decoded(adapter, answers, together[:1], "alone")
    try:
        yield from _decoded(adapter, answers, together, "in a batch")
    except UnsupportedError:  # no batches on this runtime: cells that ask for one are refused by it
        yield from _decoded(adapter, answers, together[1:2], "alone")
        yield from _decoded(adapter, answers, together[2:], "alone")


def _decoded(adapter: Replays, answers: Answers, numbers: Sequence[int], how: str) -> list[Rows]:
    """Return what decoding some of the prompts together shows."""
    prompts = [answers.prompts[i] for i in numbers]
    got = adapter.replay(prompts, [answers.continuations[i] for i in numbers])
    paths = [f"decoding a prompt of {len(prompt)} tokens {how}" for prompt in prompts]
    wanted = [answers.decode_rows[i] for i in numbers]
    return [Rows(*row) for row in zip(paths, wanted, got, strict=True)]


def tokens_of(adapter: Adapter, answers: Answers) -> Iterator[Tokens]:
    """Yield the greedy tokens of the shortest prompt alone, then of all in a batch.

    One of the two where the adapter shows its decoding: it is the same loop.
    """
    if not isinstance(adapter, Generates):
        return
    if not isinstance(adapter, Replays):
        yield _tokens("a prompt alone", answers, 0, _greedy(adapter, answers.prompts[:1])[0])
    try:
        batch = _greedy(adapter, answers.prompts)
    except UnsupportedError:
        return  # as above
    for number, got in enumerate(batch):
        path = f"a prompt of {len(answers.prompts[number])} tokens in a batch"
        yield _tokens(path, answers, number, got)


def _tokens(path: str, answers: Answers, number: int, got: tuple[int | None, ...]) -> Tokens:
    return Tokens(path, answers.continuations[number], answers.decode_rows[number], got)


def _greedy(adapter: Generates, prompts: Sequence[tuple[int, ...]]) -> list[tuple[int | None, ...]]:
    """Return the greedy continuation of each prompt."""
    steps: list[list[int | None]] = []

    def keep(ids: Sequence[int | None]) -> bool:
        steps.append(list(ids))
        return False

    adapter.generate(Generation(prompts=tuple(prompts), new_tokens=STEPS), keep)
    by_prompt: Any = zip(*steps, strict=True)
    return list(by_prompt)
