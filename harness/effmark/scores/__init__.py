"""Every efficiency score that effmark reports, as pure functions: standard library only, no I/O.

Conventions: seconds, joules, watts, USD and FLOPs (2 per multiply-add). Bad input is a ValueError
of one sentence that names the argument and the value. Undefined is None, unbounded is ``math.inf``
and 0 means measured zero. Records are frozen and read by attribute; only the functions build them.

Some modules share the name of their main function; ``from effmark.scores import NAME`` gives the
function.
"""

from __future__ import annotations

from effmark.scores.architecture import (
    Architecture,
    activated_parameters,
    architecture_from_config,
    attention_parameters,
    kv_elements_per_token,
)
from effmark.scores.code_timing import (
    CodeEfficiency,
    ReferenceTimes,
    code_efficiency,
    hodges_lehmann,
    level_score,
    reference_times,
)
from effmark.scores.cost_of_pass import attempt_cost, cost_of_pass, dataset_cost_of_pass, run_cost
from effmark.scores.dior import Dior, bootstrap_indices, dior
from effmark.scores.dps import (
    DpsScore,
    TaskDps,
    WinRates,
    aligned_dps,
    coefficient_of_variation,
    differential_performance_score,
    dps_win_rates,
    model_dps,
    task_dps,
)
from effmark.scores.dps_clusters import (
    ReferenceCluster,
    cluster_costs,
    cluster_threshold,
    reference_clusters,
)
from effmark.scores.early_stopping import (
    early_stopping_estimate,
    early_stopping_passes,
    early_stopping_queries,
)
from effmark.scores.eff_at_k import benchmark_eff_at_k, benchmark_pass_at_k, eff_at_k, pass_at_k
from effmark.scores.efficientllm import (
    average_latency,
    model_compression_rate,
    throughput,
    time_weighted_mean,
)
from effmark.scores.eflops import Eflops, eflops, eflops_block_sparse, eflops_sparse, mean_eflops
from effmark.scores.energy import energy_delay_product, energy_joules, joules_per_token, zeus_cost
from effmark.scores.flops import (
    Flops,
    decode_flops,
    decode_flops_per_token,
    encoder_decoder_flops,
    prefill_flops,
)
from effmark.scores.frontier import (
    FrontierStep,
    essentialness,
    frontier_by_problem,
    frontier_cost_of_pass,
    frontier_progress,
    relative_gain,
)
from effmark.scores.information_capacity import (
    ic_flops_per_token,
    information_capacity,
    nll_bits_per_token,
    text_bits_per_token,
)
from effmark.scores.latency import RequestTiming, goodput, request_timing
from effmark.scores.perplexity import (
    bits_per_byte,
    byte_perplexity,
    count_words,
    rolling_windows,
    token_perplexity,
    word_perplexity,
)
from effmark.scores.quantiles import Distribution, distribution, quantile
from effmark.scores.rank_correlation import kendall_tau_b
from effmark.scores.reranking import e2r_decoder_flops, e2r_encoder_decoder_flops, qpp, rpp
from effmark.scores.runtime import idealized_runtime
from effmark.scores.utilisation import mbu, mean_context, mfu, sparse_mbu, sparse_mfu
from effmark.scores.win_rate import mean_win_rate

__all__ = [
    "Architecture",
    "CodeEfficiency",
    "Dior",
    "Distribution",
    "DpsScore",
    "Eflops",
    "Flops",
    "FrontierStep",
    "ReferenceCluster",
    "ReferenceTimes",
    "RequestTiming",
    "TaskDps",
    "WinRates",
    "activated_parameters",
    "aligned_dps",
    "architecture_from_config",
    "attempt_cost",
    "attention_parameters",
    "average_latency",
    "benchmark_eff_at_k",
    "benchmark_pass_at_k",
    "bits_per_byte",
    "bootstrap_indices",
    "byte_perplexity",
    "cluster_costs",
    "cluster_threshold",
    "code_efficiency",
    "coefficient_of_variation",
    "cost_of_pass",
    "count_words",
    "dataset_cost_of_pass",
    "decode_flops",
    "decode_flops_per_token",
    "differential_performance_score",
    "dior",
    "distribution",
    "dps_win_rates",
    "e2r_decoder_flops",
    "e2r_encoder_decoder_flops",
    "early_stopping_estimate",
    "early_stopping_passes",
    "early_stopping_queries",
    "eff_at_k",
    "eflops",
    "eflops_block_sparse",
    "eflops_sparse",
    "encoder_decoder_flops",
    "energy_delay_product",
    "energy_joules",
    "essentialness",
    "frontier_by_problem",
    "frontier_cost_of_pass",
    "frontier_progress",
    "goodput",
    "hodges_lehmann",
    "ic_flops_per_token",
    "idealized_runtime",
    "information_capacity",
    "joules_per_token",
    "kendall_tau_b",
    "kv_elements_per_token",
    "level_score",
    "mbu",
    "mean_context",
    "mean_eflops",
    "mean_win_rate",
    "mfu",
    "model_compression_rate",
    "model_dps",
    "nll_bits_per_token",
    "pass_at_k",
    "prefill_flops",
    "qpp",
    "quantile",
    "reference_clusters",
    "reference_times",
    "relative_gain",
    "request_timing",
    "rolling_windows",
    "rpp",
    "run_cost",
    "sparse_mbu",
    "sparse_mfu",
    "task_dps",
    "text_bits_per_token",
    "throughput",
    "time_weighted_mean",
    "token_perplexity",
    "word_perplexity",
    "zeus_cost",
]
