"""The one contract suite: every installed adapter at every precision that it has."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from effmark import contract
from effmark.adapter import Generates, HoldsCache, Scores, TellsSpecialTokens
from effmark.registry import adapter_class

LoadedCell = Any
"""What conftest.py calls so; tests import nothing from each other."""
Cells = Any

TEXT = (
    "The morning was fine, and they walked to the village before breakfast. She had not expected "
    "to see him there, but he came up to her at once and asked after her sister. It was said that "
    "the house would be let again in the spring."
)
"""Plain English, about as probable as what the family was trained on."""
SCORED_TOKENS = 48

BOUNDS: dict[str, tuple[float, float]] = {
    # precision: greatest |ln ppl - ln ppl of fp32|, greatest mean KL to fp32 in nats per token.
    "fp32": (2e-5, 1e-6),
    "f32": (2e-4, 1e-6),  # llama.cpp keeps keys and values in f16
    "bf16": (0.01, 0.003),
    "f16": (0.003, 1e-4),
    "int8": (0.03, 0.01),
    "q8_0": (0.02, 0.003),
    "q6_k": (0.03, 0.01),
    "q5_1": (0.05, 0.02),
    "q5_0": (0.05, 0.02),
    "q4_k_m": (0.08, 0.05),
    "q4_1": (0.12, 0.08),
    "q4_0": (0.12, 0.08),
    "int4": (0.12, 0.08),
}
EXACT = ("fp32", "f32")


def needs(cell: LoadedCell, capability: Any) -> None:
    """Skip if the adapter of a cell does not have a capability."""
    if not isinstance(cell.adapter, capability):
        pytest.skip(f"{cell.name} is not {capability.__name__}")


def scored(cell: LoadedCell) -> tuple[Any, list[int]]:
    """Return the log-probabilities [tokens, vocabulary] of the text, and its tokens."""
    ids = cell.adapter.encode(TEXT)[: SCORED_TOKENS + 1]
    (rows,) = cell.adapter.log_probs([(ids[:1], ids[1:])])
    return np.asarray(rows, dtype=np.float64), ids[1:]


def test_greedy_decoding_at_full_precision_gives_the_tokens_of_torch(
    exact: LoadedCell, reference: LoadedCell
) -> None:
    needs(exact, Generates)
    prompt = reference.adapter.encode(TEXT)[:24]
    assert exact.adapter.encode(TEXT)[:24] == prompt
    expected = contract.greedy(reference.adapter, [prompt], 12)
    assert contract.greedy(exact.adapter, [prompt], 12) == expected


def test_log_probabilities_are_within_the_bound_of_the_precision(
    real: LoadedCell, reference: LoadedCell
) -> None:
    needs(real, Scores)
    perplexity_bound, kl_bound = BOUNDS[real.request.precision]
    rows, tokens = scored(real)
    truth, _ = scored(reference)
    rows, truth = rows[:, : truth.shape[1]], truth[:, : rows.shape[1]]
    picked = np.arange(len(tokens)), np.asarray(tokens)
    difference = float(np.mean(rows[picked] - truth[picked]))
    kl = float(np.mean(np.sum(np.exp(truth) * (truth - rows), axis=1)))
    assert abs(difference) <= perplexity_bound
    assert kl <= kl_bound


def test_questions_longer_than_the_context_are_cut_and_scored_as_with_torch(
    exact: LoadedCell, reference: LoadedCell
) -> None:
    needs(exact, Scores)
    pytest.importorskip("lm_eval")
    from lm_eval.api.instance import Instance

    from effmark.quality.bridge import AdapterLM

    long = f"{TEXT} " * 8
    pairs = [(long, " It rained."), ("She said:", f" {long}"), ("", long), (long, f" {long}")]
    asked = [Instance("loglikelihood", {}, pair, i) for i, pair in enumerate(pairs)]
    texts = [Instance("loglikelihood_rolling", {}, (long,), 0)]
    found, expected = (
        AdapterLM(cell.adapter, cell.facts, context_tokens=cell.request.context_tokens - 1)
        for cell in (exact, reference)
    )
    ours, theirs = (model.loglikelihood(asked) for model in (found, expected))
    assert [score for score, _ in ours] == pytest.approx([s for s, _ in theirs], abs=0.02)
    assert [greedy for _, greedy in ours] == [greedy for _, greedy in theirs]
    assert found.loglikelihood_rolling(texts) == pytest.approx(
        expected.loglikelihood_rolling(texts), abs=0.02
    )


def test_special_tokens_are_those_that_torch_has(real: LoadedCell, reference: LoadedCell) -> None:
    needs(real, TellsSpecialTokens)
    assert real.adapter.special_tokens() == reference.adapter.special_tokens()


def test_a_low_precision_is_not_full_precision_in_disguise(
    rounded: LoadedCell, reference: LoadedCell
) -> None:
    needs(rounded, Scores)
    rows, truth = scored(rounded)[0], scored(reference)[0]
    width = min(rows.shape[1], truth.shape[1])
    assert np.abs(rows[:, :width] - truth[:, :width]).max() > 1e-5


def test_one_step_per_token_with_final_ids(cell: LoadedCell) -> None:
    needs(cell, Generates)
    contract.check_steps(cell.adapter)


def test_on_step_ends_the_generation(cell: LoadedCell) -> None:
    needs(cell, Generates)
    contract.check_on_step_ends(cell.adapter)


def test_the_cache_of_a_request_in_flight_holds_its_tokens(real: LoadedCell) -> None:
    needs(real, HoldsCache)
    contract.check_cache(real.adapter)


def test_a_stop_id_ends_its_sequence(real: LoadedCell) -> None:
    needs(real, Generates)
    contract.check_stop_ids(real.adapter)


def test_a_batch_continues_as_its_sequences_do_alone(real: LoadedCell) -> None:
    needs(real, Generates)
    exact = real.request.precision in EXACT
    # Rounded activations differ in the last bit with the batch, so a near tie may fall elsewhere.
    contract.check_batch_equals_single(real.adapter, tokens=8, agree=8 if exact else 1)


def test_sampling_is_a_function_of_the_seed(real: LoadedCell) -> None:
    needs(real, Generates)
    contract.check_sampling(real.adapter)


def test_log_probabilities_are_normalised_and_do_not_depend_on_the_batch(real: LoadedCell) -> None:
    needs(real, Scores)
    exact = real.request.precision in EXACT
    contract.check_log_probs(real.adapter, tolerance=1e-3 if exact else 0.25)


def test_generating_and_scoring_agree(real: LoadedCell) -> None:
    needs(real, Generates)
    needs(real, Scores)
    contract.check_tokens_are_likely(real.adapter)


def test_a_prompt_of_no_tokens_is_refused(real: LoadedCell) -> None:
    needs(real, Generates)
    contract.check_empty_prompt(real.adapter)


def test_a_prompt_longer_than_the_context_is_refused(real: LoadedCell) -> None:
    needs(real, Generates)
    context = real.facts.context_tokens or real.request.context_tokens
    contract.check_too_long(real.adapter, max(context, real.request.context_tokens))


def test_text_survives_a_round_trip(real: LoadedCell) -> None:
    needs(real, Generates)
    assert real.adapter.decode(real.adapter.encode(TEXT)) == TEXT


def test_the_facts_fit_together(cell: LoadedCell) -> None:
    contract.check_facts(cell.facts, cell.request)


def test_low_bits_are_on_the_disk_and_in_memory(four_bits: LoadedCell) -> None:
    facts = four_bits.facts
    assert facts.effective_bits <= 6.2
    assert 8 * facts.file_b / facts.parameters <= 12  # a GGUF file holds the tokenizer as well
    assert facts.quantisation


def test_what_is_not_supported_is_refused_by_name(adapter_name: str, loaded_cells: Cells) -> None:
    request = loaded_cells.first(adapter_name)
    wrong = dict(contract.WRONG)
    if loaded_cells.get(f"{adapter_name}:{request.precision}").facts.weights == "random":
        del wrong["device"]  # a script runs anywhere
    contract.check_refusals(adapter_class(adapter_name), request, wrong)


_CYCLES = """
import ctypes, gc, sys
import psutil
from effmark import contract
from effmark.adapter import Generates, LoadRequest
from effmark.registry import adapter_class

request = LoadRequest.model_validate_json(sys.argv[2])

def cycle():
    adapter = adapter_class(sys.argv[1])()
    adapter.load(request)
    if isinstance(adapter, Generates):
        contract.greedy(adapter, [contract.PROMPT], 2)
    weights_b = adapter.facts().weights_b
    adapter.close()
    adapter.close()  # twice is allowed
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what the allocator keeps is not what the adapter holds
    return weights_b

cycle(), cycle()
before_b = psutil.Process().memory_info().rss
weights_b = [cycle() for _ in range(int(sys.argv[3]))][-1]
print(psutil.Process().memory_info().rss - before_b, weights_b)
"""


def test_closing_gives_the_memory_back(adapter_name: str, loaded_cells: Cells) -> None:
    request, cycles = loaded_cells.first(adapter_name), 12
    arguments = [adapter_name, request.model_dump_json(), str(cycles)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CYCLES, *arguments],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    grown_b, weights_b = map(int, done.stdout.split()[-2:])
    # holding on to every model would cost its weights each time
    assert grown_b < max(24 * 2**20, 0.6 * cycles * weights_b), f"{grown_b / 2**20:.0f} MiB"
