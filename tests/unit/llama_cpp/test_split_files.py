"""A model in several GGUF files is all of them, whichever is given; never a part of it."""

from __future__ import annotations

import contextlib
import importlib.util
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effmark.adapter import LoadRequest
from effmark.errors import EffmarkError, PrerequisiteError
from effmark.models import resolve_model
from effmark.weight_files import count_weights

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gguf") is None, reason="pip install 'effmark[llama-cpp]'"
)


def split(source: Path, folder: Path, tensors: int) -> list[Path]:
    """Write a file again as files of so many tensors, as gguf-split does."""
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    reader = GGUFReader(source)
    writer = GGUFWriter(folder / "big.gguf", "llama", split_max_tensors=tensors)
    with contextlib.closing(writer):
        for key, field in reader.fields.items():
            if key.startswith(("GGUF.", "general.architecture")):
                continue
            kind, last = field.types[0], field.types[-1]
            element = last if kind == GGUFValueType.ARRAY else None
            writer.add_key_value(key, field.contents(), kind, sub_type=element)
        for entry in reader.tensors:
            writer.add_tensor(entry.name, entry.data, raw_dtype=entry.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    return sorted(folder.glob("*.gguf"))


@pytest.fixture(scope="module")
def whole(tiny: Any, cache: Path) -> Path:
    from effmark_adapters.artefacts.gguf_file import gguf_file

    return gguf_file(tiny.request(cache, "q8_0")).path


@pytest.fixture
def parts(whole: Path, tmp_path: Path) -> list[Path]:
    (tmp_path / "model").mkdir()
    found = split(whole, tmp_path / "model", 8)
    assert [path.name for path in found] == [f"big-0000{i}-of-00003.gguf" for i in (1, 2, 3)]
    return found


@pytest.mark.parametrize("given", [0, 1, 2])
def test_each_file_names_the_whole_model(parts: list[Path], tiny: Any, given: int) -> None:
    model = resolve_model(str(parts[given]), parts[0].parent)
    first = resolve_model(str(parts[0]), parts[0].parent)
    assert model == first
    assert (model.name, model.path, model.weights_source) == (
        "big",
        parts[0].resolve(),
        "dequantised Q8_0",
    )
    assert model.path is not None
    assert count_weights(model.path) == tiny.parameters


def test_the_identity_depends_on_every_file(parts: list[Path], tmp_path: Path) -> None:
    before = resolve_model(str(parts[0]), tmp_path).sha256
    data = bytearray(parts[2].read_bytes())
    data[-1] ^= 1
    parts[2].write_bytes(data)
    assert resolve_model(str(parts[0]), tmp_path).sha256 != before


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_missing_file_is_named(parts: list[Path], tmp_path: Path, gone: int) -> None:
    parts[gone].unlink()
    for given in {0, 1, 2} - {gone}:
        with pytest.raises(PrerequisiteError, match=rf"big-0000{gone + 1}-of-00003.gguf' is not"):
            resolve_model(str(parts[given]), tmp_path)


def test_a_part_under_another_name_says_what_it_is(parts: list[Path], tmp_path: Path) -> None:
    path = parts[0].rename(tmp_path / "model.gguf")
    with pytest.raises(PrerequisiteError, match="number 1 of 3 by its header"):
        resolve_model(str(path), tmp_path)


def test_a_part_in_the_place_of_another_is_refused(parts: list[Path], tmp_path: Path) -> None:
    shutil.copy(parts[1], parts[2])
    with pytest.raises(PrerequisiteError, match=r"00003-of-00003.gguf' is number 2 of 3"):
        resolve_model(str(parts[0]), tmp_path)


def test_parts_of_two_models_are_refused(parts: list[Path], whole: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = split(whole, tmp_path / "other", 9)
    shutil.copy(other[2], parts[2])
    with pytest.raises(PrerequisiteError, match="their headers tell of"):
        resolve_model(str(parts[0]), tmp_path)


@pytest.mark.parametrize("precision", ["as_is", "q8_0", "q4_0"])
def test_the_runtime_measures_all_files(
    load: Callable[..., Any], parts: list[Path], tiny: Any, cache: Path, precision: str
) -> None:
    from effmark_adapters.llama_cpp import LlamaCppAdapter

    model = resolve_model(str(parts[1]), cache)
    adapter = LlamaCppAdapter()
    adapter.load(LoadRequest(model=model, precision=precision, cache=cache, context_tokens=64))
    try:
        facts = adapter.facts()
        (found,) = adapter.log_probs([((2, 41, 70), (12, 99, 150))])
    finally:
        adapter.close()
    same = load(tiny, "q8_0" if precision == "as_is" else precision)
    assert facts.parameters == tiny.parameters
    assert facts.weights_b == same.facts().weights_b
    if precision != "q4_0":
        assert facts.file_b == sum(path.stat().st_size for path in parts)
        assert (found == same.log_probs([((2, 41, 70), (12, 99, 150))])[0]).all()


def test_a_folder_of_all_files_for_other_runtimes(parts: list[Path], tiny: Any) -> None:
    from safetensors.numpy import load_file

    from effmark_adapters.artefacts.gguf_to_hf import convert

    folder = parts[0].parent / "hf"
    folder.mkdir()
    convert(parts[0], folder)
    assert load_file(folder / "model.safetensors").keys() == tiny.weights.keys()


def test_an_adapter_that_is_given_a_later_part_says_which_to_give(parts: list[Path]) -> None:
    from effmark_adapters.artefacts.gguf_source import from_gguf

    with pytest.raises(EffmarkError, match=r"give 'big-00001-of-00003.gguf'"):
        from_gguf(parts[1])


def test_the_type_is_that_of_the_matrices_where_the_embedding_dominates(
    tiny: Any, cache: Path
) -> None:
    from effmark_adapters.artefacts.gguf_file import gguf_file

    file = gguf_file(tiny.request(cache, "q4_0"))
    model = resolve_model(str(file.path), cache)
    assert model.weights_source == "dequantised Q4_0"
    assert file.facts.matrix_type == "Q4_0"
