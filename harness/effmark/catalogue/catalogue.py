"""Questions to the records of a folder, answered from its Parquet table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from effmark.catalogue.columns import COLUMNS, NUMBERS
from effmark.catalogue.coverage import Manifest
from effmark.catalogue.folder import cache_folder
from effmark.catalogue.refresh import MANIFEST, refresh
from effmark.catalogue.tables import NEWEST, connect, listed
from effmark.errors import EffmarkError
from effmark.metrics import metric
from effmark.record import Record
from effmark.store import Damage, Place, parse

__all__ = ["Catalogue", "CatalogueAbsent"]

_RANKABLE = "outcome = 'ok' AND validity != 'invalid'"
_PLACE = "journal, line, start, length"
_WHO = "id, cell, process, family, model, adapter, precision"


class CatalogueAbsent(EffmarkError):
    """There can be no catalogue here; every question has an answer from the journals, too."""


class Catalogue:
    """The table of a results folder, up to date when it is made.

    Args:
        results: the folder.
        damage: takes up the lines that could not be read.
        tell: told, in a sentence, about what takes long.

    Raises:
        CatalogueAbsent: DuckDB is not installed, or the folder cannot be written.
        StoreError: there is no such folder.
    """

    def __init__(
        self,
        results: Path,
        damage: Damage | None = None,
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._results = results
        self._tell = tell
        if not results.is_dir() and results.exists():
            raise CatalogueAbsent(f"catalogue: {str(results)!r} is no folder")
        try:
            self._database = connect()
            self._open(damage if damage is not None else Damage())
        except ImportError:
            raise CatalogueAbsent(
                "a catalogue needs 'duckdb'; install it with: pip install 'effmark[store]'"
            ) from None
        except OSError as error:
            raise CatalogueAbsent(f"catalogue of {str(results)!r}: {error}") from error

    def _open(self, damage: Damage) -> None:
        found = Damage()
        for attempt in range(3):
            found = Damage()
            folder = cache_folder(self._results)
            self._manifest = refresh(self._results, folder, self._database, found, self._tell)
            try:
                self._view(folder, self._manifest)
                break
            except self._broken as error:
                if attempt == 2:
                    raise CatalogueAbsent(
                        f"catalogue of {str(self._results)!r}: {error}"
                    ) from error
                if attempt == 1:  # not merged away in the meantime: damaged, so made anew
                    (folder / MANIFEST).unlink(missing_ok=True)
        damage.places += found.places
        damage.kinds += found.kinds
        damage.unknown += found.unknown

    def _view(self, folder: Path, manifest: Manifest) -> None:
        """Define `attempts`, all records, and `current`, those that count (`store.attempts`)."""
        run, columns = self._database.execute, ", ".join(COLUMNS)
        if not manifest.segments:
            empty = ", ".join(f"NULL::{kind} AS {name}" for name, kind in COLUMNS.items())
            run(f"CREATE OR REPLACE VIEW attempts AS SELECT {empty} WHERE false")
            run("CREATE OR REPLACE VIEW current AS FROM attempts")
            return
        run(f"CREATE OR REPLACE VIEW attempts AS SELECT {columns} FROM "
            f"{listed(folder, manifest.segments)}")  # fmt: skip
        self._standing(folder, manifest)
        nowhere = "SELECT attempt FROM attempts WHERE machine = ''"
        run("CREATE OR REPLACE TEMP TABLE placed AS SELECT DISTINCT attempt FROM attempts "
            f"WHERE machine <> '' AND attempt IN ({nowhere})")  # fmt: skip
        run(f"CREATE OR REPLACE TEMP VIEW current AS SELECT {columns} FROM standing "
            "WHERE machine <> '' OR attempt NOT IN (SELECT attempt FROM placed)")  # fmt: skip

    def _standing(self, folder: Path, manifest: Manifest) -> None:
        """Define `standing`: of the attempts at a cell on a machine the one that counts."""
        run, columns = self._database.execute, ", ".join(COLUMNS)
        base = f"{listed(folder, [manifest.base])} WHERE counts" if manifest.base else ""
        if not manifest.fresh:
            run(f"CREATE OR REPLACE VIEW standing AS SELECT {columns} FROM {base}")
            return
        fresh = listed(folder, manifest.fresh)
        keys = "slot, outcome, fresh, stamp, line, journal"
        known = f"SELECT {keys}, true AS is_new FROM {fresh}"
        if base:
            rivals = f"SELECT {keys}, false FROM {base} AND slot IN (SELECT slot FROM {fresh})"
            known = f"{known} UNION ALL {rivals}"
        run(f"CREATE OR REPLACE TEMP TABLE newest AS SELECT * FROM ({known}) "
            f"QUALIFY row_number() OVER (PARTITION BY slot ORDER BY {NEWEST}) = 1")  # fmt: skip
        newer = "SELECT journal, line FROM newest WHERE is_new"
        view = f"SELECT {columns} FROM {fresh} WHERE (journal, line) IN ({newer})"
        if base:
            beaten = "SELECT slot FROM newest WHERE is_new"
            view += f" UNION ALL SELECT {columns} FROM {base} AND slot NOT IN ({beaten})"
        run(f"CREATE OR REPLACE VIEW standing AS {view}")

    @property
    def _broken(self) -> type[Exception]:
        import duckdb

        found: type[Exception] = duckdb.Error
        return found

    def count(self, **where: str | int | bool) -> tuple[int, int]:
        """Return how many rows count, and of how many records."""
        condition, values = _condition(where)
        one = f"SELECT count(DISTINCT cell), count(*) FROM current WHERE {condition}"
        cells, records = self._database.execute(one, values).fetchone()
        return cells, records

    def outcomes(self, **where: str | int | bool) -> dict[str, int]:
        """Return how many records that count ended in which way."""
        condition, values = _condition(where)
        query = (
            f"SELECT outcome, count(*) FROM current WHERE {condition} GROUP BY 1 ORDER BY 2 DESC"
        )
        return dict(self._database.execute(query, values).fetchall())

    def names(self, column: str) -> list[str]:
        """Return the different values of a column."""
        _check(column)
        query = f"SELECT DISTINCT {column} FROM current WHERE {column} IS NOT NULL ORDER BY 1"
        return [value for (value,) in self._database.execute(query).fetchall()]

    def best(self, name: str, limit: int, **where: str | int | bool) -> list[dict[str, Any]]:
        """Return the lines with the best values of a metric, best first.

        Records that are invalid or did not end well take no part; estimates only among estimates.
        """
        condition, values = _condition(where)
        query = (
            f"SELECT {_WHO}, workload, machine, {name} AS value, {_PLACE} FROM current "
            f"WHERE {_RANKABLE} AND {name} IS NOT NULL AND {condition} "
            f"ORDER BY {_key(name)}, stamp DESC, line LIMIT {int(limit)}"
        )
        return self._rows(query, values)

    def best_of_each(
        self, name: str, by: Sequence[str] = ("suite", "machine", "workload", "model"),
        **where: str | int | bool,
    ) -> list[dict[str, Any]]:  # fmt: skip
        """Return the best value of a metric in every group of records, and whose it is."""
        for column in by:
            _check(column)
        condition, values = _condition(where)
        groups = ", ".join(by)
        choose, pick = ("min", "arg_min") if metric(name).direction == "lower" else (
            "max", "arg_max")  # fmt: skip
        query = (
            f"SELECT {groups}, {choose}({name}) AS value, {pick}(id, {name}) AS id FROM current "
            f"WHERE {_RANKABLE} AND {name} IS NOT NULL AND {condition} GROUP BY {groups}"
        )
        return self._rows(query, values)

    def front(self, x: str, y: str, **where: str | int | bool) -> list[dict[str, Any]]:
        """Return the Pareto fronts of two metrics by suite, machine and workload.

        A point is on the front where no other is at least as good in both and better in one. Where
        no record has both, y is that of another workload of the same model process (accuracy beside
        latency), and there is a front for each pair of workloads.
        """
        condition, values = _condition(where)
        known = f"FROM current WHERE {_RANKABLE} AND {condition}"
        both = f"SELECT count(*) {known} AND {x} IS NOT NULL AND {y} IS NOT NULL"
        together = self._database.execute(both, values).fetchone()[0] > 0
        group = "suite, machine, workload, workload_of_y"
        shown = f"{_WHO}, suite, machine, workload, workload_of_y, x, y, a, b, {_PLACE}"
        cost = f"SELECT *, {x} AS x, {_key(x)} AS a {known} AND x IS NOT NULL"
        worth = f"workload AS workload_of_y, {y} AS y, {_key(y)} AS b"
        points = (
            f"SELECT {shown} FROM (SELECT *, {worth} FROM ({cost}) WHERE y IS NOT NULL)"
            if together
            else f"SELECT {shown} FROM ({cost}) JOIN "
            f"(SELECT process, {worth} {known} AND y IS NOT NULL) USING (process)"
        )
        window = f"PARTITION BY {group} ORDER BY a, b"
        ranked = (
            f"SELECT *, min(b) OVER ({window} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) "
            f"AS before, first_value(a) OVER (PARTITION BY {group}, b ORDER BY a) AS first "
            f"FROM points"
        )
        query = (
            f"WITH points AS ({points}), ranked AS ({ranked}) "
            "SELECT * EXCLUDE (a, b, before, first) FROM ranked "
            "WHERE before IS NULL OR b < before OR (b = before AND a = first) "
            f"ORDER BY {group}, x"
        )
        return self._rows(query, values if together else [*values, *values])

    def find(self, prefix: str, column: str = "id") -> list[Place]:
        """Return where the records stand whose id, run or revision begins with a text."""
        _check(column)
        query = f"SELECT {_PLACE} FROM attempts WHERE starts_with({column}, ?) ORDER BY stamp, line"
        return [self._place(row) for row in self._rows(query, [prefix])]

    def places(self, **where: str | int | bool) -> list[Place]:
        """Return where the records stand that count."""
        condition, values = _condition(where)
        return [
            self._place(row)
            for row in self._rows(f"SELECT {_PLACE} FROM current WHERE {condition}", values)
        ]

    def sizes(self, processes: Sequence[int]) -> dict[int, int]:
        """Return how many cells each of some model processes has."""
        query = (
            "SELECT process, count(DISTINCT cell) FROM current "
            "WHERE process IN (SELECT unnest(?::UBIGINT[])) GROUP BY 1"
        )
        return dict(self._database.execute(query, [list(processes)]).fetchall())

    def leading(self, processes: Sequence[int], families: Sequence[int]) -> list[Place]:
        """Return where the records of model processes stand, and the baselines of families."""
        query = (
            f"SELECT {_PLACE} FROM current WHERE process IN (SELECT unnest(?::UBIGINT[])) "
            "OR (baseline AND family IN (SELECT unnest(?::UBIGINT[]))) "
            "ORDER BY stamp, journal, line"
        )
        return [self._place(row) for row in self._rows(query, [list(processes), list(families)])]

    def families(self, **where: str | int | bool) -> Iterator[list[Place]]:
        """Yield where the records stand that count, those of a family together.

        No number of a row depends on a record of another family.
        """
        condition, values = _condition(where)
        query = (
            f"SELECT family, {_PLACE} FROM current WHERE {condition} "
            "ORDER BY family, stamp, journal, line"
        )
        cursor = self._database.execute(query, values)
        rows = (row for chunk in iter(partial(cursor.fetchmany, 10_000), []) for row in chunk)
        for _, members in groupby(rows, key=itemgetter(0)):
            named = (dict(zip(_PLACE.split(", "), row[1:], strict=True)) for row in members)
            yield [self._place(row) for row in named]

    def records(self, places: Sequence[Place]) -> Iterator[Record]:
        """Yield the records at places, read from their journals."""
        handles: dict[Path, Any] = {}
        try:
            for place in places:
                if place.journal not in handles:
                    handles[place.journal] = place.journal.open("rb")
                handle = handles[place.journal]
                handle.seek(place.offset)
                found = parse(handle.read(place.length))
                if isinstance(found, Record):
                    yield found
        finally:
            for handle in handles.values():
                handle.close()

    def _rows(self, query: str, values: Sequence[Any] = ()) -> list[dict[str, Any]]:
        cursor = self._database.execute(query, list(values))
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

    def _place(self, row: Mapping[str, Any]) -> Place:
        if not hasattr(self, "_paths"):
            journals = self._manifest.journals.items()
            self._paths = {told.number: self._results / name for name, told in journals}
        path = self._paths[row["journal"]]
        return Place(path, row["line"], row["start"], row["length"])


def _check(column: str) -> None:
    if column not in COLUMNS:
        raise ValueError(f"column: {column!r} is none of the catalogue's")


def _condition(where: Mapping[str, str | int | bool]) -> tuple[str, list[str | int | bool]]:
    """Return the SQL condition that columns have given values, and the values."""
    for column in where:
        _check(column)
    return " AND ".join(f"{column} = ?" for column in where) or "true", list(where.values())


def _key(name: str) -> str:
    """Return the SQL by which smaller is better."""
    if name not in NUMBERS:
        raise ValueError(f"metric: {name!r} is none of the catalogue's")
    return name if metric(name).direction == "lower" else f"-{name}"
