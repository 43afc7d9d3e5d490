"""The public names: what they are called, what they take, what importing them loads."""

from __future__ import annotations

import dataclasses
import inspect
import subprocess
import sys
from typing import Any

import pytest

from effmark import scores

# The contract: argument names, order and defaults of every public function.
SIGNATURES = """
activated_parameters(arch, activated_experts=None)
aligned_dps(first, second)
architecture_from_config(config, *, mlp_matrices=None)
attempt_cost(prompt_tokens, completion_tokens, usd_per_prompt_token, usd_per_completion_token)
attention_parameters(arch)
average_latency(compute_s, communication_s)
benchmark_eff_at_k(scores, k)
benchmark_pass_at_k(passed, k)
bits_per_byte(loglikelihoods, byte_counts)
bootstrap_indices(n, size, repetitions, *, seed)
byte_perplexity(loglikelihoods, byte_counts)
cluster_costs(costs, *, base=0.1, weight=10000.0)
cluster_threshold(cost, *, base=0.1, weight=10000.0)
code_efficiency(runs, levels_s, limit_s, hardness=(0, 3, 3, 4), *, tolerance_s=0.01)
coefficient_of_variation(values)
cost_of_pass(costs_usd, scores)
count_words(text)
dataset_cost_of_pass(costs_usd, scores)
decode_flops(arch, generated, *, context=0)
decode_flops_per_token(arch, generated, *, context=0)
differential_performance_score(cost, reference_costs, reference_scores)
dior(scores, resamples, *, sided='one', level=0.95)
distribution(values)
dps_win_rates(task_scores)
e2r_decoder_flops(input_tokens, output_tokens, layers, hidden, feed_forward, gqa_ratio)
e2r_encoder_decoder_flops(input_tokens, output_tokens, layers, hidden, feed_forward)
early_stopping_estimate(latencies_s, q, *, confidence=0.99)
early_stopping_passes(queries, over_limit, q, *, confidence=0.99, tolerance=0.0)
early_stopping_queries(over_limit, q, *, confidence=0.99, tolerance=0.0)
eff_at_k(scores, k)
eflops(parameters, heads, kv_heads, head_dim, layers, context, generated, *, \
trials=1, intensity=562.5)
eflops_block_sparse(parameters, heads, kv_heads, head_dim, layers, context, generated, local, \
block_size, top_k, *, trials=1, intensity=562.5)
eflops_sparse(parameters, heads, kv_heads, head_dim, layers, context, generated, budget, *, \
trials=1, intensity=562.5, authors_sign=False)
encoder_decoder_flops(config, input_tokens, output_tokens)
energy_delay_product(energy_j, delay_s, *, exponent=1)
energy_joules(samples, *, start_s=None, end_s=None)
essentialness(values, group, *, baseline_usd=None, problems=None)
frontier_by_problem(values, *, baseline_usd=None, problems=None)
frontier_cost_of_pass(values, *, baseline_usd=None, problems=None)
frontier_progress(values, release_order, *, baseline_usd, problems=None)
goodput(requests, at_most=None, at_least=None, *, window_s)
hodges_lehmann(times_s)
ic_flops_per_token(config, generated=1024, *, context=0, batch_size=1, variant='dense')
idealized_runtime(prompt_tokens, output_tokens, prompt_s, s_per_output_token, *, overhead_s=0.0)
information_capacity(text_bits_per_token, nll_bits_per_token, flops_per_token, *, bias)
joules_per_token(energy_j, tokens)
kendall_tau_b(first, second)
kv_elements_per_token(arch)
level_score(elapsed_s, reference_s, limit_s)
mbu(model_bytes, kv_bytes, step_s, peak_bytes_per_s, *, devices=1)
mean_context(prompt_tokens, output_tokens)
mean_eflops(costs)
mean_win_rate(scores, lower_is_better=None, *, ties='half', aggregation='mean')
mfu(flops_per_token, tokens_per_s, peak_flops_per_s, *, devices=1)
model_compression_rate(size_original, size_compressed, score_original, score_compressed)
model_dps(task_scores)
nll_bits_per_token(nll_bits)
pass_at_k(n, c, k)
prefill_flops(arch, tokens, *, logits='last')
qpp(flops)
quantile(values, q, *, method='linear', weights=None)
reference_clusters(costs, *, base=0.1, weight=10000.0)
reference_times(times_s, hardness=(0, 3, 3, 4), *, alpha=2.0)
relative_gain(before, after)
request_timing(start_s, chunk_times_s, *, output_tokens=None, end_s=None)
rolling_windows(tokens, prefix_token, max_length, *, context_length=1)
rpp(quality, flops)
run_cost(wall_s, devices, usd_per_device_hour, *, energy_j=0.0, usd_per_kwh=0.0)
sparse_mbu(arch, *, activated_experts, kv_tokens, step_s, peak_bytes_per_s, devices=1, \
bytes_per_parameter=2.0, bytes_per_kv=None)
sparse_mfu(arch, *, context_tokens, tokens_per_s, peak_flops_per_s, devices=1)
task_dps(costs, reference_costs, reference_scores)
text_bits_per_token(byte_counts, token_counts, *, ndigits=None)
throughput(counts, times_s, *, parameters=1)
time_weighted_mean(samples, *, start_s=None, end_s=None)
token_perplexity(loglikelihoods)
word_perplexity(loglikelihoods, words)
zeus_cost(energy_j, time_s, *, max_power_w, eta=0.5)
"""


