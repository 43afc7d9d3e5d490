"""A Hugging Face folder as a model: what of it decides behaviour, checked before anything is made.

The identity of a folder is the hash of the hashes of its deciding files, by name:

* `config.json` and `generation_config.json`;
* the weight files that config.json or the index names, and the index (`effmark.folder_weights`);
* what the tokenizer reads: `tokenizer.json`, `tokenizer_config.json`, `special_tokens_map.json`,
  `added_tokens.json`, and the vocabularies of converters (`tokenizer.model`, `vocab.json` …);
* the chat templates: `chat_template.jinja`, `chat_template.json`, `additional_chat_templates/`;
* all Python files, where the user trusts the folder's own code, and only there.

Nothing else: weight files that no loader reads, other formats, optimiser states, cards and pictures
change neither the hash nor the size nor the plan. Image and audio processors have no say in text.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, SpecError
from effmark.file_hashes import hash_file
from effmark.folder_weights import check_weights, deciding_weight_files, read_json
from effmark.schema import content_hash
from effmark.spec import ModelRef

__all__ = ["deciding_text_files", "folder_model"]

_READ_IF_THERE = (
    "generation_config.json", "tokenizer_config.json", "special_tokens_map.json",
    "added_tokens.json", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
    "vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json",
)  # fmt: skip
_TEMPLATES = "additional_chat_templates"
_SIZES = (
    "hidden_size", "num_hidden_layers", "num_attention_heads", "vocab_size", "n_embd", "n_layer",
    "n_head", "d_model", "max_position_embeddings",
)  # fmt: skip
_LARGEST = 2**31
"""Of any size in a config; the largest that anybody has trained is a millionth of it."""
_SHOWN = 3
_LONGEST_METHOD = 40


def folder_model(
    name: str,
    folder: Path,
    *,
    source: str = "as given",
    trust_code: bool = False,
    cache: Path | None = None,
) -> ModelRef:
    """Return the model of a Hugging Face folder.

    Args:
        name: what people read.
        folder: where it lies.
        source: what its weights really are; `as given`: what config.json says.
        trust_code: whether the folder's own Python code may run.
        cache: where hashes of large files are kept; None to keep none.

    Raises:
        SpecError: the folder is no model, or its JSON is none.
        PrerequisiteError: files are missing, truncated or damaged.
    """
    _check_files(folder)
    config = read_json(folder / "config.json")
    _check_config(config, folder)
    check_weights(folder)
    code = _code(config, folder)
    trusted = sorted(folder.rglob("*.py")) if trust_code and code else []
    files = [*deciding_weight_files(folder), *deciding_text_files(folder), *trusted]
    hashes = {str(f.relative_to(folder)): hash_file(f, cache) for f in files}
    if source == "as given":
        source = str(config.get("dtype") or config.get("torch_dtype") or source)
    return ModelRef(
        name=name, task="lm", kind="hf", path=folder.resolve(), sha256=content_hash(hashes),
        weights_source=source, quantised=_quantised(config),
        trust_remote_code=trust_code and bool(code),
    )  # fmt: skip


def deciding_text_files(folder: Path) -> Iterator[Path]:
    """Yield the files besides weights and code that decide what a model computes."""
    for name in ("config.json", "tokenizer.json", *_READ_IF_THERE):
        if (folder / name).is_file():
            yield folder / name
    yield from sorted((folder / _TEMPLATES).glob("*.jinja"))


def _check_files(folder: Path) -> None:
    for name in ("config.json", "tokenizer.json", *_READ_IF_THERE):
        path = folder / name
        if path.is_symlink() and not path.exists():
            raise PrerequisiteError(
                f"model folder {str(folder)!r}: {name} is a link to nothing; download it again"
            )
    if not (folder / "config.json").is_file():
        raise SpecError(_no_config(folder))
    if not (folder / "tokenizer.json").is_file():
        raise SpecError(
            f"model folder {str(folder)!r} has no tokenizer: tokenizer.json is missing; "
            "save the model and its tokenizer with save_pretrained"
        )


def _no_config(folder: Path) -> str:
    """Return why a folder is no model, with what lies there instead."""
    inside = sorted(folder.iterdir())
    models = [p.name for p in inside if p.is_dir() and (p / "config.json").is_file()]
    models += [p.name for p in inside if p.suffix == ".gguf"]
    if models:
        some = ", ".join(map(repr, models[:_SHOWN])) + (" …" if len(models) > _SHOWN else "")
        return f"{str(folder)!r} is a folder of models, not a model; give one of them: {some}"
    return (
        f"model folder {str(folder)!r} has no config.json: config.json is missing; "
        "save the model and its tokenizer with save_pretrained"
    )


def _check_config(config: dict[str, Any], folder: Path) -> None:
    subject = f"model folder {str(folder)!r}: config.json"
    if not isinstance(config.get("model_type"), str) or not config["model_type"]:
        raise SpecError(
            f"{subject} has no model_type; it needs the one that transformers knows the "
            "architecture by, 'llama' say"
        )
    text = config.get("text_config")
    for part in (config, text if isinstance(text, dict) else {}):
        for size in _SIZES:
            value = part.get(size)
            if value is not None and not _is_size(value):
                raise SpecError(
                    f"{subject} has {size} {_shown(value)}; it needs a whole number from 1 to "
                    f"{_LARGEST}"
                )


def _is_size(value: Any) -> bool:
    """Return whether a size is one; some architectures have one for each layer."""
    if isinstance(value, list):
        return all(_is_size(each) for each in value)
    return type(value) is int and 0 < value <= _LARGEST


def _shown(value: Any) -> str:
    if isinstance(value, int) and abs(value) > 10**30:
        return "of more than 30 digits"
    return repr(value)[:60]


def _code(config: dict[str, Any], folder: Path) -> list[str]:
    """Return the classes of the folder's own code that loading it would run."""
    settings = folder / "tokenizer_config.json"
    parts = [config, read_json(settings) if settings.is_file() else {}]
    maps = [found for part in parts if isinstance(found := part.get("auto_map"), dict)]
    return [str(name) for found in maps for name in found]


def _quantised(config: dict[str, Any]) -> str:
    """Return by what method a folder's weights were quantised before, empty if they were not."""
    text = config.get("text_config")
    parts = (config, text if isinstance(text, dict) else {})
    found = next((f for part in parts if (f := part.get("quantization_config"))), None)
    if not isinstance(found, dict):
        return ""
    of_bitsandbytes = found.get("load_in_4bit") or found.get("load_in_8bit")
    unnamed = "bitsandbytes" if of_bitsandbytes else "an unnamed method"
    return str(found.get("quant_method") or unnamed)[:_LONGEST_METHOD]
