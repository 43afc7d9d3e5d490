from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from effmark.adapter import Generation, LoadRequest, Sampling
from effmark.errors import (
    AdapterError,
    OutOfMemoryError,
    PrerequisiteError,
    SpecError,
    UnsupportedError,
)
from effmark.models import resolve_model
from effmark.spec import ModelRef
from effmark_adapters.torch import TorchAdapter

with warnings.catch_warnings():  # imports of other people's packages
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("torchao.quantization")
    from effmark_adapters.pytorch import decoding, devices, kv_cache, scoring
    from effmark_adapters.pytorch.calls import inspect_calls

Load = Callable[..., TorchAdapter]
PROMPT = tuple(range(40, 60))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def family(cache: Path) -> ModelRef:
    return resolve_model("effmark-1m", cache)


@pytest.fixture
def load(family: ModelRef, cache: Path) -> Load:
    def load(model: ModelRef | None = None, **changes: Any) -> TorchAdapter:
        request = LoadRequest(
            **{"model": model or family, "precision": "fp32", "cache": cache, **changes}
        )
        TorchAdapter.prepare(request)
        adapter = TorchAdapter()
        adapter.load(request)
        return adapter

    return load


def tokens_of(adapter: TorchAdapter, new_tokens: int = 8, **how: Any) -> list[int | None]:
    found: list[int | None] = []

    def on_step(ids: Any) -> bool:
        found.append(ids[0])
        return False

    adapter.generate(Generation(prompts=(PROMPT,), new_tokens=new_tokens, **how), on_step)
    return found


