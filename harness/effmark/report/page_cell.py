"""What the page shows of one cell beyond its numbers: samples, tokens, power, provenance.

Raw samples are condensed to at most `POINTS` points, medians of neighbours, and the page says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from statistics import fmean, median
from typing import Any

from effmark.energy_numbers import best_readings
from effmark.record import Block, Measured, Proof, Record
from effmark.rows import Number, Row
from effmark.stats.quantiles import quantile

__all__ = ["POINTS", "cell_detail", "short"]

POINTS = 60
"""Points per curve: as many as the eye tells apart at the width of a card."""


def short(value: float, digits: int = 4) -> float:
    """Return a number with few significant digits, for drawing."""
    return float(f"{value:.{digits}g}")


def cell_detail(row: Row) -> dict[str, Any]:
    """Return the curves and the provenance of a cell."""
    record = row.record
    return {
        "series": _series(record),
        "tokens": _tokens(record.blocks),
        "power": _power(record),
        "traces": _traces(record),
        "methods": _methods(row),
        "items": _items(record),
        "stop": [record.stop.rule, record.stop.rel_half_width, record.stop.steady],
        "elapsed": record.elapsed_s,
        "records": [r.id for r in row.records],
        "created": record.created,
        "run": record.run_id,
        "notes": record.notes,
        "command": record.command,
        "model_sha256": record.cell.model.sha256,
        "adapter_version": record.cell.adapter_version,
        "facts": _facts(record),
        "proof": _proof(record.proof),
    }


def _proof(proof: Proof | None) -> str | None:
    """Return in a sentence what the proof of a cell's artefact found."""
    if proof is None:
        return None
    if proof.status == "unproven":
        return f"Unproven: {proof.detail}."
    parts = [f"{proof.status.capitalize()} against {proof.against}"]
    if proof.largest_difference_ratio is not None:
        parts.append(
            f"log-probabilities differ by {proof.largest_difference_ratio:.1g} of the largest"
        )
    if proof.kl_nats is not None and proof.top1_agreement_ratio is not None:
        parts.append(
            f"KL {proof.kl_nats:.2g} nats, top-1 agreement {proof.top1_agreement_ratio:.0%}"
        )
    return f"{parts[0]}: {', '.join([*parts[1:], *filter(None, [proof.detail])])}."


def _series(record: Record) -> dict[str, Any] | None:
    """Return the time per unit of work of every block in order, warm-up first."""
    blocks = [*record.warmup_blocks, *record.blocks]
    if not blocks:
        return None
    kind = record.cell.workload.kind
    values = [_unit_time(block, kind) for block in blocks]
    size = max(1, -(-len(values) // POINTS))
    chunks = [values[i : i + size] for i in range(0, len(values), size)]
    names = {"decode": "tpot_s", "prefill": "ttft_s", "infer": "latency_s"}
    return {
        "metric": names.get(kind, "latency_s"),
        "values": [short(median(chunk)) for chunk in chunks],
        "warmup": len(record.warmup_blocks) // size,
        "blocks": len(blocks),
        "per_point": size,
    }


def _unit_time(block: Block, kind: str) -> float:
    steps = block.steps_s
    if kind == "decode" and len(steps) > 1:
        return (steps[-1] - steps[0]) / (len(steps) - 1)
    return steps[0] if steps else block.end_s - block.start_s


def _tokens(blocks: Sequence[Block]) -> dict[str, Any] | None:
    """Return the gap before each token of the sequence: median, and the middle 80 %."""
    longer = [b for b in blocks if len(b.steps_s) > 2]
    if not longer:
        return None
    length = min(len(b.steps_s) for b in longer)
    gaps = [[b - a for a, b in itertools.pairwise(block.steps_s[:length])] for block in longer]
    columns = list(zip(*gaps, strict=True))
    size = max(1, -(-len(columns) // POINTS))
    pooled = [
        sorted(itertools.chain.from_iterable(columns[i : i + size]))
        for i in range(0, len(columns), size)
    ]
    return {
        "first": short(median(b.steps_s[0] for b in longer)),
        "step": size,
        "mid": [short(quantile(p, 0.5)) for p in pooled],
        "low": [short(quantile(p, 0.1)) for p in pooled],
        "high": [short(quantile(p, 0.9)) for p in pooled],
    }


def _power(record: Record) -> dict[str, Any] | None:
    """Return the mean power of the energy windows over time, best source only."""
    readings = best_readings([record])
    if not readings:
        return None
    step = max(1, -(-len(readings) // POINTS))
    windows = [
        [short(r.start_s), short(r.end_s), short(r.joules / (r.end_s - r.start_s))]
        for r in readings[::step]
        if r.end_s > r.start_s
    ]
    first = readings[0]
    return {
        "windows": windows,
        "source": first.source,
        "probe": first.probe,
        "scope": first.scope,
        "shown": f"{len(windows)} of {len(readings)}",
        "idle": first.idle_w,
        "err": first.err_sys_rel,
    }


def _traces(record: Record) -> list[dict[str, Any]]:
    """Return memory, power and clocks over time, neighbours joined to what a card can show."""
    found = []
    for trace in record.traces:
        size = max(1, -(-len(trace.values) // POINTS))
        slots = [trace.values[i : i + size] for i in range(0, len(trace.values), size)]
        joined = max if trace.keeps == "max" else fmean
        values = [[v for v in slot if v is not None] for slot in slots]
        found.append({
            "quantity": trace.quantity,
            "source": trace.source,
            "start": short(trace.start_s),
            "slot": short(trace.slot_s * size),
            "period": short(trace.period_s),
            "keeps": trace.keeps,
            "values": [short(joined(v)) if v else None for v in values],
        })  # fmt: skip
    return found


def _methods(row: Row) -> dict[str, list[str]]:
    """Return how numbers and their intervals were computed, with the metrics of each way."""
    found: dict[str, list[str]] = {}
    for name, number in row.metrics.items():
        if isinstance(number, Number):
            found.setdefault(number.method, []).append(name)
    return found


def _items(record: Record) -> list[list[Any]] | None:
    """Return the share of right answers of each task, where items belong to tasks."""
    accuracy = record.measurement("accuracy")
    if not isinstance(accuracy, Measured) or accuracy.group is None:
        return None
    tasks: dict[str, list[float]] = {}
    for name, right in zip(accuracy.group, accuracy.samples, strict=True):
        tasks.setdefault(name, []).append(right)
    return [[name, short(sum(v) / len(v)), len(v)] for name, v in list(tasks.items())[:POINTS]]


def _facts(record: Record) -> dict[str, Any]:
    if record.facts is None:
        return {}
    facts = record.facts.model_dump(mode="json")
    return {k: v for k, v in facts.items() if v not in (None, {}, "")}
