"""Bodies of older records to the present schema, one step per version.

`MIGRATIONS[n]` turns a body of version n into one of version n + 1; a body of version 0 goes
through all of them. They work on parsed JSON, so that they never depend on today's classes, and
files are never rewritten. Each version has golden files under `tests/golden`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from effmark.record import SCHEMA_VERSION
from effmark.store.damage import Unreadable

__all__ = ["MIGRATIONS", "upgrade"]

Body = dict[str, Any]


def _from_0(body: Body) -> Body:
    """Return version 1 of a record of a build before 0.1.0, which did not keep its settings."""
    notes = {**body.get("notes", {}), "migrated": "from schema version 0, settings not recorded"}
    return {**body, "notes": notes}


def _from_1(body: Body) -> Body:
    """Return version 2: there were no proofs, and 0 shots stood for as many as the task has."""
    notes = {"migrated": "from schema version 1, nothing was proven", **body.get("notes", {})}
    workload = dict(body["cell"]["workload"])
    if workload.get("kind") == "tasks" and not workload.get("fewshot"):
        workload["fewshot"] = None
    return {**body, "notes": notes, "cell": {**body["cell"], "workload": workload}}


MIGRATIONS: dict[int, Callable[[Body], Body]] = {0: _from_0, 1: _from_1}
"""For every version before the present one, how to come to the next."""


def upgrade(body: Body) -> Body | Unreadable:
    """Return a body of the present version, or why there is none."""
    version = body.get("schema_version", 0)
    if not isinstance(version, int) or isinstance(version, bool) or version < 0:
        return Unreadable("invalid", f"schema version {version!r}, wants a whole number")
    if version > SCHEMA_VERSION:
        what = f"schema version {version!r}, this effmark reads {SCHEMA_VERSION}; update effmark"
        return Unreadable("newer", what)
    while version < SCHEMA_VERSION:
        body = MIGRATIONS[version](body)
        version += 1
        body["schema_version"] = version
    return body
