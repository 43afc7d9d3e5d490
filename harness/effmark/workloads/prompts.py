"""Prompts of an exact length in tokens, cut from public-domain text; no block sees another's.

All runtimes of one model get the same token ids, so that they do the same work.
"""

from __future__ import annotations

from dataclasses import dataclass

from effmark.adapter import Tokenizes
from effmark.errors import SpecError
from effmark.suites import data_file

__all__ = ["Prompts", "prompts_for"]

_TEXT_CHARACTERS = 100_000
_STRIDE = 37
"""Tokens between the starts of neighbouring prompts; prime, so that starts do not repeat soon."""


@dataclass(frozen=True)
class Prompts:
    """A stock of tokens from which prompts are cut."""

    tokens: tuple[int, ...]
    length: int

    def batch(self, block: int, size: int) -> tuple[tuple[int, ...], ...]:
        """Return the prompts of a block: `size` of them, each `length` tokens."""
        return tuple(self._cut(block * size + offset) for offset in range(size))

    def _cut(self, number: int) -> tuple[int, ...]:
        start = number * _STRIDE % len(self.tokens)
        wanted = start + self.length
        repeated = self.tokens
        while len(repeated) < wanted:
            repeated += self.tokens
        return repeated[start:wanted]


def prompts_for(adapter: Tokenizes, length: int) -> Prompts:
    """Return prompts of `length` tokens for a loaded adapter."""
    text = data_file("text", "austen.txt").read_text(encoding="utf-8")[:_TEXT_CHARACTERS]
    tokens = tuple(adapter.encode(text))
    if not tokens:
        raise SpecError("the model's tokenizer turns the prompt text into no tokens at all")
    return Prompts(tokens, length)
