"""What the page knows: rows as compact JSON, within a size that a phone can load.

Texts that repeat stand once in a pool, and all is packed. A page that would grow too large gives
up first the curves of cells, then the paired draws (ranks by quality get more ties), then whole
rows; those that are best by any headline metric stay, so that no rank on the page is better than
it would be in full. What was left out is counted on the page.
"""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from effmark.analyses.page import page_analyses
from effmark.metrics import METRICS
from effmark.report.configurations import PROCESS_METRICS, is_shared, machines_of, suite_of
from effmark.report.page_cell import cell_detail
from effmark.report.page_pack import packed_size
from effmark.report.page_row import Pool, add_errors, plain_name, row_body
from effmark.report.standing import MARKS, family, of_a_machine
from effmark.rows import Row

__all__ = ["PAGE_BYTES", "page_data"]

PAGE_BYTES = 2_600_000
"""Bound on the data of a page; with script and style it stays below 3 MB."""
_MOST_ROWS = 12_000
"""More lines than that a browser would sort and rank too slowly to follow a slider."""
_ROW_SHARE = 0.9
"""Of the bound, what rows may take when there are too many for curves of all cells."""
_DRAWS_SHARE = 0.7
"""Of the bound, up to where paired draws are worth more than curves."""
_HEADLINES = (
    "tpot_s", "latency_s", "ttft_s", "energy_j_per_output_token", "energy_j_per_image",
    "peak_memory_b", "bits_per_byte", "accuracy", "kl_divergence", "information_capacity",
)  # fmt: skip
_PAIRED_KINDS = ("text", "tasks", "labels")
_DRAWS_B = 2500
"""What paired draws add to such a row, about: noise that nothing packs."""
_DETAILS_AT_ONCE = 64
_MOST_DETAILS = 2000
"""Cells with curves: more would take longer to write than all else together."""
_SAMPLE = 500
"""Rows from which is guessed how many will fit, before all are written."""
_PLACES_SHOWN = 20


def page_data(
    rows: Sequence[Row],
    damage: Sequence[str] = (),
    cells: int | None = None,
    records: int | None = None,
) -> dict[str, Any]:
    """Return everything that the page shows.

    Args:
        rows: what may be shown.
        damage: places of lines that could not be read.
        cells: how many there are, where `rows` are only those that lead.
        records: how many there are, where `rows` are not from all of them.
    """
    cells = len(rows) if cells is None else cells
    records = sum(len(row.records) for row in rows) if records is None else records
    analyses = _plainly(page_analyses(rows))
    room = PAGE_BYTES - packed_size(analyses)
    shown, texts, places, spent = _fitting(rows, room * _ROW_SHARE)
    of_draws = _size_of_draws([rows[i] for i in shown])
    paired = spent + of_draws <= room * _DRAWS_SHARE
    for i, body in shown.items():
        add_errors(rows[i], body, texts, paired)
    spent += of_draws if paired else 0
    pairs = [(rows[i], body) for i, body in shown.items()]
    without = _add_details(pairs, room * _ROW_SHARE - spent)
    now = datetime.datetime.now(datetime.UTC).isoformat()
    told = {name for row in rows for name in row.metrics}
    return {
        "title": _title(rows),
        "version": _version(),
        "generated": now[:16],
        "metrics": [_metric(name) for name in METRICS if name in told],
        "marks": MARKS,
        "texts": texts.values,
        "environments": places.values,
        "analyses": analyses,
        "rows": [shown[i] for i in sorted(shown)],
        "facts": _facts(rows, cells, records),
        "left_out": {"rows": cells - len(shown), "details": without, "draws": not paired},
        "skewed": sum(row.record.created[:19] > now[:19] for row in rows),
        "damage": {"count": len(damage), "places": list(damage[:_PLACES_SHOWN])},
    }


