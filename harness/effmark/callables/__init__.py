"""Any Python callable, or any marked window of a program, measured into a record.

The same blocks, warm-up, stopping rule, counters and probes as for a model; only the subject is
a function of this process. `effmark.pytest_plugin` is built on it.
"""

from __future__ import annotations

from effmark.callables.instruments import Instruments
from effmark.callables.loop import measure_callable
from effmark.callables.rounds import Round, record_rounds
from effmark.callables.subject import call_cell
from effmark.callables.window import Window

__all__ = [
    "Instruments",
    "Round",
    "Window",
    "call_cell",
    "measure_callable",
    "record_rounds",
]
