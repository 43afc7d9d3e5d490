"""Every family on every runtime is right or refused by name: a dozen here, all in `test-all`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scripts.matrix.cells import EXACT, NAMED, ROUTINE, Cell, cells_of
from scripts.matrix.page import page_of
from scripts.matrix.results import Results

pytest.importorskip("torch")
pytest.importorskip("transformers")


def _run(root: Path, out: Path, *arguments: str) -> dict[str, Any]:
    """Run the matrix; return its cells, of which none may be bad."""
    command = [sys.executable, "-m", "scripts.matrix.run", "--out", str(out), *arguments]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert out.is_file(), done.stderr[-2000:]
    cells: dict[str, Any] = json.loads(out.read_text("utf-8"))["cells"]
    bad = {key: cell for key, cell in cells.items() if cell["outcome"] not in ("right", "refused")}
    assert bad == {} and done.returncode == 0
    return cells


def test_a_dozen_families_are_right_on_torch_or_refused_by_name(root: Path, tmp_path: Path) -> None:
    families = ",".join(ROUTINE)
    cells = _run(root, tmp_path / "r.json", "--families", families, "--adapters", "torch",
                 "--low", "gpt2,gemma2")  # fmt: skip
    assert len(cells) >= len(ROUTINE) + 7
    assert sum(cell["outcome"] == "right" for cell in cells.values()) >= 15


@pytest.mark.parametrize("adapter", ["onnxruntime", "openvino", "llama-cpp"])
def test_one_family_is_right_on_every_other_runtime(
    root: Path, tmp_path: Path, adapter: str
) -> None:
    package = {"llama-cpp": "xllamacpp"}.get(adapter, adapter)
    pytest.importorskip(package)
    cells = _run(root, tmp_path / "r.json", "--families", "qwen2", "--adapters", adapter,
                 "--low", "")  # fmt: skip
    assert [cell["outcome"] for cell in cells.values()] == ["right"]


@pytest.mark.slow
def test_every_family_is_right_on_every_runtime_or_refused_by_name(root: Path) -> None:
    out = Path(os.environ.get("EFFMARK_MATRIX") or root / ".matrix.json")  # goes on where it was
    _run(root, out)


def test_the_plan_holds_every_family_and_forty_at_every_precision(
    tiny_models: Any,
) -> None:
    cells = list(cells_of(tiny_models.families(), list(EXACT)))
    assert {cell.family for cell in cells} == set(tiny_models.families())
    low = {cell.family for cell in cells if not cell.exact}
    assert low == set(NAMED) and len(NAMED) >= 40
    assert set(ROUTINE) <= set(tiny_models.families())


def test_a_result_of_other_code_is_tried_again(tmp_path: Path) -> None:
    cell = Cell("gpt2", "untied", "torch", "fp32")
    first = Results(tmp_path / "r.json", "old")
    first.add(cell, {"outcome": "right"})
    first.save()
    assert cell in Results(tmp_path / "r.json", "old")
    assert cell not in Results(tmp_path / "r.json", "new")


def test_the_page_of_models_is_what_the_results_say(root: Path) -> None:
    body = json.loads((root / "scripts/matrix/results.json").read_text("utf-8"))
    assert (root / "docs/models.md").read_text("utf-8") == page_of(body)
