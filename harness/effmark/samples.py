"""What a record's blocks say about each metric: raw samples, and how they become one value.

Definitions are those of the table of metrics; this file is where they are computed, for reports,
comparisons and gates alike. What a record cannot say is `Missing` with its reason, never left out
silently: TPOT of one token is undefined, CPU time may not have been read.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from effmark.metrics import METRICS
from effmark.record import Block, Measured, Missing, Reason, Record
from effmark.spec import Call, Decode, Infer, Prefill
from effmark.stats import (
    Estimate,
    TooFew,
    mean_interval,
    median_interval,
    percentile_interval,
    proportion_interval,
    ratio_interval,
)

__all__ = ["PERCENTILES", "Samples", "estimate", "metric_samples"]

PERCENTILES = (0.90, 0.95, 0.99)
"""Percentiles that every latency gets where its samples carry them."""


@dataclass(frozen=True, slots=True)
class Samples:
    """Raw samples of one metric, in time order, unrounded."""

    metric: str
    values: Sequence[float]
    """One per sample; numerators where `weights` is given."""
    weights: Sequence[float] | None = None
    """Denominators; the value is then sum(values) / sum(weights)."""
    estimator: Literal["median", "mean", "ratio", "exp_ratio", "max", "quantile"] = "median"
    q: float = 0.5
    """Which quantile, where the estimator is `quantile`."""
    groups: Sequence[str | int] | None = None
    """What each sample belongs to (block, task), where samples of a group are alike."""
    between_processes: bool = False
    """Whether the groups are processes, whose differences an interval must hold."""
    serial: bool = True
    """Whether neighbours were measured one after the other and may depend on each other."""
    source: str = "clock"

    @property
    def per_sample(self) -> Sequence[float]:
        """Return one number per sample in the unit of the metric: numerator / denominator.

        Infinite where there is no denominator: work in no measurable time, a cost without a pass.
        """
        if self.weights is None:
            return self.values
        return [v / w if w else math.inf for v, w in zip(self.values, self.weights, strict=True)]


def metric_samples(record: Record) -> dict[str, Samples | Missing]:
    """Return the samples of every metric that this record's workload defines.

    A record without blocks has only what was measured on its own; its outcome says why. Numbers of
    metrics that this version does not know are left out.
    """
    found: dict[str, Samples | Missing] = {}
    workload = record.cell.workload
    if record.blocks and isinstance(workload, Infer):
        found = _of_images(record.blocks)
    elif record.blocks and isinstance(workload, Call):
        found = _of_calls(record.blocks)
    elif record.blocks and isinstance(workload, Decode | Prefill):
        found = _of_tokens(record.blocks, workload.prompt_tokens)
    for measurement in record.measurements:
        if measurement.metric not in METRICS:
            continue  # of a newer version or a plugin: kept in the journal, counted when reading
        found[measurement.metric] = (
            measurement if isinstance(measurement, Missing) else _of_measured(measurement)
        )
    return found


def estimate(samples: Samples, confidence: float = 0.95) -> Estimate | TooFew:
    """Return the value of samples with its interval, by the estimator that the metric wants."""
    values, groups, serial = samples.values, samples.groups, samples.serial
    if samples.estimator in ("ratio", "exp_ratio"):
        weights = samples.weights or [1.0] * len(values)
        if not any(weights) and min(values) >= 0 and any(values):
            reason = "nothing came of it: the cost of one is infinite"
            return Estimate(math.inf, None, None, len(values), "ratio of sums", confidence, None,
                            reason)  # fmt: skip
        ratio = ratio_interval(values, weights, confidence, groups=groups, serial=serial)
        return ratio if samples.estimator == "ratio" else ratio.exponentiated()
    if samples.estimator == "quantile":
        return percentile_interval(values, samples.q, confidence, groups=groups, serial=serial)
    if samples.estimator == "max":
        reason = "a maximum has no interval"
        return Estimate(max(values), None, None, len(values), "maximum", confidence, None, reason)
    if samples.estimator == "median":
        return median_interval(values, confidence, groups=groups, serial=serial)
    if len(values) > 1 and all(v in (0, 1) for v in values):
        return proportion_interval(round(sum(values)), len(values), confidence)
    return mean_interval(values, confidence, groups=groups, serial=serial)


def _of_measured(measured: Measured) -> Samples:
    """Return the samples of a measurement that has its own; items are not a series in time."""
    return Samples(
        measured.metric,
        measured.samples,
        measured.weights,
        measured.estimator,
        serial=measured.group is None and measured.source not in ("lm_eval", "logits", "labels"),
        source=measured.source,
    )


def _of_tokens(blocks: Sequence[Block], prompt_tokens: int) -> dict[str, Samples | Missing]:
    steps = [b.steps_s for b in blocks]
    tokens = [float(len(b.steps_s) * b.sequences) for b in blocks]
    first, last = [s[0] for s in steps], [s[-1] for s in steps]
    prompts = [float(prompt_tokens * b.sequences) for b in blocks]
    found: dict[str, Samples | Missing] = {
        **_latency("ttft_s", first),
        **_latency("e2e_latency_s", last),
        **_gaps(blocks),
        "output_token_throughput": _rate("output_token_throughput", tokens, last),
        "total_token_throughput": _rate("total_token_throughput", _sums(prompts, tokens), last),
        "request_throughput": _rate(
            "request_throughput", [float(b.sequences) for b in blocks], last
        ),
        "prefill_token_throughput": _rate("prefill_token_throughput", prompts, first),
        "cpu_s_per_output_token": _cost(
            "cpu_s_per_output_token", [b.cpu_s for b in blocks], tokens
        ),
        "instructions_per_output_token": _cost(
            "instructions_per_output_token", [b.instructions for b in blocks], tokens
        ),
    }
    return found


def _sums(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [x + y for x, y in zip(a, b, strict=True)]


def _gaps(blocks: Sequence[Block]) -> dict[str, Samples | Missing]:
    """Return TPOT, ITL and decode throughput: what needs a second token."""
    longer = [b for b in blocks if len(b.steps_s) > 1]
    if not longer:
        names = ["tpot_s", "itl_s", "decode_token_throughput"]
        names += [_percentile_name(n, q) for n in names[:2] for q in PERCENTILES]
        detail = "one token per request has no gap; generate 2 or more"
        return {n: Missing(metric=n, reason="undefined", detail=detail) for n in names}
    spans = [b.steps_s[-1] - b.steps_s[0] for b in longer]
    counts = [float(len(b.steps_s) - 1) for b in longer]
    decoded = [c * b.sequences for c, b in zip(counts, longer, strict=True)]
    gaps: list[float] = []
    owners: list[int] = []
    for index, block in enumerate(longer):
        gaps += [b - a for a, b in itertools.pairwise(block.steps_s)]
        owners += [index] * (len(block.steps_s) - 1)
    return {
        **_latency("tpot_s", [s / c for s, c in zip(spans, counts, strict=True)]),
        **_latency("itl_s", gaps, owners),
        "decode_token_throughput": _rate("decode_token_throughput", decoded, spans),
    }


def _of_images(blocks: Sequence[Block]) -> dict[str, Samples | Missing]:
    times = [b.end_s - b.start_s for b in blocks]
    images = [float(b.sequences) for b in blocks]
    return {
        **_latency("latency_s", times),
        "image_throughput": _rate("image_throughput", images, times),
        "cpu_s_per_image": _cost("cpu_s_per_image", [b.cpu_s for b in blocks], images),
        "instructions_per_image": _cost(
            "instructions_per_image", [b.instructions for b in blocks], images
        ),
    }


def _of_calls(blocks: Sequence[Block]) -> dict[str, Samples | Missing]:
    """Return times and costs per call; a block is a row of calls, `sequences` of them."""
    calls = [float(b.sequences) for b in blocks]
    times = [(b.end_s - b.start_s) / b.sequences for b in blocks]
    return {
        **_latency("latency_s", times),
        "cpu_s_per_call": _cost("cpu_s_per_call", [b.cpu_s for b in blocks], calls),
        "instructions_per_call": _cost(
            "instructions_per_call", [b.instructions for b in blocks], calls
        ),
    }


def _latency(
    metric: str, values: Sequence[float], groups: Sequence[int] | None = None
) -> dict[str, Samples | Missing]:
    """Return the samples of a latency, once for its median and once for each percentile."""
    found: dict[str, Samples | Missing] = {metric: Samples(metric, values, groups=groups)}
    for q in PERCENTILES:
        name = _percentile_name(metric, q)
        found[name] = Samples(name, values, estimator="quantile", q=q, groups=groups)
    return found


def _percentile_name(metric: str, q: float) -> str:
    return f"{metric.removesuffix('_s')}_p{round(100 * q)}_s"


def _rate(metric: str, work: Sequence[float], times: Sequence[float]) -> Samples | Missing:
    if sum(times) <= 0:
        detail = "the clock did not advance; the work is shorter than it can resolve"
        return Missing(metric=metric, reason="undefined", detail=detail)
    return Samples(metric, work, times, "ratio")


def _cost(
    metric: str, spent: Sequence[float | int | None], units: Sequence[float]
) -> Samples | Missing:
    """Return what each unit of work cost, from the blocks that were counted."""
    counted = [(float(s), u) for s, u in zip(spent, units, strict=True) if s is not None]
    if not counted:
        reason: Reason = "not_supported"
        return Missing(metric=metric, reason=reason, detail="not read on this machine")
    source = "perf" if metric.startswith("instructions") else "rusage"
    return Samples(metric, [s for s, _ in counted], [u for _, u in counted], "ratio", source=source)
