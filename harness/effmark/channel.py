"""The wire between a runner and its worker: JSON messages over an inherited pipe.

Not stdout: frameworks print there. A receiver blocks in the kernel and never spins.
"""

from __future__ import annotations

import json
from multiprocessing.connection import Connection
from typing import Any

__all__ = ["Channel"]


class Channel:
    """One end of the wire."""

    def __init__(self, connection: Connection[Any, Any]) -> None:
        self.connection = connection

    def send(self, op: str, **body: Any) -> None:
        """Send a message; `op` says what it is about."""
        self.connection.send_bytes(json.dumps({"op": op, **body}, allow_nan=False).encode())

    def receive(self) -> dict[str, Any]:
        """Return the next message; block until it comes.

        Raises:
            EOFError: the other end is gone.
        """
        message: dict[str, Any] = json.loads(self.connection.recv_bytes())
        return message

    def close(self) -> None:
        """Close this end."""
        self.connection.close()
