"""Folders of a model hub by their ids: downloaded where that is wanted, else found in its cache."""

from __future__ import annotations

import os
from pathlib import Path

from effmark.errors import PrerequisiteError, SpecError
from effmark.registry import list_models, nearest

__all__ = ["cached_hub_folder", "cut_name", "hub_folder"]

_FROM_HUB = ("*.safetensors", "*.json", "*.jinja", "*.model", "*.txt")
_NOT_FROM_HUB = ["original/*", "consolidated*", "onnx/*", "optimizer*"]
"""Other formats of the same weights, which no loader here reads."""
_LONGEST_NAME = 200


def hub_folder(name: str, *, trust_code: bool, fetch: bool) -> Path:
    """Return the folder of a hub id.

    Args:
        name: ORG/NAME.
        trust_code: whether its Python code is wanted, too.
        fetch: whether it is downloaded if it is not here; a plan downloads nothing.

    Raises:
        SpecError: the name can be none of a hub.
        PrerequisiteError: it is not here, and cannot be fetched or is not to be.
    """
    offline = os.environ.get("HF_HUB_OFFLINE") == "1"
    try:
        return _snapshot(name, trust_code, local=offline or not fetch)
    except PrerequisiteError as error:
        if fetch or isinstance(error.__cause__, ImportError):
            raise
        raise PrerequisiteError(
            f"model {cut_name(name)!r} is no folder here, and not in the hub's cache; a run "
            "downloads it where there is a network"
        ) from error


def cached_hub_folder(name: str, *, trust_code: bool) -> Path | None:
    """Return the folder of a hub id that was downloaded before, None if it is not here."""
    try:
        return _snapshot(name, trust_code, local=True)
    except (PrerequisiteError, SpecError):
        return None


def cut_name(name: str) -> str:
    """Return a name that may be of any length as a sentence can hold it."""
    return name if len(name) <= _LONGEST_NAME else f"{name[:_LONGEST_NAME]}…"


def _snapshot(name: str, trust_code: bool, *, local: bool) -> Path:
    """Return the folder of a hub id, downloaded unless it is looked for here only."""
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            HfHubHTTPError,
            HFValidationError,
            LocalEntryNotFoundError,
        )
    except ImportError as error:
        raise PrerequisiteError(
            f"model {name!r} is a hub id and needs 'huggingface_hub'; "
            "install it with: pip install 'effmark[torch]'"
        ) from error
    wanted = [*_FROM_HUB, *(["*.py"] if trust_code else [])]
    try:
        folder = snapshot_download(
            name, local_files_only=local, allow_patterns=wanted, ignore_patterns=_NOT_FROM_HUB,
            etag_timeout=5,
        )  # fmt: skip
    except HFValidationError as error:
        raise SpecError(
            f"no model {cut_name(name)!r}: no such folder or file here, and no hub id ORG/NAME; "
            f"{nearest(name, list(list_models()))}"
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise PrerequisiteError(
            f"model {cut_name(name)!r}: no such folder here and the hub cannot be reached; "
            "download it where there is a network and pass the folder, or use --model default"
        ) from error
    return Path(folder)
