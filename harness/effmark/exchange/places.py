"""Folders of the person who made a report: they are nobody's business on a board.

A path shows a user's name, a customer or a project. What comes in keeps the last part only.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

__all__ = ["last_part", "model_name", "told_apart", "without_folders"]

_PART = r"[^\\/:*?\"<>|\r\n\[\]]+"
_FOLDERS = re.compile(
    r"(?:file:(?://)?|(?<![\w.~/\\-]))"
    rf"(?:[A-Za-z]:[\\/]+|\\\\|/|~\w*[\\/]|(?:\.\.?[\\/]+)+)(?:{_PART}[\\/]+)+"
)
"""An absolute path of Unix or Windows, or one from the home folder or the folder above, up to its
last part; a test's `tests/test_x.py` and a hub's `org/name` stay."""
_HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w.-]+)?")


def last_part(path: str) -> str:
    """Return the last part of a path of any system."""
    return re.split(r"[\\/]+", path.rstrip("\\/"))[-1] or path


def told_apart(text: str) -> str:
    """Return text without folders; what they tell apart stays apart by a hash of them."""
    short = without_folders(text)
    return text if short == text else f"{short} #{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def model_name(text: str) -> str:
    """Return what a model is called: its name on a hub, or the last part of its path."""
    return text if _HUB_NAME.fullmatch(text) else last_part(text)


def without_folders(value: Any) -> Any:
    """Return text, or all texts of a JSON value, with no folder of a path in it."""
    if isinstance(value, str):
        return _FOLDERS.sub("", value)
    if isinstance(value, dict):
        return {without_folders(k): without_folders(v) for k, v in value.items()}
    return [without_folders(v) for v in value] if isinstance(value, list) else value
