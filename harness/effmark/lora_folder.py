"""A folder with a LoRA adapter as a model: its base with the adapter's changes, found by name.

What peft writes (https://huggingface.co/docs/peft, `LoraConfig`): `adapter_config.json` and
`adapter_model.safetensors`. Only adapters that can be added into the weights of their base are
models here; the sum is made by the adapters of effmark, once. The identity is made of the identity
of the base, of the settings and of all files of the folder that decide behaviour. Files of the
tokenizer in the folder take the place of those of the base.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, SpecError, UnsupportedError
from effmark.file_hashes import hash_file
from effmark.folder_weights import check_weight_file, has_weights, read_json
from effmark.model_folder import deciding_text_files
from effmark.schema import content_hash
from effmark.spec import ModelRef

__all__ = ["is_lora", "lora_model"]

_SETTINGS = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_ELSEWHERE = ("base_model_name_or_path", "revision", "inference_mode", "peft_version")
"""Settings that change nothing of what is computed."""
_REFUSED = ("use_dora", "use_qalora", "use_bdlora", "layer_replication", "lora_bias",
            "alora_invocation_tokens", "trainable_token_indices", "target_parameters",
            "ensure_weight_tying", "arrow_config", "megatron_config")  # fmt: skip
"""Settings under which the change of a weight is not scaling x B A, or not of one weight."""
_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Of `init_lora_weights`: those that leave the base as it was."""


def is_lora(folder: Path) -> bool:
    """Return whether a folder holds an adapter."""
    return (folder / _SETTINGS).is_file()


def lora_model(
    name: str, folder: Path, find_base: Callable[[str], ModelRef | None], cache: Path | None = None
) -> ModelRef:
    """Return the model that a LoRA adapter and its base are together.

    Args:
        name: what people read.
        folder: of the adapter.
        find_base: returns a model that is at hand by what the adapter calls it, else None.
        cache: where hashes of large files are kept; None to keep none.

    Raises:
        SpecError: the folder is no adapter, or two things at once.
        PrerequisiteError: its base is not at hand, or a file is missing or damaged.
        UnsupportedError: an adapter that cannot be added into the weights of its base.
    """
    settings = read_json(folder / _SETTINGS)
    if has_weights(folder):
        raise SpecError(
            f"model folder {str(folder)!r} holds an adapter and the weights of a model; give a "
            "folder with one of them"
        )
    _check_settings(settings, folder)
    weights = _weights(folder)
    base = _base(settings, folder, find_base)
    own = [weights, *(f for f in deciding_text_files(folder) if f.name != "config.json")]
    parts: dict[str, Any] = {str(f.relative_to(folder)): hash_file(f, cache) for f in own}
    parts |= {"base": base.sha256, "settings": _deciding(settings)}
    return base.model_copy(
        update={
            "name": name, "kind": "hf", "path": folder.resolve(), "base": base,
            "sha256": content_hash(parts),
        }
    )  # fmt: skip


def _deciding(settings: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in _ELSEWHERE}


def _check_settings(settings: dict[str, Any], folder: Path) -> None:
    subject = f"model folder {str(folder)!r}"
    method = settings.get("peft_type")
    if method != "LORA":
        raise UnsupportedError(
            f"{subject} is an adapter of type {str(method)[:40]!r}; only LoRA is added into its "
            "base, merge another one with peft and give the folder of the merged model"
        )
    reason = next((key for key in _REFUSED if settings.get(key)), "")
    if not reason and settings.get("init_lora_weights") not in _STARTS:
        reason = f"init_lora_weights {str(settings['init_lora_weights'])[:40]!r}"
    if reason:
        raise UnsupportedError(
            f"{subject} is a LoRA adapter with {reason}, which is not added into its base here; "
            "merge it with peft and give the folder of the merged model"
        )


def _weights(folder: Path) -> Path:
    for name in _WEIGHTS:
        if (folder / name).is_file() or (folder / name).is_symlink():
            check_weight_file(folder / name)
            return folder / name
    raise SpecError(f"model folder {str(folder)!r} is a LoRA adapter without {_WEIGHTS[0]}")


def _base(
    settings: dict[str, Any], folder: Path, find_base: Callable[[str], ModelRef | None]
) -> ModelRef:
    wanted = settings.get("base_model_name_or_path")
    base = find_base(wanted) if isinstance(wanted, str) and wanted else None
    if base is None:
        raise PrerequisiteError(
            f"model folder {str(folder)!r} is a LoRA adapter of {str(wanted)[:200]!r}, which is "
            "not at hand; write the folder of that model into base_model_name_or_path of "
            f"{_SETTINGS}"
        )
    return base
