"""A LoRA adapter added into the weights of its base, as a Hugging Face folder of its own.

A change is W + scaling x B A, computed in float32 and rounded once to the type of W, with scaling
= alpha / r, or alpha / sqrt(r) for rank-stabilised adapters (Hu et al. 2021, arXiv:2106.09685;
Kalajdzievski 2023, arXiv:2312.03732). An embedding changes by the transpose, so does a matrix that
is stored inputs first (`Conv1D` of GPT-2). Modules that were trained whole replace those of the
base. Where head and embedding of the base are one tensor and one of them changes, they are two
tensors afterwards, as they were when the adapter was trained.
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, UnsupportedError
from effmark.folder_weights import deciding_weight_files, named_weight_files
from effmark.model_folder import deciding_text_files

__all__ = ["MERGE_VERSION", "merge"]

MERGE_VERSION = 1
"""Rises whenever the same adapter and base would become another folder."""

_PART = re.compile(r"(.+?)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(\.\w+?)?(\.weight)?")
_WRAPPERS = re.compile(r"\.(base_layer|modules_to_save(\.default)?)(?=\.)")
_EMBEDDINGS = ("embed_tokens", "wte", "embed_in", "word_embeddings", "tok_embeddings", "embeddings")
_HEADS = {"gpt_neox": "embed_out"}
"""The name of the head where it is not `lm_head`."""


def merge(base: Path, adapter: Path, out: Path) -> None:
    """Write the model that an adapter makes of its base into an empty folder.

    Args:
        base: Hugging Face folder.
        adapter: Folder with adapter_config.json and the adapter's tensors.
        out: Where the model goes.

    Raises:
        UnsupportedError: the adapter does not fit the base, or holds what is no LoRA.
        PrerequisiteError: torch is not installed, or the base has no safetensors.
    """
    files = named_weight_files(base)
    load, save, names = _tools(base, files)
    config = json.loads((base / "config.json").read_text("utf-8"))
    changes = _changes(adapter, config, names)
    size_b = 0
    for file in files:
        tensors = changes.applied(load(file))
        target = out / file.relative_to(base)
        target.parent.mkdir(parents=True, exist_ok=True)
        save(tensors, target, metadata={"format": "pt"})
        names |= dict.fromkeys(tensors, str(file.relative_to(base)))
        size_b += sum(tensor.nbytes for tensor in tensors.values())
    _copy_text(base, adapter, out)
    _write_json(out / "config.json", changes.config)
    for index in set(deciding_weight_files(base)) - set(files):
        _write_json(out / index.name, {"metadata": {"total_size": size_b}, "weight_map": names})


def _tools(base: Path, files: list[Path]) -> tuple[Any, Any, dict[str, str]]:
    """Return what reads and writes files of tensors, and in which file each tensor is."""
    if files[0].suffix != ".safetensors":
        raise PrerequisiteError(
            f"model folder {str(base)!r} has no safetensors; a LoRA adapter is added to those only"
        )
    try:
        from safetensors import safe_open
        from safetensors.torch import load_file, save_file
    except ImportError as error:
        raise PrerequisiteError(
            "adding a LoRA adapter to its base needs 'torch'; install it with: "
            "pip install 'effmark[torch]'"
        ) from error
    names: dict[str, str] = {}
    for file in files:
        with safe_open(file, framework="pt") as opened:
            names |= dict.fromkeys(opened.keys(), str(file.relative_to(base)))
    return load_file, save_file, names


@dataclass
class _Low:
    """The two factors of the change of one weight."""

    module: str
    first: Any = None
    second: Any = None
    embedding: bool = False


@dataclass(frozen=True)
class _Changes:
    """What an adapter changes of the tensors of its base, by their names there."""

    low: Mapping[str, _Low]
    whole: Mapping[str, Any]
    settings: Mapping[str, Any]
    config: dict[str, Any]
    embedding: str
    head: str
    """Of a head that the base has not, since it is the embedding; else empty."""

    def applied(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """Return some tensors of the base as the adapter leaves them."""
        found = {name: self._applied(name, tensor) for name, tensor in tensors.items()}
        if self.head and self.embedding in tensors:
            found[self.head] = self._applied(self.head, tensors[self.embedding].clone())
        return found

    def _applied(self, name: str, tensor: Any) -> Any:
        if name in self.whole:
            return self.whole[name].to(tensor.dtype).contiguous()
        low = self.low.get(name)
        if low is None:
            return tensor
        change = low.second @ low.first
        if change.shape != tensor.shape or (low.embedding or _is_turned(tensor, self.settings)):
            change = change.T
        if change.shape != tensor.shape:
            raise UnsupportedError(
                f"the LoRA adapter changes {name!r} by {list(change.shape)}, its base holds "
                f"{list(tensor.shape)} there"
            )
        summed = tensor.float() + _scaling(low, self.settings) * change
        return summed.to(tensor.dtype).contiguous()


def _is_turned(tensor: Any, settings: Mapping[str, Any]) -> bool:
    """Return whether a square matrix is stored inputs first; of others the shape tells it."""
    square = tensor.ndim == 2 and tensor.shape[0] == tensor.shape[1]
    return square and bool(settings.get("fan_in_fan_out"))


def _scaling(low: _Low, settings: Mapping[str, Any]) -> float:
    """Return what the product of the factors of a module is multiplied by."""
    rank = int(_of_module(low.module, settings, "rank_pattern", "r"))
    alpha = float(_of_module(low.module, settings, "alpha_pattern", "lora_alpha"))
    if rank != low.first.shape[0] or rank != low.second.shape[1]:
        raise UnsupportedError(
            f"the LoRA adapter has rank {low.first.shape[0]} at {low.module!r}, its settings say "
            f"{rank}"
        )
    return alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)


def _of_module(module: str, settings: Mapping[str, Any], patterns: str, default: str) -> Any:
    for pattern, value in (settings.get(patterns) or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return settings[default]


def _changes(adapter: Path, config: dict[str, Any], names: Mapping[str, str]) -> _Changes:
    settings = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    low, whole = _sorted(_tensors(adapter))
    head = f"{_HEADS.get(str(config.get('model_type')), 'lm_head')}.weight"
    ends = [n for n in names if n.removesuffix(".weight").rpartition(".")[2] in _EMBEDDINGS]
    embedding = ends[0] if len(ends) == 1 else ""
    shared = {head} if embedding and head not in names else set()
    placed = {_place(n, names, shared): change for n, change in low.items()}
    replaced = {_place(n, names, shared): tensor for n, tensor in whole.items()}
    ends_changed = {embedding, head} & {*placed, *replaced} - {""}
    if embedding in replaced:
        rows = int(replaced[embedding].shape[0])
        if rows != config.get("vocab_size", rows) and head not in replaced:
            raise UnsupportedError(
                f"the LoRA adapter has {rows} rows of {embedding!r} and no {head!r} of that many"
            )
        config = _with(config, vocab_size=rows)
    if ends_changed:
        config = _with(config, tie_word_embeddings=False)
    return _Changes(
        placed, replaced, settings, config, embedding, head if ends_changed and shared else ""
    )


def _with(config: dict[str, Any], **values: Any) -> dict[str, Any]:
    """Return a config with values changed, in the part for text, too, where there is one."""
    text = config.get("text_config")
    return {**config, **values, **({"text_config": text | values} if text else {})}


def _place(name: str, names: Mapping[str, str], shared: set[str]) -> str:
    """Return the name that a tensor has in the base: files may leave out its first part."""
    for found in (name, name.partition(".")[2]):
        if found in names or found in shared:
            return found
    raise UnsupportedError(
        f"the LoRA adapter changes {name!r}, which is no tensor of its base; is that the base?"
    )


def _tensors(adapter: Path) -> dict[str, Any]:
    whole = adapter / "adapter_model.safetensors"
    if whole.is_file():
        from safetensors.torch import load_file

        return dict(load_file(whole))
    import torch

    return dict(torch.load(adapter / "adapter_model.bin", map_location="cpu", weights_only=True))


def _sorted(tensors: Mapping[str, Any]) -> tuple[dict[str, _Low], dict[str, Any]]:
    """Return the changes of an adapter by the weights they change, and what it replaces."""
    low: dict[str, _Low] = {}
    whole: dict[str, Any] = {}
    for key, tensor in tensors.items():
        name = _WRAPPERS.sub("", key.removeprefix("base_model.model."))
        found = _PART.fullmatch(name)
        if found is None:
            whole[name] = tensor
            continue
        module, part = found[1], found[2]
        change = low.setdefault(f"{module}.weight", _Low(module, embedding="embedding" in part))
        setattr(change, "first" if part.endswith("A") else "second", tensor.float())
    for change in low.values():
        if change.first is None or change.second is None or change.first.ndim != 2:
            raise UnsupportedError(
                f"the LoRA adapter has no two matrices for {change.module!r}; it is damaged, or of "
                "a layer that is no matrix"
            )
    return low, whole


def _copy_text(base: Path, adapter: Path, out: Path) -> None:
    """Copy tokenizer, templates and code; a tokenizer of the adapter is taken whole."""
    own = [file for file in deciding_text_files(adapter) if file.name != "config.json"]
    has_tokenizer = any(file.name == "tokenizer.json" for file in own)
    kept = ("config.json", "generation_config.json")
    for file in deciding_text_files(base):
        if file.name in kept or not has_tokenizer:
            _copy(file, base, out)
    for file in base.rglob("*.py"):
        _copy(file, base, out)
    for file in own:
        _copy(file, adapter, out)


def _copy(file: Path, folder: Path, out: Path) -> None:
    target = out / file.relative_to(folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, target)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n", "utf-8")
