from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from effmark.adapter import LoadRequest
from effmark.errors import EffmarkError, PrerequisiteError, UnsupportedError
from effmark.spec import ModelRef
from effmark_adapters.artefacts.gguf_types import check_types, choose_type

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gguf") is None, reason="pip install 'effmark[llama-cpp]'"
)


def make(request: LoadRequest, quantise: Any = None) -> Any:
    from effmark_adapters.artefacts.gguf_file import gguf_file

    return gguf_file(request, quantise)


def of_file(path: Path, cache: Path, precision: str) -> LoadRequest:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    model = ModelRef(name=path.name, task="lm", kind="gguf", path=path, sha256=digest)
    return LoadRequest(model=model, precision=precision, cache=cache)


def changed(tiny: Any, tmp_path: Path, name: str, **changes: Any) -> Any:
    """Return the model with another JSON file, a key without a value removed."""
    folder = shutil.copytree(tiny.folder, tmp_path / "changed")
    path = folder / name
    old = json.loads(path.read_text())
    path.write_text(json.dumps({**old, **changes}))
    return type(tiny)(folder, tiny.weights, tiny.heads, tiny.kv_heads, tiny.layers, tiny.vocabulary)


def test_the_file_counts_every_weight_once_and_its_bytes(tiny: Any, cache: Path) -> None:
    facts = make(tiny.request(cache, "f32")).facts
    assert facts.parameters == tiny.parameters
    assert facts.weights_b == 4 * tiny.parameters
    assert facts.weights_b < facts.file_b
    assert facts.types == {"F32": len(tiny.weights)}
    assert facts.config["tie_word_embeddings"] is True
    assert facts.config["vocab_size"] == tiny.vocabulary


def test_four_bit_files_hold_embedding_and_head_at_eight_bits(tiny: Any, cache: Path) -> None:
    facts = make(tiny.request(cache, "q4_0")).facts
    assert (facts.matrix_type, facts.matrix_bits) == ("Q4_0", 4.5)
    assert (facts.embedding_type, facts.head_type, facts.head_bits) == ("Q8_0", "Q8_0", 8.5)
    norms = 2 * tiny.layers + 1
    assert facts.types == {"F32": norms, "Q4_0": 7 * tiny.layers, "Q8_0": 1}


@pytest.mark.parametrize("precision", ["f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0"])
def test_a_requantised_tensor_is_within_half_a_step(tiny: Any, cache: Path, precision: str) -> None:
    import numpy as np

    from effmark_adapters.artefacts.gguf_source import from_gguf

    source = from_gguf(make(tiny.request(cache, precision)).path)
    read = {t.name: t.read() for t in source.tensors}["blk.1.ffn_down.weight"]
    true = tiny.weights["model.layers.1.mlp.down_proj.weight"]
    steps = {"f16": 2**11, "q8_0": 254, "q5_1": 31, "q5_0": 31, "q4_1": 15, "q4_0": 15}
    span = 2 * abs(true).max()
    assert np.abs(read - true).max() <= 1.05 * span / steps[precision]


def test_converting_a_gguf_file_again_changes_only_what_is_asked(tiny: Any, cache: Path) -> None:
    from effmark_adapters.artefacts.gguf_source import from_gguf

    first = make(tiny.request(cache, "f32")).path
    again = make(of_file(first, cache, "q4_1"))
    direct = make(tiny.request(cache, "q4_1"))
    of_folder = {"config": direct.facts.config, "ends": direct.facts.ends}
    assert again.facts.model_copy(update=of_folder) == direct.facts
    assert from_gguf(again.path).values == from_gguf(first).values
    assert again.path.read_bytes() == direct.path.read_bytes()


def test_a_file_that_has_the_type_is_used_untouched(tiny: Any, cache: Path) -> None:
    first = make(tiny.request(cache, "q4_1")).path
    again = make(of_file(first, cache, "q4_1"))
    assert again.path == first
    assert make(of_file(first, cache, "as_is")).path == first


def test_a_file_is_made_once(tiny: Any, tmp_path: Path, capfd: Any) -> None:
    first = make(tiny.request(tmp_path, "q5_0")).path
    said = capfd.readouterr().err
    stamp = first.stat().st_mtime_ns
    assert make(tiny.request(tmp_path, "q5_0")).path.stat().st_mtime_ns == stamp
    assert "GGUF q5_0" in said
    assert capfd.readouterr().err == ""


def test_k_quants_need_rows_of_256_and_the_refusal_says_what_to_take(
    tiny: Any, cache: Path
) -> None:
    with pytest.raises(UnsupportedError, match=r"multiple of 256.*\[64, 96\]; take q4_0"):
        make(tiny.request(cache, "q4_k_m"))


@pytest.mark.parametrize("precision", ["q8_0", "q4_0", "q4_k_m"])
def test_rows_that_no_block_fits_are_told_what_fits_them(precision: str) -> None:
    shapes = [("blk.0.attn_q.weight", (60, 60)), ("blk.0.ffn_down.weight", (60, 100))]
    with pytest.raises(UnsupportedError, match=r"they have \[60, 100\]; take f16 or f32$"):
        check_types(shapes, precision, 1)


