"""MBU, MFU and their sparse forms, against both versions of the authors' code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effmark.scores import (
    Architecture,
    activated_parameters,
    architecture_from_config,
    decode_flops,
    kv_elements_per_token,
    mbu,
    mean_context,
    mfu,
    sparse_mbu,
    sparse_mfu,
)

Oracles = Callable[[str], Any]
Json = dict[str, Any]

DENSE = architecture_from_config(
    {
        "hidden_size": 64,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "intermediate_size": 160,
        "vocab_size": 1000,
    }
)


@given(st.integers(0, 5000), st.integers(1, 500))
def test_the_mean_context_is_the_mean_over_the_steps(prompt: int, output: int) -> None:
    lengths = [prompt + step for step in range(output)]
    assert mean_context(prompt, output) == pytest.approx(sum(lengths) / output)


@given(st.floats(0, 1e12), st.floats(0, 1e12), st.floats(1e-3, 10), st.integers(1, 64))
def test_more_devices_share_the_traffic(
    weights: float, cache: float, step: float, devices: int
) -> None:
    one = mbu(weights, cache, step, 1e12)
    assert mbu(weights, cache, step, 1e12, devices=devices) == pytest.approx(one / devices)


def test_a_dense_model_needs_no_expert() -> None:
    value = sparse_mbu(DENSE, activated_experts=0, kv_tokens=100, step_s=1e-3, peak_bytes_per_s=1e9)
    cache = kv_elements_per_token(DENSE) * 100 * 2
    assert value == mbu(activated_parameters(DENSE) * 2, cache, 1e-3, 1e9)


def test_the_cache_may_have_its_own_precision() -> None:
    def cache_share(per_kv: float | None) -> float:
        arguments: Json = {"activated_experts": 0, "step_s": 1e-3, "peak_bytes_per_s": 1e9}
        with_cache = sparse_mbu(DENSE, kv_tokens=100, bytes_per_kv=per_kv, **arguments)
        return with_cache - sparse_mbu(DENSE, kv_tokens=0, **arguments)

    assert cache_share(None) == pytest.approx(2 * cache_share(1.0))


def test_sparse_mfu_of_a_dense_model_is_mfu_without_the_lm_head() -> None:
    # One decoded token after 49 cached ones sees 50 keys.
    flops = decode_flops(DENSE, 1, context=49)
    expected = mfu(flops.total - flops.lm_head, 1000.0, 1e12)
    found = sparse_mfu(DENSE, context_tokens=50, tokens_per_s=1000.0, peak_flops_per_s=1e12)
    assert found == pytest.approx(expected)


def shape(case: Json, experts_per_token: int) -> Architecture:
    given = case["arch"]
    config: Json = {
        "hidden_size": given["d_model"],
        "num_attention_heads": given["n_attn_heads"],
        "num_key_value_heads": given["n_kv_heads"],
        "head_dim": given["d_head"],
        "intermediate_size": given["d_ff"],
        "num_hidden_layers": given["n_layers"],
        "vocab_size": 1,
    }
    if not case["model"].startswith("dense"):
        config |= {"num_experts": 256, "num_experts_per_tok": experts_per_token}
    if case["model"].startswith("deepseek"):
        config["n_shared_experts"] = 2
    return architecture_from_config(config | given["hf"])


def test_decode_batches_agree_with_the_code_that_follows_the_paper(oracles: Oracles) -> None:
    for case in oracles("moe_cap_batch")["cases"]:
        arch = shape(case, case["arch"]["n_experts_per_tok"])
        contexts = [mean_context(p, o) for p, o in case["outputs_prompt_and_gen_lengths"]]
        bandwidth = sparse_mbu(
            arch,
            activated_experts=case["avg_activated_experts"] if arch.experts else 0,
            kv_tokens=math.fsum(contexts),
            step_s=case["batch_size"] / case["decoding_tokens_per_s"],
            peak_bytes_per_s=case["peak_bw"],
            devices=case["num_gpus"],
            bytes_per_parameter=case["bytes_per_param"],
        )
        compute = sparse_mfu(
            arch,
            context_tokens=math.fsum(contexts) / len(contexts),
            tokens_per_s=case["decoding_tokens_per_s"],
            peak_flops_per_s=case["table_flops"] / 2,
            devices=case["num_gpus"],
        )
        assert bandwidth == pytest.approx(case["result"]["smbu"], rel=1e-9), case["model"]
        assert compute == pytest.approx(case["result"]["smfu"], rel=1e-9), case["model"]


def counted_passes(passes: Sequence[Json]) -> list[Json]:
    """Return the passes that the authors count; chunks of one request become one pass."""
    counted: list[Json] = []
    requests: dict[str, Json] = {}
    for step in passes:
        prefill = step["forward_mode"] == "prefill"
        activation = step["expert_activation"]
        if activation is None or activation < 0 or (prefill and step["seq_lens_sum"] <= 10):
            continue
        merged = dict(step)
        if prefill and step.get("per_req_info"):
            (chunk,) = step["per_req_info"]
            earlier = requests.get(chunk["req_id"])
            if earlier is not None:
                earlier["latency"] += step["latency"]
                earlier["expert_activation"] = activation
                continue
            merged["seq_lens_sum"] = chunk["total_len"]
            requests[chunk["req_id"]] = merged
        counted.append(merged)
    return counted


def check_passes(case: Json, passes: Sequence[Json], mode: str) -> None:
    arch, hardware = shape(case, 1), case["components"]["hardware"]
    bandwidth, compute = [], []
    for step in passes:
        tokens = step["seq_lens_sum"] if mode == "prefill" else step["batch_size"]
        bandwidth.append(
            sparse_mbu(
                arch,
                activated_experts=step["expert_activation"],
                kv_tokens=step["seq_lens_sum"],
                step_s=step["latency"],
                peak_bytes_per_s=hardware["peak_bandwidth_tb"] * 1e12,
                devices=case["num_gpus"],
                bytes_per_parameter=case["bytes_per_param"],
            )
        )
        compute.append(
            sparse_mfu(
                arch,
                context_tokens=step["seq_lens_sum"],
                tokens_per_s=tokens / step["latency"],
                peak_flops_per_s=hardware["peak_flops_tf"] * 1e12 / 2,
                devices=case["num_gpus"],
            )
        )
    mode = "prefill" if mode == "prefill" else "decoding"
    wanted = case["result"][f"{mode}_smbu"], case["result"][f"{mode}_smfu"]
    found = math.fsum(bandwidth) / len(passes), math.fsum(compute) / len(passes)
    assert found == pytest.approx(wanted, rel=1e-9), (case["model"], case["note"], mode)


def test_forward_passes_agree_with_the_newer_code_given_its_single_expert(oracles: Oracles) -> None:
    checked = 0
    for case in oracles("moe_cap")["cases"]:
        passes = counted_passes(case["forward_passes"])
        for mode in ("prefill", "decode"):
            chosen = [step for step in passes if step["forward_mode"] == mode]
            if chosen:
                check_passes(case, chosen, mode)
                checked += 1
    assert checked >= 26
