"""The one table that says what each number means: unit, direction, definition.

Renderers, gates and documents read it; nobody else states a unit or a direction. Names follow
the field's usage (TTFT, TPOT, ITL), with the unit as the last word.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["LARGEST", "METRICS", "Direction", "Metric", "metric", "possible"]

Direction = Literal["lower", "higher", "none"]
"""Which way is better; `none` for facts that are not a merit."""


@dataclass(frozen=True, slots=True)
class Metric:
    """What a number means."""

    name: str
    unit: str
    direction: Direction
    label: str
    """Short heading for tables."""
    definition: str
    """One sentence for people: what was divided by what, between which moments."""


def _table(*rows: Metric) -> dict[str, Metric]:
    return {row.name: row for row in rows}


_LATENCIES = _table(
    Metric("ttft_s", "s", "lower", "TTFT", "request start to the first token on the host; median"),
    Metric("tpot_s", "s", "lower", "TPOT",
           "(last token - first token) / (tokens - 1) of a request; median"),
    Metric("itl_s", "s", "lower", "ITL", "gap between neighbouring tokens, all requests; median"),
    Metric("e2e_latency_s", "s", "lower", "latency", "request start to last token; median"),
    Metric("latency_s", "s", "lower", "latency", "one batch or one call, host to host; median"),
)  # fmt: skip


def _percentiles(base: Metric) -> list[Metric]:
    stem = base.name.removesuffix("_s")
    return [
        Metric(f"{stem}_p{p}_s", "s", "lower", f"{base.label} p{p}",
               f"{p}th percentile of: {base.definition.removesuffix('; median')}")
        for p in (90, 95, 99)
    ]  # fmt: skip


_UNITS = {
    "output_token": ("token", "token", "tokens generated"),
    "input_token": ("token", "input token", "prompt tokens processed"),
    "request": ("request", "request", "requests completed"),
    "image": ("image", "image", "images"),
    "call": ("call", "call", "calls"),
    "step": ("step", "step", "steps of a whole batch"),
}
"""What energy, carbon and money are divided by: unit, word in headings, words in definitions."""


def _per_unit() -> list[Metric]:
    """Return energy, carbon and money per unit of work."""
    found = []
    for name, (unit, word, words) in _UNITS.items():
        found += [
            Metric(f"energy_j_per_{name}", f"J/{unit}", "lower", f"J/{word}",
                   f"energy of the window / {words} in it, gross of idle"),
            Metric(f"net_energy_j_per_{name}", f"J/{unit}", "lower", f"net J/{word}",
                   f"as J/{word}, net of the idle baseline"),
            Metric(f"carbon_g_per_{name}", f"g/{unit}", "lower", f"g CO2e/{word}",
                   f"energy of the window x carbon intensity of the grid / {words} in it"),
            Metric(f"electricity_usd_per_{name}", f"USD/{unit}", "lower", f"electricity/{word}",
                   f"energy of the window x price of a kWh / {words} in it"),
            Metric(f"device_usd_per_{name}", f"USD/{unit}", "lower", f"device/{word}",
                   f"time of the blocks x price of an hour of the devices / {words} in them"),
        ]  # fmt: skip
    return found


METRICS: dict[str, Metric] = {
    **_LATENCIES,
    **_table(*(p for base in _LATENCIES.values() for p in _percentiles(base))),
    **_table(
        # throughput
        Metric("output_token_throughput", "token/s", "higher", "output tok/s",
               "tokens generated / time from request start to last token, all sequences"),
        Metric("total_token_throughput", "token/s", "higher", "total tok/s",
               "tokens of prompts and output / time from request start to last token"),
        Metric("request_throughput", "request/s", "higher", "requests/s",
               "requests of a batch / time from request start to last token"),
        Metric("decode_token_throughput", "token/s", "higher", "decode tok/s",
               "tokens after the first / time from first to last token, all sequences"),
        Metric("prefill_token_throughput", "token/s", "higher", "prefill tok/s",
               "prompt tokens / time to first token, all sequences"),
        Metric("image_throughput", "image/s", "higher", "images/s", "images / batch time"),
        # cold
        Metric("import_s", "s", "lower", "import", "importing the runtime in a fresh process"),
        Metric("load_s", "s", "lower", "load", "model file to ready for the first request"),
        Metric("compile_s", "s", "lower", "compile", "time spent compiling before steady state"),
        Metric("first_inference_s", "s", "lower", "first run",
               "the first request after loading, start to end"),
        # memory and size
        Metric("peak_memory_b", "B", "lower", "peak memory",
               "largest resident set of the process tree while this workload ran"),
        Metric("load_memory_b", "B", "lower", "load memory",
               "largest resident set of the process tree while the model was loaded"),
        Metric("device_memory_b", "B", "lower", "device memory",
               "largest allocation on the accelerator while this workload ran"),
        Metric("device_used_b", "B", "lower", "device in use",
               "memory in use on the accelerator by everybody, as the driver tells; largest"),
        Metric("device_process_b", "B", "lower", "device, process",
               "memory of our processes on the accelerator, as the driver tells; largest"),
        Metric("device_reserved_b", "B", "lower", "device reserved",
               "largest amount that the allocator held on the accelerator for this workload"),
        Metric("working_memory_b", "B", "lower", "working memory",
               "peak memory less what was resident before the workload: KV cache, activations"),
        Metric("pss_b", "B", "lower", "PSS",
               "resident memory after the workload, shared pages divided among their users"),
        Metric("cgroup_peak_b", "B", "lower", "cgroup peak",
               "peak of a memory cgroup of its own, page cache included"),
        Metric("kv_cache_b", "B", "lower", "KV cache",
               "bytes of the KV cache of a whole batch at its longest; computed, not measured"),
        Metric("kv_cache_held_b", "B", "lower", "KV held",
               "bytes that the runtime holds for the KV cache at the last step of a request"),
        Metric("kv_cache_ratio", "ratio", "none", "KV held/computed",
               "bytes held for the KV cache / bytes computed from the architecture"),
        Metric("other_memory_b", "B", "lower", "other memory",
               "peak memory less weights and KV cache: the runtime, activations, copies"),
        Metric("memory_at_death_b", "B", "lower", "memory at death",
               "resident set of the process tree when it was killed, or its largest before"),
        Metric("model_size_b", "B", "lower", "model size", "bytes of all weights, tied ones once"),
        Metric("effective_bits", "bit", "lower", "bits/weight",
               "8 x weight bytes / parameters, scales and zero points included, tied ones once"),
        Metric("kv_bytes_per_token", "B", "lower", "KV/token", "KV cache bytes per token"),
        Metric("compression_ratio", "ratio", "higher", "compression",
               "weight bytes of the baseline / weight bytes"),
        # work
        Metric("cpu_s_per_output_token", "s", "lower", "CPU s/token",
               "user and system CPU time of the process / tokens generated"),
        Metric("cpu_s_per_image", "s", "lower", "CPU s/image",
               "user and system CPU time of the process / images"),
        Metric("instructions_per_output_token", "instruction/token", "lower", "instr/token",
               "user-mode instructions of all threads of the process / tokens generated"),
        Metric("instructions_per_image", "count", "lower", "instr/image",
               "user-mode instructions of all threads of the process / images"),
        Metric("cpu_s_per_call", "s", "lower", "CPU s/call",
               "user and system CPU time of the process / calls"),
        Metric("instructions_per_call", "count", "lower", "instr/call",
               "user-mode instructions of all threads of the process / calls"),
        Metric("bytecodes_per_call", "count", "lower", "bytecodes/call",
               "Python instructions that a call executes in its thread; C code is not seen"),
        Metric("flops_per_token", "FLOP/token", "none", "FLOPs/token",
               "2 FLOPs per multiply-add, decode of one token; computed, not measured"),
        Metric("mbu", "ratio", "higher", "MBU",
               "bytes that decode must read per second / memory bandwidth measured here"),
        Metric("mfu", "ratio", "higher", "MFU",
               "FLOPs of the model per second / FLOP/s measured here"),
        # energy
        *_per_unit(),
        Metric("tokens_per_j", "token/J", "higher", "tokens/J", "1 / (J/token)"),
        Metric("mean_power_w", "W", "lower", "mean power", "energy of the window / its length"),
        Metric("energy_delay_product", "J·s/token", "lower", "EDP",
               "J/token x seconds/token of the same window"),
        # quality
        Metric("accuracy", "ratio", "higher", "accuracy",
               "share of items answered right, all tasks pooled"),
        Metric("bits_per_byte", "bit/B", "lower", "bits/byte",
               "negative log2-likelihood of held-out text / its UTF-8 bytes"),
        Metric("perplexity", "ratio", "lower", "perplexity",
               "exp(mean negative log-likelihood per token); compares only within a tokenizer"),
        Metric("kl_divergence", "nat", "lower", "KL",
               "mean KL(fp32 reference || this model) over positions of held-out text"),
        Metric("top1_agreement", "ratio", "higher", "top-1 agree",
               "share of positions whose most likely token equals the fp32 reference's"),
        Metric("information_capacity", "ratio", "higher", "info capacity",
               "(text bits - NLL bits) per token / log2(decode FLOPs per token), bias 0"),
        Metric("information_capacity_biased", "ratio", "higher", "biased capacity",
               "as info capacity, plus its authors' constant: -24 mixed, -18.7 Ch-FineWeb-Edu, "
               "-27 other text"),
        Metric("quality_retention", "ratio", "higher", "quality kept",
               "baseline bits per byte / bits per byte; of accuracies where there is no text"),
        # generated code
        *(
            row
            for k in (1, 10, 100)
            for row in (
                Metric(f"pass_at_{k}", "ratio", "higher", f"pass@{k}",
                       f"chance that one of {k} samples is correct; mean over problems"),
                Metric(f"eff_at_{k}", "ratio", "higher", f"eff@{k}",
                       f"expected best efficiency of {k} samples, reference 1; mean over problems"),
            )
        ),
        Metric("dps", "%", "higher", "DPS",
               "share of reference solutions that passing samples are as fast as; mean over tasks"),
        Metric("dps_norm", "%", "higher", "DPS norm",
               "rank among reference solutions in percent; mean over tasks"),
        Metric("majority_accuracy", "ratio", "higher", "majority",
               "share of questions whose most frequent answer of n samples is right"),
        Metric("weighted_accuracy", "ratio", "higher", "weighted",
               "as majority, each answer weighted by the probability that the model gives it"),
        Metric("best_of_n_accuracy", "ratio", "higher", "best of n",
               "share of questions whose most probable answer among n samples is right"),
        Metric("tokens_per_answer", "token", "lower", "tokens/answer",
               "prompt and new tokens of all samples of a question, of which the majority answers"),
        Metric("energy_j_per_answer", "J", "lower", "J/answer",
               "energy of all samples of a question, of which the majority answers"),
        Metric("flop_per_answer", "FLOP", "lower", "FLOPs/answer",
               "FLOPs of prefill and decoding of all samples of a question; computed"),
        Metric("eflop_per_answer", "FLOP", "lower", "eFLOPs/answer",
               "FLOPs plus memory traffic in FLOPs (Kinetics), prompt shared by all samples"),
        Metric("coverage", "ratio", "higher", "coverage",
               "share of questions with a right answer among n samples: pass@n"),
        *(
            Metric(f"eff_at_{k}_per_j", "1/J", "higher", f"eff@{k}/J",
                   f"eff@{k} / joules of writing {k} samples; sums over problems")
            for k in (1, 10, 100)
        ),
        *(
            row
            for currency, unit, label, spent in (
                ("usd", "USD", "USD", "USD"), ("j", "J", "J", "joules"),
                ("s", "s", "time", "seconds of model calls"),
                ("flop", "FLOP", "FLOP", "FLOPs"),
            )
            for row in (
                Metric(f"cost_of_pass_{currency}", unit, "lower", f"cost-of-pass {label}",
                       f"{spent} of an attempt / its score, summed over the data set"),
                Metric(f"cost_of_pass_mean_{currency}", unit, "lower",
                       f"mean cost-of-pass {label}",
                       f"{spent} of an attempt / its score, of each problem; mean over problems"),
            )
        ),
        # joined
        Metric("speedup", "ratio", "higher", "speed-up",
               "baseline time per unit of work / time per unit of work"),
        Metric("accuracy_per_j", "1/J", "higher", "accuracy/J",
               "accuracy / energy of a token, from the same model process"),
        Metric("harness_overhead_s", "s", "none", "overhead",
               "cost of one time stamp on the null adapter; reported, never subtracted"),
    ),
}  # fmt: skip


_SHARES = {"accuracy", "best_of_n_accuracy", "coverage", "majority_accuracy", "top1_agreement",
           "weighted_accuracy", "pass_at_1", "pass_at_10", "pass_at_100"}  # fmt: skip
_ROUNDED = {"bits_per_byte", "kl_divergence", "perplexity"}
"""Sums of logarithms of float32: an exact 0 can come out a little below."""
_ROUNDING = 1e-3
_SIGNED = {"information_capacity", "information_capacity_biased",
           *(f"net_energy_j_per_{unit}" for unit in _UNITS)}  # fmt: skip
LARGEST = 1e40
"""Beyond any quantity here (FLOPs of all computers ever: 1e30); ratios of such numbers can still be
squared."""


def possible(name: str) -> tuple[float, float]:
    """Return the smallest and the largest value that a sample of a metric can have."""
    if name not in METRICS or name in _SIGNED:
        return -LARGEST, LARGEST
    if METRICS[name].unit == "%":
        return 0.0, 100.0
    return (-_ROUNDING if name in _ROUNDED else 0.0), (1.0 if name in _SHARES else LARGEST)


def metric(name: str) -> Metric:
    """Return what a metric means; an unknown name is a bug and raises KeyError."""
    return METRICS[name]
