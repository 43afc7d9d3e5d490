"""Work and cache of a language model, counted in its own code on weights that hold no memory.

Heavy: imports torch and transformers. Three tokens are run, one after the other, on tensors that
have a shape and no numbers. Products are counted as torch's own counter does; the cache says what
each token adds and what a sequence holds whatever its length. What depends on the numbers
themselves cannot run so, and recurrences outside of products are not counted: then the FLOPs are
unknown, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode
from transformers.cache_utils import DynamicCache

from effmark_adapters.artefacts.costs import Costs

__all__ = ["count"]

_STATES = ("past_key_values", "cache_params", "state")
"""Names under which a model returns its cache and takes it back."""


def count(config: Any) -> Costs:
    """Return the work and the cache of the causal language model of a transformers config."""
    with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
        model = _empty(config)
        with FlopCounterMode(display=False) as counter:
            model(input_ids=_token(), use_cache=False)
        layers = list(_layers(model))
    flops = float(counter.get_total_flops())
    windows = {layer["window"] for layer in layers} - {None}
    recurrent = any(layer["recurrent"] for layer in layers)
    if len(windows) > 1:
        raise ValueError("its windows have several lengths")
    return Costs(
        flops=None if recurrent else flops,
        kv_elements=sum(layer["added"] for layer in layers),
        window=min(windows, default=None),
        window_elements=sum(layer["added"] for layer in layers if layer["window"]),
        state_elements=sum(layer["constant"] for layer in layers),
        unknown={"flops": "its recurrent layers work outside of products"} if recurrent else {},
    )


def _empty(config: Any) -> Any:
    """Return the model of a config, without memory, with experts that any tensor can choose."""
    from transformers import AutoModelForCausalLM

    config._experts_implementation = "batched_mm"
    try:
        return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()
    except ValueError:  # a class with one attention only
        return AutoModelForCausalLM.from_config(config).eval()


def _token() -> torch.Tensor:
    return torch.full((1, 1), 1)


def _layers(model: Any) -> Iterator[dict[str, Any]]:
    """Yield for each layer of the cache what a token adds, and what is held whatever the length."""
    given: dict[str, Any] = {}
    sizes: list[list[int]] = []
    layers: list[Any] = []
    for _ in range(2):
        returned = model(input_ids=_token(), use_cache=True, **given)
        name = next((n for n in _STATES if getattr(returned, n, None) is not None), "")
        given = {name: returned[name]} if name else {}
        layers = _dynamic(given.get(name)).layers
        sizes.append([_held(layer) for layer in layers])
    for layer, first, second in zip(layers, *sizes, strict=True):
        states = getattr(layer, "recurrent_states", {}).values()
        yield {
            "added": second - first,
            "constant": first - (second - first),
            "window": getattr(layer, "sliding_window", None),
            "recurrent": any(state is not None for state in states),
        }


def _dynamic(cache: Any) -> Any:
    """Return the cache of the decoder itself; what keeps another kind is not understood."""
    found = getattr(cache, "self_attention_cache", cache)
    if type(found) is not DynamicCache:
        raise TypeError(f"a cache of class {type(found).__name__} is not understood")
    return found


def _held(layer: Any) -> int:
    """Return the elements of a layer's tensors, without its counters."""
    return sum(tensor.numel() for tensor in _tensors(vars(layer)) if tensor.ndim > 1)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _tensors(part)
