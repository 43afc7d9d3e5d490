from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from effmark.adapter import Generation, LoadRequest
from effmark.errors import SpecError, UnsupportedError
from effmark.schema import content_hash
from effmark.spec import ModelRef
from effmark_adapters.torch import TorchAdapter

with warnings.catch_warnings():  # imports of other people's packages
    warnings.simplefilter("ignore")
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("torchao.quantization")
    from effmark_adapters.artefacts.hf_model import load_causal_lm
    from effmark_adapters.pytorch import weights
    from effmark_adapters.pytorch.quantised import Int8Linear

Load = Callable[..., TorchAdapter]
Make = Callable[..., Path]
LENGTHS, NEW_TOKENS = (20, 5, 13), 6
KEPT = ("llama", "gpt2", "opt", "bloom", "gptj", "gemma2", "gpt_oss", "mistral", "deepseek_v3")
STATES = ("mamba", "rwkv", "jamba", "bamba", "lfm2", "qwen3_next", "minimax")
OTHERS = ("roberta", "openai-gpt", "reformer", "git", "xglm")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def make(models: Path, tiny_models: ModuleType) -> Make:
    def make(family: str, **how: Any) -> Path:
        folder = models / f"{family}-{content_hash(how)[:16]}"
        return folder if folder.exists() else Path(tiny_models.make(folder, family, **how))

    return make


@pytest.fixture
def load(models: Path) -> Load:
    def load(folder: Path, precision: str = "fp32", **options: Any) -> TorchAdapter:
        model = ModelRef(name="tiny", task="lm", kind="hf", path=folder, sha256=folder.name)
        request = LoadRequest(
            model=model, precision=precision, cache=models / "cache", options=options
        )
        TorchAdapter.prepare(request)
        adapter = TorchAdapter()
        adapter.load(request)
        return adapter

    return load


def texts() -> tuple[list[list[int]], list[list[int]]]:
    """Return prompts of unequal length and their continuations."""
    draw = np.random.default_rng(0)
    prompts = [draw.integers(16, 300, length).tolist() for length in LENGTHS]
    return prompts, [draw.integers(16, 300, NEW_TOKENS).tolist() for _ in LENGTHS]


def reference(folder: Path) -> list[Any]:
    """Return what the source model says of the texts in one forward each, without a cache."""
    model = load_causal_lm(folder, torch.float32, attention="eager")
    found = []
    with torch.inference_mode():
        for prompt, continuation in zip(*texts(), strict=True):
            logits = model(torch.tensor([prompt + continuation]), use_cache=False).logits[0]
            found.append(logits[len(prompt) - 1 : -1].log_softmax(-1).numpy())
    return found


def ways(adapter: TorchAdapter) -> dict[str, list[Any]]:
    """Return the same log-probabilities by every way that the adapter has."""
    prompts, continuations = texts()
    pairs = list(zip(prompts, continuations, strict=True))
    longer = [(p, c[:-1]) for p, c in pairs]  # two of each context, so that it is shared
    return {
        "decoded alone": [adapter.replay([p], [c])[0] for p, c in pairs],
        "decoded in a batch": adapter.replay(prompts, continuations),
        "scored": adapter.log_probs(pairs),
        "scored twice": adapter.log_probs([*pairs, *longer])[: len(pairs)],
    }


def divergence(expected: Any, found: Any) -> float:
    """Return the mean Kullback-Leibler divergence of rows, in nats."""
    return float((np.exp(expected) * (expected - found)).sum(-1).mean())


@pytest.mark.parametrize("family", KEPT + STATES + OTHERS)
def test_decoding_and_scoring_say_what_one_forward_of_the_source_says(
    make: Make, load: Load, family: str
) -> None:
    folder = make(family)
    expected = reference(folder)
    for way, found in ways(load(folder)).items():
        for one, other in zip(expected, found, strict=True):
            assert np.abs(one - other).max() < 1e-3, way


def test_a_class_whose_layers_keep_the_state_reads_one_batch_at_a_time(
    make: Make, load: Load
) -> None:
    folder = make("recurrent_gemma", num_hidden_layers=3)  # two recurrent layers, then attention
    adapter, (prompts, continuations) = load(folder), texts()
    with pytest.raises(UnsupportedError, match="3 different lengths cannot run together"):
        adapter.replay(prompts, continuations)
    expected = reference(folder)
    for number, prompt in enumerate(prompts):
        together = adapter.replay([prompt] * 2, [continuations[number]] * 2)
        assert np.abs(together[1] - expected[number]).max() < 1e-3
    scored = adapter.log_probs(list(zip(prompts, continuations, strict=True)))
    assert max(np.abs(o - f).max() for o, f in zip(expected, scored, strict=True)) < 1e-3


