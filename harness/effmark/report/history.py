"""A series of runs as text, its change points marked."""

from __future__ import annotations

from effmark.history import History
from effmark.units import format_quantity

__all__ = ["history_text"]


def history_text(found: History) -> str:
    """Return one line per run, and before each new level by how much it moved."""
    changes = {change.index: change for change in found.changes}
    lines = [f"{found.metric} over {len(found.values)} runs, {len(changes)} changes of level"]
    for index, (label, value) in enumerate(zip(found.labels, found.values, strict=True)):
        if index in changes:
            change = changes[index]
            lines.append(f"  ── {change.verdict}: level × {change.ratio:.3f}")
        lines.append(f"  {label}  {format_quantity(value, found.unit)}")
    return "\n".join(lines)
