"""The frozen base of everything that is written to or read from a file."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

__all__ = ["Frozen", "canonical_json", "content_hash", "first_fault"]


class Frozen(BaseModel):
    """A value: parsed once, never changed, no unknown keys, no NaN, no infinity."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        protected_namespaces=(),
    )


def canonical_json(value: Any) -> str:
    """Return JSON text that is the same for equal values: sorted keys, no blanks, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def content_hash(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON of a value, as 64 hexadecimal digits.

    Half a surrogate pair, which a model may write, has a hash as any other character has.
    """
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def first_fault(error: ValidationError) -> str:
    """Return the first thing that is wrong with a value, after its place, in one line."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else str(first["msg"])
