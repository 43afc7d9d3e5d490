"""Log-probabilities of continuations, with little padding and equal contexts computed once.

Two ways through a batch. Whole: context and continuation in one forward, padded on the left so
that the wanted rows are the last ones. Shared: the different contexts first, then every
continuation on a copy of its context's keys and values; the way for multiple choice, where
four answers follow one question. Only rows of continuations meet the head and the log-softmax.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from effmark.adapter import Array
from effmark_adapters.pytorch.calls import Calls
from effmark_adapters.pytorch.decoding import Prompts

__all__ = ["Pair", "score_pairs"]

Pair = tuple[Sequence[int], Sequence[int]]

BATCH_TOKENS = 1024
"""Most padded tokens of one forward; more fill the caches of a CPU no better."""
LOGITS_B = 128 * 2**20
"""Most bytes of float32 logits that one forward may make."""
COPIED_TOKENS = 8 * BATCH_TOKENS
"""Most tokens of keys and values that are copied for continuations at a time."""
SHARED_RATIO = 0.8
"""The shared way costs two forwards: it must leave at most this share of the tokens."""
FORWARD_TOKENS = 32
"""A forward costs as much as so many more tokens, because it reads all weights anew (135 million
in float32 on two cores: 80 ms and 3.2 ms per token). Padding beyond that, or sharing that saves
less, is not worth it."""


def score_pairs(
    model: Any, calls: Calls, pairs: Sequence[Pair], device: torch.device
) -> list[Array]:
    """Return the float32 log-probabilities [continuation, vocabulary] of each pair."""
    found: list[Array] = [None] * len(pairs)
    contexts: dict[tuple[int, ...], list[int]] = {}
    for number, (context, _) in enumerate(pairs):
        contexts.setdefault(tuple(context), []).append(number)
    groups = _groups_to_share(pairs, contexts.values(), calls)
    grouped = {number for numbers in groups for number in numbers}
    alone = [number for number in range(len(pairs)) if number not in grouped]
    score = _Scorer(model, calls, device)
    for numbers in _batches(pairs, alone, score.vocabulary, calls):
        for number, rows in zip(numbers, score.whole([pairs[n] for n in numbers]), strict=True):
            found[number] = rows
    for batch in _batches_of_groups(pairs, groups):
        texts = [[pairs[number] for number in numbers] for numbers in batch]
        for number, rows in zip(itertools.chain(*batch), score.shared(texts), strict=True):
            found[number] = rows
    return found


def _groups_to_share(
    pairs: Sequence[Pair], groups: Iterable[list[int]], calls: Calls
) -> list[list[int]]:
    """Return the groups of one context each that are cheaper shared; none if they save little."""
    longest = max((len(context) + len(text) for context, text in pairs), default=0)
    if not calls.shares(longest):
        return []
    found = [numbers for numbers in groups if _is_worth_sharing(pairs, numbers)]
    saved = sum((len(numbers) - 1) * len(pairs[numbers[0]][0]) for numbers in found)
    return found if saved > FORWARD_TOKENS else []


def _is_worth_sharing(pairs: Sequence[Pair], numbers: list[int]) -> bool:
    context = len(pairs[numbers[0]][0])
    whole = sum(context + len(pairs[n][1]) - 1 for n in numbers)
    return len(numbers) > 1 and whole - (len(numbers) - 1) * context <= SHARED_RATIO * whole


def _batches(
    pairs: Sequence[Pair], numbers: list[int], vocabulary: int, calls: Calls
) -> Iterator[list[int]]:
    """Yield pairs of like length together, longest first, so that memory fails early."""

    def size(number: int) -> tuple[int, int]:
        context, continuation = pairs[number]
        tokens = len(context) + len(continuation)
        return tokens, len(continuation) if "logits_to_keep" in calls.names else tokens

    batch: list[int] = []
    longest = rows = padding = 0
    for number in sorted(numbers, key=size, reverse=True):
        tokens, wanted = size(number)
        count = len(batch) + 1
        longest, rows = max(longest, tokens), max(rows, wanted)
        padding += longest - tokens
        too_large = count * longest > BATCH_TOKENS or count * rows * vocabulary * 4 > LOGITS_B
        # What is read of a text ends before its last token.
        other_rope = calls.is_switched(longest - 1) != calls.is_switched(tokens - 1)
        if batch and (too_large or padding > FORWARD_TOKENS or other_rope):
            yield batch
            batch, longest, rows, padding = [], tokens, wanted, 0
        batch.append(number)
    if batch:
        yield batch


def _batches_of_groups(pairs: Sequence[Pair], groups: list[list[int]]) -> Iterator[list[list[int]]]:
    """Yield groups whose contexts are about equally long together, longest first."""
    batch: list[list[int]] = []
    padding = 0
    for numbers in sorted(groups, key=lambda numbers: -len(pairs[numbers[0]][0])):
        longest = len(pairs[(batch or [numbers])[0][0]][0])
        padding += longest - len(pairs[numbers[0]][0])
        too_large = (len(batch) + 1) * longest > BATCH_TOKENS
        if batch and (too_large or padding > 2 * FORWARD_TOKENS):  # two forwards per batch
            yield batch
            batch, padding = [], 0
        batch.append(numbers)
    if batch:
        yield batch


class _Scorer:
    """A model and what its batches have in common."""

    def __init__(self, model: Any, calls: Calls, device: torch.device) -> None:
        self._model = model
        self._calls = calls
        self._device = device
        self.vocabulary = calls.vocabulary

    def whole(self, pairs: Sequence[Pair]) -> list[Array]:
        """Score pairs in one forward each as a whole."""
        if not any(continuation for _, continuation in pairs):
            return [self._empty() for _ in pairs]
        texts = [[*context, *continuation[:-1]] for context, continuation in pairs]
        longest = max(map(len, texts))
        if self._calls.pads(0):
            gaps = [0] * len(pairs)
            padded = Prompts(texts, 0, self._device)
            mask, positions = padded.mask(longest), padded.positions(0, longest)
            ids = padded.ids
        else:  # what comes after a text changes nothing before it, in whatever model
            gaps = [longest - len(text) for text in texts]
            mask = positions = None
            rows = [[*text, *[0] * gap] for text, gap in zip(texts, gaps, strict=True)]
            ids = torch.tensor(rows, device=self._device)
        wanted = [gap + len(pair[1]) for gap, pair in zip(gaps, pairs, strict=True)]
        logits = self._forward(ids, mask, positions, use_cache=False, keep=max(wanted))[0]
        rest = logits.shape[1]
        return [
            self._rows(logits[i, rest - count : rest - gap])
            for i, (count, gap) in enumerate(zip(wanted, gaps, strict=True))
        ]

    def _forward(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor | None,
        positions: torch.Tensor | None,
        *,
        use_cache: bool,
        cache: Any = None,
        keep: int | None = None,
    ) -> tuple[torch.Tensor, Any]:
        """Return logits, and the cache where there is one."""
        calls = self._calls
        given = calls.arguments(attention_mask=mask, position_ids=positions, use_cache=use_cache)
        if cache is not None:
            given["past_key_values"] = cache
        if keep is not None:
            given |= calls.keep(keep)
        out = self._model(input_ids=ids, **given)
        made = getattr(out, "past_key_values", None)  # some classes only write to what they got
        return out.logits, cache if made is None else made

    def shared(self, groups: list[list[Pair]]) -> Iterator[Array]:
        """Score pairs of several contexts on copies of the contexts' keys and values."""
        contexts = Prompts([group[0][0] for group in groups], 0, self._device)
        first, cache = self._forward(
            contexts.ids,
            contexts.mask(contexts.longest),
            contexts.positions(0, contexts.longest),
            use_cache=True,
            cache=DynamicCache(config=self._model.config),
            keep=1,
        )
        heads = [self._rows(logits[-1:]) for logits in first]
        rows = [(row, pair[1]) for row, group in enumerate(groups) for pair in group]
        tails = self._tails(cache, contexts, [(r, c[:-1]) for r, c in rows if len(c) > 1])
        for row, continuation in rows:
            if len(continuation) > 1:
                yield _stack(heads[row], next(tails))
            else:
                yield heads[row] if len(continuation) else self._empty()

    def _tails(
        self, cache: DynamicCache, contexts: Prompts, texts: list[tuple[int, Sequence[int]]]
    ) -> Iterator[Array]:
        """Yield the rows after the first of each (row of its context, continuation)."""
        longest = max((len(text) for _, text in texts), default=0)
        room = max(
            1,
            min(
                COPIED_TOKENS // (contexts.longest + longest),
                LOGITS_B // (4 * self.vocabulary * max(1, longest)),
            ),
        )
        for start in range(0, len(texts), room):
            part = texts[start : start + room]
            logits = self._tail_logits(cache, contexts, part, longest)
            for i, (_, text) in enumerate(part):
                yield self._rows(logits[i, : len(text)])

    def _tail_logits(
        self,
        cache: DynamicCache,
        contexts: Prompts,
        part: list[tuple[int, Sequence[int]]],
        longest: int,
    ) -> torch.Tensor:
        rows = torch.tensor([row for row, _ in part], device=self._device)
        copies = copy.deepcopy(cache)
        copies.batch_select_indices(rows)
        ids = [[*text, *[0] * (longest - len(text))] for _, text in part]  # causal: unseen
        mask = contexts.mask(contexts.longest)
        positions = contexts.positions(contexts.longest, longest)
        if mask is not None and positions is not None:
            seen = mask.new_ones((len(part), longest))
            mask, positions = torch.cat([mask[rows], seen], dim=1), positions[rows]
        tails = torch.tensor(ids, device=self._device)
        return self._forward(tails, mask, positions, use_cache=True, cache=copies)[0]

    def _rows(self, logits: torch.Tensor) -> Array:
        return logits.float().log_softmax(-1).cpu().numpy()

    def _empty(self) -> Array:
        return torch.empty((0, self.vocabulary)).numpy()


def _stack(first: Array, rest: Array) -> Array:
    import numpy as np

    return np.concatenate([first, rest])
