"""Batches through a classifier: latency and throughput of `infer`, accuracy of `labels`."""

from __future__ import annotations

from collections.abc import Callable

from effmark.adapter import Adapter, Infers
from effmark.errors import AdapterError, UnsupportedError
from effmark.record import Measured
from effmark.spec import Infer
from effmark.workloads.blocks import Timed
from effmark.workloads.context import Context, Findings
from effmark.workloads.labelled import labelled_images

__all__ = ["infer", "labels"]


def infer(context: Context) -> Timed:
    """Measure batches of images; a block is one batch."""
    workload = context.cell.workload
    assert isinstance(workload, Infer)
    adapter = _classifier(context.adapter, context.cell.adapter)
    images, _ = labelled_images("digits")
    batches = [
        images[start : start + workload.batch]
        for start in range(0, len(images) - workload.batch + 1, workload.batch)
    ]
    if not batches:
        raise UnsupportedError(f"infer: batch {workload.batch} exceeds the {len(images)} images")

    def work(index: int, stamp: Callable[[], None]) -> None:
        outputs = adapter.infer(batches[index % len(batches)])
        stamp()
        if len(outputs) != workload.batch:
            raise AdapterError(f"infer: {len(outputs)} outputs for {workload.batch} inputs")

    return Timed(work, workload.batch)


def labels(context: Context) -> Findings:
    """Measure the share of held-out images that are labelled right."""
    adapter = _classifier(context.adapter, context.cell.adapter)
    images, truth = labelled_images("digits")
    outputs = adapter.infer(images)
    right = [
        float(int(row.argmax()) == int(label)) for row, label in zip(outputs, truth, strict=True)
    ]
    accuracy = Measured(metric="accuracy", unit="ratio", samples=tuple(right), estimator="mean",
                        source="labels", group=("digits",) * len(right))  # fmt: skip
    return Findings(measurements=[accuracy])


def _classifier(adapter: Adapter, name: str) -> Infers:
    if not isinstance(adapter, Infers):
        raise UnsupportedError(f"adapter {name!r} classifies nothing")
    return adapter
