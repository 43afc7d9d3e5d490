"""Cells joined to what a user chooses: one line per model, runtime, precision, options, device.

The cost of one workload stands beside the quality of the same model process. Which workload is
chosen by its label; by default the one that most configurations have.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from effmark.record import Missing
from effmark.report.standing import family
from effmark.rows import Number, Row

__all__ = ["PROCESS_METRICS", "Board", "Configuration", "boards", "is_shared", "machines_of",
           "suite_of"]  # fmt: skip

PROCESS_METRICS = frozenset(
    ("compression_ratio", "effective_bits", "flops_per_token", "import_s", "kv_bytes_per_token",
     "load_memory_b", "load_s", "model_size_b")
)  # fmt: skip
"""Facts of a model process: the same for all its workloads."""
_OF_ANSWERS = ("cost_of_pass_", "eff_at_")
COST_KINDS = ("decode", "infer", "prefill")
"""Workloads that cost time, the preferred ones first."""


@cache
def is_shared(name: str) -> bool:
    """Return whether a metric stands beside any workload: facts of the process, quality."""
    return name in PROCESS_METRICS or family(name) == "quality" or name.startswith(_OF_ANSWERS)


@dataclass(frozen=True)
class Configuration:
    """One choice of a user: the cost row, and the rows that tell its quality."""

    cost: Row | None
    quality: tuple[Row, ...]
    rows: tuple[Row, ...]
    """All cells of the configuration, in order."""

    @property
    def row(self) -> Row:
        """Return the row that stands for the configuration."""
        return self.cost or self.rows[0]

    def source_of(self, name: str) -> Row | None:
        """Return the row that a metric comes from; cost comes from the chosen workload only."""
        if self.cost is not None and name in self.cost.metrics:
            return self.cost
        if not is_shared(name):
            return None
        return next((r for r in (*self.quality, *self.rows) if name in r.metrics), None)

    def metric(self, name: str) -> Number | Missing | None:
        """Return a number, why it is missing, or None where nobody asked for it."""
        row = self.source_of(name)
        return None if row is None else row.metrics[name]


@dataclass(frozen=True)
class Board:
    """Configurations that compare: one suite, one machine, one workload."""

    suite: str
    machine: str
    workload: str
    configurations: tuple[Configuration, ...]


def boards(rows: Sequence[Row]) -> list[Board]:
    """Return the configurations of rows, apart for each suite and machine."""
    places: dict[tuple[str, str], list[Row]] = {}
    for row, machine in zip(rows, machines_of(rows), strict=True):
        places.setdefault((suite_of(row), machine), []).append(row)
    return [_board(suite, machine, mine) for (suite, machine), mine in places.items()]


def suite_of(row: Row) -> str:
    """Return the name of the suite that a row belongs to: different ones never compare."""
    suite = row.record.suite
    return f"{suite.name}-v{suite.version} {suite.profile}"


def machines_of(rows: Sequence[Row]) -> list[str]:
    """Return the machine of each row; one that failed early takes that of its run."""
    by_run = {
        row.record.run_id: row.record.environment.device_class
        for row in rows
        if row.record.environment is not None
    }
    return [
        by_run.get(row.record.run_id, "unknown machine")
        if row.record.environment is None
        else row.record.environment.device_class
        for row in rows
    ]


def _board(suite: str, machine: str, rows: Sequence[Row]) -> Board:
    workload = main_workload(rows)
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((*row.configuration, row.record.cell.model.sha256), []).append(row)
    return Board(suite, machine, workload, tuple(_joined(g, workload) for g in groups.values()))


def main_workload(rows: Sequence[Row]) -> str:
    """Return the label of the workload that stands for cost: the one most often measured."""
    for kind in COST_KINDS:
        labels = [
            r.record.cell.workload.label
            for r in rows
            if r.record.cell.workload.kind == kind and r.record.outcome == "ok"
        ]
        if labels:
            return Counter(labels).most_common(1)[0][0]
    return ""


def _joined(rows: Sequence[Row], workload: str) -> Configuration:
    cost = _best_attempt([r for r in rows if r.record.cell.workload.label == workload])
    labels = dict.fromkeys(
        r.record.cell.workload.label for r in rows if r.record.cell.workload.kind not in COST_KINDS
    )
    attempts = ([r for r in rows if r.record.cell.workload.label == label] for label in labels)
    quality = tuple(best for a in attempts if (best := _best_attempt(a)) is not None)
    return Configuration(cost, quality, tuple(rows))


def _best_attempt(rows: Sequence[Row]) -> Row | None:
    """Return the last row that has numbers, else the last: suites that changed leave several."""
    attempts = [r for r in rows if r.record.outcome == "ok"] or rows
    return attempts[-1] if attempts else None
