"""Rows to one self-contained HTML page: no network, no build step, nothing but this file.

The data travels as packed JSON in base64, which holds no character that HTML knows, and the page's
script makes elements with textContent only: whatever a model is called stays text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from effmark.errors import StoreError
from effmark.regular_files import replace_file
from effmark.report.page_data import page_data
from effmark.report.page_pack import packed
from effmark.rows import Row

__all__ = ["render_page", "write_page"]

_SCRIPTS = ("elements", "numbers", "data", "ranking", "state", "filters", "table", "answer",
            "charts", "pareto", "cell", "compare", "roofline", "analyses", "page")  # fmt: skip
"""In the order of their use; one strict function holds them all."""


def write_page(
    rows: Sequence[Row],
    target: Path,
    damage: Sequence[str] = (),
    cells: int | None = None,
    records: int | None = None,
) -> Path:
    """Return the path of the page after writing it in one step.

    Args:
        rows: what the page shows.
        target: the HTML file; its folder is made where it is missing.
        damage: places of lines that could not be read, which the page counts.
        cells: how many cells there are, where `rows` are only those that lead.
        records: how many records there are, where `rows` are not from all of them.

    Raises:
        StoreError: the file cannot be written.
    """
    text = render_page(rows, damage, cells, records)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, text.encode())
    except OSError as error:
        raise StoreError(f"page {str(target)!r} cannot be written: {error}") from error
    return target


def render_page(
    rows: Sequence[Row],
    damage: Sequence[str] = (),
    cells: int | None = None,
    records: int | None = None,
) -> str:
    """Return the page as HTML text; see `write_page`."""
    data = page_data(rows, damage, cells, records)
    style, script = _asset("page.css"), _script()
    loader = FunctionLoader(_asset)
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("template.html.j2").render(
        data=data,
        style=Markup(style),
        style_hash=_hash(style),
        script=Markup(script),
        script_hash=_hash(script),
        payload=packed(data),
    )


def _script() -> str:
    body = "\n".join(_asset(f"{name}.js") for name in _SCRIPTS)
    return f'(async () => {{\n"use strict";\n{body}}})();'


def _asset(name: str) -> str:
    return (files("effmark.report") / "assets" / name).read_text(encoding="utf-8")


def _hash(text: str) -> Markup:
    """Return what the content security policy calls a text: only this style and script run."""
    return Markup(f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}")
