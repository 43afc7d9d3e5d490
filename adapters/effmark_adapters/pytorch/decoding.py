"""Decoding token by token: a loop as bare as one written by hand for this model.

Each step is one forward of the new tokens, a choice, and one copy of the ids to the host, which
waits for the device. The ids go to `on_step` before the next forward is queued.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from effmark.adapter import Generation, OnStep, Sampling

__all__ = ["Batch", "Choose", "Prompts", "decode_batch", "make_chooser"]

Choose = Callable[[torch.Tensor], torch.Tensor]


class Prompts:
    """A batch of prompts, the shorter ones padded on the left."""

    def __init__(
        self, prompts: Sequence[Sequence[int]], room_tokens: int, device: torch.device
    ) -> None:
        longest = max(len(prompt) for prompt in prompts)
        gaps = [longest - len(prompt) for prompt in prompts]
        rows = [[0] * gap + list(prompt) for gap, prompt in zip(gaps, prompts, strict=True)]
        self.ids = torch.tensor(rows, device=device)
        self.longest = longest
        self.gaps = torch.tensor(gaps, device=device).unsqueeze(1) if any(gaps) else None
        self._mask = torch.ones(
            (len(rows), max(longest, room_tokens)), dtype=torch.long, device=device
        )
        if self.gaps is not None:
            self._mask[:, :longest] = torch.arange(longest, device=device) >= self.gaps

    def mask(self, length: int) -> torch.Tensor | None:
        """Return which of the first `length` columns are tokens; None if all are."""
        return None if self.gaps is None else self._mask[:, :length]

    def positions(self, start: int, length: int, *, always: bool = False) -> torch.Tensor | None:
        """Return the position ids of columns; None where the model counts right by itself."""
        if self.gaps is None and not always:
            return None
        columns = torch.arange(start, start + length, device=self.ids.device)
        rows = columns.expand(self.ids.shape[0], -1)
        return rows if self.gaps is None else (rows - self.gaps).clamp(min=0)


class Batch(Protocol):
    """Prompts that are continued together."""

    def first(self) -> torch.Tensor:
        """Return the logits [n, vocab] after the prompts."""

    def then(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return the logits [n, vocab] after one more token [n] of each prompt."""


def decode_batch(batch: Batch, generation: Generation, on_step: OnStep, choose: Choose) -> None:
    """Continue prompts; `on_step` gets the ids of every step, None for an ended sequence."""
    stops = frozenset(generation.stop_ids)
    ended: list[bool] = [False] * len(generation.prompts)
    logits = batch.first()
    for left in range(generation.new_tokens - 1, -1, -1):
        chosen = choose(logits)
        ids: list[int | None] = chosen.tolist()
        if stops and _end(ids, ended, stops):
            left = 0
        if on_step(ids) or not left:
            return
        logits = batch.then(chosen)


def _end(ids: list[int | None], ended: list[bool], stops: frozenset[int]) -> bool:
    """Replace the ids of ended sequences by None; return whether all have ended now."""
    for row, number in enumerate(ids):
        if ended[row]:
            ids[row] = None
        elif number in stops:
            ended[row] = True
    return all(ended)


def make_chooser(sampling: Sampling, device: torch.device) -> Choose:
    """Return what chooses the next ids [n] from logits [n, vocab]."""
    if sampling.temperature == 0:
        return _greedy
    generator = torch.Generator(device).manual_seed(sampling.seed)

    def choose(logits: torch.Tensor) -> torch.Tensor:
        kept = _keep(logits.float() / sampling.temperature, sampling)
        return torch.multinomial(kept.softmax(-1), 1, generator=generator).squeeze(1)

    return choose


def _greedy(logits: torch.Tensor) -> torch.Tensor:
    return logits.argmax(-1)


def _keep(logits: torch.Tensor, sampling: Sampling) -> torch.Tensor:
    """Return logits with all but the `top_k` and the `top_p` most likely at minus infinity."""
    if 0 < sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, -torch.inf)
    if sampling.top_p < 1:
        ordered, order = logits.sort(descending=True)
        probabilities = ordered.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities
        ordered = ordered.masked_fill(before >= sampling.top_p, -torch.inf)
        logits = torch.full_like(logits, -torch.inf).scatter(1, order, ordered)
    return logits
