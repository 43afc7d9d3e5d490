"""What all tests share: where shared data lies, the real command, records made by hand."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from effmark.record import Block, Measured, ModelFacts, Record, SuiteRef
from effmark.spec import Cell, Decode, ModelRef

ROOT = Path(__file__).parents[1]

Command = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Data that the project does not commit; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("EFFMARK_TEST_DATA") or ROOT.parent / "shared")
    if not folder.is_dir():
        pytest.skip(f"no shared test data at {folder}; set EFFMARK_TEST_DATA")
    return folder


@pytest.fixture(scope="session")
def tiny_models() -> ModuleType:
    """The builder of tiny random models, a module: `make(folder, family, ...)`, `families()`."""
    path = ROOT / "tests/models/tiny_models.py"
    spec = importlib.util.spec_from_file_location("tiny_models", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def effmark(tmp_path: Path) -> Command:
    """The real command in a process of its own, away from the user's results."""

    def run(
        *arguments: str, timeout_s: float = 240, **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "effmark", *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            cwd=tmp_path,
            env={
                **os.environ,
                "EFFMARK_RESULTS": str(tmp_path / "results"),
                "COLUMNS": "160",
                **env,
            },
            check=False,
        )

    return run


@pytest.fixture
def make_record() -> Callable[..., Record]:
    """A decode record of known numbers: gaps of `step_s` after a first token at `ttft_s`."""

    def make(
        *,
        model: str = "toy",
        adapter: str = "torch",
        precision: str = "fp32",
        ttft_s: float = 0.1,
        step_s: float = 0.01,
        tokens: int = 5,
        blocks: int = 20,
        **changes: Any,
    ) -> Record:
        reference = ModelRef(name=model, task="lm", kind="hf", sha256="0" * 64)
        cell = Cell(
            model=reference,
            adapter=adapter,
            precision=precision,
            device="cpu",
            threads=1,
            workload=Decode(prompt_tokens=8, new_tokens=tokens),
            suite_sha256="1" * 64,
        )
        steps = tuple(ttft_s + step_s * i for i in range(tokens))
        timed = tuple(
            Block(start_s=float(n), end_s=n + steps[-1], steps_s=steps) for n in range(blocks)
        )
        facts = ModelFacts(
            parameters=1000, weights_b=4000, file_b=4100, effective_bits=32.0, kernel="native",
            weights="trained", weights_source="bf16",
        )  # fmt: skip
        body: dict[str, Any] = {
            "id": f"{model}-{adapter}-{precision}",
            "run_id": "run",
            "process_id": "process",
            "created": "2026-11-22T00:00:00+00:00",
            "suite": SuiteRef(name="toy", version=1, sha256="1" * 64, profile="default"),
            "cell": cell,
            "outcome": "ok",
            "facts": facts,
            "blocks": timed,
            "measurements": (
                Measured(metric="model_size_b", unit="B", samples=(4000.0,), source="tensors"),
            ),
        }
        return Record(**{**body, **changes})

    return make
