"""What is asked of an adapter: one function per kind of workload, from a context to findings."""

from __future__ import annotations

from collections.abc import Callable

from effmark.workloads.context import Context, Findings
from effmark.workloads.generation import decode, prefill
from effmark.workloads.inference import infer, labels
from effmark.workloads.tasks import tasks
from effmark.workloads.text import text

__all__ = ["WORKLOADS", "Context", "Findings"]

WORKLOADS: dict[str, Callable[[Context], Findings]] = {
    "decode": decode,
    "infer": infer,
    "labels": labels,
    "prefill": prefill,
    "tasks": tasks,
    "text": text,
}
