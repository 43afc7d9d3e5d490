"""A meter that speaks TCP: a line `seconds,watts` each 20 ms, on a clock of its own.

`python meter_server.py WATTS CLOCK_OFFSET_S [gap START LENGTH] [drop AT] [mute]` prints its port.
Answers `ping` with `pong SECONDS` unless mute; falls silent for a gap; hangs up at `drop`.
"""

from __future__ import annotations

import select
import socket
import sys
import time


def main() -> None:
    watts, offset = float(sys.argv[1]), float(sys.argv[2])
    words = sys.argv[3:]
    gap = [float(w) for w in words[words.index("gap") + 1 :][:2]] if "gap" in words else [1e9, 0.0]
    drop = float(words[words.index("drop") + 1]) if "drop" in words else 1e9
    server = socket.create_server(("127.0.0.1", 0))
    print(server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    connected = time.monotonic()
    while time.monotonic() < connected + drop:
        if select.select([connection], [], [], 0.02)[0]:
            got = connection.recv(4096)
            if not got:
                return
            if b"ping" in got and "mute" not in words:
                connection.sendall(f"pong {time.monotonic() + offset:.6f}\n".encode())
        since = time.monotonic() - connected
        if not gap[0] <= since < gap[0] + gap[1]:
            connection.sendall(f"{time.monotonic() + offset:.6f},{watts}\n".encode())


if __name__ == "__main__":
    main()
