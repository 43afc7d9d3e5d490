"""Prompts through a loaded model: prefill, cached steps, scores of a text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from effmark.adapter import Array, Generation, LoadRequest, OnStep
from effmark.errors import SpecError
from effmark_adapters.ggml.model import BATCH_TOKENS, LoadedModel

__all__ = [
    "Chooses",
    "Forced",
    "check_room",
    "check_tokens",
    "common_length",
    "continue_prompts",
    "score",
]


def check_room(model: LoadedModel, generation: Generation, request: LoadRequest) -> None:
    """Refuse a request for which the context has no room."""
    if not generation.prompts:
        raise SpecError("no prompts; a generation holds at least 1")
    if len(generation.prompts) > request.batch:
        raise SpecError(
            f"{len(generation.prompts)} prompts together, loaded for {request.batch}; "
            "load with a larger batch"
        )
    longest = max(len(prompt) for prompt in generation.prompts)
    if not all(generation.prompts) or longest + generation.new_tokens > request.context_tokens:
        raise SpecError(
            f"a prompt of {longest} and {generation.new_tokens} new tokens; prompts hold at least "
            f"1 token, and together {request.context_tokens} at most"
        )
    check_tokens(model, *generation.prompts)


def check_tokens(model: LoadedModel, *texts: Sequence[int]) -> None:
    """Refuse a token that the model has no embedding for; llama.cpp would say only -1."""
    for text in texts:
        if text and not 0 <= min(text) <= max(text) < model.vocabulary_count:
            wrong = min(text) if min(text) < 0 else max(text)
            raise SpecError(
                f"token {wrong!r} does not exist; this model has {model.vocabulary_count}, from 0"
            )


class Chooses(Protocol):
    """Picks the next token of one sequence."""

    def choose(self, model: LoadedModel, row: int) -> int:
        """Return the token that follows a row of the last feed."""


class Forced:
    """Picks given tokens, and keeps what the model thought of all."""

    def __init__(self, tokens: Sequence[int]) -> None:
        self._tokens = tokens
        self._rows: list[Array] = []

    def choose(self, model: LoadedModel, row: int) -> int:
        """Return the next of the given tokens."""
        self._rows.append(model.logits(row).copy())
        return self._tokens[len(self._rows) - 1]

    def log_probs(self) -> Array:
        """Return the natural-log probabilities at every choice, [choices, vocabulary]."""
        import numpy as np

        return _normalised(np.stack(self._rows))


def continue_prompts(
    model: LoadedModel, generation: Generation, choosers: Sequence[Chooses], on_step: OnStep
) -> None:
    """Continue all prompts in lockstep, one token each per step."""
    step = _prefill(model, generation.prompts, choosers)
    lengths = [len(prompt) for prompt in generation.prompts]
    live = list(range(len(lengths)))
    for left in range(generation.new_tokens - 1, -1, -1):
        tokens: list[int | None] = [None] * len(lengths)
        for i in live:
            tokens[i] = step[i]
        if on_step(tokens) or not left:
            return
        if generation.stop_ids:
            live = [i for i in live if step[i] not in generation.stop_ids]
        if not live:
            return
        model.step(step, lengths, live)
        for row, i in enumerate(live):
            step[i] = choosers[i].choose(model, row)
            lengths[i] += 1


def _prefill(
    model: LoadedModel, prompts: Sequence[Sequence[int]], choosers: Sequence[Chooses]
) -> list[int]:
    """Return the first new token of every prompt."""
    tokens = [token for prompt in prompts for token in prompt]
    places = [(i, at) for i, prompt in enumerate(prompts) for at in range(len(prompt))]
    ends = [at == len(prompts[i]) - 1 for i, at in places]
    step = [0] * len(prompts)
    for first in range(0, len(tokens), BATCH_TOKENS):
        part = slice(first, first + BATCH_TOKENS)
        model.feed(
            tokens[part], [at for _, at in places[part]], [i for i, _ in places[part]], ends[part]
        )
        for row, ((i, _), end) in enumerate(zip(places[part], ends[part], strict=True)):
            if end:
                step[i] = choosers[i].choose(model, row)
    return step


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many first tokens are equal."""
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def score(model: LoadedModel, tokens: list[int], kept: int, rows: int) -> Array:
    """Return natural-log probabilities after the last `rows` tokens; `kept` are in the cache."""
    import numpy as np

    out = np.empty((rows, model.vocabulary_count), np.float32)
    if not rows:
        return out
    if not model.truncate(kept):  # a state cannot go back
        model.clear()
        kept = 0
    start = len(tokens) - rows
    for first in range(kept, len(tokens), BATCH_TOKENS):
        positions = range(first, min(first + BATCH_TOKENS, len(tokens)))
        part = tokens[first : positions.stop]
        model.feed(part, positions, [0] * len(part), [at >= start for at in positions])
        for row, at in enumerate(positions):
            if at >= start:
                out[at - start] = model.logits(row)
    return _normalised(out)


def _normalised(logits: Array) -> Array:
    """Return natural-log probabilities, in place."""
    import numpy as np

    logits -= logits.max(axis=1, keepdims=True)
    logits -= np.log(np.exp(logits).sum(axis=1, dtype=np.float64, keepdims=True)).astype(np.float32)
    return logits
