"""The Hugging Face folder of a model: as given, or made once from a GGUF file or a LoRA adapter.

A GGUF file is expanded to fp32, which is exact; fp16 and bf16 would round its scales.
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

from effmark.cache import build_once
from effmark.errors import PrerequisiteError, SpecError, UnsupportedError
from effmark.schema import content_hash
from effmark.spec import ModelRef
from effmark_adapters.artefacts.lora import MERGE_VERSION, merge

__all__ = ["CONVERTER_VERSION", "hf_folder", "prepared_hf_folder"]

CONVERTER_VERSION = 2
"""Rises whenever the same GGUF file would become another folder."""


def hf_folder(model: ModelRef, cache: Path) -> Path:
    """Return the Hugging Face folder of a model; convert a GGUF file if that is not yet done.

    Raises:
        SpecError: the folder or file is not there or not whole.
        UnsupportedError: a model that is no language model, a GGUF file that nobody here reads, or
            a tokenizer with code of its own that is not trusted.
        PrerequisiteError: reading GGUF needs a package.
    """
    path = _source(model)
    if model.base is not None:
        return _merged(model, model.base, path, cache)
    if model.kind == "hf":
        _check_tokenizer(model, path)
        return _checked(path)

    def build(folder: Path) -> None:
        from effmark_adapters.artefacts.gguf_to_hf import convert

        convert(path, folder)

    return build_once(cache, "hf", _key(model), build, f"{model.name} as a Hugging Face folder")


def prepared_hf_folder(model: ModelRef, cache: Path) -> Path:
    """Return the folder that `hf_folder` made before.

    Raises:
        PrerequisiteError: it was not made yet.
    """
    path = _source(model)
    if model.kind == "hf" and model.base is None:
        return _checked(path)
    entry = cache / "hf" / _key(model)
    if not entry.is_dir():
        raise PrerequisiteError(f"model {model.name!r} is not converted yet; call prepare first")
    return entry


def _merged(model: ModelRef, base: ModelRef, adapter: Path, cache: Path) -> Path:
    """Return the folder of a LoRA adapter added into its base."""
    whole = hf_folder(base, cache)
    what = f"{model.name}: a LoRA adapter added into {base.name}"
    return build_once(cache, "hf", _key(model), lambda out: merge(whole, adapter, out), what)


def _source(model: ModelRef) -> Path:
    if model.kind not in ("hf", "gguf") or model.path is None:
        raise UnsupportedError(
            f"model {model.name!r} of kind {model.kind!r} has no Hugging Face folder; "
            "a language model is a folder or a GGUF file"
        )
    return model.path


def _checked(folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise SpecError(f"model folder {str(folder)!r} has no config.json; it needs one")
    return folder


def _check_tokenizer(model: ModelRef, folder: Path) -> None:
    """Refuse a tokenizer with code of its own unless the user trusts the folder.

    The code is never run: tokenizer.json alone says what the `tokenizers` library does. Whether
    that is what the folder's class would do is for the user to know.
    """
    settings = folder / "tokenizer_config.json"
    if model.trust_remote_code or not settings.is_file():
        return
    if "AutoTokenizer" in (json.loads(settings.read_text("utf-8")).get("auto_map") or {}):
        raise UnsupportedError(
            f"model {model.name!r} has a tokenizer with Python code of its own folder (auto_map in "
            "tokenizer_config.json); its tokenizer.json is read instead of that code where the "
            "request trusts the folder: --trust-remote-code"
        )


def _key(model: ModelRef) -> str:
    if model.base is not None:
        of_base = _key(model.base) if model.base.kind == "gguf" else ""
        return content_hash({"source": model.sha256, "base": of_base, "merge": MERGE_VERSION})[:32]
    try:
        reader = importlib.metadata.version("gguf")
    except importlib.metadata.PackageNotFoundError as error:
        raise PrerequisiteError(
            "reading a GGUF file needs 'gguf'; install it with: pip install 'effmark[torch]'"
        ) from error
    versions = {"converter": CONVERTER_VERSION, "gguf": reader}
    return content_hash({"source": model.sha256, **versions})[:32]
