"""A real browser on real pages; skipped, with the reason, where there is none."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from effmark.report.page import write_page
from effmark.rows import Row, make_rows

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

_MADE = runpy.run_path(str(Path(__file__).parents[1] / "unit" / "report" / "conftest.py"))
"""The made-up records of the report tests: test folders are not importable packages."""
_ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    if executable is None:
        pytest.skip("chromium is not installed: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=executable, args=_ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def demo_rows() -> list[Row]:
    return make_rows(_MADE["demo"]())


@pytest.fixture(scope="session")
def make_record() -> Callable[..., Any]:
    made: Callable[..., Any] = _MADE["record"]
    return made


@pytest.fixture(scope="session")
def demo_page(demo_rows: list[Row], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_page(demo_rows, tmp_path_factory.mktemp("page") / "index.html")


@pytest.fixture
def open_page(browser: Any, tmp_path: Path, demo_page: Path) -> Iterator[Callable[..., Any]]:
    """Return a function that opens the demo page or one of given rows; errors fail the test."""
    contexts: list[Any] = []
    problems: list[str] = []
    requests: list[str] = []

    def opened(
        rows: Sequence[Row] | None = None, hash_: str = "", width: int = 1400, scheme: str = "light"
    ) -> Any:
        path = demo_page if rows is None else write_page(rows, tmp_path / "index.html")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.on("dialog", lambda dialog: problems.append("a dialog opened"))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(f"file://{path}{hash_}")
        page.wait_for_selector("html[data-ready]")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []
    assert [url for url in requests if not url.startswith("file:")] == []
