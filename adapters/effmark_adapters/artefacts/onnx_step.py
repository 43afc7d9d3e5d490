"""One step of a causal LM of transformers as a module whose cache is arguments and results.

Heavy: imports torch and transformers, so only `prepare` may import this module.

The cache holds every key and value, also of layers that look at a window only: the mask alone
says what a query sees. A cache that forgets what is out of the window would have to know which
columns of a padded batch hold nothing, and transformers' own does not.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from transformers.cache_utils import (
    Cache,
    DummyLayer,
    DynamicCache,
    DynamicLayer,
    DynamicSlidingWindowLayer,
)

from effmark.errors import UnsupportedError
from effmark_adapters.graphs.adapter import one_line

__all__ = ["Step", "fix_rope", "longest_with_one_rope"]

_WHOLE = (DynamicLayer, DynamicSlidingWindowLayer)
"""Layers of a cache that hold keys and values and nothing else."""
_GROWING_ROPES = ("dynamic", "longrope")
"""Rotary embeddings of transformers whose frequencies depend on the length of the text."""


class Step(torch.nn.Module):
    """One step with the cache as a flat list: key, value, key, value and so on.

    Raises:
        UnsupportedError: the model keeps another state than keys and values.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self._takes = set(inspect.signature(model.forward).parameters)
        self._positions = torch.tensor([2])
        model.get_output_embeddings().register_forward_pre_hook(self._select)
        self._layers = _layer_kinds(model)
        self.cached: list[int] = []
        self.cached, self.shapes = self._probe()

    @property
    def names(self) -> list[str]:
        """The names of the cache's inputs."""
        return [f"past_key_values.{i}.{part}" for i in self.cached for part in ("key", "value")]

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        logit_positions: torch.Tensor,
        past: Sequence[torch.Tensor],
    ) -> tuple[torch.Tensor, ...]:
        """Return the logits at positions of this step, and the grown cache."""
        cache = self._cache(past)
        self._positions = logit_positions
        given = {"input_ids": input_ids, "attention_mask": attention_mask, "use_cache": True}
        given |= {"position_ids": position_ids, "past_key_values": cache}
        out = self.model(**{name: value for name, value in given.items() if name in self._takes})
        layers = [cache.layers[i] for i in self.cached]
        return out.logits, *(t for layer in layers for t in (layer.keys, layer.values))

    def _select(self, _: Any, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        """Keep the wanted positions before the head: it costs a quarter of a small model."""
        return (arguments[0].index_select(1, self._positions), *arguments[1:])

    def _cache(self, past: Sequence[torch.Tensor]) -> Any:
        layers: list[Any] = [kind() for kind in self._layers]
        for i, number in enumerate(self.cached):
            layer = layers[number]
            layer.keys, layer.values = past[2 * i], past[2 * i + 1]
            layer.dtype, layer.device, layer.is_initialized = torch.float32, past[0].device, True
        return Cache(layers=layers)

    def _probe(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Return which layers keep something, and [heads, size] of each key and value."""
        cache = self._cache([])
        three = torch.zeros(1, 3, dtype=torch.long)
        with torch.inference_mode(), _taking_a_cache(self.model):
            self.model(input_ids=three, past_key_values=cache, use_cache=True)
        kept = [i for i, layer in enumerate(cache.layers) if layer.keys is not None]
        if not kept or any(cache.layers[i].keys.ndim != 4 for i in kept):
            raise UnsupportedError(
                f"onnx export of {type(self.model).__name__}: it gives no keys and values to a "
                "cache, so it cannot continue a text step by step in a graph"
            )
        tensors = [t for i in kept for t in (cache.layers[i].keys, cache.layers[i].values)]
        return kept, [(int(t.shape[1]), int(t.shape[3])) for t in tensors]


def _layer_kinds(model: Any) -> list[type[Any]]:
    """Return the kind of cache of each layer, windows kept whole."""
    name = f"onnx export of {type(model).__name__}"
    if getattr(model, "_is_stateful", False):
        raise UnsupportedError(
            f"{name}: it is recurrent, and its state is not carried from step to step in a graph"
        )
    with _taking_a_cache(model):
        layers = DynamicCache(config=model.config).layers
    other = [layer for layer in layers if type(layer) not in (*_WHOLE, DummyLayer)]
    if other:
        raise UnsupportedError(
            f"{name}: {len(other)} of {len(layers)} layers keep a {type(other[0]).__name__}, not "
            "keys and values only, which is not carried from step to step in a graph"
        )
    return [DummyLayer if type(layer) is DummyLayer else DynamicLayer for layer in layers]


@contextmanager
def _taking_a_cache(model: Any) -> Iterator[None]:
    """Turn what a model raises about the usual cache into a refusal."""
    try:
        yield
    except Exception as error:  # each family fails in its own way; none can then be exported
        raise UnsupportedError(
            f"onnx export of {type(model).__name__}: it does not run with transformers' cache of "
            f"one layer each: {type(error).__name__}: {one_line(error)}"
        ) from error


def longest_with_one_rope(model: Any) -> int | None:
    """Return the longest text, in tokens, for which a model's rotary frequencies do not change.

    None where they never do.
    """
    found = [_short(module, layer) for module, kinds in _growing_ropes(model) for layer in kinds]
    return min(found, default=None)


def fix_rope(model: Any) -> None:
    """Keep rotary frequencies as they are for texts not longer than `longest_with_one_rope`."""
    for module, growing in list(_growing_ropes(model)):
        if isinstance(module.rope_type, dict):
            module.rope_type = {**module.rope_type, **dict.fromkeys(growing, "fixed")}
        else:
            module.rope_type = "fixed"


def _growing_ropes(model: Any) -> Iterator[tuple[Any, list[str]]]:
    """Yield modules whose frequencies depend on the length, and for which kinds of layers."""
    for module in model.modules():
        kind = getattr(module, "rope_type", None)
        kinds = kind if isinstance(kind, dict) else {"": kind}
        growing = [layer for layer, k in kinds.items() if k in _GROWING_ROPES]
        if growing:
            yield module, growing


def _short(module: Any, layer: str) -> int:
    """Return the longest text, in tokens, for which a module's first frequencies hold."""
    config = module.config
    parameters = config.rope_parameters
    parameters = parameters[layer] if layer else parameters
    found = parameters.get("original_max_position_embeddings")
    return int(found or config.max_position_embeddings)
