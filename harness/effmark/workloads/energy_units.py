"""How much work fell into an energy window, by interpolation between time stamps.

A step that crosses an edge of the window counts by the share of its time that lies inside, so the
denominator of J/token belongs to the same window as its numerator.
"""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence

from effmark.record import Block, EnergyReading
from effmark.spec import Call, Decode, Infer, Prefill, Workload

__all__ = ["with_units"]

_SENSOR_S = 0.1
"""A100 and H100 look 25 of every 100 ms (arXiv 2312.02741); a load in step errs by 65 %."""
_NEAR = 0.02


def with_units(
    reading: EnergyReading, blocks: Sequence[Block], workload: Workload
) -> EnergyReading:
    """Return a reading with the work that was done between its start and its end."""
    units: dict[str, float] = {}
    for block in blocks:
        edges = [block.start_s, *(block.start_s + step for step in block.steps_s)]
        shares = [_inside(begin, end, reading) for begin, end in itertools.pairwise(edges)]
        whole = _inside(block.start_s, block.end_s, reading)
        done = "calls" if isinstance(workload, Call) else "requests"
        units[done] = units.get(done, 0.0) + whole * block.sequences
        if isinstance(workload, Infer):
            units["images"] = units.get("images", 0.0) + whole * block.sequences
        elif isinstance(workload, Decode | Prefill) and shares:
            prompt = shares[0] * block.sequences * workload.prompt_tokens
            units["input_tokens"] = units.get("input_tokens", 0.0) + prompt
            output = sum(shares) * block.sequences
            units["output_tokens"] = units.get("output_tokens", 0.0) + output
            units["steps"] = units.get("steps", 0.0) + sum(shares)
    return reading.model_copy(
        update={"units": units, "reasons": (*reading.reasons, *_aliasing(reading, blocks))}
    )


def _aliasing(reading: EnergyReading, blocks: Sequence[Block]) -> tuple[str, ...]:
    """Return a warning where steps keep time with a sensor that looks a part of it only."""
    gaps = [b - a for block in blocks for a, b in itertools.pairwise(block.steps_s)]
    if reading.scope != "gpu_board" or reading.source == "model_estimate" or not gaps:
        return ()
    step_s = statistics.median(gaps)
    if not any(abs(step_s * k / _SENSOR_S - 1) < _NEAR for k in (1, 2)):
        return ()
    said = f"aliasing_risk: steps of {1000 * step_s:.1f} ms keep time with sensors that look a part"
    return (f"{said} of each {1000 * _SENSOR_S:.0f} ms; check with an external meter",)


def _inside(begin: float, end: float, reading: EnergyReading) -> float:
    """Return the share of [begin, end] that lies inside the window."""
    if end <= begin:
        return 1.0 if reading.start_s < end <= reading.end_s else 0.0
    overlap = min(end, reading.end_s) - max(begin, reading.start_s)
    return max(0.0, overlap) / (end - begin)
