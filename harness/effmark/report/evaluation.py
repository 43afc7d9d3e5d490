"""lm-eval's answers as text: one line per task and metric."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

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
        lines += _sent_lines(record)
    return "\n".join(lines)


def _sent_lines(record: Record) -> list[str]:
    """Return what was really asked, one line per task; none where a record does not tell."""
    sent = json.loads(record.notes.get("task_sent", "{}"))
    return [f"{task}: {_sent_text(facts)}" for task, facts in sent.items()]


def _sent_text(facts: dict[str, Any]) -> str:
    shots = facts["shots"]
    shown = f"{shots[0]} to {shots[1]}" if isinstance(shots, list) else shots
    parts = [
        f"{facts['items']} items",
        f"{shown} shots",
        "in the chat template" if facts["chat_template"] else "no chat template",
    ]
    cut = sum(facts["cut"].values())
    if cut:
        asked, room = sum(facts["requests"].values()), facts["context_tokens"]
        parts.append(f"{cut} of {asked} questions cut to the context of {room} tokens")
    return ", ".join(parts)
