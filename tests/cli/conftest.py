from __future__ import annotations

from pathlib import Path

import pytest

SUITE = """\
suite: toy
version: 1
why: adapters of known behaviour
models: [synthetic]
cells:
{cells}
workloads:
  - decode: {{prompt_tokens: 8, new_tokens: 8, batch: [1, 2]}}
quality:
  text: [{{name: austen, tokens: 300}}]
budget: {{process_s: 0.4}}
limits: {{cell_s: 20}}
"""


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """A suite of the synthetic model only."""
    path = write_suite(tmp_path, "{adapter: synthetic_lm, precision: [fp32, int4]}")
    path.write_text(path.read_text() + "baseline: {adapter: synthetic_lm, precision: fp32}\n")
    return path


def write_suite(folder: Path, *cells: str) -> Path:
    path = folder / "toy.yaml"
    path.write_text(SUITE.format(cells="\n".join(f"  - {cell}" for cell in cells)))
    return path


@pytest.fixture
def suite_of(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Write a suite of the given cells."""
    return lambda *cells: write_suite(tmp_path, *cells)
