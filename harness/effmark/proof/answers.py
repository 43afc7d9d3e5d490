"""The questions of a proof and a model's answers: log-probabilities and greedy tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effmark.adapter import Array
from effmark.errors import UnsupportedError

__all__ = ["STEPS", "TEXT", "Answers", "holds_answers", "questions"]

TEXT = (
    "The keeper of the lighthouse counted 27 ships before noon; by evening, when the fog had come "
    "in from the sea, he could no longer see the rocks below. He lit the lamp and waited."
)
"""Plain prose with digits and marks, written for this purpose."""
TEXT_TOKENS = 40
STEPS = 4
"""Tokens that decoding adds to each prompt: the first after the prefill, the others cached."""
FEWEST_TOKENS = 16
"""A text of fewer shows too little of a model."""
_FILE = "answers.npz"
_PROMPTS = ((0.0, 0.125), (0.075, 0.35), (0.25, 0.9))
"""Parts of the text that are prompts; their lengths differ, so that a batch of them is padded."""


def questions(
    ids: Sequence[int], begin: Sequence[int] = (), context_tokens: int | None = None
) -> tuple[tuple[int, ...], tuple[tuple[int, ...], ...]]:
    """Return the text and the prompts in token ids.

    Args:
        ids: the tokens of `TEXT` for this model; few ones are repeated.
        begin: what this model's texts begin with, a token for the beginning of a sequence say.
        context_tokens: what the model takes at most; a short one shortens the text.

    Raises:
        UnsupportedError: the model's context is too short.
    """
    room = TEXT_TOKENS if context_tokens is None else context_tokens - len(begin) - STEPS
    if room < FEWEST_TOKENS:
        raise UnsupportedError(
            f"a context of {context_tokens} tokens is too short for a proof, it takes "
            f"{FEWEST_TOKENS + len(begin) + STEPS}"
        )
    whole = (list(ids) * TEXT_TOKENS)[: min(room, TEXT_TOKENS)]
    parts = [slice(round(a * len(whole)), round(b * len(whole))) for a, b in _PROMPTS]
    return (*begin, *whole), tuple((*begin, *whole[part]) for part in parts)


@dataclass(frozen=True)
class Answers:
    """What one model says; arrays are float32 natural-log probabilities."""

    reads: tuple[int, ...]
    """The ids of `TEXT`, without special tokens, by the model's own tokenizer."""
    text: tuple[int, ...]
    text_rows: Array
    """[len(text) - 1, vocabulary]: of each token but the first."""
    prompts: tuple[tuple[int, ...], ...]
    continuations: tuple[tuple[int, ...], ...]
    """[prompts][STEPS]: the greedy tokens."""
    decode_rows: tuple[Array, ...]
    """[prompts] of [STEPS, vocabulary]: of each token of the continuations."""
    source: str
    """Who answered and in which arithmetic, `transformers 5.18.0, eager attention, fp32` say."""
    exact: bool
    """Whether the arithmetic was fp32."""

    def save(self, folder: Path) -> None:
        """Write the answers into a folder."""
        import numpy as np

        np.savez(
            folder / _FILE,
            reads=np.array(self.reads),
            text=np.array(self.text),
            text_rows=self.text_rows,
            prompts=np.array([token for prompt in self.prompts for token in prompt]),
            lengths=np.array([len(prompt) for prompt in self.prompts]),
            continuations=np.array(self.continuations),
            decode_rows=np.stack(self.decode_rows),
            source=np.array(self.source),
            exact=np.array(self.exact),
        )

    @classmethod
    def read(cls, folder: Path) -> Answers:
        """Return the answers that `save` wrote."""
        import numpy as np

        with np.load(folder / _FILE) as held:
            return cls(
                reads=_ids(held["reads"]),
                text=_ids(held["text"]),
                text_rows=held["text_rows"],
                prompts=_split(_ids(held["prompts"]), held["lengths"].tolist()),
                continuations=tuple(_ids(row) for row in held["continuations"]),
                decode_rows=tuple(held["decode_rows"]),
                source=str(held["source"]),
                exact=bool(held["exact"]),
            )


def holds_answers(folder: Path) -> bool:
    """Return whether `save` wrote into a folder."""
    return (folder / _FILE).is_file()


def _ids(array: Any) -> tuple[int, ...]:
    return tuple(int(token) for token in array)


def _split(ids: tuple[int, ...], lengths: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return consecutive parts of the given lengths."""
    ends = [sum(lengths[: i + 1]) for i in range(len(lengths))]
    return tuple(ids[end - length : end] for end, length in zip(ends, lengths, strict=True))
