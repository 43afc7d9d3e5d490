"""A causal language model of transformers from its Hugging Face folder, whole or not at all.

Heavy: imports torch and transformers. Everything that needs the model of a folder (eager torch, an
export, a reference to compare with) takes it from here, so that all of them refuse the same
folders for the same reasons: a tensor that is missing in the files is never drawn at random.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from effmark.errors import PrerequisiteError, SpecError, UnsupportedError
from effmark_adapters.artefacts.hf_kind import DEQUANTISED, check_kind, quantisation_method

__all__ = ["attention_of", "check_folder", "load_causal_lm", "make_causal_lm"]

AUTO = "auto"
"""Attention by torch's fused function where the model's class has it, else written out."""
_COMPUTED = re.compile(r"(inv_freq|position_ids|masked_bias|sin|cos|embed_positions)$")
"""Buffers that a model computes when it is made; whether a file holds them depends on its age."""
_LONGEST_REASON = 200


def load_causal_lm(
    folder: Path, dtype: torch.dtype, *, attention: str = AUTO, trust_remote_code: bool = False
) -> Any:
    """Return the model of a folder in evaluation mode, every tensor read from its files.

    Args:
        folder: Holds config.json and the weights.
        dtype: Of the weights; what the class keeps in float32 stays so.
        attention: `auto`, `sdpa`, `eager`, or a name registered with transformers.
        trust_remote_code: Whether Python code of the folder may run.

    Raises:
        UnsupportedError: transformers has no such causal LM, or not with this attention.
        PrerequisiteError: tensors or files are missing or have another shape.
    """
    config = check_folder(folder, attention, trust_remote_code=trust_remote_code)
    transformers.utils.logging.disable_progress_bar()
    with _plain_reasons(folder):
        model, found = AutoModelForCausalLM.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            attn_implementation=None if attention == AUTO else attention,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            output_loading_info=True,
            **_expanded(config),
        )
    _check_whole(folder, model, found)
    if dtype is torch.float32:  # what was never quantised in a quantised file keeps its own type
        for parameter in model.parameters():
            parameter.data = parameter.data.float()
    return model.eval()


def make_causal_lm(
    folder: Path, dtype: torch.dtype, *, attention: str = AUTO, trust_remote_code: bool = False
) -> Any:
    """Return the model of a folder with weights as they are drawn; for who fills them all."""
    config = check_folder(folder, attention, trust_remote_code=trust_remote_code)
    if quantisation_method(config.to_dict()):
        config.quantization_config = None
    with _plain_reasons(folder):
        return AutoModelForCausalLM.from_config(
            config,
            dtype=dtype,
            attn_implementation=None if attention == AUTO else attention,
            trust_remote_code=trust_remote_code,
        )


def check_folder(folder: Path, attention: str = AUTO, *, trust_remote_code: bool = False) -> Any:
    """Return transformers' config of a folder that holds a causal LM; no tensor is read.

    Raises:
        SpecError: its config.json is none.
        UnsupportedError: transformers has no such causal LM, or not with this attention.
    """
    try:
        raw = dict(json.loads((folder / "config.json").read_text("utf-8")))
    except (OSError, ValueError) as error:
        raise SpecError(
            f"model folder {str(folder)!r} has no usable config.json: {error}"
        ) from error
    check_kind(folder.name, raw, trust_remote_code=trust_remote_code)
    with _plain_reasons(folder):
        config = AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code
        )
    if attention == "sdpa":
        _check_sdpa(folder, config)
    return config


def attention_of(model: Any) -> str:
    """Return how a loaded model computes attention; `none` where it has no such layer."""
    if not any("Attention" in type(module).__name__ for module in model.modules()):
        return "none"
    return str(model.config.get_text_config(decoder=True)._attn_implementation)


def _check_sdpa(folder: Path, config: Any) -> None:
    found = AutoModelForCausalLM._model_mapping.get(type(config), None)
    if found is not None and not found._supports_sdpa:
        raise UnsupportedError(
            f"model {folder.name!r}: {found.__name__} has no attention by sdpa in transformers "
            f"{transformers.__version__}; it runs with attention eager, which is chosen by default"
        )


def _expanded(config: Any) -> dict[str, Any]:
    """Return the argument that makes transformers expand quantised weights."""
    method = quantisation_method(config.to_dict())
    if method not in DEQUANTISED:
        return {}
    settings = {"mxfp4": transformers.Mxfp4Config, "fp8": transformers.FineGrainedFP8Config}
    return {"quantization_config": settings[method](dequantize=True)}


def _check_whole(folder: Path, model: Any, found: dict[str, Any]) -> None:
    """Refuse files that lack tensors, hold other shapes, or more of a layer than it takes."""
    names = list(model.state_dict())
    missing = [name for name in names if name in found["missing_keys"] and _is_read(model, name)]
    if missing:
        raise PrerequisiteError(
            f"model folder {folder.name!r} is incomplete: {_count(missing)} that "
            f"{type(model).__name__} needs {_are(missing)} in none of its weight files, "
            f"{missing[0]!r} first"
        )
    for name, stored, wanted in sorted(found["mismatched_keys"]):
        raise PrerequisiteError(
            f"model folder {folder.name!r}: tensor {name!r} has shape {list(stored)}, its config "
            f"says {list(wanted)} ({len(found['mismatched_keys'])} such)"
        )
    extra = [name for name in sorted(found["unexpected_keys"]) if _belongs(model, name)]
    if extra:
        raise PrerequisiteError(
            f"model folder {folder.name!r}: {_count(extra)} of its weight files {_are(extra)} not "
            f"used by {type(model).__name__} as its config describes it, {extra[0]!r} first"
        )


def _is_read(model: Any, name: str) -> bool:
    """Return whether a tensor can only come from a file."""
    tensor = model.get_parameter_or_buffer(name)
    if isinstance(tensor, nn.Parameter):
        return True
    return tensor.is_floating_point() and not _COMPUTED.search(name)


def _belongs(model: Any, name: str) -> bool:
    """Return whether a tensor of the files is for a layer of the model that has others."""
    module, _, _ = name.rpartition(".")
    try:
        owner = model.get_submodule(module)
    except AttributeError:
        return False
    return bool(module) and any(True for _ in owner.parameters(recurse=False))


def _count(names: list[str]) -> str:
    return "1 tensor" if len(names) == 1 else f"{len(names)} tensors"


def _are(names: list[str]) -> str:
    return "is" if len(names) == 1 else "are"


@contextmanager
def _plain_reasons(folder: Path) -> Iterator[None]:
    """Turn what transformers says into one sentence; its lists of all classes are left out."""
    try:
        yield
    except ImportError as error:
        raise PrerequisiteError(f"model {folder.name!r}: {_first_sentence(error)}") from error
    except OSError as error:  # a file that the index names is not there
        raise PrerequisiteError(
            f"model folder {folder.name!r} cannot be read: {_first_sentence(error)}"
        ) from error
    except (ValueError, KeyError, StrictDataclassError) as error:
        raise UnsupportedError(
            f"transformers {transformers.__version__} does not load {folder.name!r}: "
            f"{_first_sentence(error)}"
        ) from error


def _first_sentence(error: BaseException) -> str:
    lines: Iterable[str] = (line.strip() for line in str(error).splitlines())
    text = next((line for line in lines if line), type(error).__name__)
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 1] + "…"