def test_k_quants_without_a_quantiser_name_what_to_install(wide: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=r"pip install 'effmark\[llama-cpp\]'"):
        make(wide.request(tmp_path, "q6_k"))
    assert not list((tmp_path / "gguf").glob("*/*"))


def test_q4_k_m_of_smollm2_has_the_mixture_that_llama_cpp_makes() -> None:
    """166 x Q5_0, 16 x Q4_K, 14 x Q6_K, 15 x Q8_0: counted in a file of llama-quantize."""
    shapes = {"token_embd.weight": (49152, 576)}
    for layer in range(30):
        parts = {"attn_q": 576, "attn_k": 576, "attn_v": 576, "attn_output": 576}
        parts |= {"ffn_gate": 576, "ffn_up": 576, "ffn_down": 1536}
        shapes |= {f"blk.{layer}.{part}.weight": (576, row) for part, row in parts.items()}
    types = [choose_type(name, shape, "q4_k_m", 30) for name, shape in shapes.items()]
    assert {t: types.count(t) for t in set(types)} == {
        "Q5_0": 166,
        "Q4_K": 16,
        "Q6_K": 14,
        "Q8_0": 15,
    }


def test_rows_that_no_block_fits_stay_f16() -> None:
    assert choose_type("blk.0.attn_q.weight", (10, 40), "q4_0", 1) == "F16"


@pytest.mark.parametrize(
    ("name", "changes", "sentence"),
    [
        ("config.json", {"model_type": "gptj"}, "model_type 'gptj'"),
        ("config.json", {"hidden_act": "gelu"}, "hidden_act 'gelu'"),
        ("config.json", {"rope_scaling": {"rope_type": "dynamic"}}, "rope_type 'dynamic'"),
        ("tokenizer.json", {"model": {"type": "Unigram"}}, "not byte-level BPE"),
        ("tokenizer.json", {"pre_tokenizer": {"type": "Whitespace"}}, "pre-tokenizer"),
    ],
)
def test_what_the_converter_does_not_know_it_refuses_by_name(
    tiny: Any, tmp_path: Path, name: str, changes: dict[str, Any], sentence: str
) -> None:
    model = changed(tiny, tmp_path, name, **changes)
    with pytest.raises(UnsupportedError, match=sentence):
        make(model.request(tmp_path / "cache", "f32"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_folder_without_a_file_says_which(tiny: Any, tmp_path: Path, name: str) -> None:
    model = changed(tiny, tmp_path, "config.json")
    (model.folder / name).unlink()
    with pytest.raises(EffmarkError, match=r"safetensors" if "safe" in name else name):
        make(model.request(tmp_path / "cache", "f32"))


def test_a_file_that_is_not_gguf_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    path.write_bytes(b"GGUX" + bytes(100))
    with pytest.raises(PrerequisiteError, match=r"broken\.gguf, not a readable GGUF file"):
        make(of_file(path, tmp_path, "q4_0"))


@pytest.mark.parametrize(
    ("entries", "tensor", "sentence"),
    [
        ({}, "v.patch_embd.weight", "architecture 'clip' without block_count is no language"),
        ({"clip.block_count": 2}, "v.patch_embd.weight", "without token_embd.weight is no"),
    ],
)
@pytest.mark.parametrize("precision", ["as_is", "q8_0"])
def test_a_file_of_something_else_is_refused(
    tmp_path: Path, entries: dict[str, int], tensor: str, sentence: str, precision: str
) -> None:
    import numpy as np
    from gguf import GGUFWriter

    path = tmp_path / "mmproj.gguf"
    writer = GGUFWriter(path, "clip")
    for key, value in entries.items():
        writer.add_uint32(key, value)
    writer.add_tensor(tensor, np.zeros((32, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(UnsupportedError, match=sentence):
        make(of_file(path, tmp_path, precision))


def test_as_is_needs_a_file(tiny: Any, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="is a folder, not a GGUF file"):
        make(tiny.request(tmp_path, "as_is"))


def test_bf16_weights_are_read_exactly(tmp_path: Path) -> None:
    import numpy as np

    from effmark_adapters.artefacts.safetensors_folder import stored_tensors

    header = b'{"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}'
    values = np.array([[1.0, -2.5], [0.15625, 3e38]], np.float32)
    values = (values.view(np.uint32) >> 16 << 16).view(np.float32)
    body = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    found = stored_tensors(tmp_path)["a"]
    shape, read = found.shape, found.read
    assert shape == (2, 2)
    assert (read() == values).all()


def test_an_edited_chat_template_is_in_the_next_file(tiny: Any, tmp_path: Path) -> None:
    from gguf import GGUFReader

    from effmark.models import resolve_model

    folder = shutil.copytree(tiny.folder, tmp_path / "model")
    found = []
    for template in ("{{ 'first' }}", "{{ 'second' }}"):
        (folder / "chat_template.jinja").write_text(template)
        model = resolve_model(str(folder), tmp_path)
        made = make(LoadRequest(model=model, precision="f32", cache=tmp_path / "cache"))
        found.append(GGUFReader(made.path).get_field("tokenizer.chat_template").contents())
    assert found == ["{{ 'first' }}", "{{ 'second' }}"]
