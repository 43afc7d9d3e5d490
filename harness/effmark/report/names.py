"""Names from outside as text that nothing can run: no terminal codes, no markup, no formulas."""

from __future__ import annotations

import unicodedata

__all__ = ["formula_free", "markdown_text", "plain"]

_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_MARKDOWN = "\\`*_{}[]#|~!"
_FORMULA = ("=", "+", "-", "@")


def plain(text: str, most: int = 200) -> str:
    """Return text on one line without control or direction characters, at most so long."""
    shown = "".join(" " if c.isspace() else c for c in text)
    kept = "".join("�" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in shown)
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"


def markdown_text(text: str) -> str:
    """Return text in which every character that Markdown or HTML knows is only itself."""
    kept = (_ENTITIES.get(c, c) for c in plain(text))
    return "".join(f"\\{c}" if c in _MARKDOWN else c for c in kept)


def formula_free(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
