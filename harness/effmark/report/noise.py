"""What a calibration found, for people."""

from __future__ import annotations

from collections.abc import Sequence

from effmark.compare.noise import Calibration
from effmark.metrics import metric

__all__ = ["calibration_text"]


def calibration_text(calibrations: Sequence[Calibration], margin: float) -> str:
    """Return per cell and metric by how much equal processes differ, and what a gate can see."""
    lines = []
    for calibration in calibrations:
        lines.append(f"{calibration.cell} on {calibration.device_class}")
        for name, noise in calibration.noise.items():
            lines.append(
                f"  {metric(name).label:<14} two equal processes differ by up to "
                f"{100 * (noise.worst_ratio - 1):.3g} %; with 3 a side a gate at "
                f"{100 * margin:g} % sees {100 * noise.detectable_ratio(3, margin):.3g} %"
            )
    return "\n".join(lines)
