"""A KV cache with room for what will come.

The cache of transformers is copied whole at every step, since it grows by concatenation. Here
the room is taken once; a step writes its own row, and attention reads a view of what is filled,
so nothing is computed for the room that is still empty (a static cache pays for all of it).
"""

from __future__ import annotations

from typing import Any

import torch
from transformers.cache_utils import DynamicCache, DynamicLayer

__all__ = ["RoomyLayer", "roomy_cache"]


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """Keys and values of one layer in buffers of fixed length."""

    def __init__(self, room_tokens: int) -> None:
        super().__init__()
        self.room_tokens = room_tokens
        self.filled_tokens = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Take the room, at the first keys and values."""
        self.dtype, self.device = key_states.dtype, key_states.device
        self._keys = self._room(key_states)
        self._values = self._room(value_states)
        self.is_initialized = True

    def _room(self, states: torch.Tensor) -> torch.Tensor:
        batch, heads, _, width = states.shape
        return states.new_empty((batch, heads, self.room_tokens, width))

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write new keys and values; return views of all that are filled."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        count = key_states.shape[-2]
        start, self.filled_tokens = self.filled_tokens, self.filled_tokens + count
        self._keys.narrow(2, start, count).copy_(key_states)
        self._values.narrow(2, start, count).copy_(value_states)
        self.keys = self._keys.narrow(2, 0, self.filled_tokens)
        self.values = self._values.narrow(2, 0, self.filled_tokens)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Return how many tokens are filled."""
        return self.filled_tokens


def roomy_cache(config: Any, room_tokens: int) -> DynamicCache:
    """Return an empty cache of a model; layers with a sliding window keep their own kind."""
    cache = DynamicCache(config=config)
    layers = cache.layers or [DynamicLayer() for _ in range(config.num_hidden_layers)]
    cache.layers = [
        RoomyLayer(room_tokens) if type(layer) is DynamicLayer else layer for layer in layers
    ]
    return cache
