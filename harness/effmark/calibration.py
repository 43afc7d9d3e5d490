"""The noise of this machine as a file beside the results: from A/A runs, read by every gate."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path

from effmark.compare.noise import Calibration, Noise, calibrate
from effmark.errors import SpecError, StoreError
from effmark.gate import GATED
from effmark.record import Record

__all__ = ["calibrate_cells", "load_calibrations", "save_calibrations"]

_FILE = "calibration.json"


def calibrate_cells(records: Sequence[Record]) -> list[Calibration]:
    """Return the noise of every cell that ran in enough equal processes.

    Raises:
        SpecError: no cell ended well in enough processes.
    """
    cells: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        if record.outcome == "ok" and record.blocks:
            cells.setdefault(record.cell.name, []).append(record)
    if not cells:
        raise SpecError("calibration: no timed cell ended well; choose a suite that runs here")
    return [calibrate(group, GATED) for group in cells.values()]


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
