"""From a name to the files of a format."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from effmark.errors import SpecError
from effmark.exchange.bencher import bencher_metrics
from effmark.exchange.entries import Choice, Outgoing
from effmark.exchange.every_eval_ever import eval_documents
from effmark.exchange.github import github_benchmarks
from effmark.exchange.hugging_face import eval_results, model_index
from effmark.exchange.junit import junit_xml
from effmark.exchange.otlp import otlp_metrics
from effmark.exchange.prometheus import prometheus_text
from effmark.exchange.pytest_benchmark import benchmark_document
from effmark.rows import Row

__all__ = ["export_files"]

Text = Callable[[Sequence[Row], Choice], tuple[str, Outgoing]]

_TEXTS: Mapping[str, tuple[str, Text]] = {
    "github-smaller": ("smaller.json", lambda rows, c: github_benchmarks(rows, c, "lower")),
    "github-bigger": ("bigger.json", lambda rows, c: github_benchmarks(rows, c, "higher")),
    "bencher": ("bencher.json", bencher_metrics),
    "pytest-benchmark": ("benchmark.json", benchmark_document),
    "junit": ("junit.xml", junit_xml),
    "prometheus": ("effmark.prom", prometheus_text),
    "otlp": ("metrics.json", otlp_metrics),
    "hf-eval-results": ("effmark.yaml", eval_results),
}
_FILES: Mapping[str, Callable[[Sequence[Row], Choice], tuple[dict[str, str], Outgoing]]] = {
    "hf-model-index": model_index,
    "every-eval-ever": eval_documents,
}
"""Formats with a file per model or configuration."""


def export_files(form: str, rows: Sequence[Row], choice: Choice) -> tuple[dict[str, str], Outgoing]:
    """Return the files of a format by name, and what was left out.

    Raises:
        SpecError: nothing is left to go out.
    """
    if form in _FILES:
        files, found = _FILES[form](rows, choice)
    else:
        name, text_of = _TEXTS[form]
        text, found = text_of(rows, choice)
        files = {name: text}
    if not found.entries and form != "junit":
        reasons = ", ".join(f"{n} × {reason}" for reason, n in found.left_out.most_common(4))
        raise SpecError(
            f"export: no number goes out as {form}" + (f" ({reasons}); --all takes those, too"
                                                       if reasons else "; run `effmark run` first")
        )  # fmt: skip
    return files, found
