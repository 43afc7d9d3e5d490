"""Real models on a real runtime, whole and broken in one way each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from effmark.adapter import Generation, LoadRequest
from effmark.errors import UnsupportedError
from effmark.models import resolve_model
from effmark.proof import Answers
from effmark.proof.distance import distance
from effmark.proof.prove import _check_reading, prove
from effmark.proof.reference import reference_answers
from effmark.proof.trial import Rows, rows_of, tokens_of
from effmark.proof.verdict import level_of, verdict
from effmark.record import Proof
from effmark.registry import adapter_class

pytest.importorskip("transformers")
ROOM_B = 10**10
Ask = Callable[[str], Proof | None]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def request_of(cache: Path) -> Callable[[str], LoadRequest]:
    model = resolve_model("effmark-1m", cache)
    return lambda precision: LoadRequest(
        model=model, precision=precision, context_tokens=64, batch=3, cache=cache
    )


@pytest.fixture(scope="module")
def answers(request_of: Callable[[str], LoadRequest]) -> Answers:
    request = request_of("fp32")
    found = reference_answers(request.model, request.cache, ROOM_B)
    assert isinstance(found, Answers), found
    return found


@pytest.fixture(scope="module")
def whole(request_of: Callable[[str], LoadRequest]) -> Iterator[Any]:
    adapter = adapter_class("torch")()
    adapter.load(request_of("fp32"))
    yield adapter
    adapter.close()


class Broken:
    """A loaded adapter of which one method does something else."""

    def __init__(self, adapter: Any, **changed: Any) -> None:
        self._adapter, self._changed = adapter, changed

    def __getattr__(self, name: str) -> Any:
        return self._changed.get(name) or getattr(self._adapter, name)


def judged(adapter: Any, answers: Answers, level: Any = "full") -> Proof:
    rows, tokens = list(rows_of(adapter, answers)), list(tokens_of(adapter, answers))
    return verdict(level, rows, tokens, answers.source)


def test_every_precision_of_a_sound_runtime_is_proven(
    request_of: Callable[[str], LoadRequest],
) -> None:
    for precision in ("fp32", "bf16", "int8", "int4"):
        request = request_of(precision)
        adapter_class("torch").prepare(request)
        found = prove("torch", request, ROOM_B)
        assert found is not None
        assert found.status == "proven", found
        assert found.kl_nats is not None
        assert found.kl_nats < 0.1
        assert found.against == "torch at fp32" or precision in ("fp32", "bf16")


def test_answers_survive_their_file(answers: Answers, tmp_path: Path) -> None:
    answers.save(tmp_path)
    again = Answers.read(tmp_path)
    assert (again.text, again.prompts) == (answers.text, answers.prompts)
    assert again.continuations == answers.continuations
    assert np.array_equal(again.text_rows, answers.text_rows)
    assert len({len(prompt) for prompt in again.prompts}) == len(again.prompts)


def test_a_batch_whose_padding_is_not_masked_is_refused(whole: Any, answers: Answers) -> None:
    def padded(generation: Generation, on_step: Any) -> None:
        longest = max(map(len, generation.prompts))
        rows = tuple((0,) * (longest - len(p)) + p for p in generation.prompts)
        whole.generate(Generation(prompts=rows, new_tokens=generation.new_tokens), on_step)

    with pytest.raises(
        UnsupportedError, match=r"greedy token .* of a prompt of 5 tokens in a batch"
    ):
        judged(Broken(whole, generate=padded), answers)


def test_steps_that_forget_what_was_said_are_refused(whole: Any, answers: Answers) -> None:
    def forgetful(generation: Generation, on_step: Any) -> None:
        rows = generation.prompts
        for _ in range(generation.new_tokens):
            said: list[Any] = []
            whole.generate(Generation(prompts=rows, new_tokens=1), said.append)
            if on_step(said[0]):
                return
            rows = tuple((token,) for token in said[0])

    with pytest.raises(UnsupportedError, match="greedy token 1"):
        judged(Broken(whole, generate=forgetful), answers)


def test_a_context_that_is_cut_is_refused(whole: Any, answers: Answers) -> None:
    def cut(pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Any:
        return whole.log_probs([(context[-3:], rest) for context, rest in pairs])

    with pytest.raises(UnsupportedError, match="continuations that share a context differ"):
        judged(Broken(whole, log_probs=cut), answers)


def test_weights_that_are_others_are_refused(whole: Any, answers: Answers) -> None:
    def shuffled(pairs: Any) -> Any:
        return [np.roll(rows, 1, axis=1) for rows in whole.log_probs(pairs)]

    with pytest.raises(UnsupportedError, match="log-probabilities of a text differ"):
        judged(Broken(whole, log_probs=shuffled), answers)


def test_garbage_at_low_precision_has_collapsed(whole: Any, answers: Answers) -> None:
    def garbage(pairs: Any) -> Any:
        return [np.roll(rows, 1, axis=1) for rows in whole.log_probs(pairs)]

    found = judged(Broken(whole, log_probs=garbage), answers, "low")
    assert found.status == "collapsed"
    assert "of what forgetting the text gives" in found.detail


def test_little_noise_at_low_precision_has_not(whole: Any, answers: Answers) -> None:
    def noisy(pairs: Any) -> Any:
        noise = np.random.default_rng(0)
        return [r + noise.normal(0, 0.3, r.shape).astype("f4") for r in whole.log_probs(pairs)]

    found = judged(Broken(whole, log_probs=noisy), answers, "low")
    assert found.status == "proven"
    assert found.kl_nats is not None
    assert 0.01 < found.kl_nats < 0.2


def test_a_model_that_hardly_reads_its_text_has_little_to_lose() -> None:
    flat = np.log(np.full((20, 8), 1 / 8, np.float32))
    nearly = flat + np.random.default_rng(0).normal(0, 0.2, flat.shape).astype("f4")
    assert distance(flat, nearly).kl_ratio > 1
    assert verdict("low", [Rows("a text", flat, nearly)], [], "the source").status == "proven"
    far = flat + np.random.default_rng(0).normal(0, 2, flat.shape).astype("f4")
    assert verdict("low", [Rows("a text", flat, far)], [], "the source").status == "collapsed"


def test_few_positions_say_less_at_eight_bits() -> None:
    """One token that another expert got is a sixth of a decode."""
    draw = np.random.default_rng(0)
    wanted = draw.normal(0, 2, (40, 32)).astype("f4")
    got = wanted + draw.normal(0, 0.05, wanted.shape).astype("f4")
    got[0] += draw.normal(0, 1.5, 32).astype("f4")
    few = Rows("decoding", wanted[:6], got[:6])
    assert 0.1 < distance(few.wanted, few.got).kl_ratio < 0.5
    assert verdict("eight", [few], [], "the source").status == "proven"
    worse = wanted + draw.normal(0, 1, wanted.shape).astype("f4")
    assert 0.1 < distance(wanted, worse).kl_ratio < 0.5
    assert verdict("eight", [Rows("a text", wanted, worse)], [], "it").status == "collapsed"
    assert verdict("low", [Rows("a text", wanted, worse)], [], "it").status == "proven"


def test_half_precision_is_refused_where_it_loses_the_text(whole: Any, answers: Answers) -> None:
    def noisy(pairs: Any) -> Any:
        noise = np.random.default_rng(0)
        return [r + noise.normal(0, 1, r.shape).astype("f4") for r in whole.log_probs(pairs)]

    with pytest.raises(UnsupportedError, match=r"have a divergence of .* nats"):
        judged(Broken(whole, log_probs=noisy), answers, "half")


def test_a_runtime_that_reads_other_tokens_is_refused(whole: Any, answers: Answers) -> None:
    letters: Any = Broken(whole, encode=lambda text: [ord(c) for c in text])
    with pytest.raises(UnsupportedError, match=r"reads text otherwise .* token 0 of a sentence"):
        _check_reading("letters", letters, answers)
    _check_reading("torch", whole, answers)


def test_a_tie_may_be_broken_either_way(whole: Any, answers: Answers) -> None:
    rows = answers.decode_rows[0].copy()
    first = answers.continuations[0][0]
    other = int(np.argsort(rows[0])[-2])
    rows[0, first] = rows[0, other] = np.float32(-0.7)
    tied = replace(answers, decode_rows=(rows, *answers.decode_rows[1:]))

    def generate(generation: Generation, on_step: Any) -> None:
        def told(ids: Any) -> bool:
            return bool(on_step([other if token == first else token for token in ids]))

        whole.generate(generation, told)

    only: Any = Broken(whole, generate=generate)
    found = verdict("full", [], list(tokens_of(only, tied))[:1], "the reference")
    assert found.status == "proven"
    with pytest.raises(UnsupportedError, match=f"is {other}, the reference gives {first}"):
        verdict("full", [], list(tokens_of(only, answers))[:1], "the reference")


@pytest.mark.parametrize(
    ("bits", "told", "exact", "level"),
    [
        (32.0, {}, True, "full"),
        (32.0, {}, False, "half"),
        (16.01, {}, True, "half"),
        (8.5, {}, True, "low"),
        (8.6, {"matrix_bits": 8.5}, True, "eight"),
        (14.5, {"bits": 8}, True, "eight"),
        (11.9, {"bits": 4, "embedding_bits": 32}, True, "low"),
        (18.0, {"bits": 4, "embedding_bits": 32}, True, "low"),
        (23.0, {"matrix_bits": 8, "embedding_bits": 32}, True, "eight"),
        (16.0, {"matrix_bits": 16}, True, "half"),
    ],
)
def test_the_level_follows_the_bits(
    whole: Any, bits: float, told: dict[str, Any], exact: bool, level: str
) -> None:
    facts = whole.facts().model_copy(update={"effective_bits": bits, "quantisation": told})
    assert level_of(facts, exact_reference=exact) == level


def test_without_room_for_the_reference_it_is_unproven(
    request_of: Callable[[str], LoadRequest],
) -> None:
    found = prove("torch", request_of("fp32"), 1_000_000)
    assert found is not None
    assert found.status == "unproven"
    assert found.detail == "the reference needs 2099456 bytes at least, 1000000 may be used"


def test_a_model_without_files_has_nothing_to_prove(cache: Path) -> None:
    model = resolve_model("synthetic", cache)
    assert prove("null", LoadRequest(model=model, precision="none", cache=cache), ROOM_B) is None


def made(tiny_models: ModuleType, tmp_path: Path, family: str, **settings: Any) -> Ask:
    """Return a function that proves a new tiny model on llama.cpp."""
    pytest.importorskip("xllamacpp")
    pytest.importorskip("gguf")
    folder = tiny_models.make(tmp_path / "model", family, tied=True, **settings)
    model = resolve_model(str(folder), tmp_path)

    def ask(precision: str) -> Proof | None:
        request = LoadRequest(
            model=model, precision=precision, context_tokens=64, batch=3, cache=tmp_path / "cache"
        )
        adapter_class("llama-cpp").prepare(request)
        return prove("llama-cpp", request, ROOM_B)

    return ask


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("gemma", {"num_hidden_layers": 30, "seed": 7}),
        ("gemma2", {"layer_types": ["sliding_attention", "full_attention"] * 13, "seed": 0}),
    ],
)
def test_a_gelu_that_comes_from_a_table_is_no_other_model(
    tiny_models: ModuleType, tmp_path: Path, family: str, settings: dict[str, Any]
) -> None:
    """llama.cpp rounds it to f16, which adds up over as many layers as published models have."""
    if family == "gemma2":
        settings |= {"num_hidden_layers": 26, "hidden_size": 96, "intermediate_size": 256}
        settings["query_pre_attn_scalar"] = 16
    found = made(tiny_models, tmp_path, family, **settings)("f32")
    assert found is not None
    assert found.status == "proven"
    assert found.largest_difference_ratio is not None
    assert found.largest_difference_ratio > 1e-3
    assert found.kl_nats is not None
    assert found.kl_nats < 1e-5


@pytest.mark.parametrize("precision", ["q8_0", "f16"])
def test_what_is_another_model_at_full_precision_is_at_no_other(
    tiny_models: ModuleType, tmp_path: Path, precision: str
) -> None:
    """llama.cpp caps logits that this model does not; eight bits would hide it."""
    settings = {"query_pre_attn_scalar": 16, "final_logit_softcapping": None}
    ask = made(tiny_models, tmp_path, "gemma2", **settings)
    with pytest.raises(UnsupportedError, match=r"^llama-cpp at f32 does not compute the model"):
        ask("f32")
    said = f"^llama-cpp at {precision} is not trusted, since llama-cpp at f32 does not compute"
    with pytest.raises(UnsupportedError, match=said):
        ask(precision)


def test_what_an_adapter_refuses_is_said_in_its_words(
    tiny_models: ModuleType, tmp_path: Path
) -> None:
    folder = tiny_models.make(tmp_path / "model", "mamba2", time_step_limit=[0.01, 0.1])
    request = LoadRequest(
        model=resolve_model(str(folder), tmp_path), precision="fp32", cache=tmp_path / "cache"
    )
    with pytest.raises(UnsupportedError, match=r"^torch: Mamba2ForCausalLM .* by its state"):
        prove("torch", request, ROOM_B)


@pytest.mark.parametrize(
    ("key", "value"), [("freq_base", 4000.0), ("layer_norm_rms_epsilon", 0.008)]
)
def test_eight_bits_do_not_hide_another_model(
    tiny_models: ModuleType, tmp_path: Path, key: str, value: float
) -> None:
    """A header that says another rotation or another norm, by a file at eight bits alone."""
    from gguf import GGUFReader

    ask = made(tiny_models, tmp_path, "qwen2")
    right = ask("q8_0")
    assert right is not None
    assert right.status == "proven"
    reader = GGUFReader(next((tmp_path / "cache/gguf").glob("*/model.gguf")), "r+")
    next(field for name, field in reader.fields.items() if name.endswith(key)).parts[-1][0] = value
    reader.data.flush()
    shutil.rmtree(tmp_path / "cache/proofs")
    wrong = ask("q8_0")
    assert wrong is not None
    assert wrong.status == "collapsed"
    assert wrong.kl_nats is not None
    assert wrong.kl_nats < 0.3  # four bits lose as much
