"""Foreign code, run safely and billed by the kernel.

``with Sandbox() as sandbox: result = sandbox.run(Job("print('hello')"))``. What is promised, and
how, is in ``docs/design/0007-sandbox.md``; which layers hold on this machine say `capabilities`
and every `JobResult`. Names load lazily: the package must be importable on any system.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from effmark.sandbox.job import Job, JobResult, Level, Limits, Overhead
    from effmark.sandbox.levels import Capability, capabilities
    from effmark.sandbox.pool import Sandbox

_HOME = {
    "Capability": "levels",
    "Job": "job",
    "JobResult": "job",
    "Level": "job",
    "Limits": "job",
    "Overhead": "job",
    "Sandbox": "pool",
    "capabilities": "levels",
}

__all__ = [
    "Capability",
    "Job",
    "JobResult",
    "Level",
    "Limits",
    "Overhead",
    "Sandbox",
    "capabilities",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'effmark.sandbox' has no attribute {name!r}")
    return getattr(import_module(f"effmark.sandbox.{_HOME[name]}"), name)
