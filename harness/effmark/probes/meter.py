"""An external meter: lines `seconds,watts` from a TCP socket, a serial line or a growing CSV file.

`EFFMARK_METER` says where: `tcp://HOST:PORT`, `serial:///dev/ttyUSB0?baud=115200`, `csv:///PATH`.
`EFFMARK_METER_ERR` is the meter's class (0.01 unless told). What it sees is the wall: everything,
power supply and fans included.

The meter has its own clock. A TCP meter that answers `ping` with `pong SECONDS` is asked several
times and the fastest round trip gives the offset, wrong by at most half of it. One that only talks
gives the offset by the line that arrived soonest after its time stamp. A CSV holds Unix time of
this host. A meter that falls silent is Missing, never a flat line.
"""

from __future__ import annotations

import codecs
import math
import os
import select
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Protocol
from urllib.parse import parse_qs, urlparse

from effmark.probes.contract import Instrument, Target, absent
from effmark.probes.power_trace import PowerTrace
from effmark.probes.readings import Found, Sensor, power_readings
from effmark.probes.traces import condensed
from effmark.record import EnergyReading, Missing, Trace
from effmark.regular_files import open_regular
from effmark.strict_json import encoding_of

__all__ = ["ExternalMeter"]

_PINGS = 5
_PING_S = 0.3
_CONNECT_S = 2.0
_SPACING_S = 0.05
_LAST_S = 1.0
"""How long to wait for the sample after the end of a window."""
_MARK_B = 4
"""Of the longest byte-order mark."""
_GAP_S = 2.5
"""Longest silence that is still a meter; common meters speak once a second."""


class _Source(Protocol):
    """Where lines come from."""

    def lines(self, wait_s: float) -> list[str]:
        """Return whole lines that have come, waiting at most so long."""

    def close(self) -> None:
        """Hang up."""


class _Stream:
    """Lines of a byte stream that can be waited for."""

    def __init__(self, file: socket.socket | int) -> None:
        self._file, self._rest, self.ended = file, b"", False

    def lines(self, wait_s: float) -> list[str]:
        if self.ended or not select.select([self._file], [], [], wait_s)[0]:
            return []
        try:
            got = os.read(self._file if isinstance(self._file, int) else self._file.fileno(), 65536)
        except OSError:
            got = b""
        self.ended = not got
        *whole, self._rest = (self._rest + got).split(b"\n")
        return [line.decode(errors="replace").strip() for line in whole]

    def close(self) -> None:
        if isinstance(self._file, int):
            os.close(self._file)
        else:
            self._file.close()


class _Csv:
    """New lines of a file that a logger writes."""

    def __init__(self, path: Path) -> None:
        self._file, self._rest = os.fdopen(open_regular(path), "rb"), ""
        mark, encoding = encoding_of(self._file.read(_MARK_B))
        self._file.seek(len(mark))
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")

    def lines(self, wait_s: float) -> list[str]:
        raw = self._file.read()
        if not raw and wait_s > 0:
            time.sleep(min(wait_s, _SPACING_S))
            raw = self._file.read()
        *whole, self._rest = (self._rest + self._decoder.decode(raw)).split("\n")
        return whole

    def close(self) -> None:
        self._file.close()


def _parsed(line: str) -> tuple[float, float] | None:
    """Return seconds and watts of a line; None for a header, a comment, half a line."""
    separator = next((s for s in (";", "\t") if s in line), ",")
    fields = [part.strip(' "\r') for part in line.split(separator)]
    parts = fields[:2]
    if separator == "," and len(fields) > len(parts) and "." not in "".join(parts):
        return None  # 7,5,50,5: which comma is a decimal one?
    if separator != ",":
        if any("," in part for part in parts) and any("." in part for part in parts):
            return None  # which of them is the decimal sign?
        parts = [part.replace(",", ".") for part in parts]
    try:
        stamp, watts = (float(part) for part in parts)
    except ValueError:
        return None
    known = math.isfinite(stamp) and math.isfinite(watts) and watts >= 0
    return (stamp, watts) if known else None


