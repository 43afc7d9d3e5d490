"""What is asked of an adapter: one function per kind of workload.

A quality workload returns its findings; a timed one returns what to do in a block, and the
measuring loop does the rest.
"""

from __future__ import annotations

from collections.abc import Callable

from effmark.workloads.blocks import Measuring, Timed
from effmark.workloads.code import code
from effmark.workloads.context import Context, Findings
from effmark.workloads.generation import decode, prefill
from effmark.workloads.inference import infer, labels
from effmark.workloads.scaling import scaling
from effmark.workloads.tasks import tasks
from effmark.workloads.text import text

__all__ = ["WORKLOADS", "Context", "Findings", "Measuring", "Timed"]

WORKLOADS: dict[str, Callable[[Context], Findings | Timed]] = {
    "code": code,
    "decode": decode,
    "infer": infer,
    "labels": labels,
    "prefill": prefill,
    "scaling": scaling,
    "tasks": tasks,
    "text": text,
}
