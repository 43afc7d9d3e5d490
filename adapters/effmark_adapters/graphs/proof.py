"""What a model itself gives for a few sequences, to hold against a graph made of it.

The sequences are random tokens, longer than the model's attention window where that is short, of
unequal lengths; the model computes each alone and without a cache, the graph all of them in one
batch padded on the left, then one token at a time, and one of them once more alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effmark.errors import UnsupportedError
from effmark_adapters.graphs.adapter import conversion_errors
from effmark_adapters.graphs.kv_loop import KvModel, replay

__all__ = ["Proof"]

TOLERANCE = 1e-3
"""Largest difference of a log-probability, relative to the largest; measured about 1e-6."""
STEPS = 5
SHORT, LONG = 13, 520
"""Tokens of the longest prompt without a window, and at most with one."""
_WINDOWS = ("sliding_window", "attention_chunk_size", "window_size")


@dataclass(frozen=True)
class Proof:
    """Prompts, what follows them, and the model's log-probabilities [n, STEPS, vocabulary]."""

    prompts: list[list[int]]
    continuations: list[list[int]]
    log_probs: NDArray[np.float32]

    @classmethod
    def of(cls, model: Any, longest_tokens: int | None) -> Proof:
        """Return what a model of transformers gives for sequences of at most so many tokens."""
        config = model.config.get_text_config(decoder=True)
        longest = _longest(config, longest_tokens)
        draw = np.random.default_rng(0)
        rows = model.get_input_embeddings().weight.shape[0]
        lengths = [longest, max(longest // 3, 1), 1]
        drawn = [draw.integers(0, rows, n + STEPS).tolist() for n in lengths]
        prompts = [ids[:-STEPS] for ids in drawn]
        log_probs = np.stack([_last_log_probs(model, ids[:-1]) for ids in drawn])
        return cls(prompts, [ids[-STEPS:] for ids in drawn], log_probs)

    @classmethod
    def read(cls, path: Path) -> Proof:
        """Return what `save` wrote."""
        with np.load(path) as found:
            lengths = found["lengths"].tolist()
            prompts = np.split(found["prompts"], np.cumsum(lengths)[:-1])
            continuations = found["continuations"].tolist()
            return cls([p.tolist() for p in prompts], continuations, found["log_probs"])

    def save(self, path: Path) -> None:
        """Write it as one file."""
        np.savez(
            path,
            lengths=[len(p) for p in self.prompts],
            prompts=np.concatenate(self.prompts),
            continuations=self.continuations,
            log_probs=self.log_probs,
        )

    def check(self, open_graph: Callable[[], KvModel], runtime: str, model: str) -> None:
        """Refuse a graph that does not compute what the model computes.

        Args:
            open_graph: Loads the graph, in full precision.
            runtime: What runs it, for the sentence of a refusal.
            model: What people call the model.

        Raises:
            UnsupportedError: with the first difference, or why it does not run.
        """
        subject = f"{runtime}: the graph of model {model!r}"
        with conversion_errors(runtime, f"{subject} does not run"):
            graph = open_graph()
            rows = zip(self.prompts, self.continuations, strict=True)
            alone = [replay(graph, [prompt], [continuation])[0] for prompt, continuation in rows]
            together = replay(graph, self.prompts, self.continuations)
        for row in range(len(self.prompts)):
            self._compare(alone[row], row, subject, "alone")
            self._compare(together[row], row, subject, f"in a padded batch of {len(together)}")

    def _compare(self, found: Any, row: int, subject: str, how: str) -> None:
        expected = self.log_probs[row]
        if found.shape != expected.shape:
            raise UnsupportedError(
                f"{subject} gives logits of shape {found.shape}, the model gives {expected.shape}"
            )
        scale = float(np.abs(expected).max())
        for step, difference in enumerate(np.abs(found - expected).max(-1) / scale):
            if not difference <= TOLERANCE:
                where = f"cached step {step}" if step else "the prompt"
                raise UnsupportedError(
                    f"{subject} does not compute what the model computes: log-probabilities after "
                    f"{where} of {len(self.prompts[row])} tokens, {how}, differ by "
                    f"{difference:.2g} of the largest, more than {TOLERANCE}"
                )


def _longest(config: Any, longest_tokens: int | None) -> int:
    """Return the tokens of the longest prompt: more than the window where that can be."""
    windows = [getattr(config, name, None) for name in _WINDOWS]
    longest = max([SHORT, *(w + 3 for w in windows if isinstance(w, int) and w + 3 <= LONG)])
    room = [getattr(config, "max_position_embeddings", None), longest_tokens]
    return max(1, min([longest, *(int(tokens) - STEPS for tokens in room if tokens)]))


def _last_log_probs(model: Any, ids: list[int]) -> NDArray[np.float32]:
    """Return the log-probabilities after the last STEPS ids, computed without a cache."""
    import torch

    known = inspect.signature(model.forward).parameters
    settings = {"use_cache": False, "logits_to_keep": STEPS}
    settings = {name: value for name, value in settings.items() if name in known}
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids]), **settings).logits[0, -STEPS:]
        found: NDArray[np.float32] = logits.float().log_softmax(-1).numpy()
    return found