class ExternalMeter:
    """Watts at the wall, with the meter's own time stamps."""

    name: ClassVar[str] = "meter"
    measures: ClassVar[bool] = True

    def __init__(self, address: str | None = None, err_rel: float | None = None) -> None:
        self._address = os.environ.get("EFFMARK_METER", "") if address is None else address
        self._err = (
            float(os.environ.get("EFFMARK_METER_ERR", "0.01")) if err_rel is None else err_rel
        )
        self._source: _Source | None = None
        self._offset_s: float | None = None
        self._offset_err_s = 0.0
        self._asked = False
        self._power = PowerTrace()
        self._unreadable = ""
        """The first line of the window that is no sample."""
        self._unreadable_count = 0
        self._window = (0.0, 0.0)

    def open(self, target: Target) -> tuple[Instrument, ...] | Missing:
        """Return the meter, if an address was given and somebody answers."""
        if not self._address:
            return absent(
                "not_present",
                "no meter; set EFFMARK_METER=tcp://HOST:PORT, serial:///dev/ttyUSB0 or csv:///FILE",
            )
        try:
            self._connect()
        except ImportError:
            return absent("not_present", "a serial meter needs pyserial; pip install pyserial")
        except (OSError, ValueError) as error:
            return absent("failed", f"{self._address}: {type(error).__name__}: {error}")
        offset = "unknown" if self._offset_s is None else f"{self._offset_s:.4f} s"
        detail = f"{self._address}, clock offset {offset} ± {self._offset_err_s:.4f} s"
        return (
            Instrument(
                probe=self.name, device_id=self._address, source="external_meter", scope="wall",
                err_sys_rel=self._err, detail=detail,
            ),
        )  # fmt: skip

    def _connect(self) -> None:
        parts = urlparse(self._address)
        if parts.scheme == "tcp":
            connection = socket.create_connection(
                (parts.hostname or "", parts.port or 0), _CONNECT_S
            )
            self._source = _Stream(connection)
            self._ask(connection.sendall)
        elif parts.scheme == "serial":
            import serial

            baud = int(parse_qs(parts.query).get("baud", ["115200"])[0])
            port = serial.Serial(parts.path, baud, timeout=0)
            self._source = _Stream(os.dup(port.fileno()))
            self._ask(port.write)
        elif parts.scheme == "csv":
            self._source = _Csv(Path(parts.path))
            self._source.lines(0)  # what was logged before is not ours
            self._offset_s = time.monotonic() - time.time()
            self._asked = True
        else:
            raise ValueError("the scheme must be tcp, serial or csv")

    def _ask(self, send: Callable[[bytes], object]) -> None:
        """Find the clock offset by round trips; the fastest one is the best."""
        assert self._source is not None
        best_s = math.inf
        for _ in range(_PINGS):
            before = time.monotonic()
            send(b"ping\n")
            while (left := before + _PING_S - time.monotonic()) > 0:
                pongs = [line for line in self._source.lines(left) if line.startswith("pong ")]
                after = time.monotonic()
                if pongs and after - before < best_s:
                    best_s = after - before
                    self._offset_s = (before + after) / 2 - float(pongs[-1].split()[1])
                    self._offset_err_s = best_s / 2
                    self._asked = True
                if pongs:
                    break
            if not self._asked:
                return  # it only talks

    def start(self) -> None:
        """Forget earlier samples, those that are waiting to be read too."""
        self._take(0.0)
        self._power.clear()
        self._unreadable, self._unreadable_count = "", 0

    def poll(self) -> float:
        """Read what has come."""
        self._take(0.0)
        return time.monotonic() + _SPACING_S

    def _take(self, wait_s: float) -> None:
        assert self._source is not None
        for line in self._source.lines(wait_s):
            self._sample(line, time.monotonic())

    def _sample(self, line: str, arrived_s: float) -> None:
        found = _parsed(line)
        if found is None:
            if line.strip():
                self._unreadable_count += 1
                self._unreadable = self._unreadable or line.strip()
            return
        stamp, watts = found
        if not self._asked:
            offset = arrived_s - stamp
            self._offset_s = offset if self._offset_s is None else min(self._offset_s, offset)
        self._power.add(stamp + (self._offset_s or 0.0), watts)

    def stop(self, start_s: float, end_s: float) -> Found:
        """Return the energy at the wall; waits a second for the sample after the end."""
        deadline = time.monotonic() + _LAST_S
        while time.monotonic() < deadline and not self._power.covers(start_s, end_s):
            span = self._power.span
            if span is not None and span[1] >= end_s:
                break
            self._take(_SPACING_S)
        self._window = (start_s, end_s)
        sensor = Sensor(self.name, self._address, "wall", self._err)
        found = power_readings(
            sensor, self._power, start_s, end_s, source="external_meter",
            refresh_s=self._offset_err_s, longest_gap_s=_GAP_S,
        )  # fmt: skip
        if len(self._power) < 2:
            return (absent("failed", f"meter: {self._address}{self._nothing()}"),)
        return tuple(self._told(f) if isinstance(f, EnergyReading) else f for f in found)

    def _nothing(self) -> str:
        """Return why there is no sample: no lines, or none that can be read."""
        if not self._unreadable_count:
            return " is silent"
        lines = f"{self._unreadable_count} unreadable lines"
        return f": {lines}, wants seconds,watts, got {self._unreadable!r:.80}"

    def _told(self, reading: EnergyReading) -> EnergyReading:
        return reading.model_copy(update={"update_period_s": None})

    def traces(self) -> tuple[Trace, ...]:
        """Return the power at the wall over time."""
        return condensed("power_w", f"meter {self._address}", self._power.samples, *self._window,
                         _SPACING_S)  # fmt: skip

    def close(self) -> None:
        """Hang up."""
        if self._source is not None:
            self._source.close()
            self._source = None
