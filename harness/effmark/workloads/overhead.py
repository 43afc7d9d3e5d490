"""What the instrument costs: time stamps of the null adapter, which does nothing between them.

Measured in every worker, reported beside its results and never subtracted: whoever compares times
of microseconds can see how much of them is the harness.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from effmark.adapter import Generates, Generation
from effmark.record import Measured
from effmark.registry import adapter_class

__all__ = ["measure_overhead"]

_ROUNDS = 20
_STAMPS = 500


def measure_overhead() -> Measured:
    """Return the cost of one time stamp in seconds, a sample per round."""
    adapter = adapter_class("null")()
    assert isinstance(adapter, Generates)
    now = time.monotonic
    samples = []
    for _ in range(_ROUNDS):
        stamps: list[float] = []

        def on_step(ids: Sequence[int | None], stamps: list[float] = stamps) -> bool:
            stamps.append(now())
            return False

        start = now()
        adapter.generate(Generation(prompts=((0,),), new_tokens=_STAMPS), on_step)
        samples.append((now() - start) / _STAMPS)
    return Measured(metric="harness_overhead_s", unit="s", samples=tuple(samples), source="clock")
