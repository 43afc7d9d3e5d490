from __future__ import annotations

import pytest

# A run inside this process forgets what it has imported: what is here already, it keeps.
import effmark.pytest_plugin.benchmark
import effmark.pytest_plugin.session
import effmark.pytest_plugin.summary  # noqa: F401

QUICK = (
    "-p",
    "no:cacheprovider",
    "-p",
    "no:unraisableexception",
    "-p",
    "no:hypothesispytest",  # its summary imports, and rewrites, all of Hypothesis in every run
    "-p",
    "no:anyio",
    "-p",
    "no:randomly",
    "--assert=plain",
    "--effmark-budget=0.05",
)


@pytest.fixture(autouse=True)
def own_locks(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the runs below wait for nobody else on this machine."""
    monkeypatch.setenv("TMPDIR", str(tmp_path_factory.mktemp("locks")))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)  # pytest-benchmark looks at it


@pytest.fixture
def quick() -> tuple[str, ...]:
    """Options of a short run."""
    return QUICK
