"""What a Hugging Face folder becomes in GGUF, by the table of architectures.

Everything that can be refused is refused before any weight is read: the architecture, a setting
that llama.cpp's code does not follow, a tensor that is missing or has no place, the tokenizer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, UnsupportedError
from effmark_adapters.artefacts.gguf_families import FAMILIES
from effmark_adapters.artefacts.gguf_families.family import Family, HfConfig, Limit, Part
from effmark_adapters.artefacts.gguf_rope import (
    longrope_limit,
    rope_tensors,
    rope_values,
    unread_rope,
)
from effmark_adapters.artefacts.gguf_source import Source, Tensor, Value
from effmark_adapters.artefacts.gguf_tokenizer import tokenizer_values
from effmark_adapters.artefacts.safetensors_folder import Stored, stored_tensors

__all__ = ["exact_tokens", "from_folder", "read_family"]

_BUFFERS = ("rotary_emb.inv_freq", "attn.bias", "attn.masked_bias", "attention.bias",
            "attention.masked_bias", "attention.rotary_emb.inv_freq")  # fmt: skip
"""Ends of names of tensors that old versions of transformers saved and no forward needs."""


def from_folder(folder: Path) -> Source:
    """Return what a Hugging Face folder becomes in GGUF.

    Raises:
        UnsupportedError: an architecture or a feature that does not come out right.
        PrerequisiteError: a file or a tensor of the folder is missing.
    """
    family, config = read_family(folder)
    tokenizer = tuple(tokenizer_values(folder, config.raw))
    tensors = tuple(_tensors(folder, family, config))
    values = (*_values(family, config), *tokenizer)
    return Source(
        family.architecture, config.layers, values, tensors, config.raw, _ends(folder, values)
    )


def _ends(folder: Path, values: Sequence[Value]) -> tuple[int, ...]:
    """Return every token that ends an answer, by the tokenizer and both configs."""
    found = {v.value for v in values if v.key == "tokenizer.ggml.eos_token_id"}
    for name in ("config.json", "generation_config.json"):
        path = folder / name
        table = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        eos = table.get("eos_token_id")
        found |= {n for n in (eos if isinstance(eos, list) else [eos]) if type(n) is int}
    return tuple(sorted(found))


def read_family(folder: Path) -> tuple[Family, HfConfig]:
    """Return the architecture of a folder and its config, checked.

    Raises:
        UnsupportedError: llama.cpp would calculate something else than this config says.
        PrerequisiteError: config.json is missing.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise PrerequisiteError(f"model folder {str(folder)!r} has no config.json; it needs one")
    table = json.loads(path.read_text("utf-8"))
    kind = table.get("model_type")
    family = FAMILIES.get(str(kind))
    if family is None:
        raise UnsupportedError(
            f"{folder.name}: model_type {kind!r} is not one of the {len(FAMILIES)} that become "
            "GGUF here; convert it with llama.cpp's convert_hf_to_gguf.py and give the file"
        )
    config = HfConfig({**family.defaults, **_of_text(table)})
    for reason in _reasons(family, config):
        raise UnsupportedError(f"{folder.name}: config.json has {reason}")
    return family, config


def _of_text(table: dict[str, Any]) -> dict[str, Any]:
    """Return a config with that of its text part, if it has one, spread out in it."""
    text = table.get("text_config") or {}
    named = {key: table[key] for key in ("architectures", "model_type") if key in table}
    return {**{k: v for k, v in table.items() if k != "text_config"}, **text, **named}


def _reasons(family: Family, config: HfConfig) -> Iterator[str]:
    """Yield every reason why llama.cpp would not calculate what the config says."""
    classes = config.get("architectures") or [family.model]
    if family.model not in classes:
        yield f"architectures {classes!r}, llama.cpp would run it as {family.model!r}"
    if quantised := config.get("quantization_config"):
        method = quantised.get("quant_method")
        yield f"quantization_config {method!r}, only unquantised weights become GGUF"
    for name, known in family.needs.items():
        if (value := config.get(name, known[0])) not in known:
            yield f"{name} {value!r}, llama.cpp takes {known[0]!r} for granted"
    if family.theta is not None and (kind := config.rope["rope_type"]) not in family.ropes:
        yield f"rope_type {kind!r}, right in llama.cpp come out {', '.join(family.ropes)} here"
    elif family.theta is not None and (unread := unread_rope(config)):
        yield unread
    if family.always_tied and not config.get("tie_word_embeddings", family.tied):
        yield "tie_word_embeddings False, llama.cpp takes the embedding for the head"
    if other := family.refuse(config):
        yield other


def exact_tokens(family: Family, config: HfConfig) -> Limit | None:
    """Return the longest sequence that llama.cpp calculates as the config says; None: any."""
    limits = [family.exact_tokens(config), longrope_limit(config)]
    return min((limit for limit in limits if limit), key=lambda limit: limit.tokens, default=None)


