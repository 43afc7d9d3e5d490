"""The KV cache of a request: grown while it is small, with room for everything when it is large.

The cache of transformers grows by concatenation: one cheap call, but a copy of all there is at
every step. With room taken once a step writes its own row, and attention reads a view of what is
filled, so nothing is computed for what is still empty (a static cache pays for all of it). That
takes three calls, so it only pays above some size. Measured per layer and step for keys or
values: 1.5 us against 3.6 us at 25 kB, equal at 200 kB, and the copy grows with the length.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

__all__ = ["ROOMY_B", "RoomyLayer", "held_b", "make_cache"]

ROOMY_B = 200_000
"""Keys of one layer from which on room pays (see above)."""


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """Keys and values of one layer, in buffers of fixed length where these are large."""

    def __init__(self, room_tokens: int) -> None:
        super().__init__()
        self.room_tokens = room_tokens
        self.filled_tokens = 0
        self._is_roomy = False

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take the room, at the first keys and values, if it will hold many."""
        super().lazy_initialization(key_states, value_states)
        one_b = key_states[..., :1, :].numel() * key_states.element_size()
        self._is_roomy = one_b * self.room_tokens >= ROOMY_B
        if self._is_roomy:
            self._keys = self._room(key_states)
            self._values = self._room(value_states)

    def _room(self, states: torch.Tensor) -> torch.Tensor:
        batch, heads, _, width = states.shape
        return states.new_empty((batch, heads, self.room_tokens, width))

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new keys and values; return views of all that are filled."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        count = key_states.shape[-2]
        start, self.filled_tokens = self.filled_tokens, self.filled_tokens + count
        if not self._is_roomy:
            found: tuple[torch.Tensor, torch.Tensor] = super().update(key_states, value_states)
            return found
        self._keys.narrow(2, start, count).copy_(key_states)
        self._values.narrow(2, start, count).copy_(value_states)
        self.keys = self._keys.narrow(2, 0, self.filled_tokens)
        self.values = self._values.narrow(2, 0, self.filled_tokens)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Return how many tokens are filled."""
        return self.filled_tokens


def make_cache(config: Any, room_tokens: int) -> DynamicCache:
    """Return an empty cache for a request.

    Args:
        config: Configuration of the model; layers with a window or a state keep their own kind.
        room_tokens: Longest prompt and what will be generated.
    """
    cache = DynamicCache(config=config)
    cache.layers = [
        RoomyLayer(room_tokens) if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


def held_b(caches: Any) -> int:
    """Return the bytes of all tensors that caches hold, of whatever kind these are."""
    # A view of a part holds the whole.
    held = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _tensors(caches)}
    return sum(held.values())


def _tensors(held: Any) -> Iterator[torch.Tensor]:
    if isinstance(held, torch.Tensor):
        yield held
    elif isinstance(held, dict):
        yield from _tensors(list(held.values()))
    elif isinstance(held, list | tuple):
        for part in held:
            yield from _tensors(part)
    elif type(held).__name__.endswith(("Cache", "Layer")):
        yield from _tensors(vars(held))
