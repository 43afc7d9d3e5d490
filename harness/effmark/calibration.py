"""The noise of this machine as a file beside the results: from A/A runs, read by every gate."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from effmark.compare.noise import Calibration, Noise, calibrate, cell_name
from effmark.errors import SpecError, StoreError
from effmark.gate import GATED
from effmark.record import Record

__all__ = ["calibrate_cells", "load_calibrations", "save_calibrations"]

_FILE = "calibration.json"


def calibrate_cells(records: Sequence[Record]) -> tuple[list[Calibration], list[str]]:
    """Return the noise of every cell that ran in enough equal processes, and who was left out.

    Each sentence of the second list names a cell and why it has no calibration.

    Raises:
        SpecError: no cell ended well in enough processes.
    """
    cells: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if record.blocks or record.outcome != "ok":
            name = (*record.cell.name, record.cell.model.sha256)
            cells.setdefault(name, []).append(record)
    found: list[Calibration] = []
    left_out: list[str] = []
    for group in cells.values():
        try:
            found.append(calibrate(group, GATED))
        except SpecError as error:
            bad = next((r for r in reversed(group) if r.outcome != "ok"), None)
            why = f"{error}; one ended as {bad.outcome}: {bad.detail}" if bad else str(error)
            left_out.append(f"{cell_name(group[0])}: left out: {why}")
    if not found:
        raise SpecError("; ".join(left_out[:1]) or "calibration: the suite times nothing")
    return found, left_out


def save_calibrations(calibrations: Sequence[Calibration], folder: Path) -> Path:
    """Write calibrations beside the results, replacing those of the same cells and machine."""
    known = {(c.device_class, c.cell): c for c in [*load_calibrations(folder), *calibrations]}
    path = folder / _FILE
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps([dataclasses.asdict(c) for c in known.values()], indent=1))
        partial.replace(path)
    except OSError as error:
        raise StoreError(f"calibration {str(path)!r} cannot be written: {error}") from error
    return path


def load_calibrations(folder: Path) -> list[Calibration]:
    """Return the calibrations that lie beside results; none where there was no A/A run."""
    path = folder / _FILE
    if not path.is_file():
        return []
    try:
        return [
            Calibration(
                entry["device_class"],
                entry["cell"],
                {name: Noise(**noise) for name, noise in entry["noise"].items()},
            )
            for entry in json.loads(path.read_text())
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"calibration {str(path)!r} is damaged ({error}); delete it and calibrate again"
        ) from error
