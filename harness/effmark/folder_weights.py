"""The weight files of a Hugging Face folder: those that its loader reads, checked by their headers.

Which ones: the file that config.json names (`transformers_weights`), else `model.safetensors`, else
what `model.safetensors.index.json` names, else `pytorch_model.bin`, else what its index names. This
is the order of transformers (`modeling_utils._get_resolved_checkpoint_files`). Whatever else lies
there (`consolidated.safetensors`, `original/`, `optimizer.bin`, a second format) is never read.

Format of safetensors: the length of the header in 8 bytes, the header in JSON, then the tensors;
offsets count from the end of the header (https://huggingface.co/docs/safetensors).
"""

from __future__ import annotations

import json
import math
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from effmark.errors import PrerequisiteError, SpecError

__all__ = [
    "check_weight_file",
    "check_weights",
    "count_folder_weights",
    "deciding_weight_files",
    "has_weights",
    "named_weight_files",
    "read_json",
]

Header = dict[str, dict[str, Any]]

_INDEX = ".index.json"
_NAMES = ("model.safetensors", "pytorch_model.bin")
_AGAIN = "download or save it again"
_LFS = b"version https://git-lfs"
_OF = re.compile(r"-of-(\d+)\.\w+$")


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file of a model folder.

    Raises:
        SpecError: it is not JSON, or no object.
    """
    subject = f"model folder {str(path.parent)!r}: {path.name}"
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deep" if isinstance(error, RecursionError) else _brief(error)
        raise SpecError(f"{subject} is not JSON: {reason}") from error
    if not isinstance(found, dict):
        kind = "a list" if isinstance(found, list) else repr(found)[:40]
        raise SpecError(f"{subject} is {kind}; it needs a JSON object")
    return found


def named_weight_files(folder: Path) -> list[Path]:
    """Return the weight files that a loader reads, sorted; they need not be there.

    Raises:
        SpecError: the folder has no weights, or its index is damaged.
    """
    first = _first(folder)
    if first is None:
        others = sorted(p.name for p in folder.iterdir() if p.suffix in (".safetensors", ".bin"))
        found = f", only {others[0]!r}" if others else ""
        raise SpecError(
            f"model folder {str(folder)!r} has no weights: no model.safetensors and no "
            f"model.safetensors.index.json{found}"
        )
    if not first.name.endswith(_INDEX):
        return [first]
    return sorted({folder / name for name in _weight_map(first).values()})


def deciding_weight_files(folder: Path) -> list[Path]:
    """Return the weight files with the index that names them."""
    first = _first(folder)
    index = [first] if first is not None and first.name.endswith(_INDEX) else []
    return [*index, *named_weight_files(folder)]


def has_weights(folder: Path) -> bool:
    """Return whether a loader would find weights of a model in a folder."""
    return _first(folder) is not None


def check_weight_file(path: Path) -> None:
    """Refuse one weight file that is not there, truncated or damaged; only its header is read.

    Raises:
        PrerequisiteError: with the reason.
    """
    _check_there(path.parent, path)
    if path.suffix == ".safetensors":
        _checked_header(path)
    else:
        _check_pickle(path)


def check_weights(folder: Path) -> None:
    """Refuse weights that a loader would stumble over; only headers are read.

    Raises:
        SpecError: there are none, or the index is damaged.
        PrerequisiteError: a file is missing, truncated, damaged or of another set.
    """
    files = named_weight_files(folder)
    for file in files:
        _check_there(folder, file)
    if files[0].suffix != ".safetensors":
        for file in files:
            _check_pickle(file)
        return
    headers = {file.name: _checked_header(file) for file in files}
    first = _first(folder)
    if first is not None and first.name.endswith(_INDEX):
        _check_set(first, headers)


def count_folder_weights(folder: Path) -> int | None:
    """Return the number of weights of a folder, None where its files do not tell.

    A tied head counts as often as the files hold it.
    """
    files = named_weight_files(folder)
    if files[0].suffix != ".safetensors":
        return None
    headers = (_checked_header(file) for file in files)
    return sum(math.prod(entry["shape"]) for header in headers for entry in header.values())


def _first(folder: Path) -> Path | None:
    """Return the file or the index that a loader starts from."""
    config = folder / "config.json"
    named = read_json(config).get("transformers_weights") if config.is_file() else None
    if isinstance(named, str):
        if Path(named).is_absolute() or ".." in Path(named).parts:
            raise SpecError(
                f"model folder {str(folder)!r}: config.json has transformers_weights {named!r}; "
                "it needs a file of the folder"
            )
        return folder / named
    candidates = (folder / f"{name}{end}" for name in _NAMES for end in ("", _INDEX))
    return next((path for path in candidates if path.is_file() or path.is_symlink()), None)


def _weight_map(index: Path) -> dict[str, str]:
    found = read_json(index).get("weight_map")
    subject = f"model folder {str(index.parent)!r}: {index.name}"
    if not isinstance(found, dict) or not found:
        raise SpecError(f"{subject} has no 'weight_map'; {_AGAIN}")
    for tensor, name in found.items():
        if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
            raise SpecError(
                f"{subject} puts {tensor!r} in {str(name)[:80]!r}; it needs a file of the folder"
            )
    return found


def _check_there(folder: Path, file: Path) -> None:
    name = str(file.relative_to(folder))
    if file.is_file():
        with file.open("rb") as handle:
            if handle.read(len(_LFS)) == _LFS:
                raise PrerequisiteError(
                    f"weight file {str(file)!r} is truncated or no safetensors file: it is a "
                    "pointer of Git LFS; fetch what it points to with: git lfs pull"
                )
        return
    if file.is_symlink():
        raise PrerequisiteError(
            f"model folder {str(folder)!r}: {name} is a link to nothing; download it again"
        )
    raise PrerequisiteError(
        f"model folder {str(folder)!r}: its index names {name}, which is not there; "
        "download it, or save the model again"
    )


def _check_pickle(file: Path) -> None:
    """Refuse a file that torch did not write to its end: since torch 1.6 it is a zip archive."""
    with file.open("rb") as handle:
        begun = handle.read(2) == b"PK"
    if file.stat().st_size == 0 or (begun and not zipfile.is_zipfile(file)):
        raise PrerequisiteError(
            f"weight file {str(file)!r} is truncated: {file.stat().st_size} bytes and no end of "
            f"its archive; {_AGAIN}"
        )


def _checked_header(path: Path) -> Header:
    """Return the entries of the tensors of a safetensors file that is whole."""
    subject, size_b = f"weight file {str(path)!r}", path.stat().st_size
    with path.open("rb") as handle:
        length_b = int.from_bytes(handle.read(8), "little")
        if size_b < 8 + length_b:
            raise PrerequisiteError(
                f"{subject} is truncated or no safetensors file: {size_b} bytes, its header alone "
                f"would need {8 + length_b}; {_AGAIN}"
            )
        text = handle.read(length_b)
    try:
        entries = {k: v for k, v in json.loads(text).items() if k != "__metadata__"}
        ends_b = [_end_b(entry) for entry in entries.values()]
    except (ValueError, AttributeError, TypeError, LookupError, RecursionError) as error:
        raise PrerequisiteError(f"{subject} has a damaged header: {_brief(error)}; {_AGAIN}") from (
            error
        )
    wanted_b = 8 + length_b + max(ends_b, default=0)
    if size_b < wanted_b:
        raise PrerequisiteError(
            f"{subject} is truncated: {size_b} bytes, its header tells of {wanted_b}; {_AGAIN}"
        )
    return entries


def _end_b(entry: dict[str, Any]) -> int:
    """Return where a tensor ends; its shape must be one."""
    _, end = entry["data_offsets"]
    if not all(type(n) is int and n >= 0 for n in (end, *entry["shape"])):
        raise ValueError(f"a tensor of shape {entry['shape']!r} that ends at {end!r}")
    return int(end)


def _check_set(index: Path, headers: Mapping[str, Header]) -> None:
    """Refuse shards that are not those which the index was written with."""
    subject = f"model folder {str(index.parent)!r}"
    totals = {found[1] for name in headers if (found := _OF.search(name))}
    if len(totals) > 1:
        raise PrerequisiteError(
            f"{subject}: {index.name} names shards of different sets, of "
            f"{', of '.join(sorted(totals))}; {_AGAIN}"
        )
    for tensor, name in _weight_map(index).items():
        if tensor not in headers[str(Path(name))]:
            raise PrerequisiteError(
                f"{subject}: {index.name} puts {tensor!r} in {name}, which does not hold it; "
                f"index and shards are not of one set; {_AGAIN}"
            )
    holders: dict[str, str] = {}
    for name, header in headers.items():
        for tensor in header:
            if holders.setdefault(tensor, name) != name:
                raise PrerequisiteError(
                    f"{subject}: {tensor!r} is in {holders[tensor]} and in {name}; the shards are "
                    f"not of one set; {_AGAIN}"
                )


def _brief(error: Exception) -> str:
    """Return the first line of what a parser says, at most 200 characters of it."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
