"""A continuation as it grows, token by token, up to the end token or the first stop string."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

__all__ = ["Answer"]

Decode = Callable[[Sequence[int]], str]


class Answer:
    """The text of one continuation; special tokens are no part of it, but a stop may name them."""

    def __init__(
        self, decode: Decode, special: Mapping[int, str], ends: Sequence[int], stops: Sequence[str]
    ) -> None:
        """Begin with no token.

        Args:
            decode: Gives the text of tokens, without special ones.
            special: The text that stands for each special token, `<|im_end|>` say.
            ends: Tokens that end an answer.
            stops: Texts that end an answer.
        """
        self._decode, self._special = decode, special
        self._ends, self._stops = frozenset(ends), [stop for stop in stops if stop]
        # A stop that has just been completed lies within so many tokens: each has a byte or more.
        self._tail = max((len(stop.encode()) for stop in self._stops), default=0) + 1
        self._ids: list[int] = []
        self.ended = False

    def add(self, token: int | None) -> None:
        """Take the next token; None: there is none any more."""
        if token is None or self.ended or token in self._ends:
            self.ended = True
            return
        self._ids.append(token)
        if self._stops:
            tail = "".join(text for text, _ in self._parts(self._ids[-self._tail :]))
            self.ended = any(stop in tail for stop in self._stops)

    def text(self) -> str:
        """Return the text before the first stop."""
        parts = self._parts(self._ids)
        shown = "".join(text for text, _ in parts)
        found = [place for stop in self._stops if (place := shown.find(stop)) >= 0]
        left = min(found, default=len(shown))
        kept = []
        for text, is_special in parts:
            if not is_special:
                kept.append(text[:left])
            left = max(0, left - len(text))
        return "".join(kept)

    def _parts(self, ids: Sequence[int]) -> list[tuple[str, bool]]:
        """Return the text of tokens in parts, and which of them stand for special tokens."""
        parts: list[tuple[str, bool]] = []
        done = 0
        for place, token in enumerate(ids):
            if token in self._special:
                before = self._decode(ids[:place])
                parts += [(before[done:], False), (self._special[token], True)]
                done = len(before)
        return [*parts, (self._decode(ids)[done:], False)]
