from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from effmark.record import SCHEMA_VERSION, Record
from effmark.rows import make_rows, row_json

GOLDEN = sorted(Path(__file__).parent.glob("v*/*.json"))


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_record_of_every_version_still_loads_and_scores(path: Path) -> None:
    record = Record.model_validate_json(path.read_text())
    published = row_json(make_rows([record])[0])
    assert published["outcome"] == record.outcome
    json.dumps(published, allow_nan=False)


def test_there_is_a_golden_record_of_the_present_version() -> None:
    assert any(path.parent.name == f"v{SCHEMA_VERSION}" for path in GOLDEN)


def test_the_published_schema_is_current(root: Path) -> None:
    script = root / "scripts" / "write_schema.py"
    done = subprocess.run(
        [sys.executable, str(script), "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
