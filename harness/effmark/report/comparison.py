"""Comparisons and gates as plain text for terminals and as Markdown for comments."""

from __future__ import annotations

from collections.abc import Sequence

from effmark.compare import Comparison, Difference, MetricComparison
from effmark.gate import GateCheck, GateResult
from effmark.metrics import metric
from effmark.units import format_quantity

__all__ = ["comparison_markdown", "comparison_text", "gate_markdown", "gate_text"]

_MARKER = "<!-- effmark -->"
"""Lets a bot find its comment again and replace it."""
_HEADINGS = ("metric", "baseline", "candidate", "ratio", "interval", "p", "verdict")
_GATE_HEADINGS = ("cell", "metric", "ratio", "interval", "verdict")


def comparison_text(comparison: Comparison) -> str:
    """Return a comparison as aligned columns, with what is behind each verdict below."""
    lines = [f"baseline   {comparison.a}", f"candidate  {comparison.b}", *_subject(comparison), ""]
    if comparison.refused:
        return "\n".join([*lines, *_refusal(comparison.refused)])
    lines += _columns(_HEADINGS, [_cells(m) for m in comparison.metrics])
    lines += ["", _promise(comparison), *_footnotes(comparison)]
    return "\n".join(lines)


def comparison_markdown(comparison: Comparison) -> str:
    """Return a comparison as a Markdown table."""
    head = [_MARKER, f"**{comparison.b}** against **{comparison.a}**", ""]
    if comparison.refused:
        return "\n".join([*head, *_refusal(comparison.refused)])
    table = _markdown(_HEADINGS, [_cells(m) for m in comparison.metrics])
    notes = [f"- {line}" for line in _footnotes(comparison)]
    return "\n".join([*head, *table, "", _promise(comparison), "", *notes]).rstrip()


def gate_text(result: GateResult) -> str:
    """Return a gate's result as aligned columns, the verdict first."""
    lines = [f"{result.verdict.replace('_', ' ')}: {result.detail}"]
    if result.checks:
        lines += ["", *_columns(_GATE_HEADINGS, [_check(c) for c in result.checks])]
    return "\n".join([*lines, *_reasons(result)])


def gate_markdown(result: GateResult) -> str:
    """Return a gate's result as Markdown."""
    lines = [_MARKER, f"**{result.verdict.replace('_', ' ')}**: {result.detail}"]
    if result.checks:
        lines += ["", *_markdown(_GATE_HEADINGS, [_check(c) for c in result.checks])]
    return "\n".join([*lines, *_reasons(result)])


def _cells(row: MetricComparison) -> tuple[str, ...]:
    return (
        metric(row.metric).label,
        format_quantity(row.a, row.unit),
        format_quantity(row.b, row.unit),
        f"{row.ratio:.4g}",
        _interval(row.low, row.high),
        _p(row.p_adjusted),
        row.verdict,
    )


def _interval(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "–"
    return "exact" if low == high else f"{low:.4g} to {high:.4g}"


def _p(p: float | None) -> str:
    if p is None:
        return "–"
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}"


def _promise(comparison: Comparison) -> str:
    return (
        f"ratio = candidate / baseline; same means within {100 * comparison.margin:g} %; "
        f"at most {100 * comparison.alpha:g} % wrong verdicts over all metrics (Holm)"
    )


def _subject(comparison: Comparison) -> list[str]:
    return [
        f"differs    {d.field}: {d.a} -> {d.b}"
        for d in comparison.differences
        if d.scope == "subject" and d.field not in ("adapter", "precision", "options")
    ]


def _refusal(differences: Sequence[Difference]) -> list[str]:
    return [
        "not comparable:",
        *(f"- {d.field}: {d.a} and {d.b}" for d in differences),
    ]


def _footnotes(comparison: Comparison) -> list[str]:
    lines = []
    for row in comparison.metrics:
        label = metric(row.metric).label
        if row.verdict == "undecided" and row.more is not None:
            noun = {"process": "processes", "block": "blocks", "pair": "pairs"}
            lines.append(
                f"{label}: about {row.more} more {noun.get(row.per, 'items')} would decide"
            )
        lines += [f"{label}: {note}" for note in row.notes]
    lines += [f"{metric(m.metric).label}: not compared: {m.reason}" for m in comparison.missing]
    return _grouped(lines)


def _grouped(lines: Sequence[str]) -> list[str]:
    """Return the lines, those with equal words under their first labels together."""
    labels: dict[str, list[str]] = {}
    for line in lines:
        label, _, words = line.partition(": ")
        labels.setdefault(words, []).append(label)
    return [f"{', '.join(names)}: {words}" for words, names in labels.items()]


def _check(check: GateCheck) -> tuple[str, ...]:
    return (
        check.cell,
        metric(check.metric).label,
        "–" if check.ratio is None else f"{check.ratio:.4g}",
        _interval(check.low, check.high),
        check.verdict,
    )


def _reasons(result: GateResult) -> list[str]:
    lines = [f"{metric(c.metric).label}: {c.detail}" for c in result.checks if c.detail]
    return ["", *_grouped(lines)] if lines else []


def _columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(str(r[i])) for r in (headings, *rows)) for i in range(len(headings))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headings, *rows)
    ]


def _markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [headings, ["---"] * len(headings), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]
