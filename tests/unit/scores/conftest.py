"""The oracle numbers, and a steady hypothesis for the tests of the scores."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

# Derandomised and without a deadline: the same examples on every machine, however slow.
settings.register_profile(
    "effmark", deadline=None, derandomize=True, database=None, max_examples=60
)
settings.load_profile("effmark")


@cache
def _read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def oracles() -> Callable[[str], Any]:
    """Return a function from the name of an oracle file to its parsed JSON."""
    given = os.environ.get("EFFMARK_TEST_DATA")
    shared = Path(given) if given else Path(__file__).resolve().parents[4] / "shared"
    folder = shared / "oracles"
    if not folder.is_dir():
        pytest.skip(f"no oracle numbers at {folder}; EFFMARK_TEST_DATA may point to their parent")
    return lambda name: _read(folder / f"{name}.json")
