"""What more samples of an answer bought and what they cost, as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len

from effmark.record import Record
from effmark.units import format_quantity

__all__ = ["scaling_document", "scaling_text"]

_COSTS = {"tokens": ("tokens", "count"), "energy_j": ("energy", "J"),
          "work_flop": ("FLOPs", "FLOP"), "eflop": ("eFLOPs", "FLOP")}  # fmt: skip
_NAMES = {"best_of_n": "best of n", "coverage": "any right (pass@k)"}


def scaling_document(record: Record) -> dict[str, Any]:
    """Return the curve of a record: accuracy and cost per question, and where it saturates."""
    cell = record.cell
    return {
        "record": record.id,
        "model": cell.model.name,
        "configuration": f"{cell.adapter} {cell.precision}",
        "workload": cell.workload.label,
        "energy_is_estimated": any(r.source == "model_estimate" for r in record.energy),
        "points": json.loads(record.notes["curve"]),
        "saturation": json.loads(record.notes["saturation"]),
    }


def scaling_text(document: Mapping[str, Any]) -> str:
    """Return the curve as a table for people, greedy decoding first."""
    return "\n".join(_lines(document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield f"{document['model']} · {document['configuration']} · {document['workload']}"
    costs = [key for key in _COSTS if any(key in point for point in document["points"])]
    heading = ["samples", "answer by", "accuracy", *(_COSTS[key][0] for key in costs)]
    estimated = bool(document["energy_is_estimated"])
    rows = [_row(point, costs, estimated=estimated) for point in document["points"]]
    widths = [max(map(cell_len, column)) for column in zip(heading, *rows, strict=True)]
    for row in (heading, *rows):
        yield "  " + "  ".join(_padded(cell, w) for cell, w in zip(row, widths, strict=True))
    yield "cost per question; 95 % interval over questions; eFLOPs as Kinetics counts them:"
    yield "decoding with its memory traffic, without prefill and verifier, the prompt shared"
    if estimated:
        yield "~ estimated, not measured"
    yield "more samples are not shown to help beyond: " + ", ".join(
        f"{_NAMES.get(name, name)} {k}" for name, k in document["saturation"].items()
    )


def _row(point: Mapping[str, Any], costs: Sequence[str], *, estimated: bool) -> list[str]:
    choice = str(point["choice"])
    accuracy = f"{point['value']:.3f} [{point['low']:.3f}, {point['high']:.3f}]"
    found = [str(point["samples"]), _NAMES.get(choice, choice), accuracy]
    for key in costs:
        text = format_quantity(point[key], _COSTS[key][1]) if key in point else ""
        found.append(f"~{text}" if key == "energy_j" and estimated and text else text)
    return found


def _padded(text: str, width: int) -> str:
    return " " * (width - cell_len(text)) + text
