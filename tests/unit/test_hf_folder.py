from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from effmark.errors import PrerequisiteError, SpecError, UnsupportedError
from effmark.file_hashes import hash_file
from effmark.models import resolve_model
from effmark.spec import ModelRef
from effmark_adapters.artefacts import facts
from effmark_adapters.artefacts.costs import costs_by_formula
from effmark_adapters.artefacts.gguf_vocabulary import write_tokenizer
from effmark_adapters.artefacts.hf_folder import hf_folder, prepared_hf_folder
from effmark_adapters.artefacts.tokenizer import TextTokenizer

pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789Ġ"
HEADER: dict[str, Any] = {
    "tokenizer.ggml.model": "gpt2",
    "tokenizer.ggml.pre": "smollm",
    "tokenizer.ggml.tokens": ["<|end|>", *LETTERS, "12", "in"],
    "tokenizer.ggml.token_type": [3, *[1] * (len(LETTERS) + 2)],
    "tokenizer.ggml.merges": ["1 2", "i n"],
    "tokenizer.ggml.eos_token_id": 0,
    "tokenizer.chat_template": "{% for m in messages %}[{{ m['content'] }}]{{ eos_token }}"
    "{% endfor %}{% if add_generation_prompt %}>{% endif %}",
}


@pytest.fixture
def family(tmp_path: Path) -> ModelRef:
    return resolve_model("effmark-1m", tmp_path)


@pytest.fixture
def as_gguf(family: ModelRef, tmp_path: Path) -> ModelRef:
    """The small model as a GGUF file in f32."""
    from effmark_adapters.artefacts.gguf_file import write_gguf
    from effmark_adapters.artefacts.gguf_from_hf import from_folder

    assert family.path is not None
    path = tmp_path / "small.gguf"
    write_gguf(from_folder(family.path), "f32", path)
    return ModelRef(name="small", task="lm", kind="gguf", path=path, sha256=hash_file(path))


def test_a_folder_is_its_own_folder(family: ModelRef, tmp_path: Path) -> None:
    assert hf_folder(family, tmp_path) == family.path == prepared_hf_folder(family, tmp_path)


def test_a_gguf_file_becomes_the_folder_that_it_came_from(
    family: ModelRef, as_gguf: ModelRef, tmp_path: Path
) -> None:
    from effmark_adapters.artefacts.gguf_from_hf import from_folder

    assert family.path is not None
    made = hf_folder(as_gguf, tmp_path)
    original, again = from_folder(family.path), from_folder(made)
    assert [t.name for t in original.tensors] == [t.name for t in again.tensors]
    for before, after in zip(original.tensors, again.tensors, strict=True):
        assert (before.read() == after.read()).all()
    shape = ("hidden_size", "num_attention_heads", "num_key_value_heads", "rms_norm_eps")
    config, expected = facts.read_config(made), facts.read_config(family.path)
    assert {k: config[k] for k in shape} == {k: expected[k] for k in shape}
    text = "In 1811 she wrote: it's raining, isn't it?\n\n"
    assert TextTokenizer(made).encode(text) == TextTokenizer(family.path).encode(text)


def test_a_conversion_is_made_once_and_only_by_prepare(as_gguf: ModelRef, tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="not converted yet"):
        prepared_hf_folder(as_gguf, tmp_path)
    made = hf_folder(as_gguf, tmp_path)
    assert as_gguf.path is not None
    as_gguf.path.unlink()
    assert hf_folder(as_gguf, tmp_path) == made == prepared_hf_folder(as_gguf, tmp_path)


def test_what_has_no_folder_is_refused(tmp_path: Path) -> None:
    digits = ModelRef(name="digits", task="classifier", kind="digits", sha256="0" * 64)
    with pytest.raises(UnsupportedError, match="digits"):
        hf_folder(digits, tmp_path)
    empty = ModelRef(name="empty", task="lm", kind="hf", path=tmp_path, sha256="0" * 64)
    with pytest.raises(SpecError, match=r"has no config\.json"):
        hf_folder(empty, tmp_path)


