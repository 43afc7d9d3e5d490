"""A causal language model of transformers, ready to decode and to score."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from transformers.cache_utils import StaticCache

from effmark.adapter import Array, Generation, OnStep
from effmark.errors import SpecError, UnsupportedError
from effmark_adapters.pytorch.batches import Forward, Padded, Split, by_length
from effmark_adapters.pytorch.calls import Calls, check_steps, inspect_calls
from effmark_adapters.pytorch.decoding import Batch, Choose, Prompts, decode_batch, make_chooser
from effmark_adapters.pytorch.kv_cache import held_b, make_cache
from effmark_adapters.pytorch.scoring import Pair, score_pairs

__all__ = ["LanguageModel"]


class LanguageModel:
    """Eager by default; `compile_steps` makes every decode step one compiled graph."""

    def __init__(self, model: Any, device: torch.device, room_tokens: int) -> None:
        self.model = model
        self.calls: Calls = inspect_calls(model)
        check_steps(model, self.calls)
        self._device = device
        self._room_tokens = room_tokens
        self._step: Callable[..., Any] | None = None
        self._static: dict[int, StaticCache] = {}
        self._caches: list[Any] = []
        """Those of the request in flight, one per batch that runs together."""

    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Continue prompts; `on_step` gets the ids of each step."""
        self._decode(generation, on_step, make_chooser(generation.sampling, self._device))

    def replay(
        self, prompts: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> list[Array]:
        """Return the log-probabilities [continuation, vocabulary] of decoding given tokens.

        The prompts run as one batch of `generate`, which is made to choose the continuations.
        """
        lengths = {len(continuation) for continuation in continuations}
        if len(lengths) != 1 or not min(lengths):
            raise SpecError(
                f"torch: continuations of {sorted(lengths)} tokens cannot be replayed together; "
                "they need one length of at least 1"
            )
        given: Iterator[torch.Tensor] = iter(
            torch.tensor([list(c) for c in continuations], device=self._device).T
        )
        rows: list[torch.Tensor] = []

        def choose(logits: torch.Tensor) -> torch.Tensor:
            rows.append(logits.float().log_softmax(-1))
            return next(given)

        texts = tuple(tuple(prompt) for prompt in prompts)
        self._decode(Generation(prompts=texts, new_tokens=max(lengths)), _go_on, choose)
        return list(torch.stack(rows, dim=1).cpu().numpy())

    def kv_cache_b(self) -> int:
        """Return the bytes held for the cache of the request in flight."""
        return held_b(self._caches)

    @torch.inference_mode()
    def log_probs(self, pairs: Sequence[Pair]) -> list[Array]:
        """Return the log-probabilities of each continuation, one row per token."""
        return score_pairs(self.model, self.calls, pairs, self._device)

    def compile_steps(self, batches: set[int]) -> float:
        """Compile the decode step for batch sizes; return the seconds that it took."""
        self._check_compilable()
        import torch._inductor.config as compiler  # eager decoding does not pay for it

        started_s = time.perf_counter()
        # Workers of the compiler would stay, and count as memory of this process tree.
        compiler.compile_threads = 1
        # A step has one shape per batch size; the cache has room for the longest request.
        self._step = torch.compile(self.model, dynamic=False)
        for batch in sorted(batches):
            warm = Generation(prompts=((1, 2, 3, 4),) * batch, new_tokens=3)
            self.generate(warm, _go_on)
        return time.perf_counter() - started_s

    def _check_compilable(self) -> None:
        layers = StaticCache(self.model.config, max_cache_len=self._room_tokens).layers
        fixed = all(hasattr(layer, "cumulative_length") for layer in layers)
        if not (self.calls.pads(self._room_tokens) and fixed):
            raise UnsupportedError(
                f"torch: option compile needs keys and values in a cache of fixed shape, which "
                f"{type(self.model).__name__} does not have"
            )

    @torch.inference_mode()
    def _decode(self, generation: Generation, on_step: OnStep, choose: Choose) -> None:
        try:
            decode_batch(self._batch(generation), generation, on_step, choose)
        finally:
            self._caches = []

    def _batch(self, generation: Generation) -> Batch:
        """Return the prompts of a request as they can run: together, or those of one length."""
        prompts = generation.prompts
        room_tokens = max(map(len, prompts)) + generation.new_tokens
        groups = by_length(prompts)
        if len(groups) == 1 or self.calls.pads(room_tokens):
            return self._padded(prompts, room_tokens)
        if self.calls.holds_state:
            raise UnsupportedError(
                f"torch: prompts of {len(groups)} different lengths cannot run together, "
                f"{type(self.model).__name__} keeps its state in its own layers"
            )
        parts = [self._padded([prompts[row] for row in rows], room_tokens) for rows in groups]
        return Split(parts, groups)

    def _padded(self, texts: Sequence[Sequence[int]], room_tokens: int) -> Padded:
        room_tokens = self._room_tokens if self._step is not None else room_tokens
        prompts = Prompts(texts, room_tokens, self._device)
        number = len(self._caches)
        self._caches.append(None)

        def begin() -> Forward:
            if self._step is not None:
                return self._compiled(prompts, number)
            return self._eager(room_tokens, number)

        return Padded(prompts, self.calls, begin, room_tokens)

    def _eager(self, room_tokens: int, number: int) -> Forward:
        model, calls = self.model, self.calls
        fixed = {**calls.keep(1), **calls.arguments(use_cache=calls.cache is not None)}
        cache: Any = None if calls.makes_cache else make_cache(model.config, room_tokens)
        name = calls.cache

        def forward(
            ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor | None
        ) -> torch.Tensor:
            nonlocal cache
            given = calls.arguments(attention_mask=mask)
            if calls.takes_positions and positions is not None:
                given["position_ids"] = positions
            if name is None:
                return _last(model(input_ids=ids, **given, **fixed))
            given[name] = cache
            out = model(input_ids=ids, **given, **fixed)
            made = getattr(out, name, None)  # some classes only write to what they were given
            cache = self._caches[number] = cache if made is None else made
            return _last(out)

        return forward

    def _compiled(self, prompts: Prompts, number: int) -> Forward:
        cache = self._caches[number] = self._static_cache(prompts.ids.shape[0])
        mask = prompts.mask(self._room_tokens)  # one shape at every step

        def forward(
            ids: torch.Tensor, _: torch.Tensor | None, positions: torch.Tensor | None
        ) -> torch.Tensor:
            step = self._step if ids.shape[1] == 1 and self._step is not None else self.model
            return _last(
                step(
                    input_ids=ids,
                    attention_mask=mask,
                    position_ids=positions,
                    past_key_values=cache,
                    use_cache=True,
                    logits_to_keep=1,
                )
            )

        return forward

    def _static_cache(self, batch: int) -> StaticCache:
        """Return an empty cache of fixed shape; what an earlier request left is masked."""
        if batch not in self._static:
            self._static[batch] = StaticCache(self.model.config, max_cache_len=self._room_tokens)
        cache = self._static[batch]
        for layer in cache.layers:
            layer.cumulative_length.zero_()
        return cache


def _go_on(_: Sequence[int | None]) -> bool:
    return False


def _last(out: Any) -> torch.Tensor:
    """Return the logits [n, vocabulary] after the last token."""
    logits: torch.Tensor = out.logits
    return logits[:, -1]
