"""Names from outside as text that nothing can run: no terminal codes, no markup, no formulas."""

from __future__ import annotations

import re
import unicodedata

__all__ = ["formula_free", "markdown_text", "plain"]

_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_MARKDOWN = "\\`*_{}[]#|~!"
_LINKED = re.compile(r":(?=//)|(?<=www)\.", re.IGNORECASE)
_CALLED = re.compile(r"@(?=\w)")
_WORD_JOINER = "\u2060"
"""Has no width; what it parts is no name of anybody."""
_FORMULA = ("=", "+", "-", "@")


def plain(text: str, most: int = 200) -> str:
    """Return text on one line without control or direction characters, at most so long."""
    shown = "".join(" " if c.isspace() else c for c in text)
    kept = "".join("�" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in shown)
    return kept if len(kept) <= most else f"{kept[: most - 1]}…"


def markdown_text(text: str) -> str:
    """Return text in which every character that Markdown or HTML knows is only itself.

    Nor does it become a link or call anybody: GitHub links bare addresses and mentions by itself.
    """
    kept = (_ENTITIES.get(c, c) for c in plain(text))
    escaped = "".join(f"\\{c}" if c in _MARKDOWN else c for c in kept)
    return _LINKED.sub(lambda found: f"\\{found[0]}", _CALLED.sub(f"@{_WORD_JOINER}", escaped))


def formula_free(text: str) -> str:
    """Return text that no spreadsheet takes for a formula."""
    return f"'{text}" if text.startswith(_FORMULA) else text
