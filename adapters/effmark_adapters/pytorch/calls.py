"""How a class of transformers is called: what its forward takes, and what it keeps between steps.

Most classes take keys and values in a `DynamicCache`, a mask and positions, so prompts of unequal
length can run padded. Others keep a recurrent state, into which padding would leak, or count
positions themselves; a few keep nothing and read the whole text at every step.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
import transformers
from transformers.cache_utils import DynamicCache

from effmark.errors import UnsupportedError

__all__ = ["Calls", "check_steps", "inspect_calls", "three_tokens"]

_CACHES = ("past_key_values", "cache_params", "state")
"""Names under which forward takes what an earlier step left, and gives it back."""
_FROM_MASK = ("bloom", "mpt")
"""Model types whose attention counts distances from the mask (ALiBi), so that it needs no
positions for padded rows."""
_UNPADDED = ("git",)
"""Model types that take a mask and positions but let padding be seen."""
_WHOLE = ("blt", "reformer")
"""Model types whose state does not take one more token at a time."""
STEP_TOLERANCE = 0.1
"""Largest difference of a logit between a text read at once and in steps, relative to the largest
logit; bf16 differs by about 0.01, a state that is not handed on by 1."""


@dataclass(frozen=True)
class Calls:
    """What a model's forward takes."""

    names: frozenset[str]
    """Its arguments."""
    vocabulary: int
    """Rows of its embedding: ids from here on it does not know."""
    cache: str | None
    """The argument that holds what earlier steps left; None where there is none."""
    makes_cache: bool
    """Whether the class makes it at the first step; otherwise it is given an empty one."""
    is_recurrent: bool
    """Whether it holds a state that every token changes, not only keys and values."""
    counts_from_mask: bool
    takes_positions: bool
    """Whether positions given to it count from 0; some classes count from their padding id."""
    is_padded: bool
    """Whether padding that is masked is not seen."""
    holds_state: bool
    """Whether its layers keep the state themselves, so that it can read one batch at a time."""
    switch_tokens: int | None
    """Length above which the rotary frequencies are others (longrope); None where they stay."""

    def pads(self, longest: int) -> bool:
        """Return whether texts of unequal length, the longest so long, can run padded on the left.

        Frequencies that change with the longest text of a batch change for the others, too.
        """
        if self.is_recurrent or self.makes_cache or self.cache is None or not self.is_padded:
            return False
        return (self.takes_positions or self.counts_from_mask) and not self.is_switched(longest)

    def is_switched(self, tokens: int) -> bool:
        """Return whether a text so long has the frequencies of long texts."""
        return self.switch_tokens is not None and tokens > self.switch_tokens

    def shares(self, longest: int) -> bool:
        """Return whether copies of a context's cache can be continued with several tokens."""
        return self.pads(longest)

    def keep(self, rows: int) -> dict[str, int]:
        """Return the argument for logits of the last rows only, where forward has it."""
        return {"logits_to_keep": rows} if "logits_to_keep" in self.names else {}

    def arguments(self, **given: Any) -> dict[str, Any]:
        """Return those of the given arguments that forward takes and that are not None."""
        return {k: v for k, v in given.items() if k in self.names and v is not None}

    def describe(self) -> dict[str, str]:
        """Return what a record says about the state and about prompts of unequal length."""
        if self.cache is None:
            kind = "none: every step reads the whole text"
        else:
            kind = "recurrent state" if self.is_recurrent else "keys and values"
        apart = "not together" if self.holds_state else "one forward per length"
        return {
            "cache": kind,
            "unequal_prompts": "padded on the left" if self.pads(0) else apart,
        }


def inspect_calls(model: Any) -> Calls:
    """Return how a model of transformers is called, by its signature and its config."""
    names = _forward_names(model)
    kind = model.config.model_type
    cache = next((name for name in _CACHES if name in names and kind not in _WHOLE), None)
    default = getattr(type(model), "_supports_default_dynamic_cache", lambda: False)
    own_positions = any(hasattr(m, "create_position_ids_from_input_ids") for m in model.modules())
    return Calls(
        names=names,
        vocabulary=int(model.config.get_text_config(decoder=True).vocab_size),
        cache=cache,
        makes_cache=cache != "past_key_values" or not default(),
        is_recurrent=cache is not None and _is_recurrent(model, cache),
        counts_from_mask=kind in _FROM_MASK,
        takes_positions="position_ids" in names and not own_positions,
        is_padded="attention_mask" in names and kind not in _UNPADDED,
        holds_state=any(hasattr(module, "recurrent_states") for module in model.modules()),
        switch_tokens=_switch_tokens(model.config.get_text_config(decoder=True)),
    )


def three_tokens(model: Any) -> torch.Tensor:
    """Return a short text [1, 3] on the device of a model, all of whose weights may be packed."""
    held = next(chain(model.parameters(), model.buffers()))
    return torch.tensor([[1, 2, 3]], device=held.device)


@torch.inference_mode()
def check_steps(model: Any, calls: Calls) -> None:
    """Refuse a class whose own kind of state does not continue a text; tried with three tokens.

    Raises:
        UnsupportedError: the step fails or gives other logits than the whole text.
    """
    if calls.cache is None or not calls.makes_cache:
        return
    ids = three_tokens(model)
    cached = calls.arguments(use_cache=True)
    what = f"torch: {type(model).__name__} of transformers {transformers.__version__}"
    whole = model(input_ids=ids, **calls.arguments(use_cache=False)).logits[:, -1]
    try:
        state = getattr(model(input_ids=ids[:, :2], **cached), calls.cache)
        step = model(input_ids=ids[:, 2:], **cached, **{calls.cache: state}).logits[:, -1]
    except Exception as error:  # other people's code, which may fail in any way
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UnsupportedError(f"{what} does not continue a text by its state: {reason}") from error
    difference = float((step - whole).abs().max() / whole.abs().max())
    if not difference <= STEP_TOLERANCE:
        raise UnsupportedError(
            f"{what} continues a text by its state with other logits than it reads the whole with: "
            f"they differ by {difference:.3g} of the largest"
        )


def _forward_names(model: Any) -> frozenset[str]:
    """Return the arguments of forward, and of the inner model's where they are handed on."""
    outer = inspect.signature(model.forward).parameters
    names = {name for name, how in outer.items() if how.kind is not how.VAR_KEYWORD}
    if len(names) < len(outer) and model.base_model is not model:
        names |= set(inspect.signature(model.base_model.forward).parameters)
    return frozenset(names)


def _is_recurrent(model: Any, cache: str) -> bool:
    if getattr(model, "_is_stateful", False) or cache != "past_key_values":
        return True
    return any(DynamicCache(config=model.config).is_linear)


def _switch_tokens(config: Any) -> int | None:
    """Return up to which length a longrope model has the frequencies of short texts."""
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    found = [
        kind.get("original_max_position_embeddings")
        or getattr(config, "original_max_position_embeddings", None)
        for kind in kinds
        if kind.get("rope_type") == "longrope"
    ]
    return min((int(tokens) for tokens in found if tokens), default=None)
