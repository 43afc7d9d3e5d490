"""Memory-bandwidth and compute utilisation, dense and sparse: MBU, MFU, S-MBU, S-MFU.

MBU = (weight bytes + KV bytes read in a step) / step time / (devices * peak bytes/s). S-MBU counts
only activated parameters: attention of all layers, the experts that the BATCH touched in that step
(traced from the router), shared experts and dense layers. MFU = tokens/s * FLOPs per token /
(devices * dense peak FLOP/s); S-MFU takes 2 * activated parameters of one token + attention over
the mean context. A request's mean KV length while decoding is prompt + (output - 1) / 2; S-MBU
takes its SUM over the batch, S-MFU its MEAN.

All are fractions and are not clipped: above 1 means a wrong peak, expert count or replica count.

Source: MoE-CAP, arXiv 2412.07067, eq. 4 and 5; read in Auto-CAP/MoE-CAP @ e9e0d88be157 and
sparse-generative-ai/open-moe-llm-leaderboard @ b8098a584cd8.

Faults of the newer code that are not followed: it drops the factor top-k (one expert per token),
adds the batch's context once per token, fixes DeepSeek's shared experts at 2, and halves every
table peak as if it were a with-sparsity figure, also where it is dense. Peaks given here must be
dense ones. Its ``calculate_cost`` charges the full purchase price to every run; use ``run_cost``.
"""

from __future__ import annotations

from effmark.scores import _check
from effmark.scores.architecture import Architecture, activated_parameters, kv_elements_per_token
from effmark.scores.flops import attention_flops_per_pair


def mean_context(prompt_tokens: float, output_tokens: float) -> float:
    """Return the mean number of cached tokens while a request decodes."""
    _check.number("prompt_tokens", prompt_tokens, least=0)
    _check.number("output_tokens", output_tokens, least=1)
    return prompt_tokens + (output_tokens - 1) / 2


def mbu(
    model_bytes: float,
    kv_bytes: float,
    step_s: float,
    peak_bytes_per_s: float,
    *,
    devices: int = 1,
) -> float:
    """Return the share of the peak memory bandwidth that a step uses."""
    _check.number("model_bytes", model_bytes, least=0)
    _check.number("kv_bytes", kv_bytes, least=0)
    _check.number("step_s", step_s, above=0)
    _check.number("peak_bytes_per_s", peak_bytes_per_s, above=0)
    _check.whole("devices", devices, least=1)
    return (model_bytes + kv_bytes) / step_s / (devices * peak_bytes_per_s)


def mfu(
    flops_per_token: float, tokens_per_s: float, peak_flops_per_s: float, *, devices: int = 1
) -> float:
    """Return the share of the dense peak FLOP/s that the tokens use."""
    _check.number("flops_per_token", flops_per_token, least=0)
    _check.number("tokens_per_s", tokens_per_s, least=0)
    _check.number("peak_flops_per_s", peak_flops_per_s, above=0)
    _check.whole("devices", devices, least=1)
    return flops_per_token * tokens_per_s / (devices * peak_flops_per_s)


def sparse_mbu(
    arch: Architecture,
    *,
    activated_experts: float,
    kv_tokens: float,
    step_s: float,
    peak_bytes_per_s: float,
    devices: int = 1,
    bytes_per_parameter: float = 2.0,
    bytes_per_kv: float | None = None,
) -> float:
    """Return the share of the peak memory bandwidth that activated weights and KV cache use.

    ``activated_experts`` is the mean number of distinct experts per mixture layer (0 for a dense
    model), ``kv_tokens`` the sum over the batch.
    """
    _check.number("kv_tokens", kv_tokens, least=0)
    per_parameter = _check.number("bytes_per_parameter", bytes_per_parameter, above=0)
    per_kv = per_parameter
    if bytes_per_kv is not None:
        per_kv = _check.number("bytes_per_kv", bytes_per_kv, above=0)
    weights = activated_parameters(arch, activated_experts) * per_parameter
    cache = kv_elements_per_token(arch) * kv_tokens * per_kv
    return mbu(weights, cache, step_s, peak_bytes_per_s, devices=devices)


def sparse_mfu(
    arch: Architecture,
    *,
    context_tokens: float,
    tokens_per_s: float,
    peak_flops_per_s: float,
    devices: int = 1,
) -> float:
    """Return the share of the dense peak FLOP/s that activated weights and attention use.

    ``context_tokens`` is the mean over the batch.
    """
    _check.number("context_tokens", context_tokens, least=0)
    per_token = 2 * activated_parameters(arch) + attention_flops_per_pair(arch) * context_tokens
    return mfu(per_token, tokens_per_s, peak_flops_per_s, devices=devices)
