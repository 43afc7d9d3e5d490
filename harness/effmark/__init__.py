"""effmark: measure what a model costs to run and what it is worth.

The public names load lazily: the pytest plugin imports this package in every pytest session of
every user, so importing it must cost nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from effmark.adapter import Adapter, Generates, Infers, LoadRequest, Scores
    from effmark.errors import EffmarkError
    from effmark.record import Measured, Missing, Record
    from effmark.spec import Suite

_HOME = {
    "Adapter": "effmark.adapter",
    "EffmarkError": "effmark.errors",
    "Generates": "effmark.adapter",
    "Infers": "effmark.adapter",
    "LoadRequest": "effmark.adapter",
    "Measured": "effmark.record",
    "Missing": "effmark.record",
    "Record": "effmark.record",
    "Scores": "effmark.adapter",
    "Suite": "effmark.spec",
}

__version__ = "0.2.0"
__all__ = [
    "Adapter",
    "EffmarkError",
    "Generates",
    "Infers",
    "LoadRequest",
    "Measured",
    "Missing",
    "Record",
    "Scores",
    "Suite",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'effmark' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
