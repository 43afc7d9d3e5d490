"""Tiny random models of every causal-LM family that transformers builds without a hub.

A family's default config is made small by the names of its keys (`tiny_shapes.yaml`), where layers
differ one of each kind stays, and the weights are drawn so that every part of the model matters:
matrices of unit gain, biases and norms that are not 0 and 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub.errors import StrictDataclassError

SPECIAL_TOKENS = 16
"""Ids below are special: padding, begin, end, and those of images and the like."""
PAD, BEGIN, END = 0, 1, 2
VOCABULARY = 320
MATRIX_STD = 0.15
"""A little above 1/sqrt(64), the gain that keeps the size of a signal 64 wide."""
FILLED = ("head_dim", "num_key_value_heads")
"""Keys whose None some families cannot calculate themselves."""
UNTOUCHED = ("full_attn_idxs", "is_encoder_decoder")
"""Keys that a family calculates from others."""
LAYER_COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")


@cache
def _shapes() -> dict[str, Any]:
    text = Path(__file__).with_name("tiny_shapes.yaml").read_text("utf-8")
    return dict(yaml.safe_load(text))


@cache
def registry() -> dict[str, str]:
    """Return transformers' own list of causal-LM model types, each with its class."""
    from transformers.models.auto import modeling_auto

    return dict(modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def unbuildable() -> dict[str, str]:
    """Return the families of which no tiny model can be made offline, with the reason."""
    return dict(_shapes()["unbuildable"])


def families() -> list[str]:
    """Return the model types that `make` knows: the registry without the unbuildable."""
    return sorted(set(registry()) - set(unbuildable()))


def make(
    folder: Path,
    family: str,
    *,
    tied: bool = False,
    dtype: str = "float32",
    shards: int = 1,
    seed: int = 0,
    **config_overrides: Any,
) -> Path:
    """Write a tiny random model with its tokenizer as a Hugging Face folder; return the folder."""
    import torch

    config = tiny_config(family, tie_word_embeddings=tied, **config_overrides)
    model = _build(config, seed)
    if tied != _is_tied(model):
        raise ValueError(f"{family}: tied={tied} is not what this family can be")
    model = model.to(getattr(torch, dtype))
    total_b = sum(p.numel() * p.element_size() for p in model.parameters())
    size = total_b + 1 if shards == 1 else total_b // (shards + 1)
    folder.mkdir(parents=True, exist_ok=True)
    model.save_pretrained(folder, max_shard_size=size)
    write_tokenizer(folder)
    return folder


def can_tie(family: str) -> bool:
    """Return whether embedding and head of a family can be one table."""
    try:
        return _is_tied(_build(tiny_config(family, tie_word_embeddings=True), 0))
    except (ValueError, StrictDataclassError):  # the config or the class says that it cannot
        return False


def tiny_config(family: str, **overrides: Any) -> Any:
    """Return the config of a tiny model of a family."""
    from transformers import CONFIG_MAPPING

    config_class = CONFIG_MAPPING[family]
    small = _small(config_class().to_dict())
    common = {"bos_token_id": BEGIN, "eos_token_id": END, "pad_token_id": PAD, **overrides}
    if "text_config" in small:
        small["text_config"] = {**small["text_config"], **common}
    return config_class(**{**small, **common})


def _small(default: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of a config that make it tiny, and a decoder of what can be one."""
    kept = _kept_layers(default)
    reserved = iter(range(3, SPECIAL_TOKENS))
    small = {key: _small_value(key, value, kept, default) for key, value in default.items()}
    for key in default:
        if key.endswith(("_token_id", "_token_index")) and default[key] is not None:
            small[key] = next(reserved)
    if "kv_lora_rank" in default and "num_key_value_heads" in default:
        small["num_key_value_heads"] = small["num_attention_heads"]  # all from one latent
    corrections = _shapes()["families"].get(default.get("model_type"), {})
    kept_keys = {k: v for k, v in small.items() if v is not _SAME and k not in UNTOUCHED}
    return {**kept_keys, **corrections}


_SAME = object()


def _small_value(key: str, value: Any, kept: list[int], config: Mapping[str, Any]) -> Any:
    """Return the tiny value of a key, `_SAME` where the default serves."""
    sizes = _shapes()["sizes"]
    if key == "per_layer_config" and value:
        found = {int(layer): body for layer, body in value.items()}
        return {n: _small(found[layer]) for n, layer in enumerate(kept) if layer in found}
    if isinstance(value, dict) and key.endswith("_config") and value:
        return {**value, **_small(value)}
    if key in LAYER_COUNTS and isinstance(value, int):
        return len(kept)
    if isinstance(value, list) and len(value) == _layers(config):
        return [sizes[key]] * len(kept) if key in sizes else [value[layer] for layer in kept]
    if key in sizes and (key in FILLED or type(value) is int):
        return sizes[key]
    return True if key == "is_decoder" else _SAME


def _layers(config: Mapping[str, Any]) -> int | None:
    found = [config[key] for key in LAYER_COUNTS if isinstance(config.get(key), int)]
    return found[0] if found else None


def _kept_layers(config: Mapping[str, Any]) -> list[int]:
    """Return the indices of layers that stay: one of each kind, at least two."""
    count = _layers(config) or 0
    lists = [v for v in config.values() if isinstance(v, list) and len(v) == count]
    kinds: dict[str, int] = {}
    for layer in range(count):
        kinds.setdefault(repr([entries[layer] for entries in lists]), layer)
    kept = sorted(kinds.values())[:4]
    kept += [layer for layer in range(count) if layer not in kept][: max(0, 2 - len(kept))]
    return sorted(kept)


def _build(config: Any, seed: int) -> Any:
    import torch
    import transformers

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config)
        if type(model.config) is not type(config) and config.sub_configs:
            # What is published for such a family is the whole, of which this is the text model.
            model = transformers.AutoModelForImageTextToText.from_config(config)
        _draw(model)
    return model.eval()


def _draw(model: Any) -> None:
    """Draw matrices of unit gain; move everything else a little away from its start."""
    import torch

    matrices = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, torch.nn.Linear | torch.nn.Embedding)
        or type(module).__name__ == "Conv1D"
    }
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if id(parameter) in matrices or ("experts" in name and parameter.ndim == 3):
                parameter.normal_(0, MATRIX_STD)
            elif parameter.ndim > 2:  # convolutions over a few positions
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            elif name.endswith(("dt_bias", "dt_proj.bias")):  # so that states remember for long
                parameter.normal_(-2.5, 0.5)
            elif parameter.is_floating_point():
                parameter.add_(torch.randn_like(parameter), alpha=0.1)


def _is_tied(model: Any) -> bool:
    head, table = model.get_output_embeddings(), model.get_input_embeddings()
    return head is not None and table is not None and head.weight is table.weight


def write_tokenizer(folder: Path) -> None:
    """Write a byte-level tokenizer of `VOCABULARY` tokens, with begin and end."""
    letters = byte_letters()
    space = letters[32]
    merges = [["t", "h"], ["th", "e"], [space, "the"], [space, "a"], ["i", "n"], ["e", "r"]]
    special = ["<pad>", "<s>", "</s>", *(f"<r{i}>" for i in range(3, SPECIAL_TOKENS))]
    tokens = [*special, *letters, *(a + b for a, b in merges)]
    tokens += [f"<u{i}>" for i in range(len(tokens), VOCABULARY)]
    added = [
        {
            **{"id": i, "content": token, "special": True, "normalized": False},
            **{"single_word": False, "lstrip": False, "rstrip": False},
        }
        for i, token in enumerate(tokens)
        if i < SPECIAL_TOKENS
    ]
    body = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "use_regex": True,
            "trim_offsets": False,
        },
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": False,
            "use_regex": True,
            "trim_offsets": False,
        },
        "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(tokens)}, "merges": merges},
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "<pad>",
    }
    (folder / "tokenizer.json").write_text(json.dumps(body))
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def byte_letters() -> list[str]:
    """Return the letter that stands for each byte in byte-level BPE."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    shifted = iter(range(256, 512))
    return [chr(byte if byte in plain else next(shifted)) for byte in range(256)]
