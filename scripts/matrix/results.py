"""Results of the matrix on disk: one entry a cell, with the code that it came from."""

from __future__ import annotations

import hashlib
import json
from importlib import metadata
from pathlib import Path
from typing import Any

from scripts.matrix.cells import Cell

__all__ = ["PACKAGES", "Results", "code_of"]

PACKAGES = (
    "torch",
    "transformers",
    "torchao",
    "onnxruntime",
    "openvino",
    "nncf",
    "xllamacpp",
    "gguf",
)


def code_of(root: Path) -> str:
    """Return a hash of everything that can change a result: adapters, the matrix, versions."""
    digest = hashlib.sha256()
    for folder in ("adapters/effmark_adapters", "scripts/matrix", "tests/models"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in (".py", ".yaml") and not path.name.startswith("test_"):
                digest.update(path.read_bytes())
    for package in PACKAGES:
        digest.update(f"{package} {metadata.version(package)}".encode())
    return digest.hexdigest()[:16]


class Results:
    """What is known of cells."""

    def __init__(self, path: Path, code: str) -> None:
        self._path = path
        self._code = code
        self.entries: dict[str, dict[str, Any]] = {}
        if path.is_file():
            self.entries = json.loads(path.read_text("utf-8"))["cells"]

    def __contains__(self, cell: Cell) -> bool:
        """Return whether a cell was tried by this code."""
        return self.entries.get(cell.key, {}).get("code") == self._code

    def is_bad(self, cell: Cell) -> bool:
        """Return whether a cell was wrong or crashed."""
        return self.entries.get(cell.key, {}).get("outcome") not in ("right", "refused")

    def add(self, cell: Cell, outcome: dict[str, Any]) -> None:
        """Keep the outcome of a cell."""
        self.entries[cell.key] = {**outcome, "code": self._code}

    def save(self) -> None:
        """Write everything, sorted, whole or not at all."""
        versions = {package: metadata.version(package) for package in PACKAGES}
        body = {"versions": versions, "cells": dict(sorted(self.entries.items()))}
        beside = self._path.with_suffix(".tmp")
        beside.write_text(json.dumps(body, indent=0) + "\n", "utf-8")
        beside.replace(self._path)
