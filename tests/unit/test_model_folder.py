"""Folders of models: what decides their identity, and what is refused before anything is made."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from effmark.errors import EffmarkError, PrerequisiteError, SpecError
from effmark.estimates import resident_b
from effmark.models import resolve_model
from effmark.suites import data_file
from effmark_adapters.artefacts.facts import weight_files

Tensors = dict[str, tuple[int, ...]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The smallest model of the family, in a folder that a test may change."""
    path = tmp_path / "model"
    shutil.copytree(data_file("family", "effmark-1m"), path)
    return path


def safetensors(path: Path, tensors: Tensors) -> None:
    """Write a file of zeros in F32."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end_b = 0
    for name, shape in tensors.items():
        size_b = 4 * shape[0] * shape[1]
        offsets = [end_b, end_b + size_b]
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": offsets}
        end_b += size_b
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(end_b))


@pytest.fixture
def shards(folder: Path) -> Path:
    """A folder whose weights are two files and an index."""
    (folder / "model.safetensors").unlink()
    first, second = (f"model-0000{n}-of-00002.safetensors" for n in (1, 2))
    safetensors(folder / first, {"a": (4, 8), "b": (2, 8)})
    safetensors(folder / second, {"c": (8, 8)})
    index = {"weight_map": {"a": first, "b": first, "c": second}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def identity(folder: Path) -> str:
    return resolve_model(str(folder), folder.parent / "cache").sha256


def write(folder: Path, name: str, content: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content)


@pytest.mark.parametrize(
    "name",
    ["chat_template.jinja", "additional_chat_templates/tools.jinja", "special_tokens_map.json",
     "tokenizer_config.json", "generation_config.json", "tokenizer.model", "added_tokens.json"],
)  # fmt: skip
def test_what_decides_behaviour_is_part_of_the_identity(folder: Path, name: str) -> None:
    write(folder, name, "{}")
    before = identity(folder)
    write(folder, name, '{"a": 1}')
    assert identity(folder) != before


@pytest.mark.parametrize(
    "name",
    ["consolidated.safetensors", "original/consolidated.00.pth", "optimizer.bin",
     "training_args.bin", "pytorch_model.bin", "model.fp16.safetensors", "README.md",
     "model-00001-of-00002.safetensors", "preprocessor_config.json", "modeling_mine.py"],
)  # fmt: skip
def test_what_no_loader_reads_changes_neither_identity_nor_size_nor_plan(
    folder: Path, name: str
) -> None:
    before = resolve_model(str(folder), folder.parent)
    memory_b, files = resident_b(before, "fp32"), weight_files(folder)
    write(folder, name, "not read, and no weights either")
    after = resolve_model(str(folder), folder.parent)
    assert after == before
    assert (resident_b(after, "fp32"), weight_files(folder)) == (memory_b, files)


def test_shards_are_counted_once_each_and_stray_ones_not(shards: Path) -> None:
    safetensors(shards / "consolidated.safetensors", {"a": (4, 8), "b": (2, 8), "c": (8, 8)})
    model = resolve_model(str(shards), shards)
    assert resident_b(model, "fp32") == 4 * (4 * 8 + 2 * 8 + 8 * 8)
    assert [f.name for f in weight_files(shards)] == [
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    ]


def test_config_may_name_the_weights(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "ema.safetensors")
    config = json.loads((folder / "config.json").read_text())
    write(folder, "config.json", json.dumps({**config, "transformers_weights": "ema.safetensors"}))
    model = resolve_model(str(folder), folder)
    assert [f.name for f in weight_files(folder)] == ["ema.safetensors"]
    assert resident_b(model, "fp32")


def _lose_shard(folder: Path) -> None:
    (folder / "model-00002-of-00002.safetensors").unlink()


def _break_link(folder: Path) -> None:
    _lose_shard(folder)
    (folder / "model-00002-of-00002.safetensors").symlink_to(folder / "blobs" / "cleaned")


def _other_shard(folder: Path) -> None:
    safetensors(folder / "model-00002-of-00002.safetensors", {"d": (8, 8)})


def _overlap(folder: Path) -> None:
    safetensors(folder / "model-00002-of-00002.safetensors", {"b": (2, 8), "c": (8, 8)})


def _mixed(folder: Path) -> None:
    third = "model-00003-of-00003.safetensors"
    safetensors(folder / third, {"c": (8, 8)})
    index = folder / "model.safetensors.index.json"
    index.write_text(index.read_text().replace("model-00002-of-00002.safetensors", third))


def _pointer(folder: Path) -> None:
    write(folder, "model-00001-of-00002.safetensors", "version https://git-lfs.github.com/spec/v1")


def _index(text: str) -> Callable[[Path], None]:
    return lambda folder: write(folder, "model.safetensors.index.json", text)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (_lose_shard, r"its index names model-00002-of-00002.safetensors, which is not there"),
        (_break_link, r"model-00002-of-00002.safetensors is a link to nothing; download it again"),
        (_other_shard, r"puts 'c' in model-00002-of-00002.safetensors, which does not hold it"),
        (_overlap, r"'b' is in model-00001-of-00002.safetensors and in model-00002-of-00002"),
        (_mixed, r"names shards of different sets, of 00002, of 00003"),
        (_pointer, r"is a pointer of Git LFS; fetch what it points to with: git lfs pull"),
        (_index('{"weight_map": {"a": '), r"model.safetensors.index.json is not JSON: "),
        (_index("[]"), r"model.safetensors.index.json is a list; it needs a JSON object"),
        (_index("{}"), r"model.safetensors.index.json has no 'weight_map'"),
        (_index('{"weight_map": {"a": "../x"}}'), r"puts 'a' in '../x'; it needs a file of the"),
        (_index('{"weight_map": {"a": 7}}'), r"puts 'a' in '7'; it needs a file of the folder"),
    ],
)
def test_damaged_shards_are_one_line_before_anything_runs(
    shards: Path, harm: Callable[[Path], None], said: str
) -> None:
    harm(shards)
    with pytest.raises(EffmarkError, match=said) as caught:
        resolve_model(str(shards), shards)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1, 2]", "config.json is a list; it needs a JSON object"),
        ('{"hidden_size": 8}', "config.json has no model_type; it needs the one that transformers"),
        ('{"model_type": 7}', "config.json has no model_type"),
        ('{"model_type": "llama", "hidden_size": 1e308}', r"has hidden_size 1e\+308; it needs a"),
        ('{"model_type": "llama", "n_layer": -2}', "has n_layer -2; it needs a whole number"),
        ('{"model_type": "llama", "vocab_size": true}', "has vocab_size True; it needs a whole"),
        ('{"model_type": "a", "text_config": {"hidden_size": "64"}}', "has hidden_size '64'"),
        (f'{{"model_type": "a", "n_head": {"9" * 400}}}', "has n_head of more than 30 digits"),
        (f'{{"model_type": "a", "n_head": {"9" * 5000}}}', "config.json is not JSON: Exceeds"),
        ("[" * 100_000, "config.json is not JSON: it is nested too deep"),
        ("\ufeff{}", "config.json is not JSON: Unexpected UTF-8 BOM"),
        ('{"model_type": "a", "transformers_weights": "/etc/passwd"}', "needs a file of"),
    ],
)  # fmt: skip
def test_a_senseless_config_is_one_line(folder: Path, text: str, said: str) -> None:
    write(folder, "config.json", text)
    with pytest.raises(SpecError, match=said) as caught:
        resolve_model(str(folder), folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
def test_a_link_to_nothing_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(folder / "blobs" / "gone")
    with pytest.raises(PrerequisiteError, match=f"{name} is a link to nothing; download it again"):
        resolve_model(str(folder), folder)


def test_a_folder_of_links_is_the_model_that_they_lead_to(folder: Path, tmp_path: Path) -> None:
    snapshot = tmp_path / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    for file in folder.iterdir():
        (snapshot / file.name).symlink_to(os.path.relpath(file, snapshot))
    assert identity(snapshot) == identity(folder)


@pytest.mark.parametrize("first", ["model.safetensors", "pytorch_model.bin"])
def test_a_file_of_a_folder_is_no_model_but_its_folder_is(folder: Path, first: str) -> None:
    write(folder, first, "anything")
    with pytest.raises(
        SpecError, match=r"is one file of a model folder; give the folder '.*model'"
    ):
        resolve_model(str(folder / first), folder)


def test_a_folder_of_models_names_those_inside(folder: Path) -> None:
    (folder.parent / "other.gguf").touch()
    with pytest.raises(SpecError, match=r"is a folder of models.*give one of them: 'model', 'oth"):
        resolve_model(str(folder.parent), folder)


def test_a_folder_without_named_weights_says_what_it_has(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "consolidated.safetensors")
    with pytest.raises(SpecError, match=r"has no weights: .* only 'consolidated.safetensors'"):
        resolve_model(str(folder), folder)


def test_a_truncated_file_of_torch_is_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"PK\x03\x04 and then the download broke off")
    with pytest.raises(PrerequisiteError, match=r"pytorch_model.bin' is truncated: 36 bytes"):
        resolve_model(str(folder), folder)


@pytest.mark.parametrize(
    "name",
    [
        "a" * 5000,
        "~nobody-of-this-name/model",
        "no such\nmodel\x1b[31m",
        "a b/c\n",
        "/dev/null",
        "",
    ],
)
def test_a_name_that_can_be_no_model_is_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(EffmarkError) as caught:
        resolve_model(name, tmp_path)
    said = str(caught.value)
    assert not {"\n", "\x1b"} & set(said)
    assert len(said) < 600
    assert said.startswith(("no model ", "model '"))


def test_slashes_links_and_home_lead_to_the_same_model(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(folder.parent))
    (folder.parent / "link").symlink_to(folder)
    found = [resolve_model(n, folder) for n in (str(folder), f"{folder}/", "~/model")]
    linked = resolve_model(str(folder.parent / "link"), folder)
    assert {(m.name, m.sha256, m.path) for m in (*found, linked)} == {
        ("model", identity(folder), folder)
    }


@pytest.fixture
def not_root(tmp_path: Path) -> Iterator[None]:
    """Somebody who may not read everything."""
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    yield
    if was_root:
        os.seteuid(0)


def test_a_folder_that_may_not_be_read_is_one_line(folder: Path, not_root: None) -> None:
    if os.getuid() != 0:
        folder.chmod(0)
    try:
        with pytest.raises(PrerequisiteError, match="cannot be read: permission denied"):
            resolve_model(str(folder), folder.parent)
    finally:
        if os.getuid() != 0:
            folder.chmod(0o700)


def test_resolving_a_folder_never_runs_its_code(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_mine.Mine"}
    write(folder, "config.json", json.dumps(config))
    write(folder, "modeling_mine.py", f"open({str(folder / 'ran')!r}, 'w')")
    resolve_model(str(folder), folder, trust_remote_code=True)
    assert not (folder / "ran").exists()
    assert "modeling_mine" not in sys.modules


def test_code_is_part_of_the_identity_where_it_is_trusted(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {"AutoModelForCausalLM": "modeling_mine.Mine"}
    write(folder, "config.json", json.dumps(config))
    write(folder, "modeling_mine.py", "one = 1")
    plain, trusted = (
        resolve_model(str(folder), folder, trust_remote_code=trust) for trust in (False, True)
    )
    write(folder, "modeling_mine.py", "one = 2")
    assert (plain.trust_remote_code, trusted.trust_remote_code) == (False, True)
    assert resolve_model(str(folder), folder) == plain
    assert resolve_model(str(folder), folder, trust_remote_code=True).sha256 != trusted.sha256


def test_trust_changes_nothing_where_there_is_no_code(folder: Path) -> None:
    trusted = resolve_model(str(folder), folder, trust_remote_code=True)
    assert trusted == resolve_model(str(folder), folder)
