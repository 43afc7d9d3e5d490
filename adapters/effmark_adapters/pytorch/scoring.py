"""Log-probabilities of continuations, with little padding and equal contexts computed once.

Two ways through a batch. Whole: context and continuation in one forward, padded on the left so
that the wanted rows are the last ones. Shared: the different contexts first, then every
continuation on a copy of its context's keys and values; the way for multiple choice, where
four answers follow one question. Only rows of continuations meet the head and the log-softmax.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from effmark.adapter import Array
from effmark_adapters.pytorch.decoding import Prompts

__all__ = ["Pair", "score_pairs"]

Pair = tuple[Sequence[int], Sequence[int]]

BATCH_TOKENS = 1024
"""Most padded tokens of one forward; more fill the caches of a CPU no better."""
LOGITS_B = 128 * 2**20
"""Most bytes of float32 logits that one forward may make."""
SHARED_RATIO = 0.8
"""The shared way costs two forwards: it must leave at most this share of the tokens."""


def score_pairs(model: Any, pairs: Sequence[Pair], device: torch.device) -> list[Array]:
    """Return the float32 log-probabilities [continuation, vocabulary] of each pair."""
    found: list[Array] = [None] * len(pairs)
    contexts: dict[tuple[int, ...], list[int]] = {}
    for number, (context, _) in enumerate(pairs):
        contexts.setdefault(tuple(context), []).append(number)
    shared: list[list[int]] = []
    alone: list[int] = []
    for numbers in contexts.values():
        shared.append(numbers) if _is_worth_sharing(pairs, numbers) else alone.extend(numbers)
    score = _Scorer(model, device)
    for numbers in _batches(pairs, alone, score.vocabulary):
        for number, rows in zip(numbers, score.whole([pairs[n] for n in numbers]), strict=True):
            found[number] = rows
    for numbers in shared:
        for number, rows in zip(numbers, score.shared([pairs[n] for n in numbers]), strict=True):
            found[number] = rows
    return found


def _is_worth_sharing(pairs: Sequence[Pair], numbers: list[int]) -> bool:
    context = len(pairs[numbers[0]][0])
    whole = sum(context + len(pairs[n][1]) - 1 for n in numbers)
    return len(numbers) > 1 and whole - (len(numbers) - 1) * context <= SHARED_RATIO * whole


def _batches(pairs: Sequence[Pair], numbers: list[int], vocabulary: int) -> Iterator[list[int]]:
    """Yield pairs of like length together, longest first, so that memory fails early."""

    def size(number: int) -> tuple[int, int]:
        context, continuation = pairs[number]
        return len(context) + len(continuation), len(continuation)

    batch: list[int] = []
    longest = rows = 0
    for number in sorted(numbers, key=size, reverse=True):
        tokens, wanted = size(number)
        count = len(batch) + 1
        longest, rows = max(longest, tokens), max(rows, wanted)
        if batch and (count * longest > BATCH_TOKENS or count * rows * vocabulary * 4 > LOGITS_B):
            yield batch
            batch, longest, rows = [], tokens, wanted
        batch.append(number)
    if batch:
        yield batch


class _Scorer:
    """A model and what its batches have in common."""

    def __init__(self, model: Any, device: torch.device) -> None:
        self._model = model
        self._device = device
        self.vocabulary = int(model.config.get_text_config().vocab_size)

    def whole(self, pairs: Sequence[Pair]) -> list[Array]:
        """Score pairs in one forward each as a whole."""
        texts = [[*context, *continuation[:-1]] for context, continuation in pairs]
        rows = max(len(continuation) for _, continuation in pairs)
        if not rows:
            return [self._empty() for _ in pairs]
        padded = Prompts(texts, 0, self._device)
        logits = self._model(
            input_ids=padded.ids,
            attention_mask=padded.mask(padded.longest),
            position_ids=padded.positions(0, padded.longest),
            use_cache=False,
            logits_to_keep=rows,
        ).logits
        return [
            self._rows(logits[i, rows - len(continuation) :])
            for i, (_, continuation) in enumerate(pairs)
        ]

    def shared(self, pairs: Sequence[Pair]) -> list[Array]:
        """Score continuations of one context on copies of its keys and values."""
        context = list(pairs[0][0])
        ids = torch.tensor([context], device=self._device)
        empty = DynamicCache(config=self._model.config)
        first = self._model(input_ids=ids, past_key_values=empty, use_cache=True, logits_to_keep=1)
        head = self._rows(first.logits[0, -1:])
        found = [head if len(continuation) else self._empty() for _, continuation in pairs]
        longer = [i for i, (_, continuation) in enumerate(pairs) if len(continuation) > 1]
        tails = self._tails(first.past_key_values, [pairs[i][1][:-1] for i in longer])
        for i, rows in zip(longer, tails, strict=True):
            found[i] = _stack(head, rows)
        return found

    def _tails(self, cache: DynamicCache, texts: list[Sequence[int]]) -> Iterator[Array]:
        """Yield the rows after the first of each continuation."""
        filled = cache.get_seq_length()
        room = max(1, BATCH_TOKENS // max([filled, *map(len, texts)]))
        for start in range(0, len(texts), room):
            part = texts[start : start + room]
            longest = max(map(len, part))
            padded = [[*text, *[0] * (longest - len(text))] for text in part]  # causal: unseen
            logits = self._model(
                input_ids=torch.tensor(padded, device=self._device),
                past_key_values=_copies(cache, len(part)),
                use_cache=True,
            ).logits
            for i, text in enumerate(part):
                yield self._rows(logits[i, : len(text)])

    def _rows(self, logits: torch.Tensor) -> Array:
        return logits.float().log_softmax(-1).cpu().numpy()

    def _empty(self) -> Array:
        return torch.empty((0, self.vocabulary)).numpy()


def _copies(cache: DynamicCache, count: int) -> DynamicCache:
    """Return a cache of `count` sequences that all begin with what the given one holds."""
    wide = copy.deepcopy(cache)
    wide.batch_repeat_interleave(count)
    return wide


def _stack(first: Array, rest: Array) -> Array:
    import numpy as np

    return np.concatenate([first, rest])
