"""Accuracy by lm-eval: any task that it knows, or one that a suite package brings."""

from __future__ import annotations

import json

from effmark.quality.evaluation import Evaluation, evaluate_tasks
from effmark.record import Measured, Measurement, Missing
from effmark.spec import Tasks
from effmark.workloads.context import Context, Findings

__all__ = ["tasks"]


def tasks(context: Context) -> Findings:
    """Measure the accuracy on a task or group; every item is a sample."""
    workload = context.cell.workload
    assert isinstance(workload, Tasks)
    context.progress(f"lm-eval {workload.name}")
    found = evaluate_tasks(
        context.adapter,
        context.facts,
        workload,
        context.cache,
        context.sequences,
    )
    notes = {
        "lm_eval": json.dumps(found.results, sort_keys=True),
        "task_versions": json.dumps(found.versions, sort_keys=True),
        "task_sent": json.dumps(found.sent, sort_keys=True, ensure_ascii=False),
    }
    return Findings(measurements=[_accuracy(found)], notes=notes)


def _accuracy(found: Evaluation) -> Measurement:
    if not found.right:
        detail = "the task has no metric per item; lm-eval's aggregates are in the notes"
        return Missing(metric="accuracy", reason="not_applicable", detail=detail)
    return Measured(metric="accuracy", unit="ratio", samples=found.right, estimator="mean",
                    source="lm_eval", group=found.task_of_item)  # fmt: skip
