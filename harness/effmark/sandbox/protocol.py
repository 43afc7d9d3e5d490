"""What goes over the socket between the harness and a worker.

To the worker: frames, a length (32 bits, big-endian) and that many bytes of JSON. A job is a frame
with its limits, followed by its body: raw bytes that only the job's own process reads, so that no
job's data ever lies in the memory from which the next job is forked.

From the worker: chunks, one byte of kind, a length and that many bytes. Output and values are
moved from the job's pipes to the socket by the kernel; the worker does not see them either.

In the value channel of a job: records, one byte of kind, a length and that many bytes.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from typing import Any

__all__ = [
    "END",
    "FAILURE",
    "HELLO",
    "LAST_WORD",
    "OUTPUT",
    "VALUE",
    "VALUES",
    "Splitter",
    "chunk",
    "chunk_head",
    "frame",
    "read_exactly",
    "read_frame",
    "records",
]

HELLO, OUTPUT, VALUES, END, FAILURE = b"H", b"O", b"V", b"E", b"F"
"""Kinds of chunks."""
VALUE, LAST_WORD = b"v", b"e"
"""Kinds of records in the value channel."""

_HEAD = struct.Struct(">cI")


def frame(message: dict[str, Any]) -> bytes:
    """Return `message` as a frame."""
    body = json.dumps(message).encode()
    return struct.pack(">I", len(body)) + body


def chunk_head(kind: bytes, length_b: int) -> bytes:
    """Return what precedes the payload of a chunk."""
    return _HEAD.pack(kind, length_b)


def chunk(kind: bytes, payload: bytes) -> bytes:
    """Return a chunk (or record) of `kind`."""
    return _HEAD.pack(kind, len(payload)) + payload


def read_exactly(fd: int, length_b: int) -> bytes:
    """Return `length_b` bytes from `fd`; raise EOFError if it ends before."""
    parts = []
    while length_b > 0:
        part = os.read(fd, min(length_b, 1 << 20))
        if not part:
            raise EOFError("the other side has gone")
        parts.append(part)
        length_b -= len(part)
    return b"".join(parts)


def read_frame(fd: int) -> dict[str, Any]:
    """Return the next frame from `fd`; raise EOFError if there is none."""
    (length_b,) = struct.unpack(">I", read_exactly(fd, 4))
    message: dict[str, Any] = json.loads(read_exactly(fd, length_b))
    return message


class Splitter:
    """Bytes as they arrive, chunks as they become complete."""

    def __init__(self) -> None:
        self._pending = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the kind and the payload of every chunk that `data` completes."""
        self._pending += data
        while len(self._pending) >= _HEAD.size:
            kind, length_b = _HEAD.unpack_from(self._pending)
            end = _HEAD.size + length_b
            if len(self._pending) < end:
                return
            payload = bytes(self._pending[_HEAD.size : end])
            del self._pending[:end]
            yield kind, payload


def records(stream: bytes) -> list[tuple[bytes, bytes]]:
    """Return the complete records of a value channel; a torn tail is left out."""
    return list(Splitter().feed(stream))