def _values(family: Family, config: HfConfig) -> Iterator[Value]:
    entries: dict[str, Any] = {
        "block_count": config.layers,
        "context_length": config.get("max_position_embeddings", 2048),
        "embedding_length": config.width,
        "feed_forward_length": family.mlp_width(config),
        "vocab_size": config.number("vocab_size"),
        "attention.head_count": 0,
    }
    if family.attends:
        entries |= {
            "attention.head_count": config.heads,
            "attention.head_count_kv": family.kv_heads(config),
            "attention.key_length": config.head_dim,
            "attention.value_length": config.head_dim,
        }
    entries |= rope_values(family, config)
    entries |= {name: rule(config) for name, rule in family.values.items()}
    for name, value in entries.items():
        key = f"{family.architecture}.{name}"
        if isinstance(value, list):
            yield Value(key, value, "ARRAY", _kind(value[0]))
        elif value is not None:
            yield Value(key, value, _kind(value))


def _kind(value: Any) -> str:
    kinds = {bool: "BOOL", int: "UINT32", float: "FLOAT32", str: "STRING"}
    return kinds[type(value)]


def _tensors(folder: Path, family: Family, config: HfConfig) -> Iterator[Tensor]:
    stored = {_short(name, family): value for name, value in stored_tensors(folder).items()}
    stored = {name: v for name, v in stored.items() if not name.startswith(family.beside)}
    embedding = next(name for name, part in family.ends.items() if part.name == "token_embd")
    tied = bool(config.get("tie_word_embeddings", family.tied))
    if tied:
        stored.pop(f"{family.head}.weight", None)
        if family.writes_tied_head and f"{embedding}.weight" in stored:
            stored[f"{family.head}.weight"] = stored[f"{embedding}.weight"]
    plan = list(_plan(family, config, tied=tied and not family.writes_tied_head))
    _check_whole(folder, family, config, stored, {name for names, *_ in plan for name in names})
    yield from rope_tensors(config)
    for names, ours, part in plan:
        yield _tensor(ours, [stored[name] for name in names], part, config)


def _short(name: str, family: Family) -> str:
    """Return a tensor's name less the part of the model that all text has in common."""
    if family.beside:
        for part in ("language_model.model.", "model.language_model.", "language_model."):
            name = name.removeprefix(part)
    return name.removeprefix(family.root)


_Planned = tuple[list[str], str, Part]
"""Names in the folder, the name in GGUF, what is done."""


def _plan(family: Family, config: HfConfig, *, tied: bool) -> Iterator[_Planned]:
    """Yield every tensor of the model."""
    for theirs, part in family.ends.items():
        yield from _of_part(theirs, part, "", config, 0)
    if not tied:
        head = Part("output", bias=family.head_bias)
        yield from _of_part(family.head, head, "", config, 0)
    elif family.head_bias(config, 0):
        yield [f"{family.head}.bias"], "output.bias", Part("output")
    for layer in range(config.layers):
        for theirs, parts in family.block.items():
            for part in parts if isinstance(parts, tuple) else (parts,):
                name = f"{family.layers}{layer}.{theirs}"
                yield from _of_part(name, part, f"blk.{layer}.", config, layer)


def _of_part(
    theirs: str, part: Part, block: str, config: HfConfig, layer: int
) -> Iterator[_Planned]:
    if not part.when(config, layer):
        return
    count = part.count(config) if part.count else 1
    names = [theirs.replace("*", str(i)) for i in range(count)]
    yield [f"{name}{part.suffix}" for name in names], f"{block}{part.name}{part.suffix}", part
    if part.bias(config, layer):
        of_bias = part if part.bias_too else Part(part.name)
        yield [f"{name}.bias" for name in names], f"{block}{part.name}.bias", of_bias


def _check_whole(
    folder: Path, family: Family, config: HfConfig, stored: Mapping[str, Stored], needed: set[str]
) -> None:
    """Refuse a folder with a tensor too few or too many."""
    missing = sorted(needed - stored.keys())
    if missing:
        what = f"the tensor {missing[0]!r}"
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise PrerequisiteError(
            f"{folder.name}: the weight files lack {what}{more} of a {family.model}; "
            "save or download the whole model"
        )
    extra = sorted(name for name in stored.keys() - needed if not name.endswith(_BUFFERS))
    if extra:
        raise UnsupportedError(
            f"{folder.name}: tensor {extra[0]!r} has no place in a {family.model} as its "
            f"config.json describes it (model_type {config.raw['model_type']!r})"
        )


def _tensor(name: str, stored: list[Stored], part: Part, config: HfConfig) -> Tensor:
    import numpy as np

    stacked = part.count is not None

    def changed(values: list[Any]) -> Any:
        one = np.stack(values) if stacked else values[0]
        return part.change(one, config)

    def read() -> Any:
        return changed([one.read() for one in stored])

    nothing = np.broadcast_to(np.float32(0), stored[0].shape)
    shape = part.change(nothing, config).shape
    return Tensor(name, (len(stored), *shape) if stacked else shape, None, read)
