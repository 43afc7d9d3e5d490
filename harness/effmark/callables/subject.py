"""What is measured, as a cell: the name of a test and the name of what it measures."""

from __future__ import annotations

from effmark.environment import default_threads
from effmark.record import SuiteRef
from effmark.schema import content_hash
from effmark.spec import Call, Cell, ModelRef

__all__ = ["SUITE", "call_cell"]

SUITE = SuiteRef(
    name="callables", version=1, sha256=content_hash(["callables", 1]), profile="default"
)
"""Rises in version when records of callables stop being comparable."""


def call_cell(subject: str, name: str, device: str = "cpu") -> Cell:
    """Return the cell of a callable; revisions of the same test share it, so that they compare.

    Args:
        subject: who measures: the id of a test, a module.
        name: what is measured: a function, a window.
        device: whose energy and memory it is.
    """
    model = ModelRef(name=subject, task="synthetic", kind="synthetic", sha256=content_hash(subject))
    return Cell(
        model=model,
        adapter="python",
        precision="as written",
        device=device,
        threads=default_threads(),
        workload=Call(name=name),
        suite_sha256=SUITE.sha256,
    )
