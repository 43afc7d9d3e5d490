"""How long a process will take and how much memory it needs, before anything has run."""

from __future__ import annotations

import re
from collections.abc import Sequence

from effmark.record import Record
from effmark.spec import Cell, Decode, ModelRef, Suite
from effmark.weight_files import count_weights

__all__ = ["process_estimate", "resident_b"]

_LOAD_S = 5.0
"""Start, imports and load of a worker."""
_QUALITY_S = 3.0
_UNBUDGETED_S = 30.0
_BYTES_PER_S = 8e9
"""Decoding reads all weights once per token; two cores of a rented machine read so many."""
_FEWEST_BITS = 2.0
"""Of a precision whose name has no number, `as-is` say."""
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
    """Return the bytes of the weights at a precision, which loading needs at least.

    None where the files do not tell how many weights there are.
    """
    path = model.weights_path
    count = count_weights(path) if path is not None else None
    return None if count is None else int(count * _bits(precision) / 8)


def _bits(precision: str) -> float:
    """Return the fewest bits per weight that a precision can mean; matrices without scales."""
    digits = re.search(r"\d+", precision)
    return min(32.0, float(digits[0])) if digits else _FEWEST_BITS