def _facts(rows: Sequence[Row], cells: int, records: int) -> list[str]:
    """Return what stands at the head of the page: what was measured where and when."""
    days = sorted({row.record.created[:10] for row in rows})
    environments = [e for row in rows if (e := row.record.environment) is not None]
    facts = [
        _several([suite_of(row) for row in rows]),
        _several([e.device_class for e in environments]),
        _several([f"{e.system}, {e.python}" for e in environments if e.system != "unknown"]),
        f"measured {' to '.join(dict.fromkeys([days[0], days[-1]]))}" if days else "",
        f"{cells:,} cells" + (f" of {records:,} records" if rows else ""),
    ]
    return [fact for fact in facts if fact]


_SEVERAL = 3


def _several(values: Sequence[str]) -> str:
    different = sorted(set(values))
    more = len(different) - _SEVERAL
    return plain_name(", ".join(different[:_SEVERAL])) + (f" and {more} more" if more > 0 else "")


def _title(rows: Sequence[Row]) -> str:
    suites = sorted({row.record.suite.name for row in rows})
    return (
        plain_name(f"effmark · {', '.join(suites)}")
        if 0 < len(suites) < 4
        else "effmark leaderboard"
    )


def _version() -> str:
    try:
        return version("effmark")
    except PackageNotFoundError:
        return "unknown"


def _metric(name: str) -> dict[str, str | bool]:
    told = METRICS[name]
    return {
        "name": name,
        "label": told.label,
        "unit": told.unit,
        "direction": told.direction,
        "definition": told.definition,
        "family": family(name),
        "process": name in PROCESS_METRICS,
        "shared": is_shared(name),
        "machine": of_a_machine(name),
    }


def _plainly(value: Any) -> Any:
    """Return JSON values whose texts are plain: analyses have names in their sentences."""
    if isinstance(value, dict):
        return {name: _plainly(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_plainly(each) for each in value]
    return plain_name(value) if isinstance(value, str) else value


def _size_of_draws(rows: Sequence[Row]) -> int:
    paired = (
        row.record.cell.workload.kind in _PAIRED_KINDS or row.record.interleaved for row in rows
    )
    return _DRAWS_B * sum(map(bool, paired))


def _fitting(
    rows: Sequence[Row], room: float
) -> tuple[dict[int, dict[str, Any]], Pool, Pool, float]:
    """Return the rows that the page holds, the best first, their pools and their size in bytes."""
    machines = machines_of(rows)
    best = list(itertools.islice(_best_first(rows), _MOST_ROWS))
    if len(best) > _SAMPLE:
        some = [row_body(rows[i], machines[i], Pool(), Pool()) for i in best[:_SAMPLE]]
        best = best[: int(1.3 * _SAMPLE * room / packed_size(some))]
    while True:
        texts, places = Pool(), Pool()
        shown = {i: row_body(rows[i], machines[i], texts, places) for i in best}
        size_b = packed_size([list(shown.values()), texts.values, places.values])
        fits = room / max(size_b, 1)
        if fits >= 1:
            return shown, texts, places, size_b
        best = best[: int(len(best) * min(0.95, 0.96 * fits))]


def _best_first(rows: Sequence[Row]) -> Iterator[int]:
    """Yield the best of every headline metric, then the second best of each, and so on."""
    orders = []
    for name in _HEADLINES:
        sign = 1 if METRICS[name].direction == "lower" else -1
        with_it = [(sign * n.value, i) for i, r in enumerate(rows) if (n := r.number(name))]
        orders.append([i for _, i in sorted(with_it)])
    seen: set[int] = set()
    for place in range(max(map(len, orders), default=0)):
        for order in orders:
            if place < len(order) and order[place] not in seen:
                seen.add(order[place])
                yield order[place]
    yield from (i for i in range(len(rows)) if i not in seen)


def _add_details(pairs: Sequence[tuple[Row, dict[str, Any]]], room: float) -> int:
    """Add curves and provenance while there is room; return how many cells go without."""
    done = 0
    while done < min(len(pairs), _MOST_DETAILS):
        some = pairs[done : done + _DETAILS_AT_ONCE]
        details = [cell_detail(row) for row, _ in some]
        room -= packed_size(details)
        if room < 0:
            break
        for (_, body), detail in zip(some, details, strict=True):
            body["cell"] = detail
        done += len(some)
    return len(pairs) - done