def random_model(folder: Path, **shape: Any) -> ModelRef:
    """Save a tiny llama model of random weights, with the family's tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    size: dict[str, Any] = {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 96,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 64,
        "tie_word_embeddings": False, **shape,
    }  # fmt: skip
    LlamaForCausalLM(LlamaConfig(**size)).save_pretrained(folder)
    family = resolve_model("effmark-1m", folder)
    assert family.path is not None
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_bytes((family.path / name).read_bytes())
    return ModelRef(name="tiny", task="lm", kind="hf", path=folder, sha256=folder.name * 4)


def test_int4_holds_packed_weights_and_one_table_for_embedding_and_head(load: Load) -> None:
    facts = load(precision="int4").facts()
    vocabulary, hidden = 2048, 128
    table_b = vocabulary * hidden + 2 * vocabulary
    matrices = facts.parameters - vocabulary * hidden - 9 * hidden
    norms_b = 2 * 9 * hidden
    # 4 bits per weight, scale and zero of 2 bytes each for every 32 weights.
    assert facts.weights_b == table_b + matrices // 2 + 4 * matrices // 32 + norms_b
    assert facts.file_b < 1.02 * facts.weights_b
    assert facts.quantisation["int4_layers"] == 28
    assert facts.quantisation["head_bits"] == 8


def test_an_untied_model_has_two_tables(load: Load, tmp_path: Path) -> None:
    model = random_model(tmp_path)
    for precision in ("bf16", "int8", "int4"):
        assert len(tokens_of(load(model, precision=precision))) == 8
    assert load(model, precision="int4").facts().weights_b > 2 * 96 * 64


def test_matrices_that_the_int4_kernel_does_not_take_are_int8(load: Load, tmp_path: Path) -> None:
    adapter = load(random_model(tmp_path, intermediate_size=72, head_dim=64), precision="int4")
    quantisation = adapter.facts().quantisation
    assert quantisation["int8_layers"] == 7  # head; twice gate and up (72 rows), down (72 columns)
    assert quantisation["int4_layers"] == 8
    four, eight = 2 * 2 * (64 * 128 + 64 * 64), 2 * 3 * 64 * 72 + 2 * 96 * 64
    norms = 5 * 64
    assert quantisation["share_4bit"] == round(four / (four + eight + norms), 4)
    assert quantisation["share_8bit"] == round(eight / (four + eight + norms), 4)
    assert len(tokens_of(adapter)) == 8


def test_a_larger_group_is_smaller_and_another_file(load: Load) -> None:
    fine = load(precision="int4").facts()
    coarse = load(precision="int4", options={"group_size": 128}).facts()
    assert coarse.weights_b < fine.weights_b
    assert coarse.quantisation["group_size"] == 128


def test_packed_bf16_weights_are_the_rounded_weights(load: Load, family: ModelRef) -> None:
    from effmark_adapters.pytorch.weights import load_full

    assert family.path is not None
    full = load_full(family.path, torch.bfloat16).net
    packed = load(precision="bf16")
    with torch.inference_mode():
        expected = scoring.score_pairs(
            full, inspect_calls(full), [(PROMPT[:1], PROMPT[1:])], torch.device("cpu")
        )
    found = packed.log_probs([(PROMPT[:1], PROMPT[1:])])
    assert np.array_equal(found[0], expected[0])


def test_a_cache_with_room_decodes_as_one_that_grows(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = load()
    grown = tokens_of(adapter, 24)
    monkeypatch.setattr(kv_cache, "ROOMY_B", 0)
    assert tokens_of(adapter, 24) == grown


def test_a_shared_context_scores_as_a_whole_text(load: Load) -> None:
    adapter = load()
    texts = [PROMPT[:3], PROMPT[4:5], PROMPT[7:14], ()]
    together = adapter.log_probs([(PROMPT, text) for text in texts])
    for text, rows in zip(texts, together, strict=True):
        (alone,) = adapter.log_probs([(PROMPT, text)])
        assert rows.shape == alone.shape == (len(text), 2048)
        assert np.abs(rows - alone).max(initial=0.0) < 1e-4


def test_contexts_of_different_lengths_are_shared_together(load: Load) -> None:
    adapter = load()
    answers = [PROMPT[:3], PROMPT[4:5], PROMPT[7:14]]
    pairs = [(PROMPT[:length], answer) for length in (20, 9, 14) for answer in answers]
    for pair, rows in zip(pairs, adapter.log_probs(pairs), strict=True):
        (alone,) = adapter.log_probs([pair])
        assert np.abs(rows - alone).max() < 1e-4


def test_scoring_in_small_batches_gives_the_same(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = load()
    pairs = [(PROMPT[: n + 1], PROMPT[n + 1 :]) for n in range(8)]
    pairs += [(PROMPT, PROMPT[:n]) for n in range(1, 6)]
    wide = adapter.log_probs(pairs)
    monkeypatch.setattr(scoring, "BATCH_TOKENS", 1)
    monkeypatch.setattr(scoring, "COPIED_TOKENS", 1)
    for rows, narrow in zip(wide, adapter.log_probs(pairs), strict=True):
        assert np.abs(rows - narrow).max() < 1e-4


def test_eager_attention_agrees_with_the_fused_one(load: Load) -> None:
    assert tokens_of(load(options={"attention": "eager"})) == tokens_of(load())


@pytest.mark.slow
def test_a_compiled_step_gives_the_same_tokens_and_its_time_is_a_fact(
    load: Load, tmp_path: Path
) -> None:
    devices.compiler()
    model = random_model(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compiled = load(model, options={"compile": True}, context_tokens=64)
        found = tokens_of(compiled), tokens_of(compiled)
    assert found == (tokens_of(load(model)),) * 2
    assert compiled.facts().runtime["compile_s"]


def test_compiling_without_a_compiler_is_refused(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(UnsupportedError, match="option compile needs a C\\+\\+ compiler"):
        load(options={"compile": True})


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"precision": "int3"}, UnsupportedError, "'int3'"),
        ({"device": "tpu:0"}, UnsupportedError, "'tpu:0'"),
        ({"device": "cuda:99"}, UnsupportedError, "'cuda:99'"),
        ({"device": "rocm:99"}, UnsupportedError, "'rocm:99'"),
        ({"options": {"atention": "sdpa"}}, UnsupportedError, "'atention'"),
        ({"options": {"attention": "flash"}}, SpecError, "'flash'"),
        ({"options": {"compile": "yes"}}, SpecError, "'yes'"),
        ({"options": {"group_size": 64}}, UnsupportedError, "group_size is for int4"),
        ({"precision": "int4", "options": {"group_size": 48}}, SpecError, "48"),
    ],
)
def test_what_torch_cannot_do_is_refused_by_name(
    load: Load, changes: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        load(**changes)


def test_models_of_other_kinds_are_refused(load: Load, cache: Path) -> None:
    synthetic = ModelRef(name="made-up", task="synthetic", kind="synthetic", sha256="0" * 64)
    with pytest.raises(UnsupportedError, match="made-up"):
        load(synthetic)


def test_an_architecture_that_transformers_does_not_know_is_refused(
    load: Load, tmp_path: Path
) -> None:
    model = random_model(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "martian"}))
    with pytest.raises(UnsupportedError, match="martian"):
        load(model)


def test_loading_what_was_not_prepared_is_refused(family: ModelRef, tmp_path: Path) -> None:
    request = LoadRequest(model=family, precision="int8", cache=tmp_path)
    with pytest.raises(PrerequisiteError, match="call prepare first"):
        TorchAdapter().load(request)


def test_a_closed_adapter_says_so(load: Load) -> None:
    adapter = load()
    adapter.close()
    with pytest.raises(AdapterError, match="no model is loaded"):
        adapter.encode("text")


def test_a_text_longer_than_the_context_is_refused(load: Load) -> None:
    adapter = load()
    assert len(adapter.log_probs([((1,) * 500, (2,) * 13)])[0]) == 13  # the last is never read
    with pytest.raises(SpecError, match="exceed the context of 512 tokens"):
        adapter.log_probs([((1,) * 500, (2,) * 14)])


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    ],
)
def test_running_out_of_memory_has_its_own_error(error: Exception) -> None:
    with (
        pytest.raises(OutOfMemoryError, match="a large model did not fit"),
        devices.memory_errors("a large model"),
    ):
        raise error


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), devices.memory_errors("a model"):
        raise RuntimeError("shapes do not match")


def test_a_request_that_cannot_fit_is_out_of_memory(load: Load) -> None:
    adapter = load()

    def exhaust(_: Any) -> bool:
        torch.empty(1 << 60, dtype=torch.uint8)
        return False

    with pytest.raises(OutOfMemoryError, match="a batch of 1 prompts"):
        adapter.generate(Generation(prompts=(PROMPT,), new_tokens=2), exhaust)


def test_sampling_keeps_the_likeliest_tokens_only() -> None:
    logits = torch.tensor([[4.0, 3.0, 2.0, 1.0]]).log()
    for sampling, kept in (
        (Sampling(temperature=1.0, top_k=2), 2),
        (Sampling(temperature=1.0, top_p=0.5), 2),
        (Sampling(temperature=1.0, top_p=0.1), 1),
        (Sampling(temperature=1.0), 4),
    ):
        choose = decoding.make_chooser(sampling, torch.device("cpu"))
        drawn = {int(choose(logits)) for _ in range(200)}
        assert drawn == set(range(kept))


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_the_classifier_reads_digits(load: Load, cache: Path, precision: str) -> None:
    pytest.importorskip("sklearn")
    from effmark_adapters.artefacts.digits import digits_data

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapter = load(resolve_model("digits", cache), precision=precision)
    images, labels = digits_data("test")
    outputs = adapter.infer(images)
    assert outputs.dtype == np.float32
    assert (outputs.argmax(1) == labels).mean() > 0.95
    facts = adapter.facts()
    assert facts.flops_per_unit
    assert facts.effective_bits <= {"fp32": 32, "bf16": 16, "int8": 12}[precision]
    with pytest.raises(UnsupportedError, match="classifier"):
        adapter.encode("text")


def test_a_language_model_infers_nothing(load: Load) -> None:
    with pytest.raises(UnsupportedError, match="infer needs a classifier"):
        load().infer(np.zeros((1, 1), dtype="float32"))
