"""Which attempt at a cell counts: the same for rows, the catalogue, reports and comparisons."""

from __future__ import annotations

import itertools
import random
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from effmark.catalogue import Catalogue
from effmark.code.ledger import read_attempts
from effmark.exchange.entries import Choice
from effmark.exchange.junit import junit_xml
from effmark.gate import gate
from effmark.gathering import gather
from effmark.record import Environment, Record
from effmark.rows import make_rows
from effmark.selection import select_records
from effmark.store import Journal, latest

Make = Callable[..., Record]


def machine(cpu: str) -> Environment:
    return Environment(host="h", system="Linux", cpu=cpu, cores_count=2, memory_b=1, python="3")


HERE, THERE = machine("here"), machine("there")


def made(make: Make, *attempts: tuple[str, Environment | None, bool]) -> list[Record]:
    """Return attempts at one cell by outcome, machine, and whether they were made afresh."""
    return [
        make(id=f"{number}" * 8, process_id=str(number), outcome=outcome, environment=environment,
             fresh=fresh, **({} if outcome == "ok" else {"blocks": 0, "facts": None}))
        for number, (outcome, environment, fresh) in enumerate(attempts)
    ]  # fmt: skip


def written(records: Sequence[Record], folder: Path) -> Path:
    """Return a results folder with a journal for each record, in their order."""
    for record in records:
        with Journal(folder, "toy", 1) as journal:
            journal.append(record)
    return folder


def counted(records: Sequence[Record]) -> set[str]:
    return {record.id for row in make_rows(records) for record in row.records}


OK, CRASH, OOM = "ok", "crash", "oom"


@pytest.mark.parametrize(
    ("attempts", "counts"),
    [
        ([(CRASH, HERE, False), (OK, HERE, False)], {1}),
        ([(OK, HERE, False), (CRASH, HERE, False)], {0}),
        ([(OK, HERE, False), (OOM, HERE, False)], {0}),
        ([(OK, HERE, False), (CRASH, HERE, True)], {1}),  # asked for
        ([(OK, HERE, False), (CRASH, HERE, True), (OK, HERE, False)], {2}),
        ([(CRASH, None, False), (OK, HERE, False)], {1}),  # older journals
        ([(OK, HERE, False), (CRASH, None, False)], {0}),
        ([(CRASH, None, False), (OOM, HERE, False)], {1}),
        ([(CRASH, None, False), (OOM, None, False)], {1}),
        ([(CRASH, HERE, False), (OK, THERE, False)], {0, 1}),  # another machine's success
        ([(CRASH, None, False), (OK, HERE, False), (CRASH, THERE, False)], {1, 2}),
    ],
)
def test_rows_and_the_catalogue_agree_on_what_counts(
    attempts: list[tuple[str, Environment | None, bool]],
    counts: set[int],
    make_record: Make,
    tmp_path: Path,
) -> None:
    pytest.importorskip("duckdb")
    records = made(make_record, *attempts)
    assert counted(records) == {f"{n}" * 8 for n in counts}
    catalogue = Catalogue(written(records, tmp_path))
    assert {r.id for r in catalogue.records(catalogue.places())} == {f"{n}" * 8 for n in counts}


def test_whatever_the_history_rows_and_the_catalogue_agree(
    make_record: Make, tmp_path: Path
) -> None:
    pytest.importorskip("duckdb")
    draw = random.Random(10)
    for case in range(12):
        attempts = [
            (draw.choice([OK, CRASH, OOM]), draw.choice([HERE, THERE, None]), draw.random() < 0.2)
            for _ in range(draw.randint(1, 6))
        ]
        records = made(make_record, *attempts)
        folder = tmp_path / str(case)
        half = len(records) // 2
        if half:
            Catalogue(written(records[:half], folder))  # brought up to date below
        catalogue = Catalogue(written(records[half:], folder))
        found = {r.id for r in catalogue.records(catalogue.places())}
        assert found == counted(records), attempts


def test_repetitions_are_attempts_of_their_own(make_record: Make) -> None:
    good, bad = made(make_record, (OK, HERE, False), (CRASH, None, False))
    bad = bad.model_copy(update={"cell": bad.cell.model_copy(update={"repetition": 1})})
    assert counted([good, bad]) == {"00000000", "11111111"}


def test_a_killed_worker_that_was_made_good_is_on_no_board(
    make_record: Make, tmp_path: Path
) -> None:
    records = made(make_record, (CRASH, None, False), (CRASH, HERE, False), (OK, HERE, False))
    folder = written(records, tmp_path)
    rows = list(gather(folder).rows)
    assert [row.record.outcome for row in rows] == ["ok"]
    suite = ET.fromstring(junit_xml(rows, Choice())[0])
    assert [case.tag for case in suite.iter("error")] == []
    chosen = select_records(str(folder), folder)
    assert [r.outcome for r in chosen] == ["ok"]
    assert gate(chosen, chosen).verdict != "not_comparable"


def test_a_failure_that_stands_is_compared_with(make_record: Make, tmp_path: Path) -> None:
    records = made(make_record, (OK, HERE, False), (CRASH, HERE, True))
    folder = written(records, tmp_path)
    chosen = select_records(str(folder), folder)
    assert [r.outcome for r in chosen] == ["ok", "crash"]
    assert gate(chosen, chosen).verdict == "not_comparable"


def test_resuming_goes_by_the_same_rule(make_record: Make) -> None:
    for order in itertools.permutations(made(make_record, (OK, HERE, False), (OOM, None, False))):
        assert [r.outcome for r in latest(order).values()] == ["ok"]


def test_a_ledger_is_that_of_the_attempt_that_counts(make_record: Make, tmp_path: Path) -> None:
    good, bad = made(make_record, (OK, HERE, False), (CRASH, HERE, False))
    line = '{"task_id": "q", "usd": 1, "passed": true}'
    good = good.model_copy(update={"notes": {"ledger": line}})
    assert len(read_attempts(written([good, bad], tmp_path), {})) == 1
