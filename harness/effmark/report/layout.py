"""Which numbers a board shows, in which order, and which line holds which rank.

The terminal table and the Markdown table are two renderings of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from effmark.metrics import METRICS, Direction, metric
from effmark.ranking import Rank
from effmark.record import Missing
from effmark.report.configurations import Board, Configuration, boards
from effmark.report.numbers import format_cell
from effmark.report.standing import MARKS, marks, ranks_of
from effmark.rows import Row

__all__ = ["MARK_SIGNS", "BoardLayout", "Line", "layouts"]

_COLUMNS = (
    "ttft_s", "tpot_s", "latency_s", "output_token_throughput", "image_throughput",
    "peak_memory_b", "energy_j_per_output_token", "energy_j_per_image", "effective_bits",
    "bits_per_byte", "accuracy", "majority_accuracy", "weighted_accuracy", "best_of_n_accuracy",
    "coverage", "pass_at_1", "pass_at_10", "pass_at_100", "eff_at_1", "eff_at_10", "eff_at_100",
    "dps", "dps_norm", "eff_at_1_per_j", "cost_of_pass_usd", "cost_of_pass_mean_usd",
    "cost_of_pass_j", "cost_of_pass_s", "cost_of_pass_flop", "speedup", "kl_divergence",
    "information_capacity", "information_capacity_biased",
)  # fmt: skip
_KEPT_FIRST = (
    "tpot_s", "latency_s", "bits_per_byte", "accuracy", "pass_at_1", "eff_at_1",
    "cost_of_pass_usd", "cost_of_pass_j", "dps_norm", "majority_accuracy", "coverage",
    "pass_at_10", "eff_at_10", "effective_bits", "speedup",
    "energy_j_per_output_token", "energy_j_per_image", "output_token_throughput",
    "image_throughput", "peak_memory_b", "ttft_s", "kl_divergence", "information_capacity",
)  # fmt: skip
"""What stays when there is little room."""
_RANKED_BY = (
    "tpot_s", "latency_s", "ttft_s", "bits_per_byte", "accuracy", "eff_at_1", "pass_at_1",
    "cost_of_pass_usd", "cost_of_pass_j",
)  # fmt: skip
_MOST_LED = 1000
"""Longer tables mark no leaders: ranking every column would take longer than reading one."""
_NAMED = 3

_NAMES_SHOWN = 3
"""Of models and of runtimes on one line."""
MARK_SIGNS = {
    "invalid": "✗",
    "foreign": "»",
    "suspect": "!",
    "unproven": "°",
    "emulated": "^",
    "random": "?",
    "dequantised": "≈",
}


@dataclass(frozen=True)
class Line:
    """One configuration of a board."""

    configuration: Configuration
    place: Rank | str
    """The rank, or why there is none."""
    marks: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return runtime, precision, options, and the device where it is not the CPU."""
        _, adapter, precision, options, device = self.configuration.row.configuration
        where = "" if device == "cpu" else f"on {device}"
        return " ".join(part for part in (adapter, precision, options, where) if part)

    @property
    def rank(self) -> str:
        """Return the rank for people: `1`, `2–4`, `–`."""
        if isinstance(self.place, str):
            return "–"
        low, high = self.place.low, self.place.high
        unsure = "" if self.place.certain else "?"
        return (f"{low}" if low == high else f"{low}–{high}") + unsure

    def value(self, name: str, *, interval: bool) -> str:
        """Return a number for people; empty where nobody asked for it."""
        found = self.configuration.metric(name)
        if found is None:
            return ""
        return "missing" if isinstance(found, Missing) else format_cell(found, interval=interval)


@dataclass(frozen=True)
class BoardLayout:
    """A board with its columns and its lines in order."""

    board: Board
    by: str
    columns: tuple[str, ...]
    """Names of metrics, in order of display."""
    lines: tuple[Line, ...]
    failed: tuple[Row, ...]
    """Cells that gave no numbers, and that no other attempt of the same cell replaces."""

    @property
    def failures(self) -> list[tuple[str, str, str]]:
        """Return how cells failed, where and why; what has one cause is one, however many cells."""
        groups: dict[tuple[str, str], list[Row]] = {}
        for row in self.failed:
            key = (row.record.outcome.replace("_", " "), row.record.detail)
            groups.setdefault(key, []).append(row)
        return [(outcome, _failed_places(rows), why) for (outcome, why), rows in groups.items()]

    @property
    def quality(self) -> str:
        """Return the labels of the workloads that quality comes from."""
        rows = [r for line in self.lines for r in line.configuration.quality]
        return ", ".join(dict.fromkeys(r.record.cell.workload.label for r in rows))

    @property
    def answer(self) -> str:
        """Return who is first and who may be as good, in a sentence; empty where nobody ranks."""
        first = [
            line for line in self.lines if isinstance(line.place, Rank) and line.place.low == 1
        ]
        if not first:
            return ""
        way = "highest" if METRICS[self.by].direction == "higher" else "lowest"
        label = METRICS[self.by].label
        value = first[0].value(self.by, interval=True)
        models = {x.configuration.row.model for x in first}
        names = [f"{x.configuration.row.model} · {x.name}" for x in first]
        others = ", ".join(
            x.name if len(models) == 1 else name
            for x, name in zip(first[1 : 1 + _NAMED], names[1:], strict=False)
        )
        more = f" and {len(first) - 1 - _NAMED} more" if len(first) > 1 + _NAMED else ""
        tied = f", not clearly ahead of {others}{more}" if others else ""
        return f"{names[0]} gives the {way} {label}: {value}{tied}."

    def least_wanted(self, columns: Sequence[str]) -> str:
        """Return the column to give up when there is no room for all."""
        wanted = (self.by, *_KEPT_FIRST)
        return max(columns, key=lambda name: wanted.index(name) if name in wanted else len(wanted))

    def leaders(self, name: str) -> frozenset[int]:
        """Return the indices of the lines that hold the first place by a metric, ties included."""
        if METRICS[name].direction == "none" or len(self.lines) > _MOST_LED:
            return frozenset()
        places = _places([line.configuration for line in self.lines], name)
        first = [i for i, place in enumerate(places) if isinstance(place, Rank) and place.low == 1]
        return frozenset(first) if 0 < len(first) < len(self.lines) else frozenset()


