"""Standard output and error as they may be: without our signs, full, closed, or nobody listening.

What is measured outlives what is printed: a write that is impossible is remembered and told at the
end, and costs nothing else. Text is written in the encoding of the terminal, signs that it lacks
are replaced; data (JSON, exports) goes out as bytes, in UTF-8 everywhere.
"""

from __future__ import annotations

import codecs
import errno
import io
import os
import select
import sys
from typing import TextIO

from effmark.errors import StoreError

__all__ = ["Terminal", "echo_data", "open_terminal"]

_SIGNS = {
    "±": "+-", "–": "-", "·": "-", "─": "-", "…": "...", "×": "x", "∞": "inf", "≥": ">=", "≤": "<=",
    "µ": "u", "μ": "u", "→": "->", "↑": "^", "↓": "v", "✓": "+", "✗": "X", "»": ">", "°": "o",
    "≈": "=", "¦": "|", "\u2060": "", "━": "-", "╸": "-", "╺": "-", "│": "|",
}  # fmt: skip
"""What our signs become where they cannot be written; of marks, each stays another one."""
_OUT, _ERR = 1, 2


def _replaced(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding lacks: the error handler of codecs."""
    assert isinstance(error, UnicodeEncodeError)
    missing = error.object[error.start : error.end]
    return "".join(_SIGNS.get(c, "?") for c in missing), error.end


codecs.register_error("effmark.signs", _replaced)


class _Raw(io.RawIOBase):
    """A descriptor that takes whatever is written, and keeps the first failure."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.failure: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return os.isatty(self._fd)

    def write(self, data: object) -> int:
        size = len(memoryview(data).cast("B"))  # type: ignore[arg-type]
        if self.failure is not None:
            return size
        try:
            return os.write(self._fd, data)  # type: ignore[arg-type]
        except BlockingIOError:
            select.select([], [self._fd], [])
            return 0
        except OSError as error:
            self.failure = error
            return size


class _Text(io.TextIOWrapper):
    """Text in an encoding, with signs replaced that it lacks.

    To those who ask it is never ASCII: click would write UTF-8 instead. ASCII is a part of it.
    """

    def __init__(self, raw: _Raw, encoding: str) -> None:
        self._target = codecs.lookup(encoding).name
        shown = "utf-8" if self._target == "ascii" else self._target
        super().__init__(
            io.BufferedWriter(raw), shown, "effmark.signs", line_buffering=raw.isatty()
        )

    def write(self, text: str) -> int:
        if self._target == "ascii":
            super().write(text.encode("ascii", "effmark.signs").decode("ascii"))
        else:
            super().write(text)
        return len(text)


class Terminal:
    """Both streams of this process."""

    def __init__(self) -> None:
        _open_what_is_closed()
        self._out, self._err = _Raw(_OUT), _Raw(_ERR)
        sys.stdout = _Text(self._out, _encoding(sys.stdout))
        sys.stderr = _Text(self._err, _encoding(sys.stderr))
        sys.stderr.reconfigure(line_buffering=True)

    def exit_code(self, code: int) -> int:
        """Return how to end: as the command ended, unless what it printed is lost.

        A reader who has read enough and went (`| head`) has lost nothing.
        """
        sys.stdout.flush()
        lost = self._out.failure
        if lost is not None and lost.errno != errno.EPIPE:
            sys.stderr.write(f"effmark: standard output cannot be written: {lost.strerror}\n")
            code = code or StoreError.exit_code
        sys.stderr.flush()
        return code


def open_terminal() -> Terminal | None:
    """Put streams that cannot fail in the place of those of this process, where it has its own."""
    for stream, fd in ((sys.stdout, _OUT), (sys.stderr, _ERR)):
        try:
            if stream is not None and stream.fileno() != fd:
                return None
        except (OSError, ValueError):
            return None
    return Terminal()


def echo_data(text: str) -> None:
    """Write data to standard output: UTF-8 in any terminal, nothing replaced."""
    sys.stdout.flush()
    target = getattr(sys.stdout, "buffer", None)
    if target is None:
        sys.stdout.write(text)
        return
    target.write(text.encode())
    target.flush()


def _open_what_is_closed() -> None:
    """Give closed streams to nobody, so that no file of ours gets their numbers."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


def _encoding(stream: TextIO | None) -> str:
    return getattr(stream, "encoding", None) or "utf-8"
