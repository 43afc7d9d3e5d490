"""The leaderboard in a terminal: one line per configuration and workload."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from effmark.metrics import metric
from effmark.record import Missing
from effmark.report.numbers import format_number
from effmark.rows import Row

__all__ = ["print_table"]

_COST = ("ttft_s", "tpot_s", "latency_s", "output_token_throughput", "image_throughput",
         "peak_memory_b", "energy_j_per_output_token", "energy_j_per_image", "model_size_b",
         "effective_bits", "speedup")  # fmt: skip
_QUALITY = ("bits_per_byte", "perplexity", "kl_divergence", "top1_agreement", "accuracy",
            "information_capacity", "quality_retention", "effective_bits",
            "model_size_b")  # fmt: skip


def print_table(rows: Sequence[Row]) -> None:
    """Print cost and quality of rows, one table each, and what is behind the marks."""
    console = Console()
    cost = [r for r in rows if r.record.cell.workload.kind in ("decode", "prefill", "infer")]
    quality = [r for r in rows if r.record.cell.workload.kind in ("text", "tasks", "labels")]
    for title, chosen, names in (("cost", cost, _COST), ("quality", quality, _QUALITY)):
        if chosen:
            console.print(_table(title, chosen, names))
    console.print(
        "± half of the 95 % interval · ~ estimated, not measured · – missing, the page says why",
        style="dim",
    )


def _table(title: str, rows: Sequence[Row], names: Sequence[str]) -> Table:
    shown = [name for name in names if any(row.number(name) for row in rows)]
    table = Table(title=title, title_justify="left")
    for heading in ("model", "runtime", "precision", "workload"):
        table.add_column(heading, no_wrap=True)
    for name in shown:
        table.add_column(metric(name).label, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*_identity(row), *(_value(row, name) for name in shown))
    return table


def _identity(row: Row) -> tuple[str, str, str, str]:
    model, adapter, precision, options, _ = row.configuration
    return model, f"{adapter} {options}".strip(), precision, row.record.cell.workload.label


def _value(row: Row, name: str) -> str:
    if row.record.outcome != "ok":
        return row.record.outcome
    found = row.metrics.get(name)
    if found is None:
        return ""
    return "–" if isinstance(found, Missing) else format_number(found)
