from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from effmark.record import SCHEMA_VERSION
from effmark.rows import make_rows, row_json
from effmark.store import MIGRATIONS, Damage, encode, read_records

GOLDEN = sorted(Path(__file__).parent.glob("v*/*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_record_of_every_version_still_loads_and_scores(path: Path, tmp_path: Path) -> None:
    written = json.loads(path.read_text())
    (tmp_path / "a.jsonl").write_bytes(encode(written))
    damage = Damage()
    (record,) = read_records(tmp_path, damage)
    assert not damage.places
    assert record.schema_version == SCHEMA_VERSION
    assert record.id == written["id"]
    assert ("migrated" in record.notes) == (written["schema_version"] < SCHEMA_VERSION)
    published = row_json(make_rows([record])[0])
    assert published["outcome"] == record.outcome
    json.dumps(published, allow_nan=False)


def test_there_is_a_golden_record_of_the_present_version() -> None:
    assert any(path.parent.name == f"v{SCHEMA_VERSION}" for path in GOLDEN)


def test_every_earlier_version_has_a_migration_and_a_golden_record() -> None:
    assert sorted(MIGRATIONS) == list(range(SCHEMA_VERSION))
    assert {path.parent.name for path in GOLDEN} == {f"v{n}" for n in range(SCHEMA_VERSION + 1)}


def test_a_record_of_the_future_is_named_counted_and_left_alone(tmp_path: Path) -> None:
    present = json.loads((Path(__file__).parent / f"v{SCHEMA_VERSION}" / "decode.json").read_text())
    future = present | {"schema_version": SCHEMA_VERSION + 1, "hologram": [1, 2]}
    journal = tmp_path / "a.jsonl"
    journal.write_bytes(encode(future) + encode(present))
    before = journal.read_bytes()
    damage = Damage()
    (record,) = read_records(tmp_path, damage)
    assert record.id == present["id"]
    assert damage.kinds == {"newer": 1}
    assert f"{journal}:1: schema version {SCHEMA_VERSION + 1}" in damage.places[0]
    assert "update effmark" in damage.summary
    assert journal.read_bytes() == before


def test_the_published_schema_is_current(root: Path) -> None:
    script = root / "scripts" / "write_schema.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
