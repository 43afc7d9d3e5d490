"""One line of a journal: compact JSON whose last key is the CRC-32 of every byte before it."""

from __future__ import annotations

import json
import zlib
from typing import Any

__all__ = ["decode", "encode", "seal", "unseal"]

_TAIL = len(b',"crc":"00000000"}\n')


def seal(text: bytes) -> bytes:
    """Return the line of a JSON object that is written as compact JSON."""
    return b'%s,"crc":"%08x"}\n' % (text[:-1], zlib.crc32(text))


def unseal(raw: bytes) -> bytes | None:
    """Return the JSON object of a line, or None for a torn or damaged one."""
    if raw[-_TAIL : -_TAIL + 8] != b',"crc":"' or raw[-3:] != b'"}\n':
        return None
    text = raw[:-_TAIL] + b"}"
    return text if raw[-11:-3] == b"%08x" % zlib.crc32(text) else None


def encode(body: dict[str, Any]) -> bytes:
    """Return one journal line; the crc covers every byte before it."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return seal(text.encode())


def decode(raw: bytes) -> dict[str, Any] | None:
    """Return the body of a line, or None for a torn or damaged one."""
    text = unseal(raw)
    if text is None:
        return None
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