@pytest.mark.parametrize("family", ["gemma", "gpt2", "mamba", "mixtral", "falcon"])
@pytest.mark.parametrize("tied", [True, False])
def test_int8_weights_are_those_of_the_model(
    make: Make, load: Load, family: str, *, tied: bool
) -> None:
    folder = make(family, tied=tied)
    adapter = load(folder, "int8")
    for way, found in ways(adapter).items():
        for one, other in zip(reference(folder), found, strict=True):
            assert divergence(one, other) < 0.05, way


@pytest.mark.parametrize("family", ["gemma3_text", "gpt2", "gpt_oss", "deepseek_v3"])
def test_int4_packs_most_of_a_model_whatever_its_layers_are(
    make: Make, load: Load, family: str
) -> None:
    folder = make(family)
    adapter = load(folder, "int4")
    for one, other in zip(reference(folder), ways(adapter)["decoded in a batch"], strict=True):
        assert divergence(one, other) < 0.5
    quantisation, facts = adapter.facts().quantisation, adapter.facts()
    shares: dict[str, Any] = {k: v for k, v in quantisation.items() if k.startswith("share_")}
    assert sum(shares.values()) == pytest.approx(1, abs=0.001)
    assert shares["share_4bit"] > 0.5
    assert facts.effective_bits < 12


@pytest.mark.parametrize("columns", [4, 24, 32, 72, 100])
@pytest.mark.parametrize("tokens", [1, 5, 40])
def test_int8_products_are_right_at_any_width(columns: int, tokens: int) -> None:
    generator = torch.Generator().manual_seed(0)
    qdata = torch.randint(-127, 128, (24, columns), dtype=torch.int8, generator=generator)
    scale = torch.rand(24, generator=generator).to(torch.bfloat16)
    rows = torch.randn(1, tokens, columns, generator=generator).to(torch.bfloat16)
    found = Int8Linear(qdata, scale)(rows)
    expected = rows.float() @ (qdata.float() * scale.float()[:, None]).T
    assert torch.allclose(found.float(), expected, rtol=0.02, atol=0.02 * expected.abs().max())


def test_experts_are_packed_one_by_one_and_routers_are_not(make: Make, load: Load) -> None:
    adapter = load(make("mixtral"), "int4")
    assert adapter._weights is not None
    layers = adapter._weights.plan.groups
    assert sum(".experts." in name for name in layers) == 2 * 2 * 4  # products, layers, experts
    assert not any("gate" in name.split(".") for name in layers)


def test_a_model_that_is_mostly_more_than_four_bits_is_not_called_int4(
    make: Make, load: Load
) -> None:
    folder = make("llama", num_hidden_layers=1, intermediate_size=32)
    with pytest.raises(UnsupportedError, match=r"int4 of .* would hold 3\d% .* less than half"):
        load(folder, "int4")
    assert load(folder, "int8").facts().quantisation["share_8bit"] > 0.9  # type: ignore[operator]


def test_what_a_precision_cannot_pack_is_not_called_by_it(make: Make, load: Load) -> None:
    with pytest.raises(UnsupportedError, match=r"int8 of .* at 8 bits .* less than half"):
        load(make("dbrx"), "int8")


@pytest.mark.parametrize("family", ["llama", "bloom", "gemma3_text", "zamba2", "deepseek_v3"])
def test_packed_bf16_is_the_loaded_model_with_all_its_buffers(
    make: Make, load: Load, family: str
) -> None:
    folder = make(family)
    full = weights.load_full(folder, torch.bfloat16).net
    packed = load(folder, "bf16")._language_model().model
    for name, tensor in [*full.named_parameters(), *full.named_buffers()]:
        held = packed.get_parameter_or_buffer(name)
        assert held.dtype is tensor.dtype, name
        assert torch.equal(held, tensor), name


def test_rope_that_changes_with_length_is_that_of_the_text_so_far(make: Make, load: Load) -> None:
    factors = {"short_factor": [1.0] * 8, "long_factor": [4.0] * 8, "rope_type": "longrope"}
    rope = {**factors, "rope_theta": 1e4, "original_max_position_embeddings": 16}
    folder = make("phi3", rope_parameters=rope, original_max_position_embeddings=16)
    expected = reference_step_by_step(folder)
    adapter = load(folder)
    prompts, continuations = texts()
    for found in (
        adapter.replay(prompts, continuations),
        [adapter.replay([p], [c])[0] for p, c in zip(prompts, continuations, strict=True)],
    ):
        for one, other in zip(expected, found, strict=True):
            assert np.abs(one - other).max() < 1e-3
    whole = zip(reference(folder), ways(adapter)["scored"], strict=True)
    assert max(np.abs(one - other).max() for one, other in whole) < 1e-3


