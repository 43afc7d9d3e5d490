"""Batches of prompts that decode together: padded, or split into prompts of equal length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from effmark_adapters.pytorch.calls import Calls
from effmark_adapters.pytorch.decoding import Batch, Prompts

__all__ = ["Padded", "Split", "by_length"]

Forward = Callable[..., torch.Tensor]
"""Takes ids, mask, positions (None where all prompts are equally long) to logits [n, vocab]."""
Begin = Callable[[], Forward]
"""Makes a forward with an empty cache."""


class Padded:
    """Prompts in one forward, the shorter ones padded on the left."""

    def __init__(self, prompts: Prompts, calls: Calls, begin: Begin, room_tokens: int) -> None:
        self._prompts = prompts
        self._calls = calls
        self._begin = begin
        self._length = prompts.longest
        whole = calls.cache is None or calls.is_switched(room_tokens)
        self._ids = prompts.ids if whole else None
        """The whole text, kept only where it may have to be read anew."""

    def first(self) -> torch.Tensor:
        """Return the logits after the prompts."""
        self._forward = self._begin()
        return self._read(self._prompts.ids)

    def then(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return the logits after one more token of each row."""
        ids = chosen.unsqueeze(1)
        before, self._length = self._length, self._length + 1
        if self._ids is None:
            return self._read(ids)
        self._ids = torch.cat([self._ids, ids], dim=1)
        crossed = self._calls.is_switched(self._length) and not self._calls.is_switched(before)
        if self._calls.cache is not None and not crossed:
            return self._read(ids)
        self._forward = self._begin()
        return self._read(self._ids)

    def _read(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the logits after ids, which are the last of the text."""
        count = ids.shape[1]
        # A cache of states only does not tell how long the text was.
        positions = self._prompts.positions(
            self._length - count, count, always=self._calls.is_recurrent
        )
        return self._forward(ids, self._prompts.mask(self._length), positions)


class Split:
    """Several batches, each of prompts of one length, in step with each other."""

    def __init__(self, parts: Sequence[Batch], rows: Sequence[Sequence[int]]) -> None:
        self._parts = parts
        self._rows = rows
        order = [row for part in rows for row in part]
        self._back = torch.tensor([order.index(row) for row in range(len(order))])

    def first(self) -> torch.Tensor:
        """Return the logits after the prompts, in their order."""
        return self._join([part.first() for part in self._parts])

    def then(self, chosen: torch.Tensor) -> torch.Tensor:
        """Return the logits after one more token of each row."""
        return self._join(
            [
                part.then(chosen[list(rows)])
                for part, rows in zip(self._parts, self._rows, strict=True)
            ]
        )

    def _join(self, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        found = torch.cat(list(logits))
        return found[self._back.to(found.device)]


def by_length(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """Return the numbers of prompts, those of one length together."""
    groups: dict[int, list[int]] = {}
    for number, prompt in enumerate(prompts):
        groups.setdefault(len(prompt), []).append(number)
    return list(groups.values())
