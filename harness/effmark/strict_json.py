"""JSON that people hand in: read strictly, so that nothing in it is decided by chance.

A key that stands twice in one object is refused by name (plain parsers take the last). Byte-order
marks are read, UTF-16 with one included. NaN and infinity are passed on as numbers: whoever reads
the field refuses them by its name, and in a field that nobody reads they do no harm.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any

from effmark.errors import SpecError

__all__ = ["decoded_text", "encoding_of", "parse_json", "text_lines"]

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the other's
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def encoding_of(raw: bytes) -> tuple[bytes, str]:
    """Return the byte-order mark that bytes begin with, and its encoding: none, and UTF-8."""
    return next(((m, e) for m, e in _MARKS if raw.startswith(m)), (b"", "utf-8"))


def decoded_text(raw: bytes, where: str) -> str:
    """Return the text of a file's bytes: UTF-8, or what its byte-order mark says.

    Raises:
        SpecError: the bytes are no such text; the message begins with `where`.
    """
    mark, encoding = encoding_of(raw)
    try:
        return raw[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        at = len(mark) + error.start
        name = encoding.upper().removesuffix("-LE").removesuffix("-BE")
        raise SpecError(f"{where}: not {name}: byte {raw[at]:#04x} at {at}") from error


def text_lines(raw: bytes, where: str) -> Iterator[tuple[int, str]]:
    """Yield number and text of the lines of a file that are not blank.

    Raises:
        SpecError: a line is no text in the file's encoding; it is named as `where:number`.
    """
    mark, _ = encoding_of(raw)
    rows: Iterable[bytes | str] = decoded_text(raw, where).split("\n") if mark else raw.split(b"\n")
    for number, row in enumerate(rows, start=1):
        if not row.isspace() and row:
            place = f"{where}:{number}"
            yield number, row if isinstance(row, str) else _utf8(row, place)


def _utf8(raw: bytes, where: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        at = error.start
        raise SpecError(f"{where}: not UTF-8: byte {raw[at]:#04x} at {at}") from error


def parse_json(text: str | bytes, where: str) -> Any:
    """Return the value of a JSON text.

    Args:
        text: the JSON, as text or as the bytes of a file.
        where: the file or line that messages begin with.

    Raises:
        SpecError: not JSON, a key stands twice in an object, or the nesting is too deep.
    """
    whole = decoded_text(text, where) if isinstance(text, bytes) else text
    try:
        return json.loads(whole, object_pairs_hook=_unique)
    except _TwiceError as error:
        raise SpecError(f"{where}: key {error.args[0]!r} stands twice in one object") from None
    except ValueError as error:  # also a whole number of more digits than Python converts
        raise SpecError(f"{where}: not JSON: {error}") from error
    except RecursionError as error:
        raise SpecError(f"{where}: not JSON that can be read: nested too deep") from error


class _TwiceError(Exception):
    """A key that stands twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _TwiceError(key)
        found[key] = value
    return found
