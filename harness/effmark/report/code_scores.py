"""Scores of generated code as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["code_text"]

_NAMES = ("pass@", "eff@", "dps")


def code_text(document: Mapping[str, Any], *, per_problem: bool = False) -> str:
    """Return the scores of `effmark score code` as lines for people, each problem's if asked."""
    return "\n".join([*_lines(document), *(_problems(document) if per_problem else ())])


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
    for reason, count in Counter(document["left_out"].values()).items():
        yield f"  left out  {count} problems of the file: {reason}"
    sandbox = document["sandbox"]
    yield f"  sandbox   {sandbox['level']}: {', '.join(sandbox['layers'])}"


def _problems(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield a table: per problem its scores and how its samples ended."""
    endings: dict[str, Counter[str]] = {}
    for sample in document["samples"]:
        endings.setdefault(sample["task_id"], Counter())[sample["verdict"]] += 1
    names = [name for name in document if name.startswith(_NAMES)]
    shown = [name for name in names if "value" in document[name]]
    rows = [["problem", *shown, "samples"]]
    for problem, found in document["per_problem"].items():
        ended = ", ".join(f"{kind} {count}" for kind, count in endings[problem].most_common())
        rows.append([problem, *(_short(found[name]) for name in shown), ended])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = zip(row, widths, strict=True)
        yield "  " + "  ".join(text.ljust(width) for text, width in cells).rstrip()


def _short(value: Mapping[str, Any]) -> str:
    return "–" if "missing" in value else _value(value)


def _value(value: Mapping[str, Any]) -> str:
    if "missing" in value:
        return f"missing ({value['missing']}): {value['detail']}"
    if value["low"] is None:
        return f"{value['value']:.3f}"
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
