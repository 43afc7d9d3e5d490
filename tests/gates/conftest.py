from __future__ import annotations

from effmark.pytest_plugin import effmark  # the plugin's, not the command of tests/conftest.py

__all__ = ["effmark"]
