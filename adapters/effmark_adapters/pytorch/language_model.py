"""A causal language model of transformers, ready to decode and to score."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers.cache_utils import StaticCache

from effmark.adapter import Array, Generation, OnStep
from effmark_adapters.pytorch.decoding import Forward, Prompts, decode_batch, make_chooser
from effmark_adapters.pytorch.kv_cache import make_cache
from effmark_adapters.pytorch.scoring import Pair, score_pairs

__all__ = ["LanguageModel"]


class LanguageModel:
    """Eager by default; `compile_steps` makes every decode step one compiled graph."""

    def __init__(self, model: Any, device: torch.device, room_tokens: int) -> None:
        self.model = model
        self._device = device
        self._room_tokens = room_tokens
        self._step: Callable[..., Any] | None = None
        self._static: dict[int, StaticCache] = {}
        self._cache: Any = None
        """That of the request in flight."""

    @torch.inference_mode()
    def generate(self, generation: Generation, on_step: OnStep) -> None:
        """Continue prompts; `on_step` gets the ids of each step."""
        longest = max(map(len, generation.prompts))
        compiled = self._step is not None
        room_tokens = self._room_tokens if compiled else longest + generation.new_tokens
        prompts = Prompts(generation.prompts, room_tokens, self._device)
        forward = self._compiled(prompts) if compiled else self._eager(prompts, room_tokens)
        choose = make_chooser(generation.sampling, self._device)
        try:
            decode_batch(forward, prompts, generation, on_step, choose)
        finally:
            self._cache = None

    def kv_cache_b(self) -> int:
        """Return the bytes held for the cache of the request in flight."""
        layers = self._cache.layers if self._cache is not None else ()
        tensors = [t for layer in layers for t in (layer.keys, layer.values) if t is not None]
        held = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}
        return sum(held.values())  # a view of a part holds the whole

    @torch.inference_mode()
    def log_probs(self, pairs: Sequence[Pair]) -> list[Array]:
        """Return the log-probabilities of each continuation, one row per token."""
        return score_pairs(self.model, pairs, self._device)

    def compile_steps(self, batches: set[int]) -> float:
        """Compile the decode step for batch sizes; return the seconds that it took."""
        import torch._inductor.config as compiler  # eager decoding does not pay for it

        started_s = time.perf_counter()
        # Workers of the compiler would stay, and count as memory of this process tree.
        compiler.compile_threads = 1
        # A step has one shape per batch size; the cache has room for the longest request.
        self._step = torch.compile(self.model, dynamic=False)
        for batch in sorted(batches):
            warm = Generation(prompts=((1, 2, 3, 4),) * batch, new_tokens=3)
            self.generate(warm, lambda _: False)
        return time.perf_counter() - started_s

    def _eager(self, prompts: Prompts, room_tokens: int) -> Forward:
        model, batch = self.model, prompts.ids.shape[0]
        cache = self._cache = make_cache(model.config, batch, room_tokens, model.dtype.itemsize)

        def forward(
            ids: torch.Tensor, mask: torch.Tensor | None, positions: torch.Tensor | None
        ) -> torch.Tensor:
            return _last_logits(model, ids, mask, positions, cache)

        return forward

    def _compiled(self, prompts: Prompts) -> Forward:
        cache = self._cache = self._static_cache(prompts.ids.shape[0])
        mask = prompts.mask(self._room_tokens)  # one shape at every step

        def forward(
            ids: torch.Tensor, _: torch.Tensor | None, positions: torch.Tensor | None
        ) -> torch.Tensor:
            step = self._step if ids.shape[1] == 1 and self._step is not None else self.model
            return _last_logits(step, ids, mask, positions, cache)

        return forward

    def _static_cache(self, batch: int) -> StaticCache:
        """Return an empty cache of fixed shape; what an earlier request left is masked."""
        if batch not in self._static:
            self._static[batch] = StaticCache(self.model.config, max_cache_len=self._room_tokens)
        cache = self._static[batch]
        for layer in cache.layers:
            layer.cumulative_length.zero_()
        return cache


def _last_logits(
    step: Callable[..., Any],
    ids: torch.Tensor,
    mask: torch.Tensor | None,
    positions: torch.Tensor | None,
    cache: Any,
) -> torch.Tensor:
    """Return the logits [n, vocabulary] after the last of ids [n, t]; the cache grows by them."""
    logits: torch.Tensor = step(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    ).logits
    return logits[:, -1]