def test_the_rule_of_a_gguf_tokenizer_is_kept(tmp_path: Path) -> None:
    write_tokenizer(HEADER, 64, tmp_path)
    tokens = HEADER["tokenizer.ggml.tokens"]
    digits_alone = [tokens.index("1"), tokens.index("2"), tokens.index("in")]
    assert TextTokenizer(tmp_path).encode("12in") == digits_alone
    write_tokenizer({**HEADER, "tokenizer.ggml.pre": "gpt-2"}, 64, tmp_path)
    assert TextTokenizer(tmp_path).encode("12in") == [tokens.index("12"), tokens.index("in")]


@pytest.mark.parametrize(
    ("said", "start"),
    [
        ({"tokenizer.ggml.add_bos_token": True}, (1,)),
        ({"tokenizer.ggml.add_bos_token": False}, ()),
        ({"tokenizer.ggml.pre": "llama-bpe"}, (1,)),
        ({"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": False}, ()),
        ({}, ()),
    ],
)
def test_a_text_begins_as_llama_cpp_would_begin_it(
    said: dict[str, Any], start: tuple[int, ...], tmp_path: Path
) -> None:
    write_tokenizer({**HEADER, "tokenizer.ggml.bos_token_id": 1, **said}, 64, tmp_path)
    tokenizer = TextTokenizer(tmp_path)
    assert tokenizer.special_tokens().start == start
    assert tokenizer.encode("ab") == [1, 2]


def test_a_tokenizer_rule_that_is_not_known_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="'martian'"):
        write_tokenizer({**HEADER, "tokenizer.ggml.pre": "martian"}, 64, tmp_path)


def test_special_tokens_are_read_where_the_text_spells_them_and_never_written(
    tmp_path: Path,
) -> None:
    write_tokenizer(HEADER, 64, tmp_path)
    tokenizer = TextTokenizer(tmp_path)
    ids = tokenizer.encode("in<|end|>")
    assert ids[-1] == 0
    assert tokenizer.decode(ids) == "in"


def test_a_chat_becomes_the_prompt_of_the_template(tmp_path: Path) -> None:
    write_tokenizer(HEADER, 64, tmp_path)
    tokenizer = TextTokenizer(tmp_path)
    assert tokenizer.chat([{"role": "user", "content": "hi"}]) == "[hi]<|end|>>"


def test_a_template_beside_the_settings_comes_first(tmp_path: Path) -> None:
    write_tokenizer(HEADER, 64, tmp_path)
    (tmp_path / "chat_template.jinja").write_text("{{ raise_exception('only users speak') }}")
    with pytest.raises(UnsupportedError, match="only users speak"):
        TextTokenizer(tmp_path).chat([{"role": "system", "content": "hi"}])


def test_a_model_without_a_template_refuses_to_chat(family: ModelRef) -> None:
    assert family.path is not None
    with pytest.raises(UnsupportedError, match="no chat template"):
        TextTokenizer(family.path).chat([{"role": "user", "content": "hi"}])


def test_a_folder_without_a_tokenizer_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError, match="save_pretrained"):
        TextTokenizer(tmp_path)


def test_flops_and_cache_follow_from_the_architecture(family: ModelRef) -> None:
    assert family.path is not None
    config = facts.read_config(family.path)
    hidden, layers, ffn = 128, 4, 384
    matrices = hidden * hidden * 2 + hidden * 64 * 2 + 3 * hidden * ffn
    expected = 2048 * hidden + layers * (matrices + 2 * hidden) + hidden
    costs = costs_by_formula(config)
    assert costs.kv_elements == 2 * layers * 2 * 32
    assert costs.flops is not None
    assert costs.flops > 2 * (expected - 2048 * hidden)


def test_a_config_becomes_flat_scalars(tmp_path: Path) -> None:
    config = {"rope_parameters": {"rope_theta": 5.0}, "_private": 1, "a": 1, "list": [1]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert facts.flat_config(facts.read_config(tmp_path)) == {"rope_theta": 5.0, "a": 1}
