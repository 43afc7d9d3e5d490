"""Scores of generated code as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["code_text"]

_NAMES = ("pass@", "eff@", "dps")


def code_text(document: Mapping[str, Any]) -> str:
    """Return the scores of `effmark score code` as lines for people."""
    return "\n".join(_lines(document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    problems, about = document["problems"], document["problem_set"]
    yield (
        f"{about['name']} {about['version']}: {problems['scored']} of {problems['of']} problems, "
        f"{document['samples_count']} samples"
    )
    for name, value in document.items():
        if name.startswith(_NAMES):
            yield f"  {name:<9} {_value(value)}"
    yield f"  clock     {document['clock_note']}"
    failures = ", ".join(f"{kind} {count}" for kind, count in document["failures"].items())
    yield f"  failures  {failures or 'none'}"
    sandbox = document["sandbox"]
    yield f"  sandbox   {sandbox['level']}: {', '.join(sandbox['layers'])}"


def _value(value: Mapping[str, Any]) -> str:
    if "missing" in value:
        return f"missing ({value['missing']}): {value['detail']}"
    if value["low"] is None:
        return f"{value['value']:.3f}"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