def _failed_places(rows: Sequence[Row]) -> str:
    """Return where cells stand that failed alike: models, runtimes, workload or how many cells."""
    parts = [row.configuration for row in rows]
    models = [model for model, *_ in parts]
    runtimes = [" ".join(part for part in (a, p, o) if part) for _, a, p, o, _ in parts]
    cells = [row.record.cell.workload.label for row in rows]
    what = cells[0] if len(cells) == 1 else f"{len(cells)} cells"
    return f"{_named(models)} · {_named(runtimes)} · {what}"


def _named(names: Sequence[str]) -> str:
    """Return the first names; how many more there are."""
    distinct = list(dict.fromkeys(names))
    more = len(distinct) - _NAMES_SHOWN
    shown = ", ".join(distinct[:_NAMES_SHOWN])
    return f"{shown} and {more} more" if more > 0 else shown


def layouts(rows: Sequence[Row], by: str | None = None) -> list[BoardLayout]:
    """Return all boards of rows, each ranked by a metric or by the first usual one it has."""
    return [_layout(board, by) for board in boards(rows)]


def _layout(board: Board, by: str | None) -> BoardLayout:
    shown = [c for c in board.configurations if any(r.record.outcome == "ok" for r in c.rows)]
    present = {name for c in shown for name in METRICS if _has(c, name)}
    ranked_by = by or next((name for name in _RANKED_BY if name in present), "tpot_s")
    columns = [name for name in _COLUMNS if name in present]
    if ranked_by in present and ranked_by not in columns:
        columns.insert(0, ranked_by)
    lines = [
        Line(c, place, _marks(c)) for c, place in zip(shown, _places(shown, ranked_by), strict=True)
    ]
    failed = [r for c in board.configurations for r in _failed(c)]
    ordered = sorted(lines, key=lambda line: _order(line, ranked_by))
    return BoardLayout(board, ranked_by, tuple(columns), tuple(ordered), tuple(failed))


def _marks(configuration: Configuration) -> tuple[str, ...]:
    """Return the marks of what a line shows, worst first; its other cells have their own."""
    cost, quality = configuration.cost, configuration.quality
    found = {mark for row in (cost, *quality) if row is not None for mark in marks(row)}
    return tuple(mark for mark in MARKS if mark in found)


def _failed(configuration: Configuration) -> list[Row]:
    done = {r.record.cell.workload.label for r in configuration.rows if r.record.outcome == "ok"}
    return [
        r
        for r in configuration.rows
        if r.record.outcome != "ok" and r.record.cell.workload.label not in done
    ]


def _has(configuration: Configuration, name: str) -> bool:
    found = configuration.metric(name)
    return found is not None and not isinstance(found, Missing)


def _places(configurations: Sequence[Configuration], name: str) -> list[Rank | str]:
    """Return the place of each configuration; numbers of different workloads never compare."""
    sources = [c.source_of(name) for c in configurations]
    labels = [s.record.cell.workload.label if s is not None else "" for s in sources]
    found: list[Rank | str] = ["not measured"] * len(sources)
    for label in dict.fromkeys(labels):
        members = [i for i, s in enumerate(sources) if s is not None and labels[i] == label]
        rows = [row for i in members if (row := sources[i]) is not None]
        for i, place in zip(members, ranks_of(rows, name), strict=True):
            found[i] = place
    return found


def _order(line: Line, by: str) -> tuple[bool, float, str]:
    found = line.configuration.metric(by)
    sign = {"lower": 1.0, "higher": -1.0, "none": 1.0}[_direction(by)]
    value = sign * found.value if found is not None and not isinstance(found, Missing) else 0.0
    return isinstance(line.place, str), value, line.name


def _direction(name: str) -> Direction:
    return metric(name).direction
