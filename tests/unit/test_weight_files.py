"""Headers of weight files: how many weights, of which type; damaged ones are refused."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from effmark.errors import PrerequisiteError
from effmark.estimates import resident_b
from effmark.gguf_header import gguf_type
from effmark.models import resolve_model
from effmark.weight_files import count_weights


def gguf(path: Path, matrix: int = 2) -> Path:
    """Write a header with one matrix of 64 x 32 and one norm of 64 weights."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    keys = text("general.architecture") + struct.pack("<I", 8) + text("llama")
    keys += text("tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b")
    keys += text("scores") + struct.pack("<IIQ", 9, 6, 2) + struct.pack("<2f", 0.0, 1.0)
    keys += text("flag") + struct.pack("<IB", 7, 1)
    tensors = text("norm") + struct.pack("<IQIQ", 1, 64, 0, 0)
    tensors += text("matrix") + struct.pack("<IQQIQ", 2, 64, 32, matrix, 256)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2, 4) + keys + tensors)
    return path


def test_a_gguf_file_tells_its_weights_and_their_type(tmp_path: Path) -> None:
    path = gguf(tmp_path / "m.gguf")
    assert count_weights(path) == 64 * 32 + 64
    assert gguf_type((path,)) == "Q4_0"


@pytest.mark.parametrize(("number", "source"), [(2, "dequantised Q4_0"), (1, "f16")])
def test_low_bit_weights_are_no_full_precision(tmp_path: Path, number: int, source: str) -> None:
    path = gguf(tmp_path / "mine.gguf", number)
    model = resolve_model(str(path), tmp_path)
    assert (model.name, model.weights_source) == ("mine", source)


def test_a_file_of_a_general_name_is_called_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "tiny").mkdir()
    path = gguf(tmp_path / "tiny" / "model.gguf")
    assert resolve_model(str(path), tmp_path).name == "tiny"


@pytest.mark.parametrize(
    ("precision", "bits"),
    [("fp32", 32), ("bf16", 16), ("q8_0", 8), ("int4", 4), ("q4_k_m", 4), ("as-is", 2)],
)
def test_memory_is_estimated_by_the_weights_there_are(
    tmp_path: Path, precision: str, bits: int
) -> None:
    model = resolve_model(str(gguf(tmp_path / "m.gguf")), tmp_path)
    assert resident_b(model, precision) == (64 * 32 + 64) * bits // 8


def test_a_header_that_ends_early_is_one_line(tmp_path: Path) -> None:
    path = gguf(tmp_path / "m.gguf")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(PrerequisiteError, match=r"'.*m.gguf' is truncated or damaged"):
        resolve_model(str(path), tmp_path)


def test_a_header_nested_without_end_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    key = struct.pack("<Q", 1) + b"a" + struct.pack("<I", 9)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + 5000 * struct.pack("<IQ", 9, 1))
    with pytest.raises(PrerequisiteError, match=r"'.*m.gguf' is truncated or damaged"):
        resolve_model(str(path), tmp_path)
