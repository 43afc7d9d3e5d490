"""The rows that a report shows: all of a small folder, the best of a large one.

A large folder is asked through its catalogue, so that a report reads the records that it shows and
no others. Numbers come from the row cache where the same records gave them before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from effmark.catalogue import LARGE_B, Catalogue, CatalogueAbsent, is_large
from effmark.record import Record
from effmark.row_cache import RowCache
from effmark.rows import Row, make_rows, shown_together
from effmark.store import Damage, place_order, read_records

__all__ = ["HEADLINES", "MOST_CELLS", "Gathered", "earlier_records", "gather", "gather_all"]

HEADLINES = (
    "tpot_s", "latency_s", "ttft_s", "energy_j_per_output_token", "energy_j_per_image",
    "peak_memory_b", "bits_per_byte", "accuracy", "kl_divergence", "information_capacity",
)  # fmt: skip
"""Metrics whose best rows stay where not all can."""
_FRONTS = (
    ("tpot_s", "bits_per_byte"), ("tpot_s", "accuracy"), ("tpot_s", "peak_memory_b"),
    ("energy_j_per_output_token", "accuracy"), ("latency_s", "accuracy"),
    ("latency_s", "peak_memory_b"),
)  # fmt: skip
MOST_CELLS = 2000
"""As many as a page can be made of in a few seconds."""


Tell = Callable[[str], None]


@dataclass(frozen=True)
class Gathered:
    """Rows, and what they were taken from."""

    rows: tuple[Row, ...]
    damage: Damage
    cells: int
    """Of all, shown or not."""
    records: int
    suites: tuple[str, ...]
    """Names of all suites that the folder has records of."""

    @property
    def left_out(self) -> int:
        """Return how many cells are not among the rows."""
        return self.cells - len(self.rows)


def _silent(text: str) -> None:
    """Tell nobody."""


def gather(
    results: Path,
    suite: str | None = None,
    tell: Tell = _silent,
    *,
    large_b: int = LARGE_B,
    most: int = MOST_CELLS,
) -> Gathered:
    """Return the rows of a folder or a journal: all, or of a large folder those that lead.

    What leads: the first of every headline metric and of the Pareto fronts, taken in turns, each
    with the other cells of its model process and with its baseline.

    Args:
        results: the folder or the journal.
        suite: only records of this suite.
        tell: told, in a sentence, about what takes long.
        large_b: bytes of journals from which on a folder is large.
        most: cells of a large folder to take, about.

    Raises:
        StoreError: there is no such folder.
    """
    if is_large(results, large_b):
        damage = Damage()
        try:
            return _leading(results, Catalogue(results, damage, tell), suite, damage, most)
        except CatalogueAbsent:
            pass  # read it all, then: slow and right
    return gather_all(results, suite, tell, large_b=large_b)


def gather_all(
    results: Path, suite: str | None = None, tell: Tell = _silent, *, large_b: int = LARGE_B
) -> Gathered:
    """Return all rows of a folder or a journal; those of a large folder without their blocks.

    Args:
        results: the folder or the journal.
        suite: only records of this suite.
        tell: told, in a sentence, about what takes long.
        large_b: bytes of journals from which on a folder is large.

    Raises:
        StoreError: there is no such folder.
    """
    damage = Damage()
    if is_large(results, large_b):
        try:
            return _by_family(results, Catalogue(results, damage, tell), suite, damage)
        except CatalogueAbsent as absent:
            tell(f"{absent}; all journals are read instead")
            damage = Damage()
    records = list(read_records(results, damage))
    wanted = [record for record in records if suite in (None, record.suite.name)]
    rows = _rows(results, wanted) if wanted else ()
    names = tuple(sorted({record.suite.name for record in records}))
    return Gathered(rows, damage, len(rows), len(wanted), names)


def earlier_records(
    results: Path, suite: str, machine: str, large_b: int = LARGE_B
) -> list[Record]:  # fmt: skip
    """Return what a run on a machine can resume from or learn from, in journal order.

    Args:
        results: the folder; none where it does not exist.
        suite: of a large folder, only records of this suite.
        machine: device class; records that never got to a machine are taken, too.
        large_b: bytes of journals from which on a folder is large.
    """
    if not results.exists():
        return []
    if is_large(results, large_b):
        try:
            catalogue = Catalogue(results)
            places = [catalogue.places(suite=suite, machine=name) for name in ("", machine)]
            return list(catalogue.records(sorted(chain(*places), key=place_order)))
        except CatalogueAbsent:
            pass  # read it all, then: slow and right
    return [
        record
        for record in read_records(results)
        if record.environment is None or record.environment.device_class == machine
    ]


def _rows(results: Path, records: Iterable[Record]) -> tuple[Row, ...]:
    with RowCache(results) as memory:
        return tuple(make_rows(records, memory))


def _leading(
    results: Path, catalogue: Catalogue, suite: str | None, damage: Damage, most: int
) -> Gathered:
    where: dict[str, str | int | bool] = {} if suite is None else {"suite": suite}
    cells, records = catalogue.count(**where)
    processes = list(_processes(catalogue, where, most))
    families = list(dict.fromkeys(family for _, family in processes))
    places = catalogue.leading([process for process, _ in processes], families)
    rows = _rows(results, catalogue.records(places))
    return Gathered(rows, damage, cells, records, tuple(catalogue.names("suite")))


def _processes(
    catalogue: Catalogue, where: dict[str, str | int | bool], room: int
) -> Iterator[tuple[int, int]]:
    """Yield model processes with their families, the leading ones, until their cells are enough."""
    lists = [catalogue.front(x, y, **where) for x, y in _FRONTS]
    lists += [catalogue.best(name, room, **where) for name in HEADLINES]
    in_turns = (
        told[place]
        for place in range(max(map(len, lists), default=0))
        for told in lists
        if place < len(told)
    )
    wanted = list(dict.fromkeys((line["process"], line["family"]) for line in in_turns))
    sizes = catalogue.sizes([process for process, _ in wanted])
    for process, family in wanted:
        room -= sizes[process]
        if room < 0:
            return
        yield process, family


def _by_family(
    results: Path, catalogue: Catalogue, suite: str | None, damage: Damage
) -> Gathered:  # fmt: skip
    where: dict[str, str | int | bool] = {} if suite is None else {"suite": suite}
    rows: list[Row] = []
    with RowCache(results) as memory:
        for places in catalogue.families(**where):
            made = make_rows(catalogue.records(places), memory)
            rows += [_light(row) for row in made]
    records = sum(len(row.records) for row in rows)
    shown = tuple(shown_together(rows))
    return Gathered(shown, damage, len(rows), records, tuple(catalogue.names("suite")))


def _light(row: Row) -> Row:
    """Return a row whose records have given up what their numbers were computed from."""
    return Row(_shed(row.record), tuple(_shed_all(row.records)), row.metrics)


def _shed_all(records: Sequence[Record]) -> Iterator[Record]:
    return (_shed(record) for record in records)


def _shed(record: Record) -> Record:
    return record.model_copy(update={"blocks": (), "warmup_blocks": (), "energy": ()})
