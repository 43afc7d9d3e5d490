"""JUnit XML: a suite per suite and machine, a case per cell, its numbers as properties.

A cell that crashed, ran out of memory or of time is an error, an invalid one a failure, an
unsupported or skipped one is skipped; a missing number is a property with its reason. XML 1.0 knows
no control characters: they are replaced in names. Format: the schema that Jenkins' xUnit plugin
publishes, with the `<properties>` per case that pytest and GitLab read.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from effmark.exchange.entries import Choice, Outgoing, cell_titles, outgoing
from effmark.record import Missing
from effmark.report.configurations import machines_of, suite_of
from effmark.report.names import plain
from effmark.rows import Number, Row

__all__ = ["junit_xml"]

_SKIPPED = ("unsupported", "skipped")


def junit_xml(rows: Sequence[Row], choice: Choice) -> tuple[str, Outgoing]:
    """Return the XML text of all cells."""
    found = outgoing(rows, choice, finite=False)
    sent = {(id(e.row), e.metric.name): e.mark for e in found.entries}
    root = ET.Element("testsuites", name="effmark")
    groups: dict[tuple[str, str], list[tuple[Row, str]]] = {}
    each = zip(rows, machines_of(rows), cell_titles(rows), strict=True)
    for row, machine, title in each:
        groups.setdefault((suite_of(row), machine), []).append((row, title))
    for (suite, machine), cells in groups.items():
        root.append(_suite(suite, machine, cells, choice, sent))
    ET.indent(root, " ")
    text = ET.tostring(root, encoding="unicode", xml_declaration=False)
    return f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n', found


def _suite(
    suite: str, machine: str, cells: Sequence[tuple[Row, str]], choice: Choice,
    sent: dict[tuple[int, str], str],
) -> ET.Element:  # fmt: skip
    element = ET.Element("testsuite", name=_safe(suite), hostname=_safe(machine))
    cases = [_case(row, title, choice, sent) for row, title in cells]
    counts = {"errors": "error", "failures": "failure", "skipped": "skipped"}
    element.set("tests", str(len(cases)))
    for name, tag in counts.items():
        element.set(name, str(sum(case.find(tag) is not None for case in cases)))
    element.set("time", f"{sum(float(case.get('time') or 0) for case in cases):.6f}")
    element.extend(cases)
    return element


def _case(row: Row, title: str, choice: Choice, sent: dict[tuple[int, str], str]) -> ET.Element:
    record = row.record
    model, adapter, precision, _, _ = row.configuration
    # a dot separates packages: those of a name would make folders of it
    package = ".".join(_safe(part).replace(".", "_") for part in (model, adapter, precision))
    case = ET.Element("testcase", classname=package, name=_safe(title))
    if record.elapsed_s is not None:
        case.set("time", f"{record.elapsed_s:.6f}")
    properties = ET.SubElement(case, "properties")
    for name, number in row.metrics.items():
        if not choice.metrics or name in choice.metrics:
            _property(properties, name, number, sent.get((id(row), name)))
    _outcome(case, row)
    return case


def _property(parent: ET.Element, name: str, found: Number | Missing, mark: str | None) -> None:
    if isinstance(found, Missing):
        _add(parent, f"{name}.missing", f"{found.reason}: {found.detail}")
    elif mark is not None:
        _add(parent, name, repr(found.value))
        _add(parent, f"{name}.unit", found.unit)
        if found.low is not None and found.high is not None:
            _add(parent, f"{name}.low", repr(found.low))
            _add(parent, f"{name}.high", repr(found.high))
        if mark:
            _add(parent, f"{name}.mark", mark)


def _add(parent: ET.Element, name: str, value: str) -> None:
    ET.SubElement(parent, "property", name=name, value=_safe(value, 2000))


def _outcome(case: ET.Element, row: Row) -> None:
    record = row.record
    why = _safe(record.detail or record.outcome, 2000)
    if record.outcome in _SKIPPED:
        ET.SubElement(case, "skipped", message=f"{record.outcome}: {why}")
    elif record.outcome != "ok":
        ET.SubElement(case, "error", type=record.outcome, message=why)
    elif record.validity == "invalid":
        reasons = "; ".join(a.message for a in record.advice if a.severity == "invalid")
        ET.SubElement(case, "failure", type="invalid", message=_safe(reasons or "invalid", 2000))


def _safe(text: str, most: int = 400) -> str:
    """Return text that XML 1.0 can hold."""
    return "".join("�" if c in "\ufffe\uffff" else c for c in plain(text, most))
