from __future__ import annotations

import json
import multiprocessing
import os
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from scripts.perf.journals import synthetic_records, write_journals

from effmark.catalogue import CACHE_FOLDER, Catalogue, line_values
from effmark.catalogue.refresh import MANIFEST, load_manifest
from effmark.metrics import METRICS
from effmark.record import Record
from effmark.report.configurations import machines_of
from effmark.rows import make_rows
from effmark.store import Damage, Journal, encode, read_records

pytest.importorskip("duckdb")
Make = Callable[..., Record]
GOLDEN = sorted((Path(__file__).parents[2] / "golden").glob("v1/*.json"))


def ids(results: Path) -> list[str]:
    catalogue = Catalogue(results)
    return sorted(r.id for r in catalogue.records(catalogue.find("")))


def numbers(results: Path) -> dict[str, int]:
    """Return the number of every journal; a journal that is read anew gets another."""
    manifest = load_manifest(results / CACHE_FOLDER)
    return {name: covered.number for name, covered in manifest.journals.items()}


@pytest.fixture
def results(tmp_path: Path) -> Path:
    write_journals(tmp_path / "results", 120)
    return tmp_path / "results"


def test_every_value_is_the_one_of_its_row() -> None:
    golden = [Record.model_validate_json(path.read_text()) for path in GOLDEN]
    for record in [*golden, *synthetic_records(12)]:
        _, values = line_values(record)
        (row,) = make_rows([record])
        shown = {name: n.value for name in METRICS if (n := row.number(name)) is not None}
        joint = values.keys() & shown.keys()
        assert {name: values[name] for name in joint} == pytest.approx(
            {name: shown[name] for name in joint}, rel=1e-12
        )
        sampled = {name for name in shown if name.endswith("_s") and name != "speedup"}
        assert sampled <= values.keys()


def test_every_record_is_found_where_it_stands(results: Path) -> None:
    written = list(read_records(results))
    catalogue = Catalogue(results)
    assert list(catalogue.records(catalogue.find(""))) == written
    (place,) = catalogue.find(written[7].id[:12])
    assert next(catalogue.records([place])) == written[7]


def test_best_and_front_are_those_of_a_search_through_all_rows(results: Path) -> None:
    rows = [r for r in make_rows(read_records(results)) if r.record.outcome == "ok"]
    catalogue = Catalogue(results)
    best = [line["value"] for line in catalogue.best("tpot_s", 5)]
    assert best == pytest.approx(sorted(n.value for r in rows if (n := r.number("tpot_s")))[:5])
    points = [
        (x.value, y.value, machines_of([r])[0], r.record.id)
        for r in rows
        if (x := r.number("tpot_s")) and (y := r.number("peak_memory_b"))
    ]
    front = {
        i for x, y, machine, i in points
        if not any(u <= x and v <= y and (u, v) != (x, y) for u, v, m, _ in points if m == machine)
    }  # fmt: skip
    assert {line["id"] for line in catalogue.front("tpot_s", "peak_memory_b")} == front


def test_quality_of_the_same_process_makes_a_front_with_cost(results: Path) -> None:
    lines = Catalogue(results).front("tpot_s", "accuracy")
    assert lines
    for machine in {line["machine"] for line in lines}:
        mine = [(line["x"], line["y"]) for line in lines if line["machine"] == machine]
        assert all(one[1] < other[1] for one, other in pairwise(sorted(mine)))


def test_filters_narrow_a_question_and_unknown_columns_are_refused(results: Path) -> None:
    catalogue = Catalogue(results)
    mine = catalogue.best("tpot_s", 100, adapter="llama-cpp", precision="int8")
    assert {(line["adapter"], line["precision"]) for line in mine} == {("llama-cpp", "int8")}
    assert catalogue.best("tpot_s", 100, adapter="x' OR 1=1 --") == []
    for bad in ("nope", "id; DROP TABLE x"):
        with pytest.raises(ValueError, match="none of the catalogue's"):
            catalogue.best(bad, 1)
        with pytest.raises(ValueError, match="none of the catalogue's"):
            catalogue.count(**{bad: 1})


def test_what_is_appended_is_read_and_nothing_else(results: Path, make_record: Make) -> None:
    before = ids(results)
    (journal,) = numbers(results)
    with (results / journal).open("ab") as handle:
        handle.write(encode(make_record(id="new").model_dump(mode="json")))
    (path,) = (p for p in (results / journal).parent.iterdir())
    covered = load_manifest(results / CACHE_FOLDER).journals[journal]
    os.truncate(path, path.stat().st_size)  # the inode stays
    number, lines = covered.number, covered.lines
    assert ids(results) == sorted([*before, "new"])
    covered = load_manifest(results / CACHE_FOLDER).journals[journal]
    assert (covered.number, covered.lines) == (number, lines + 1)


@pytest.mark.parametrize("change", ["shrunk", "rewritten", "replaced"])
def test_a_journal_that_changed_is_read_anew(results: Path, change: str) -> None:
    ids(results)
    (journal,) = numbers(results)
    path = results / journal
    lines = path.read_bytes().splitlines(keepends=True)
    old = numbers(results)[journal]
    if change == "shrunk":
        path.write_bytes(b"".join(lines[:50]))
    elif change == "rewritten":  # same size, another order
        path.write_bytes(b"".join(reversed(lines)))
    else:
        (path.parent / "other").write_bytes(b"".join(lines[10:]) + lines[0] * 3)
        (path.parent / "other").replace(path)
    assert ids(results) == sorted(r.id for r in read_records(results))
    assert numbers(results)[journal] != old


