"""OpenTelemetry metrics as OTLP JSON: GenAI names for what they name, `effmark.*` for the rest.

The semantic conventions for generative AI (status: development) name three times of a model server
and the tokens of a request; these are histograms of the raw samples with the conventions' buckets:

* `gen_ai.server.time_to_first_token`: TTFT; `gen_ai.server.time_per_output_token`: TPOT;
* `gen_ai.server.request.duration`: request start to last token;
* `gen_ai.client.token.usage`: prompt and generated tokens per sequence.

Everything else is a gauge `effmark.NAME` in its own unit. Joules, memory and quality have no names
there yet. Encoding: OTLP 1.x, JSON: 64-bit integers are strings. Sources: open-telemetry/
semantic-conventions-genai, docs/gen-ai/gen-ai-metrics.md; opentelemetry-proto, metrics.proto.
"""

from __future__ import annotations

import bisect
import datetime
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from effmark.exchange.entries import Choice, Entry, Outgoing, outgoing
from effmark.report.names import plain
from effmark.report.standing import exclusion
from effmark.rows import Row
from effmark.samples import Samples, metric_samples
from effmark.spec import Decode, Prefill

__all__ = ["otlp_metrics"]

_DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_HISTOGRAMS = {
    "ttft_s": ("gen_ai.server.time_to_first_token",
               (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
                7.5, 10.0)),
    "tpot_s": ("gen_ai.server.time_per_output_token",
               (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)),
    "e2e_latency_s": ("gen_ai.server.request.duration", _DURATION),
}  # fmt: skip
_TOKENS = ("gen_ai.client.token.usage", tuple(float(4**i) for i in range(14)))
_DELTA = 1


def otlp_metrics(rows: Sequence[Row], choice: Choice) -> tuple[str, Outgoing]:
    """Return the JSON text of one ExportMetricsServiceRequest."""
    found = outgoing(rows, choice)
    metrics: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        for name, unit, point in _histogram_points(row, choice):
            metrics.setdefault((name, unit, "histogram"), []).append(point)
    for entry in found.entries:
        if entry.metric.name not in _HISTOGRAMS:
            key = (f"effmark.{entry.metric.name}", entry.metric.unit, "gauge")
            metrics.setdefault(key, []).append(_gauge_point(entry))
    body = {
        "resourceMetrics": [
            {
                "resource": {"attributes": _attributes({"service.name": "effmark"})},
                "scopeMetrics": [
                    {
                        "scope": {"name": "effmark"},
                        "metrics": [_metric(*key, points) for key, points in metrics.items()],
                    }
                ],
            }
        ]
    }
    return json.dumps(body, ensure_ascii=False, allow_nan=False) + "\n", found


def _metric(name: str, unit: str, kind: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {"dataPoints": points}
    if kind == "histogram":
        data["aggregationTemporality"] = _DELTA
    return {"name": name, "unit": _ucum(unit), kind: data}


def _ucum(unit: str) -> str:
    """Return a unit as UCUM writes it: counted things in braces, shares as 1."""
    if unit in ("ratio", "count", ""):
        return "1"
    if unit == "B":
        return "By"
    known = ("s", "J", "W", "bit", "%", "nat", "USD")
    parts = unit.replace("·", ".").split("/")
    return "/".join(
        p if p in known or "." in p else "By" if p == "B" else f"{{{p}}}" for p in parts
    )


def _histogram_points(row: Row, choice: Choice) -> list[tuple[str, str, dict[str, Any]]]:
    workload = row.record.cell.workload
    if row.record.outcome != "ok" or not isinstance(workload, Decode | Prefill):
        return []
    samples = metric_samples(row.record)
    points = []
    for name, (title, bounds) in _HISTOGRAMS.items():
        if choice.metrics and name not in choice.metrics:
            continue
        if exclusion(row, name) and not choice.everything:
            continue
        own = samples.get(name)
        if isinstance(own, Samples) and len(own.values):
            points.append((title, "s", _histogram(row, list(own.per_sample), bounds, {})))
    if points and not choice.metrics and row.record.blocks:
        points += _token_points(row, workload)
    return points


def _token_points(row: Row, workload: Decode | Prefill) -> list[tuple[str, str, dict[str, Any]]]:
    sequences = sum(block.sequences for block in row.record.blocks)
    output = workload.new_tokens if isinstance(workload, Decode) else 1
    name, bounds = _TOKENS
    return [
        (
            name,
            "token",
            _histogram(row, [float(n)], bounds, {"gen_ai.token.type": kind}, each=sequences),
        )
        for kind, n in (("input", workload.prompt_tokens), ("output", output))
    ]


def _histogram(
    row: Row,
    values: Sequence[float],
    bounds: Sequence[float],
    more: Mapping[str, str],
    each: int = 1,
) -> dict[str, Any]:
    """Return the histogram of values, of which every one was seen `each` times."""
    counts = [0] * (len(bounds) + 1)
    for value in values:
        counts[bisect.bisect_left(bounds, value)] += each  # a bound belongs to the bucket below it
    return {
        "attributes": _attributes({**_of_row(row), **more}), **_times(row),
        "count": str(len(values) * each), "sum": math.fsum(values) * each,
        "bucketCounts": [str(count) for count in counts], "explicitBounds": list(bounds),
        "min": min(values), "max": max(values),
    }  # fmt: skip


def _gauge_point(entry: Entry) -> dict[str, Any]:
    number = entry.number
    bounds = {"effmark.ci.low": number.low, "effmark.ci.high": number.high}
    attributes: dict[str, str | float] = {**_of_row(entry.row), "effmark.source": number.source}
    attributes |= {name: value for name, value in bounds.items() if value is not None}
    attributes |= {"effmark.mark": entry.mark} if entry.mark else {}
    return {"attributes": _attributes(attributes), **_times(entry.row), "asDouble": number.value}


def _of_row(row: Row) -> dict[str, str]:
    """Return the attributes of a cell; the runtime is the provider, there being no vendor."""
    model, adapter, precision, options, device = row.configuration
    told = {
        "gen_ai.operation.name": "text_completion", "gen_ai.provider.name": adapter,
        "gen_ai.request.model": model, "effmark.precision": precision, "effmark.options": options,
        "effmark.device": device, "effmark.workload": row.record.cell.workload.label,
        "effmark.suite": row.record.suite.name, "effmark.record": row.record.id,
    }  # fmt: skip
    return {name: plain(value, 500) for name, value in told.items() if value}


def _attributes(values: Mapping[str, str | float]) -> list[dict[str, Any]]:
    return [
        {"key": k, "value": {"doubleValue": v} if isinstance(v, float) else {"stringValue": v}}
        for k, v in values.items()
    ]


def _times(row: Row) -> dict[str, str]:
    end = datetime.datetime.fromisoformat(row.record.created)
    start = end - datetime.timedelta(seconds=row.record.elapsed_s or 0.0)
    return {"startTimeUnixNano": _nanoseconds(start), "timeUnixNano": _nanoseconds(end)}


def _nanoseconds(moment: datetime.datetime) -> str:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    since = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return str((since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000)