def reference_step_by_step(folder: Path) -> list[Any]:
    """Return what the source model says of each token when nothing after it is there yet."""
    model = load_causal_lm(folder, torch.float32, attention="eager")
    found = []
    with torch.inference_mode():
        for prompt, continuation in zip(*texts(), strict=True):
            rows = [
                model(torch.tensor([prompt + continuation[:count]]), use_cache=False).logits[0, -1]
                for count in range(NEW_TOKENS)
            ]
            found.append(torch.stack(rows).log_softmax(-1).numpy())
    return found


def test_generating_chooses_what_replaying_found_likeliest(make: Make, load: Load) -> None:
    for family in ("llama", "jamba"):
        adapter = load(make(family))
        prompts = [tuple(prompt) for prompt in texts()[0]]
        steps: list[Any] = []

        def on_step(ids: Any, steps: list[Any] = steps) -> bool:
            steps.append(list(ids))
            return False

        adapter.generate(Generation(prompts=tuple(prompts), new_tokens=NEW_TOKENS), on_step)
        chosen = [list(row) for row in zip(*steps, strict=True)]
        for rows, tokens in zip(adapter.replay(prompts, chosen), chosen, strict=True):
            assert rows.argmax(-1).tolist() == tokens


def test_a_state_counts_as_memory_of_a_request(make: Make, load: Load) -> None:
    for family in ("mamba", "rwkv", "jamba"):
        adapter = load(make(family))
        held: list[int] = []
        prompts = tuple(tuple(prompt) for prompt in texts()[0])
        adapter.generate(
            Generation(prompts=prompts, new_tokens=2),
            lambda _, a=adapter, held=held: bool(held.append(a.kv_cache_b())),  # type: ignore[misc]
        )
        assert held[0] > 0
        assert adapter.kv_cache_b() == 0


def test_the_record_says_how_a_model_is_run(make: Make, load: Load) -> None:
    found = {family: load(make(family)).facts().runtime for family in ("llama", "gpt_oss", "jamba")}
    assert found["llama"]["attention"] == "sdpa"
    assert found["llama"]["cache"] == "keys and values"
    assert found["llama"]["unequal_prompts"] == "padded on the left"
    assert found["gpt_oss"]["attention"] == "eager"
    assert found["jamba"]["cache"] == "recurrent state"
    assert found["jamba"]["unequal_prompts"] == "one forward per length"


def test_a_state_that_does_not_continue_a_text_is_refused(make: Make, load: Load) -> None:
    with pytest.raises(UnsupportedError, match="does not continue a text by its state"):
        load(make("xlstm"))


def test_a_class_that_does_not_run_in_bf16_is_refused(make: Make, load: Load) -> None:
    said = "ReformerModelWithLMHead of transformers .* does not run at bf16: mixed dtype"
    for precision in ("bf16", "int8"):  # which computes in bf16, too
        with pytest.raises(UnsupportedError, match=said):
            load(make("reformer"), precision)


def test_a_compiled_step_needs_keys_and_values(make: Make, load: Load) -> None:
    with pytest.raises(UnsupportedError, match="MambaForCausalLM does not have"):
        load(make("mamba"), compile=True)


def test_a_token_beyond_the_embedding_is_refused_by_number(make: Make, load: Load) -> None:
    adapter = load(make("llama", vocab_size=128))
    said = "no token 300, its embedding has 128 rows"
    with pytest.raises(UnsupportedError, match=said):
        adapter.generate(Generation(prompts=((20, 300),), new_tokens=1), lambda _: False)
    with pytest.raises(UnsupportedError, match=said):
        adapter.log_probs([((20, 21), (22, 300))])
    assert adapter.log_probs([((20, 127), (22,))])[0].shape == (1, 128)


def test_continuations_of_unequal_length_are_not_replayed(make: Make, load: Load) -> None:
    with pytest.raises(SpecError, match="one length"):
        load(make("llama")).replay([[20], [21]], [[22], [23, 24]])


@pytest.mark.parametrize("precision", ["int8", "int4"])
def test_a_model_of_matrices_alone_runs_packed(make: Make, load: Load, precision: str) -> None:
    """OLMo's norms have no weights: nothing of it is left unpacked."""
    folder = make("olmo")
    whole, packed = ways(load(folder))["scored"], ways(load(folder, precision))["scored"]
    bound = {"int8": 0.01, "int4": 0.2}[precision]
    assert max(divergence(one, other) for one, other in zip(whole, packed, strict=True)) < bound
