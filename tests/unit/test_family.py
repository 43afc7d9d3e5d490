"""The committed model family and its text: what is in the files, and the scripts that made them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import struct
import sys
import zlib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
SUITES = REPOSITORY / "suites/effmark_suites"
FAMILY, TEXT = SUITES / "family", SUITES / "text"
SIZES = ("effmark-1m", "effmark-4m")


def script(name: str) -> ModuleType:
    path = REPOSITORY / "scripts/family" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"family_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def read_json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def tensor_shapes(path: Path) -> dict[str, tuple[str, list[int]]]:
    """Return dtype and shape of every tensor from the header of a safetensors file."""
    data = path.read_bytes()
    (size_b,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size_b])
    return {n: (t["dtype"], t["shape"]) for n, t in header.items() if n != "__metadata__"}


# The held-out text.


def test_the_held_out_text_is_the_text_that_its_sources_describe() -> None:
    sources = read_json(TEXT / "sources.json")
    assert sorted(sources) == sorted(
        path.name for path in TEXT.glob("*.txt") if path.name.islower()
    )
    for name, source in sources.items():
        data = (TEXT / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == source["sha256"]
        assert len(data) == source["size_b"]
        assert source["licence"] in {"public domain", "PSF-2.0"}


def test_the_held_out_text_is_small_and_clean() -> None:
    assert sum(path.stat().st_size for path in TEXT.iterdir()) < 300_000
    austen = (TEXT / "austen.txt").read_text("utf-8")
    assert "  " not in austen
    assert "\n\n\n" not in austen
    assert "Gutenberg" not in austen
    assert "copyright" not in (TEXT / "python.txt").read_text("utf-8").lower()


def test_the_licence_that_the_python_text_asks_for_lies_beside_it() -> None:
    assert "Python Software Foundation" in (TEXT / "LICENSE-PYTHON.txt").read_text("utf-8")


# The script that makes the text.


def r_object(lines: list[str]) -> bytes:
    """Return a character vector as R serialises and compresses it."""
    body = b"X\n" + struct.pack(">IIII", 3, 0x40201, 0x30500, 5) + b"UTF-8"
    body += struct.pack(">II", 16, len(lines))
    for line in lines:
        body += struct.pack(">II", 0x40009, len(line.encode())) + line.encode()
    return struct.pack(">I", len(body)) + zlib.compress(body)


def test_lines_come_back_from_an_r_lazy_load_file() -> None:
    text = script("text")
    objects = [["EMMA", "", "a café"], ["PERSUASION"]]
    chunks = text.rdata_chunks(b"".join(map(r_object, objects)))
    assert [text.r_strings(chunk) for chunk in chunks] == objects


def test_chapters_lose_headings_wrapping_and_notes() -> None:
    lines = ["TITLE", "by her", "", "CHAPTER I", "", "One  line", "wrapped.", "", "Next."]
    lines += ["", "Chapter 2", "", "Last.", "", "THE END", "", "A NOTE ON THE TEXT", "", "Noise."]
    assert script("text").chapters(lines) == ["One line wrapped.\n\nNext.", "Last."]


def test_a_text_found_twice_is_kept_once_before_anything_is_held_out() -> None:
    documents = [("a", "same"), ("b", "other"), ("c", "same")]
    assert script("text").deduplicated(documents) == [("a", "same"), ("b", "other")]


def test_modules_with_a_notice_of_their_own_are_never_held_out() -> None:
    body = "x = 1\n" * 1000
    documents = [("own.py", "# Copyright somebody\n" + body), ("plain.py", body)]
    assert script("text").held_out_modules(documents) == {"plain.py"}


# The committed models.


def test_every_committed_file_has_the_hash_that_the_family_records() -> None:
    family = read_json(FAMILY / "family.json")
    assert sorted(family) == sorted(SIZES)
    for name, facts in family.items():
        found = {
            path.name: hashlib.sha256(path.read_bytes()).hexdigest()
            for path in (FAMILY / name).iterdir()
        }
        assert found == facts["sha256"]


def test_the_family_fits_into_twelve_megabytes() -> None:
    assert sum(path.stat().st_size for path in FAMILY.rglob("*") if path.is_file()) < 12_000_000


@pytest.mark.parametrize("name", SIZES)
def test_every_row_is_a_multiple_of_128_so_that_all_group_sizes_apply(name: str) -> None:
    shapes = tensor_shapes(FAMILY / name / "model.safetensors")
    assert {dtype for dtype, _ in shapes.values()} == {"BF16"}
    assert all(shape[-1] % 128 == 0 for _, shape in shapes.values())
    recorded = read_json(FAMILY / "family.json")[name]["parameters"]
    assert sum(math.prod(shape) for _, shape in shapes.values()) == recorded


@pytest.mark.parametrize("name", SIZES)
def test_the_configuration_says_the_same_to_old_and_new_readers(name: str) -> None:
    config = read_json(FAMILY / name / "config.json")
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"]
    assert config["tie_word_embeddings"] is True
    vocabulary = read_json(FAMILY / name / "tokenizer.json")["model"]["vocab"]
    assert len(vocabulary) == config["vocab_size"]
    assert vocabulary["<|endoftext|>"] == config["bos_token_id"] == config["eos_token_id"]


def test_both_sizes_share_one_tokenizer() -> None:
    one, other = ((FAMILY / name / "tokenizer.json").read_bytes() for name in SIZES)
    assert one == other


def test_the_tokenizer_gives_every_text_back_unchanged() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(FAMILY / SIZES[0] / "tokenizer.json"))
    for name in ("austen.txt", "python.txt"):
        text = (TEXT / name).read_text("utf-8")
        assert tokenizer.decode(tokenizer.encode(text).ids) == text


def test_the_larger_model_is_recorded_as_clearly_better_on_both_texts() -> None:
    small, large = (read_json(FAMILY / "family.json")[name]["bits_per_byte"] for name in SIZES)
    assert all(large[text] < small[text] - 0.03 for text in ("austen", "python"))


@pytest.mark.filterwarnings("ignore")  # torch and transformers warn about themselves at import
@pytest.mark.parametrize("name", SIZES)
def test_the_recorded_bits_per_byte_are_what_the_model_scores(name: str) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    text = (TEXT / "austen.txt").read_text("utf-8")
    recorded = read_json(FAMILY / "family.json")[name]["bits_per_byte"]["austen"]
    scored = script("card").bits_per_byte(FAMILY / name, text[: len(text) // 10])
    assert scored == pytest.approx(recorded, rel=0.05)  # a tenth of the text, so not exactly


# The training script.


@pytest.mark.filterwarnings("ignore")  # as above
def test_the_learning_rate_warms_up_holds_and_falls_to_almost_nothing() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    train = script("train")
    rates = [train.rate_ratio(step, 1000) for step in range(1000)]
    assert rates[0] < 0.05
    assert max(rates) == rates[400] == 1.0
    assert rates[-1] == train.FLOOR_RATIO
    assert rates[400:] == sorted(rates[400:], reverse=True)


@pytest.mark.filterwarnings("ignore")  # as above
def test_a_step_draws_the_same_batch_in_every_run(tmp_path: Path) -> None:
    numpy = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    train = script("train")
    for name in train.MIXTURE:
        numpy.save(tmp_path / f"{name}.npy", numpy.arange(2000, dtype=numpy.uint16))
    one, other = train.Corpus(tmp_path), train.Corpus(tmp_path)
    assert one.batch(7, 256).shape == (16, 257)
    assert torch.equal(one.batch(7, 256), other.batch(7, 256))
    assert not torch.equal(one.batch(7, 256), one.batch(8, 256))
