"""The ledger of a workload: a line per call of the model, with its share of time and energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from effmark.energy_numbers import best_of
from effmark.record import EnergyReading
from effmark.scores import decode_flops, prefill_flops
from effmark.scores.architecture import Architecture, architecture_from_config
from effmark.workloads.context import Context

__all__ = ["ModelCall", "ledger_lines"]


@dataclass(frozen=True)
class ModelCall:
    """One call of the model: whose it was, what it used, what came of it."""

    task_id: str
    sample: int
    """Attempt at its problem, from 0."""
    prompt_tokens: int
    completion_tokens: int
    wall_s: float
    """Share of its batch's time."""
    passed: bool | None
    """None where it could not be judged: such an attempt is not counted."""


def ledger_lines(
    context: Context,
    calls: Sequence[ModelCall],
    readings: Sequence[EnergyReading],
    other_s: float = 0.0,
) -> list[dict[str, object]]:
    """Return the lines of a ledger; energy is shared out by time, FLOPs follow from lengths.

    Args:
        context: the workload's.
        calls: all calls that belong into the ledger.
        readings: energy of the window in which they ran.
        other_s: seconds of that window that went to calls outside the ledger.
    """
    wall_s = sum(call.wall_s for call in calls) + other_s
    best = best_of(readings, context.cell.device)
    joules = sum(reading.joules for reading in best)
    arch = _architecture(context.facts.config)
    lines = []
    for call in calls:
        line: dict[str, object] = {
            "model": context.cell.model.name,
            "task_id": call.task_id,
            "sample": call.sample,
            "prompt_tokens": call.prompt_tokens,
            "completion_tokens": call.completion_tokens,
            "wall_s": call.wall_s,
            "passed": call.passed,
        }
        if best:
            line["energy_j"] = joules * call.wall_s / wall_s
            line["energy_source"] = best[0].source
        if arch is not None:
            line["work_flop"] = _flop(arch, call)
        lines.append(line)
    return lines


def _architecture(config: Mapping[str, object]) -> Architecture | None:
    try:
        return architecture_from_config(config)
    except ValueError:
        return None


def _flop(arch: Architecture, call: ModelCall) -> float:
    work = prefill_flops(arch, max(1, call.prompt_tokens)).total
    if call.completion_tokens > 1:
        generated, context = call.completion_tokens - 1, call.prompt_tokens
        work += decode_flops(arch, generated, context=context).total
    return float(work)
