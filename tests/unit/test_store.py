from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from effmark.errors import StoreError
from effmark.record import Record
from effmark.store import Damage, Journal, decode, encode, latest, read_records, results_folder

Make = Callable[..., Record]


def test_a_record_comes_back_as_it_was_written(tmp_path: Path, make_record: Make) -> None:
    record = make_record(step_s=0.1 + 0.2)
    journal = Journal(tmp_path, "toy", 1)
    journal.append(record)
    journal.close()
    assert list(read_records(tmp_path)) == [record]


def test_every_truncation_of_a_line_is_detected() -> None:
    line = encode({"schema_version": 1, "text": "naïve \u2028 text", "n": 0.1})
    assert decode(line) is not None
    for end in range(len(line)):
        assert decode(line[:end]) is None


def test_every_flipped_bit_of_a_line_is_detected() -> None:
    line = encode({"id": "a", "values": [1.5, 2.5]})
    for position in range(len(line)):
        for bit in range(8):
            damaged = bytearray(line)
            damaged[position] ^= 1 << bit
            assert decode(bytes(damaged)) is None


def test_a_torn_tail_costs_one_record_and_is_counted(tmp_path: Path, make_record: Make) -> None:
    journal = Journal(tmp_path, "toy", 1)
    for number in range(3):
        journal.append(make_record(id=str(number)))
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole[:-7])
    damage = Damage()
    assert [r.id for r in read_records(tmp_path, damage)] == ["0", "1"]
    assert damage.places == [f"{journal.path}:3: torn or damaged line"]


def test_appending_after_a_torn_tail_does_not_merge_into_it(
    tmp_path: Path, make_record: Make
) -> None:
    journal = Journal(tmp_path, "toy", 1)
    journal.append(make_record(id="first"))
    journal.close()
    with journal.path.open("ab") as handle:
        handle.write(b'{"schema_version":1,"half')
    again = Journal(tmp_path, "toy", 1)
    again.path = journal.path
    again.append(make_record(id="second"))
    again.close()
    damage = Damage()
    assert [r.id for r in read_records(tmp_path, damage)] == ["first", "second"]
    assert len(damage.places) == 1


def test_records_of_a_future_schema_are_skipped_and_named(
    tmp_path: Path, make_record: Make
) -> None:
    body = make_record().model_dump(mode="json") | {"schema_version": 99}
    (tmp_path / "a.jsonl").write_bytes(encode(body))
    damage = Damage()
    assert list(read_records(tmp_path, damage)) == []
    assert "schema version 99" in damage.places[0]


def test_a_full_disk_is_a_store_error_and_keeps_what_is_there(tmp_path: Path) -> None:
    script = tmp_path / "fill.py"
    script.write_text(_FILL)
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "results")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "StoreError" in done.stdout, done.stderr
    damage = Damage()
    assert len(list(read_records(tmp_path / "results", damage))) >= 1
    assert len(damage.places) <= 1


_FILL = """
import resource, signal, sys
from pathlib import Path
from effmark.errors import StoreError
from effmark.record import Record, SuiteRef
from effmark.spec import Cell, ModelRef, Prefill
from effmark.store import Journal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
model = ModelRef(name="m", task="lm", kind="hf", sha256="0" * 64)
cell = Cell(model=model, adapter="a", precision="p", device="cpu", threads=1,
            workload=Prefill(prompt_tokens=1), suite_sha256="0")
suite = SuiteRef(name="s", version=1, sha256="0", profile="default")
record = Record(id="r", run_id="r", process_id="p", created="2026-11-22", suite=suite, cell=cell,
                outcome="crash", detail="x" * 3000)
journal = Journal(Path(sys.argv[1]), "s", 1)
try:
    for _ in range(100):
        journal.append(record)
except StoreError as error:
    print("StoreError", error)
"""


def test_the_last_attempt_of_a_cell_counts(make_record: Make) -> None:
    first, second = make_record(id="1", outcome="crash"), make_record(id="2")
    assert [r.id for r in latest(iter([first, second])).values()] == ["2"]


def test_a_missing_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no such folder; run `effmark run` first"):
        list(read_records(tmp_path / "nothing"))


def test_results_go_where_they_were_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EFFMARK_RESULTS", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    assert results_folder() == tmp_path / "data" / "effmark" / "results"
    (tmp_path / "results").mkdir()
    assert results_folder() == tmp_path / "results"
    monkeypatch.setenv("EFFMARK_RESULTS", str(tmp_path / "elsewhere"))
    assert results_folder() == tmp_path / "elsewhere"
    assert results_folder("given") == Path("given")


def test_two_writers_never_share_a_file(tmp_path: Path) -> None:
    assert str(os.getpid()) in Journal(tmp_path, "toy", 1).path.name


def test_journals_are_read_in_the_order_of_their_start(tmp_path: Path, make_record: Make) -> None:
    first = Journal(tmp_path, "toy", 1)
    first.append(make_record(id="old"))
    second = Journal(tmp_path, "toy", 1)
    second.append(make_record(id="new"))
    assert first.path.name < second.path.name
    assert next(iter(latest(read_records(tmp_path)).values())).id == "new"


def test_a_clock_that_was_set_back_does_not_change_the_order(
    tmp_path: Path, make_record: Make
) -> None:
    folder = tmp_path / "toy-v1"
    folder.mkdir()
    ahead = folder / "20991231T235959.000000-other-1.jsonl"
    ahead.write_bytes(encode(make_record(id="old").model_dump(mode="json")))
    with Journal(tmp_path, "toy", 1) as journal:
        journal.append(make_record(id="new"))
    assert journal.path.name > ahead.name
    assert [r.id for r in read_records(tmp_path)] == ["old", "new"]


def test_a_journal_with_an_odd_name_does_not_stop_new_ones(
    tmp_path: Path, make_record: Make
) -> None:
    folder = tmp_path / "toy-v1"
    folder.mkdir()
    for name in ("zzz.jsonl", "99991231T235959.999999-x-1.jsonl"):
        (folder / name).write_bytes(b"")
    with Journal(tmp_path, "toy", 1) as journal:
        journal.append(make_record())
    assert len(list(read_records(tmp_path))) == 1


def test_files_that_are_no_journals_are_noted_once_each_and_hidden_folders_left_out(
    tmp_path: Path, make_record: Make
) -> None:
    with Journal(tmp_path, "toy", 1) as journal:
        journal.append(make_record())
    (tmp_path / "items.jsonl").write_text('{"question": 1}\n' * 1000)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "a.jsonl").write_text("not even JSON\n")
    damage = Damage()
    assert len(list(read_records(tmp_path, damage))) == 1
    assert damage.places == [f"{tmp_path / 'items.jsonl'}: none of its 1000 lines is a record"]
    assert damage.summary == "1 line skipped: 1 not a journal of effmark"


def test_a_schema_version_that_is_no_number_is_damage_and_not_a_crash(tmp_path: Path) -> None:
    for number, version in enumerate(("one", None, -1, True, 1.5, [1])):
        (tmp_path / f"{number}.jsonl").write_bytes(encode({"schema_version": version}))
    damage = Damage()
    assert list(read_records(tmp_path, damage)) == []
    assert damage.kinds == {"invalid": 6}
