"""llama.cpp reads text as the tokenizer of the folder does, or the folder is refused by name."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from effmark.adapter import LoadRequest
from effmark.errors import UnsupportedError
from effmark.models import resolve_model

for _needed in ("gguf", "tokenizers", "torch", "transformers", "xllamacpp"):
    if importlib.util.find_spec(_needed) is None:
        pytest.skip("pip install 'effmark[llama-cpp,torch]'", allow_module_level=True)

WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PROSE = [
    "The keeper counted 27 ships and 1234 gulls before noon; I'm sure he'll see 10 more.",
    "def f(x):\n    return x + 1\n\n\nprint(f(12), 'naïve café')",
    "Привет, мир! 漢字かな交じり文。 👍 the  there   then\tthose",
] * 3
SAMPLES = (
    "I'm 12345 years\n\n old,  naïve  漢字!",
    "cafe\u0301 and DON'T  \t stop: x=10**6;",
    " 👩‍👩‍👧 the\u00a0end ",
)


def _split(pattern: str) -> Any:
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _rules() -> dict[str, Any]:
    from tokenizers import pre_tokenizers as pre

    whole = pre.ByteLevel(add_prefix_space=False, use_regex=True)
    return {
        "gpt-2": whole,
        "smollm": pre.Sequence([pre.Digits(individual_digits=True), whole]),
        "llama-bpe": _split(WORDS + r"\p{N}{1,3}" + REST),
        "qwen2": _split(WORDS + r"\p{N}" + REST),
        "without a name": _split(r"\p{L}+|\p{N}{1,2}|\s+|[^\s\p{L}\p{N}]+"),
    }


def byte_level(folder: Path, rule: str, form: str | None = None) -> None:
    """Replace a folder's tokenizer by a trained one."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(ignore_merges=rule == "llama-bpe"))
    tokenizer.pre_tokenizer = _rules()[rule]
    tokenizer.decoder = decoders.ByteLevel()
    if form == "NFC":
        tokenizer.normalizer = normalizers.NFC()
    if form == "lowercase":
        tokenizer.normalizer = normalizers.Lowercase()
    trainer = trainers.BpeTrainer(
        vocab_size=318,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(PROSE, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))


def pieces(folder: Path, *, prepend: bool) -> None:
    """Replace a folder's tokenizer by one as SentencePiece's BPE is converted."""
    from tokenizers import Tokenizer, decoders, models, normalizers

    text = " ".join(PROSE).replace("\n", " ").replace("\t", " ")
    letters = sorted({"▁", *(c for c in text if c.isascii() and not c.isspace())})
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("i", "n"), ("e", "r"), ("▁", "a"), ("r", "e")]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256))]
    tokens += [t for t in letters if t not in tokens][: 320 - len(tokens) - len(merges)]
    kept = [(a, b) for a, b in merges if a in tokens or len(a) > 1]
    made = [a + b for a, b in kept]
    vocabulary = {token: i for i, token in enumerate([*tokens, *made])}
    usable = [(a, b) for a, b in kept if a in vocabulary and b in vocabulary]
    model = models.BPE(vocabulary, usable, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    tokenizer = Tokenizer(model)
    steps: list[Any] = [normalizers.Prepend("▁")] if prepend else []
    tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    steps += [decoders.Strip(" ", 1, 0)] if prepend else []
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def model(tiny_models: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tiny_models.make(tmp_path_factory.mktemp("reading") / "model", "llama")
    return made


@pytest.fixture
def folder(model: Path, tmp_path: Path) -> Path:
    return shutil.copytree(model, tmp_path / "model")


def loaded(folder: Path) -> Any:
    from effmark_adapters.llama_cpp import LlamaCppAdapter

    adapter = LlamaCppAdapter()
    wanted = resolve_model(str(folder), folder.parent)
    adapter.load(LoadRequest(model=wanted, precision="f32", cache=folder.parent / "cache"))
    return adapter


def check(folder: Path) -> None:
    from tokenizers import Tokenizer

    own, adapter = Tokenizer.from_file(str(folder / "tokenizer.json")), loaded(folder)
    try:
        for text in SAMPLES:
            ids = own.encode(text, add_special_tokens=False).ids
            assert adapter.encode(text) == ids
            assert adapter.decode(ids) == own.decode(ids)
    finally:
        adapter.close()


@pytest.mark.parametrize("rule", ["gpt-2", "smollm", "llama-bpe", "qwen2"])
@pytest.mark.parametrize("form", [None, "NFC"])
def test_a_rule_of_splitting_is_kept(folder: Path, rule: str, form: str | None) -> None:
    byte_level(folder, rule, form)
    check(folder)


@pytest.mark.parametrize("prepend", [True, False])
def test_pieces_with_a_byte_fallback_are_read(folder: Path, prepend: bool) -> None:
    pieces(folder, prepend=prepend)
    check(folder)


@pytest.mark.parametrize(
    ("rule", "form", "sentence"),
    [
        ("without a name", None, r"pre-tokenizer \['Split', 'ByteLevel'\] has no name"),
        ("gpt-2", "lowercase", r"normaliser \['Lowercase'\] is not known"),
    ],
)
def test_another_rule_is_refused_by_name(
    folder: Path, rule: str, form: str | None, sentence: str
) -> None:
    byte_level(folder, rule, form)
    with pytest.raises(UnsupportedError, match=sentence):
        loaded(folder)


def test_a_rule_of_a_known_name_that_reads_otherwise_is_refused(folder: Path) -> None:
    byte_level(folder, "llama-bpe")
    path = folder / "tokenizer.json"
    whole = json.loads(path.read_text())
    takes_spaces = {**whole["added_tokens"][0], "id": 318, "content": "Hello", "rstrip": True}
    path.write_text(json.dumps({**whole, "added_tokens": [*whole["added_tokens"], takes_spaces]}))
    with pytest.raises(UnsupportedError, match=r"llama\.cpp reads 'Hello world' as the tokens"):
        loaded(folder)


def test_tokens_beyond_the_embedding_are_left_out_or_refused(folder: Path) -> None:
    byte_level(folder, "gpt-2")
    path = folder / "tokenizer.json"
    whole = json.loads(path.read_text())
    beyond = {**whole["added_tokens"][0], "id": 500, "content": "<image>"}
    path.write_text(json.dumps({**whole, "added_tokens": [*whole["added_tokens"], beyond]}))
    check(folder)
    whole["model"]["vocab"]["beyond"] = 400
    path.write_text(json.dumps(whole))
    with pytest.raises(UnsupportedError, match=r"has token 400 'beyond', the embedding has rows"):
        loaded(folder)


def test_every_end_that_the_files_name_is_told(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": [2, 9]}))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 11]}))
    adapter = loaded(folder)
    try:
        special = adapter.special_tokens()
    finally:
        adapter.close()
    assert (special.eos, special.ends) == (2, (2, 9, 11))


def test_a_model_without_an_end_is_read(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "eos_token_id": None}))
    (folder / "tokenizer_config.json").unlink()
    (folder / "generation_config.json").unlink(missing_ok=True)
    adapter = loaded(folder)
    try:
        assert adapter.special_tokens().ends == ()
    finally:
        adapter.close()
