"""Every Eval Ever 0.3: one JSON document per model, runtime and precision.

Aggregate records of `eval.schema.json` (evaleval/every_eval_ever): every number is an evaluation
result with its metric, its unit, its direction and, where there is one, its 95 % interval.
Efficiency has no ceiling, so `max_score` is the schema's "Infinity". Items are not written: for
them there is a schema of its own. Who made a model and who evaluates it is not effmark's to know:
`unknown` and `other` stand there until the user edits them.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from effmark.exchange.entries import Choice, Entry, Outgoing, file_name, outgoing
from effmark.report.names import plain
from effmark.rows import Row
from effmark.schema import content_hash

__all__ = ["SCHEMA", "eval_documents"]

SCHEMA = "0.3.0"
_SHARES = {"accuracy", "top1_agreement", "majority_accuracy", "weighted_accuracy", "coverage",
           "best_of_n_accuracy"}  # fmt: skip
"""Numbers that cannot exceed 1."""


def eval_documents(rows: Sequence[Row], choice: Choice) -> tuple[dict[str, str], Outgoing]:
    """Return the JSON text of every document by its file name."""
    found = outgoing(rows, choice)
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in found.entries:
        here = (*entry.row.configuration, entry.row.record.suite.name, entry.machine)
        groups.setdefault(here, []).append(entry)
    documents = {}
    for key, entries in groups.items():
        name = file_name([*key[:3], content_hash(list(key))[:8]], "json")
        text = json.dumps(_document(entries), indent=2, ensure_ascii=False, allow_nan=False)
        documents[name] = f"{text}\n"
    return documents, found


def _document(entries: Sequence[Entry]) -> dict[str, Any]:
    record = entries[0].row.record
    model, adapter, precision, options, device = entries[0].row.configuration
    now = str(int(datetime.datetime.now(datetime.UTC).timestamp()))
    details = {
        "deployment_type": "self_deployed", "model_availability": "unknown",
        "precision": precision, "options": options, "device": device,
        "machine": entries[0].machine, "source_sha256": record.cell.model.sha256,
    }  # fmt: skip
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{record.suite.name}/{plain(model)}/{now}",
        "evaluation_timestamp": max(e.row.record.created for e in entries),
        "retrieved_timestamp": now,
        "source_metadata": {
            "source_name": f"effmark {record.suite.name}-v{record.suite.version}",
            "source_type": "evaluation_run",
            "source_organization_name": "unknown",
            "evaluator_relationship": "other",
        },
        "eval_library": {"name": "effmark", "version": _version()},
        "model_info": {
            "name": plain(model),
            "id": plain(model),
            "inference_engine": {
                "name": plain(adapter),
                "version": plain(record.cell.adapter_version) or "unknown",
            },
            "additional_details": {k: plain(v) for k, v in details.items() if v},
        },
        "evaluation_results": [_result(entry) for entry in entries],
    }


def _result(entry: Entry) -> dict[str, Any]:
    metric, number = entry.metric, entry.number
    record = entry.row.record
    workload = record.cell.workload
    details = {"source": number.source, "method": number.method, "record": record.id}
    if entry.remarks:
        details["marks"] = ", ".join(entry.remarks)
    body: dict[str, Any] = {
        "evaluation_result_id": f"{plain(record.id)}:{metric.name}",
        "evaluation_name": f"{record.suite.name}: {workload.label}",
        "source_data": {
            "dataset_name": workload.label,
            "source_type": "other",
            "additional_details": {"workload": json.dumps(workload.model_dump(mode="json"))},
        },
        "evaluation_timestamp": record.created,
        "metric_config": {
            "evaluation_description": metric.definition,
            "metric_id": f"effmark.{metric.name}",
            "metric_name": metric.label,
            "metric_unit": number.unit,
            "lower_is_better": metric.direction == "lower",
            "score_type": "continuous",
            "min_score": _floor(metric.name),
            "max_score": 1.0 if metric.name in _SHARES else "Infinity",
        },
        "score_details": {
            "score": number.value,
            "details": {k: plain(v, 500) for k, v in details.items()},
            "uncertainty": {"num_samples": number.n},
        },
    }
    if number.low is not None and number.high is not None:
        body["score_details"]["uncertainty"]["confidence_interval"] = {
            "lower": number.low, "upper": number.high, "confidence_level": 0.95,
            "method": number.method,
        }  # fmt: skip
    if record.command:
        # what was run is worth more than any single setting, and the schema has a place for it
        arguments = {"execution_command": plain(record.command, 2000)}
        body["generation_config"] = {"generation_args": arguments}
    return body


def _floor(name: str) -> float | str:
    """Return the least possible value: information capacity may be negative."""
    return "-Infinity" if name == "information_capacity" else 0.0


def _version() -> str:
    try:
        return version("effmark")
    except PackageNotFoundError:
        return "unknown"