def test_a_journal_that_is_gone_is_forgotten_and_what_it_replaced_counts_again(
    tmp_path: Path, make_record: Make
) -> None:
    journals = []
    for number in ("1", "2"):
        with Journal(tmp_path, "toy", 1) as journal:
            journal.append(make_record(id=number, step_s=0.01 * int(number)))
            journals.append(journal.path)
    assert [line["id"] for line in Catalogue(tmp_path).best("tpot_s", 9)] == ["2"]
    journals[1].unlink()
    assert [line["id"] for line in Catalogue(tmp_path).best("tpot_s", 9)] == ["1"]


def test_the_last_good_attempt_counts_whenever_it_was_read(
    tmp_path: Path, make_record: Make
) -> None:
    for number, outcome in enumerate(("ok", "ok", "crash")):
        with Journal(tmp_path, "toy", 1) as journal:
            journal.append(make_record(id=str(number), outcome=outcome))
        catalogue = Catalogue(tmp_path)
        assert [line["id"] for line in catalogue.best("ttft_s", 9)] == [str(min(number, 1))]
        assert catalogue.count() == (1, 1)
        (row,) = make_rows(read_records(tmp_path))
        assert row.record.id == str(min(number, 1))


def test_a_touched_journal_keeps_its_lines(results: Path) -> None:
    before = ids(results), numbers(results)
    (journal,) = before[1]
    os.utime(results / journal)
    assert (ids(results), numbers(results)) == before


def test_damage_is_told_from_the_catalogue_as_from_the_journals(
    tmp_path: Path, make_record: Make
) -> None:
    good = make_record().model_dump(mode="json")
    (tmp_path / "a.jsonl").write_bytes(
        encode(good) + b"garbage\n" + encode(good | {"schema_version": 99})
        + encode(good | {"outcome": "sideways"}) + encode(good)[:-9]
    )  # fmt: skip
    (tmp_path / "items.jsonl").write_text('{"q": 1}\n{"q": 2}\n')
    direct, first, second = Damage(), Damage(), Damage()
    list(read_records(tmp_path, direct))
    Catalogue(tmp_path, first)
    Catalogue(tmp_path, second)
    assert direct.kinds == {"torn": 2, "newer": 1, "invalid": 1, "foreign": 1}
    assert direct.places == first.places == second.places


def test_a_torn_tail_that_is_completed_counts_from_then_on(
    tmp_path: Path, make_record: Make
) -> None:
    line = encode(make_record(id="late").model_dump(mode="json"))
    path = tmp_path / "a.jsonl"
    path.write_bytes(encode(make_record(id="first").model_dump(mode="json")) + line[:100])
    damage = Damage()
    assert len(Catalogue(tmp_path, damage).find("")) == 1
    assert damage.kinds == {"torn": 1}
    with path.open("ab") as handle:
        handle.write(line[100:])
    damage = Damage()
    assert len(Catalogue(tmp_path, damage).find("")) == 2
    assert not damage.places


@pytest.mark.parametrize("harm", ["deleted", "cut", "manifest", "part"])
def test_the_cache_can_be_deleted_or_damaged_at_any_time(results: Path, harm: str) -> None:
    before = ids(results)
    cache = results / CACHE_FOLDER
    part = next(cache.glob("part-*.parquet"))
    if harm == "deleted":
        for path in cache.iterdir():
            path.unlink()
        cache.rmdir()
    elif harm == "cut":
        os.truncate(part, part.stat().st_size // 2)
    elif harm == "part":
        part.unlink()
    else:
        (cache / MANIFEST).write_text('{"code": 1')
    assert ids(results) == before


def test_what_other_code_has_cached_does_not_count(results: Path) -> None:
    before = ids(results)
    manifest = results / CACHE_FOLDER / MANIFEST
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"code": "older"}))
    assert ids(results) == before
    assert json.loads(manifest.read_text())["code"] != "older"


def test_a_folder_may_be_called_anything(tmp_path: Path) -> None:
    odd = tmp_path / "a'b [1] * {c}; DROP"
    write_journals(odd, 10)
    assert len(ids(odd)) == 10
    write_journals(odd, 5, seed=1)
    assert len(ids(odd)) == 15


def test_many_small_additions_are_merged(results: Path) -> None:
    for seed in range(1, 12):
        write_journals(results, 3, seed)
        Catalogue(results)
    manifest = load_manifest(results / CACHE_FOLDER)
    assert manifest.base is not None
    assert len(manifest.segments) < 10
    assert len(ids(results)) == 120 + 11 * 3


def _write_some(results: Path, seed: int) -> None:
    for part in range(4):
        write_journals(results, 20, seed * 100 + part)


def _ask_some(results: Path) -> None:
    for _ in range(4):
        catalogue = Catalogue(results)
        assert catalogue.count()[1] <= len(catalogue.find(""))


def test_writers_and_readers_at_once_lose_nothing(results: Path) -> None:
    context = multiprocessing.get_context("spawn")
    tasks = [(_write_some, (results, seed)) for seed in (1, 2)] + [(_ask_some, (results,))] * 2
    random.shuffle(tasks)
    processes = [context.Process(target=what, args=given) for what, given in tasks]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(ids(results)) == 120 + 2 * 4 * 20