def bare_signature(name: str) -> str:
    signature = inspect.signature(getattr(scores, name))
    bare = [p.replace(annotation=inspect.Parameter.empty) for p in signature.parameters.values()]
    return f"{name}{signature.replace(parameters=bare, return_annotation=inspect.Signature.empty)}"


def test_the_signatures_are_the_contract() -> None:
    functions = [name for name in scores.__all__ if name[0].islower()]
    assert [bare_signature(name) for name in functions] == SIGNATURES.strip().splitlines()
    assert len(functions) == 77


def test_the_public_names_are_sorted_and_importable() -> None:
    assert scores.__all__ == sorted(set(scores.__all__))
    assert all(callable(getattr(scores, name)) for name in scores.__all__)


@pytest.mark.parametrize("name", [name for name in scores.__all__ if name[0].isupper()])
def test_records_are_frozen_and_every_field_is_documented(name: str) -> None:
    record = getattr(scores, name)
    source = inspect.getsource(record)
    fields = [field.name for field in dataclasses.fields(record)]
    assert record.__dataclass_params__.frozen
    assert source.count('"""') >= 2 * (1 + len(fields))


def test_every_public_name_says_what_it_returns() -> None:
    functions = [getattr(scores, name) for name in scores.__all__ if name[0].islower()]
    first_lines = {f.__name__: (f.__doc__ or "").split("\n")[0] for f in functions}
    assert [name for name, line in first_lines.items() if not line.startswith("Return ")] == []


def test_importing_the_scores_loads_the_standard_library_only() -> None:
    code = (
        "import sys; before = set(sys.modules); import effmark.scores; "
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}"
        " - set(sys.stdlib_module_names)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == ["effmark"]


def test_the_scores_import_nothing_else_of_effmark() -> None:
    code = (
        "import sys; import effmark; before = set(sys.modules); import effmark.scores; "
        "print(*[m for m in sorted(set(sys.modules) - before) if m.startswith('effmark')])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert all(module.startswith("effmark.scores") for module in run.stdout.split())


@pytest.mark.parametrize("value", [2.0, "2", None])
def test_a_count_that_is_no_whole_number_is_a_value_error(value: Any) -> None:
    with pytest.raises(ValueError, match="k must be a whole number, got"):
        scores.eff_at_k([0.5, 0.5], value)
