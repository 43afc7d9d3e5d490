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
    for number, prompt in enumerate(answers.prompts):
        part = slice(number, number + 1)
        alone = adapter.replay(answers.prompts[part], answers.continuations[part])[0]
        path = f"decoding a prompt of {len(prompt)} tokens alone"
        yield Rows(path, answers.decode_rows[number], alone)
    try:
        batch = adapter.replay(answers.prompts, answers.continuations)
    except UnsupportedError:
        return  # no batches on this runtime: cells that ask for one will be refused by it
    for prompt, wanted, got in zip(answers.prompts, answers.decode_rows, batch, strict=True):
        yield Rows(f"decoding a prompt of {len(prompt)} tokens in a batch", wanted, got)


def tokens_of(adapter: Adapter, answers: Answers) -> Iterator[Tokens]:
    """Yield the greedy tokens of the shortest prompt alone, then of all in a batch."""
    if not isinstance(adapter, Generates):
        return
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
