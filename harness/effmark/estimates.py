"""How long a process will take and how much memory it needs, before anything has run."""

from __future__ import annotations

from collections.abc import Sequence

from effmark.record import Record
from effmark.spec import Cell, Decode, ModelRef, Suite

__all__ = ["process_estimate", "resident_b"]

_LOAD_S = 5.0
"""Start, imports and load of a worker."""
_QUALITY_S = 3.0
_UNBUDGETED_S = 30.0
_BYTES_PER_S = 8e9
"""Decoding reads all weights once per token; two cores of a rented machine read so many."""
_SEQUENCE_SHARE = 0.25
"""What each further sequence of a batch adds to the time of a step."""


def process_estimate(
    suite: Suite, cells: tuple[Cell, ...], records: Sequence[Record], weights_b: int | None
) -> tuple[float, str]:
    """Return seconds for a process and their basis: earlier records of its cells, or a guess."""
    keys = {cell.key for cell in cells}
    known = [record.elapsed_s for record in records if record.cell.key in keys]
    seconds = [value for value in known if value is not None]
    if seconds and len(seconds) == len(known) >= len(keys):
        return sum(seconds) / len(seconds) * len(cells) + _LOAD_S, "own records"
    timed = [cell for cell in cells if cell.workload.kind in ("decode", "prefill", "infer")]
    whole_s = suite.budget.process_s or _UNBUDGETED_S * len(timed)
    measuring_s = sum(
        max(whole_s / len(timed), _fewest_blocks_s(suite, cell, weights_b or 0)) for cell in timed
    )
    return measuring_s + (len(cells) - len(timed)) * _QUALITY_S + _LOAD_S, "guess"


def _fewest_blocks_s(suite: Suite, cell: Cell, weights_b: int) -> float:
    """Return the seconds of the fewest blocks of a cell, whatever its budget."""
    workload = cell.workload
    if not isinstance(workload, Decode):
        return 0.0
    step_s = weights_b / _BYTES_PER_S * (1 + _SEQUENCE_SHARE * (workload.batch - 1))
    return (suite.budget.min_blocks + 1) * workload.new_tokens * step_s


def resident_b(model: ModelRef, precision: str) -> int | None:
    """Return the resident bytes that loading needs at least, from the size of the source file."""
    if model.path is None:
        return None
    files = [model.path] if model.path.is_file() else list(model.path.glob("*.safetensors"))
    size = sum(file.stat().st_size for file in files)
    bits = {"gguf": 5.7, "hf": 16.0}.get(model.kind, 16.0)
    wanted = {"fp32": 32.0, "f32": 32.0, "bf16": 16.0, "f16": 16.0}.get(precision, 8.0)
    return int(size / bits * wanted)
