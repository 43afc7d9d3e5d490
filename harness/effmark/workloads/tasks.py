"""Accuracy by lm-eval: any task that it knows, or one that a suite package brings."""

from __future__ import annotations

from effmark.errors import UnsupportedError
from effmark.workloads.context import Context, Findings

__all__ = ["tasks"]


def tasks(context: Context) -> Findings:
    """Measure the accuracy on a task or group; every item is a sample."""
    raise UnsupportedError("interim")
