"""What a table of architectures is made of: the config, the tensors, what is done to them.

A `Family` says for one `model_type` of Hugging Face how its tensors and settings are called in
GGUF, and what llama.cpp's code for that architecture takes for granted. What it does not say is
refused: a tensor without a place, a setting with another value, a rotation that is not listed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from effmark.errors import UnsupportedError

__all__ = [
    "Change",
    "Condition",
    "Family",
    "HfConfig",
    "Limit",
    "Part",
    "always",
    "flag",
    "never",
]

_OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "hidden_size": ("n_embd", "d_model"),
    "num_hidden_layers": ("n_layer", "n_layers"),
    "num_attention_heads": ("n_head", "n_heads"),
    "intermediate_size": ("n_inner", "ffn_hidden_size"),
    "max_position_embeddings": ("n_positions", "max_seq_len", "seq_length"),
    "num_experts": ("num_local_experts",),
    "num_local_experts": ("num_experts",),
}
"""Names of the same number in older configs."""


@dataclass(frozen=True)
class HfConfig:
    """A config.json, read by the names that most architectures use."""

    raw: Mapping[str, Any]

    def get(self, name: str, default: Any = None) -> Any:
        """Return a setting by its name or an older one; a null is as good as none."""
        for key in (name, *_OTHER_NAMES.get(name, ())):
            if self.raw.get(key) is not None:
                return self.raw[key]
        return default

    def number(self, name: str) -> int:
        """Return a whole number that must be there."""
        found = self.get(name)
        if not isinstance(found, int):
            raise UnsupportedError(f"config.json has {name} {found!r}, which must be a number")
        return found

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return self.number("num_hidden_layers")

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        return self.number("hidden_size")

    @property
    def heads(self) -> int:
        """How many query heads there are."""
        return self.number("num_attention_heads")

    @property
    def kv_heads(self) -> int:
        """How many heads keys and values have."""
        return int(self.get("num_key_value_heads", self.heads))

    @property
    def head_dim(self) -> int:
        """Width of a head."""
        return int(self.get("head_dim", self.width // self.heads))

    @property
    def mlp_width(self) -> int:
        """Inner width of the MLP; four times the width where the config leaves it open."""
        return int(self.get("intermediate_size", 4 * self.width))

    @property
    def rope(self) -> Mapping[str, Any]:
        """Settings of the rotation, wherever this version of the format has them."""
        found = dict(self.raw.get("rope_parameters") or self.raw.get("rope_scaling") or {})
        if "full_attention" in found:  # one per kind of layer; see `rope_of`
            found = dict(found["full_attention"])
        found.setdefault("rope_type", found.get("type", "default"))
        for key in ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings"):
            if self.raw.get(key) is not None:
                found.setdefault(key, self.raw[key])
        return found

    def rope_of(self, kind: str) -> Mapping[str, Any]:
        """Return the settings of one kind of layer, empty where there is one for all."""
        return (self.raw.get("rope_parameters") or {}).get(kind) or {}


@dataclass(frozen=True)
class Limit:
    """How long a sequence may be."""

    tokens: int
    why: str
    """What is not right beyond, as a clause."""


Change = Callable[[Any, HfConfig], Any]
"""Takes a tensor's values (or only its shape, as a view of one zero) and gives those of GGUF."""
Condition = Callable[[HfConfig, int], bool]
"""Whether a tensor is there, by config and layer."""


def always(_: HfConfig, __: int) -> bool:
    """Return True."""
    return True


def never(_: HfConfig, __: int) -> bool:
    """Return False."""
    return False


def flag(name: str, default: bool = False) -> Condition:
    """Return whether a setting is on."""
    return lambda config, _: bool(config.get(name, default))


def _same(values: Any, _: HfConfig) -> Any:
    return values


@dataclass(frozen=True)
class Part:
    """A tensor of GGUF that one of Hugging Face becomes; with `*` in its name, several."""

    name: str
    """Less layer and suffix: `attn_q`."""
    change: Change = _same
    bias: Condition = never
    """Whether a `.bias` is beside the `.weight`."""
    bias_too: bool = True
    """Whether the bias is changed in the same way."""
    when: Condition = always
    count: Callable[[HfConfig], int] | None = None
    """How many tensors are stacked into this one."""
    suffix: str = ".weight"
    """Of both names; empty for a number that belongs to no matrix."""


@dataclass(frozen=True)
class Family:
    """One `model_type` and what it is in GGUF."""

    architecture: str
    """`general.architecture`."""
    model: str
    """The class of a whole language model, as `architectures` in the config names it."""
    block: Mapping[str, Part | tuple[Part, ...]]
    """Tensors of a layer."""
    ends: Mapping[str, Part]
    """Tensors outside the layers."""
    values: Mapping[str, Callable[[HfConfig], Any]] = field(default_factory=dict)
    """Entries of the header beyond those that all have; None is left out."""
    needs: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    """Values that llama.cpp takes for granted; the first is what an absent setting means."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """What a config means that leaves it out, as published ones of this architecture do."""
    beside: tuple[str, ...] = ()
    """Beginnings of tensors of another part, the eyes of a model that sees say."""
    root: str = "model."
    layers: str = "layers."
    head: str = "lm_head"
    head_bias: Condition = never
    kv_heads: Callable[[HfConfig], Any] = lambda config: config.kv_heads
    """A number, or one for each layer."""
    attends: bool = True
    """Whether there is attention at all."""
    mlp_width: Callable[[HfConfig], int] = lambda config: config.mlp_width
    tied: bool = False
    """What a config means that does not say whether the head is the embedding."""
    always_tied: bool = False
    """llama.cpp takes the embedding for the head in any case."""
    writes_tied_head: bool = False
    """llama.cpp wants the head in the file even where it is the embedding."""
    theta: float | None = 10000.0
    """Base of the rotation where the config is silent; None: no rotation."""
    ropes: tuple[str, ...] = ("default", "linear")
    """Kinds of rotation that come out right."""
    rope_dim: Callable[[HfConfig], int] | None = None
    """How many numbers of a head are rotated; all of them if None."""
    exact_tokens: Callable[[HfConfig], Limit | None] = lambda _: None
    """The longest sequence that llama.cpp calculates as the model means it; None: any."""
    refuse: Callable[[HfConfig], str | None] = lambda _: None
    """Anything else that it cannot be right about, as the end of a sentence."""
