"""Continue and score token sequences with any graph that keeps keys and values between steps.

The runtimes that execute graphs differ in how a step runs and where the cache lives; everything
around it is the same and is here: left padding with mask and positions, choosing tokens, ending
sequences, log-probabilities with shared contexts.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from effmark.adapter import Generation, OnStep, Sampling
from effmark.errors import SpecError

__all__ = ["KvModel", "continue_prompts", "replay", "score_pairs"]

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
Pair = tuple[Sequence[int], Sequence[int]]
Chooser = Callable[[Floats], list[int]]
"""Returns one token per row for logits [n, vocabulary]."""
SHARED_TOKENS = 256
"""Most tokens, padding included, that are scored together after one context; bounds the logits."""


class KvModel(Protocol):
    """One step of a language model whose cache grows by the tokens of each step."""

    def start(self, sequences: int) -> None:
        """Empty the cache, for so many sequences."""

    def step(self, ids: Integers, mask: Integers, positions: Integers, wanted: Integers) -> Floats:
        """Return the logits [n, wanted, vocabulary] of ids [n, t], and remember the ids."""

    def repeat(self, sequences: int) -> None:
        """Make the cache of one sequence the cache of several."""


def continue_prompts(
    model: KvModel, generation: Generation, on_step: OnStep, context_tokens: int, batch: int
) -> None:
    """Continue prompts together, one step for all of them at a time.

    Raises:
        SpecError: the prompts do not fit into what was loaded.
    """
    _check_room(generation, context_tokens, batch)
    choose = _chooser(generation.sampling, len(generation.prompts))
    _continue(model, generation, choose, on_step)


def replay(
    model: KvModel, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
) -> list[Floats]:
    """Return the log-probabilities [t, vocabulary] of each prompt's continuation, by decoding.

    It is the loop of `continue_prompts`, padded batch and cached steps, made to choose these
    tokens; the continuations are equally long.
    """
    found: list[Floats] = []
    forced = iter(zip(*continuations, strict=True))

    def choose(logits: Floats) -> list[int]:
        found.append(_log_softmax(logits))
        return list(next(forced))

    new_tokens = len(continuations[0])
    generation = Generation(prompts=tuple(map(tuple, prompts)), new_tokens=new_tokens)
    _continue(model, generation, choose, lambda _: False)
    return list(np.stack(found, axis=1))


def _continue(model: KvModel, generation: Generation, choose: Chooser, on_step: OnStep) -> None:
    count, longest = len(generation.prompts), max(map(len, generation.prompts))
    ids, mask, positions = _left_padded(generation.prompts, longest, generation.new_tokens)
    live = [True] * count
    model.start(count)
    wanted = np.array([longest - 1], np.int64)
    for length in range(longest, longest + generation.new_tokens):
        if length > longest:
            wanted = np.zeros(1, np.int64)
        fed = np.ascontiguousarray(mask[:, :length])
        tokens = choose(model.step(ids, fed, positions, wanted)[:, -1])
        if all(live):
            ended = on_step(tokens)
        else:
            ended = on_step([t if alive else None for t, alive in zip(tokens, live, strict=True)])
        if generation.stop_ids:
            live = [a and t not in generation.stop_ids for a, t in zip(live, tokens, strict=True)]
        if ended or not any(live):
            return
        ids = np.array(tokens, np.int64)[:, None]
        positions = positions[:, -1:] + 1


def score_pairs(model: KvModel, pairs: Sequence[Pair], context_tokens: int) -> list[Floats]:
    """Return the log-probabilities of each continuation; equal contexts are computed once."""
    for context, continuation in pairs:
        if not context or len(context) + len(continuation) > context_tokens:
            raise SpecError(
                f"{len(context)} + {len(continuation)} tokens to score; a context holds at least "
                f"1, and together {context_tokens} at most"
            )
    found: dict[int, Floats] = {}
    for group in _groups(pairs):
        context = pairs[group[0]][0]
        rows = _score(model, context, [pairs[i][1] for i in group])
        found.update(zip(group, rows, strict=True))
    return [found[i] for i in range(len(pairs))]


def _groups(pairs: Sequence[Pair]) -> Iterator[list[int]]:
    """Yield indexes of pairs with one context and continuations of like lengths."""
    order = sorted(range(len(pairs)), key=lambda i: (tuple(pairs[i][0]), len(pairs[i][1])))
    for _, members in itertools.groupby(order, key=lambda i: tuple(pairs[i][0])):
        group: list[int] = []
        for i in members:  # shortest first, so the newest is the longest
            if group and (len(group) + 1) * len(pairs[i][1]) > SHARED_TOKENS:
                yield group
                group = []
            group.append(i)
        yield group


def _score(
    model: KvModel, context: Sequence[int], continuations: list[Sequence[int]]
) -> list[Floats]:
    """Return the log-probabilities of several continuations of one context."""
    model.start(1)
    past = len(context)
    if len(continuations) == 1:
        tokens = [*context, *continuations[0][:-1]]
        logits = _plain_step(model, [tokens], 0, np.arange(past - 1, len(tokens)))
        return [_log_softmax(logits[0])[: len(continuations[0])]]
    first = _log_softmax(_plain_step(model, [context], 0, np.array([past - 1]))[0])
    longest = max(len(c) for c in continuations)
    if longest <= 1:
        return [first[: len(c)] for c in continuations]
    model.repeat(len(continuations))
    padded = [[*c[:-1], *([0] * (longest - max(len(c), 1)))] for c in continuations]
    rest = _plain_step(model, padded, past, np.arange(longest - 1))
    return [
        np.concatenate([first, _log_softmax(rest[i, : max(len(c) - 1, 0)])])[: len(c)]
        for i, c in enumerate(continuations)
    ]


def _plain_step(
    model: KvModel, tokens: Sequence[Sequence[int]], past: int, wanted: Integers
) -> Floats:
    """Return the logits of a step without left padding; what pads on the right is not looked at."""
    ids = np.array(tokens, np.int64)
    mask = np.ones((len(ids), past + ids.shape[1]), np.int64)
    positions = np.broadcast_to(np.arange(past, mask.shape[1]), ids.shape)
    return model.step(ids, mask, np.ascontiguousarray(positions), wanted)


def _log_softmax(logits: Floats) -> Floats:
    shifted: Floats = logits - logits.max(-1, keepdims=True)
    shifted -= np.log(np.exp(shifted).sum(-1, keepdims=True))
    return shifted


def _check_room(generation: Generation, context_tokens: int, batch: int) -> None:
    count, longest = len(generation.prompts), max(map(len, generation.prompts), default=0)
    if not 1 <= count <= batch:
        raise SpecError(f"{count} prompts together, loaded for 1 to {batch}")
    if not all(generation.prompts) or longest + generation.new_tokens > context_tokens:
        raise SpecError(
            f"a prompt of {longest} and {generation.new_tokens} new tokens; prompts hold at least "
            f"1 token, and together {context_tokens} at most"
        )


def _left_padded(
    prompts: Sequence[Sequence[int]], longest: int, new_tokens: int
) -> tuple[Integers, Integers, Integers]:
    """Return ids [n, t], the mask [n, t + new] of everything to come, and positions [n, t]."""
    ids = np.zeros((len(prompts), longest), np.int64)
    mask = np.ones((len(prompts), longest + new_tokens), np.int64)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = prompt
        mask[row, : longest - len(prompt)] = 0
    positions = np.maximum(mask[:, :longest].cumsum(-1) - 1, 0)
    return ids, mask, positions


def _chooser(sampling: Sampling, sequences: int) -> Chooser:
    """Return what picks one token per row; row i draws with seed + i, whatever the batch."""
    if sampling.temperature <= 0:
        return lambda logits: [int(t) for t in logits.argmax(-1)]
    draws = [np.random.default_rng(sampling.seed + i) for i in range(sequences)]
    return lambda logits: [
        _draw(row, sampling, draw) for row, draw in zip(logits, draws, strict=True)
    ]


def _draw(logits: Floats, sampling: Sampling, draw: Any) -> int:
    order = np.argsort(-logits, kind="stable")
    if sampling.top_k > 0:
        order = order[: sampling.top_k]
    scaled = logits[order].astype(np.float64) / sampling.temperature
    chances = np.exp(scaled - scaled[0])
    chances /= chances.sum()
    total = np.cumsum(chances)
    kept = int(np.searchsorted(total, min(sampling.top_p, 1.0)) + 1)
    chances = chances[:kept] / chances[:kept].sum()
    return int(draw.choice(order[:kept], p=chances))
