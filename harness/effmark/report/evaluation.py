"""lm-eval's answers as text: one line per task and metric."""

from __future__ import annotations

import json
from collections.abc import Sequence

from effmark.record import Record

__all__ = ["evaluation_text"]


def evaluation_text(records: Sequence[Record]) -> str:
    """Return the tables of evaluation records, or why there is none."""
    lines = []
    for record in records:
        if record.outcome != "ok":
            lines.append(f"{record.cell.workload.label}: {record.outcome}: {record.detail}")
            continue
        for task, table in json.loads(record.notes["lm_eval"]).items():
            for key, value in table.items():
                name, _, filtered = key.partition(",")
                if isinstance(value, float) and not name.endswith("_stderr"):
                    suffix = f" ({filtered})" if filtered not in ("", "none") else ""
                    lines.append(f"{task:<32} {name}{suffix:<4} {value:.4f}")
    return "\n".join(lines)
