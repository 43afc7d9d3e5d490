"""Hugging Face: the `model-index` of a model card, and files for `.eval_results/`.

* `model-index` takes any task, data set and metric: a file per model, for its card, with one result
  per configuration and workload; latency and energy stand beside quality (hub-docs, modelcard.md).
* `.eval_results/*.yaml` feeds the leaderboard of a benchmark data set on the Hub, so its number
  must mean what that leaderboard means: only accuracy of tasks whose data set the user names goes
  there, as a share, with the interval in `notes` (hub-docs, docs/hub/eval-results.md; in progress).

YAML is written by PyYAML, which quotes what needs it: a model name stays a text.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import yaml

from effmark.errors import SpecError
from effmark.exchange.entries import Choice, Entry, Outgoing, file_name, outgoing
from effmark.record import Record
from effmark.report.names import plain
from effmark.rows import Row
from effmark.schema import content_hash
from effmark.spec import Tasks

__all__ = ["eval_results", "model_index"]

_TASKS = {"decode": "text-generation", "prefill": "text-generation", "text": "text-generation",
          "tasks": "text-generation", "infer": "image-classification",
          "labels": "image-classification", "code": "text-generation"}  # fmt: skip
_QUALITY = "accuracy"


def model_index(rows: Sequence[Row], choice: Choice) -> tuple[dict[str, str], Outgoing]:
    """Return for each model the YAML text to put between the `---` lines of its card."""
    found = outgoing(rows, choice)
    models: dict[str, list[dict[str, Any]]] = {}
    for entries in found.by_cell().values():
        model = entries[0].row.model
        models.setdefault(model, []).append(_result(entries))
    return {
        file_name([name, content_hash(name)[:8]], "yaml"): _yaml(
            {"model-index": [{"name": plain(name), "results": results}]}
        )
        for name, results in models.items()
    }, found


def _result(entries: Sequence[Entry]) -> dict[str, Any]:
    row = entries[0].row
    workload = row.record.cell.workload
    _, adapter, precision, options, device = row.configuration
    how = plain(" ".join(part for part in (adapter, precision, options, f"on {device}") if part))
    return {
        "task": {"type": _TASKS.get(workload.kind, "other"), "name": f"{workload.label} ({how})"},
        "dataset": {
            "type": "effmark",
            "name": f"effmark {row.record.suite.name}: {workload.label}",
        },
        "metrics": [_metric(entry) for entry in entries],
        "source": {"name": "effmark", "url": "https://github.com/effmark/effmark"},
    }


def _metric(entry: Entry) -> dict[str, Any]:
    number = entry.number
    unit = "" if number.unit == "ratio" else f" [{number.unit}]"
    mark = f" ({', '.join(entry.remarks)})" if entry.remarks else ""
    body: dict[str, Any] = {
        "type": entry.metric.name,
        "name": f"{entry.metric.label}{unit}{mark}",
        "value": number.value,
        "verified": False,
    }
    if number.low is not None and number.high is not None:
        body["args"] = {"ci95_low": number.low, "ci95_high": number.high, "n": number.n}
    return body


def eval_results(rows: Sequence[Row], choice: Choice) -> tuple[str, Outgoing]:
    """Return the YAML text of an `.eval_results` file: accuracies of tasks with a named data set.

    Raises:
        SpecError: no data set was named, or no such task was measured.
    """
    found = outgoing(rows, choice)
    tasks = [e for e in found.entries if e.metric.name == _QUALITY and _task(e)]
    kept = [e for e in tasks if _task(e) in choice.datasets]
    if not kept:
        known = ", ".join(sorted({_task(e) for e in tasks})) or "none"
        raise SpecError(
            "hf-eval-results: no accuracy has a data set on the Hub; name one by --dataset "
            f"TASK=ORG/NAME[:TASK_ID]; tasks with a ranked accuracy: {known}"
        )
    left_out = found.left_out + Counter({"no data set named": len(found.entries) - len(kept)})
    text = _yaml([_eval_result(entry, choice.datasets[_task(entry)]) for entry in kept])
    return text, Outgoing(tuple(kept), left_out)


def _task(entry: Entry) -> str:
    workload = entry.row.record.cell.workload
    return workload.name if isinstance(workload, Tasks) else ""


def _eval_result(entry: Entry, dataset: str) -> dict[str, Any]:
    hub_id, _, task_id = dataset.partition(":")
    number, row = entry.number, entry.row
    _, adapter, precision, options, device = row.configuration
    workload = row.record.cell.workload
    assert isinstance(workload, Tasks)
    parts = [
        plain(" ".join(part for part in (adapter, precision, options, f"on {device}") if part)),
        f"{number.n} items" + (f", first {workload.limit} of each task" if workload.limit else ""),
        *_shots(row.record),
    ]
    if number.low is not None and number.high is not None:
        parts.append(f"95 % interval {number.low:.4f} to {number.high:.4f}")
    return {
        "dataset": {"id": hub_id, "task_id": task_id or "default"},
        "value": number.value,
        "date": row.record.created[:10],
        "notes": "effmark: " + "; ".join([*parts, *entry.remarks]),
    }


def _shots(record: Record) -> list[str]:
    """Return the shots that were really sent; nothing where a record does not tell."""
    sent = json.loads(record.notes.get("task_sent", "{}"))
    counts = sorted({str(facts["shots"]) for facts in sent.values()})
    return [f"{' and '.join(counts)}-shot"] if counts else []


def _yaml(body: Any) -> str:
    text: str = yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=100)
    return text
