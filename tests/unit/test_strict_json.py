"""JSON that people hand in: nothing in it is decided by chance."""

from __future__ import annotations

import math

import pytest

from effmark.errors import SpecError
from effmark.strict_json import decoded_text, parse_json


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('{"passed": true, "passed": false}', "passed"),
        ('{"a": [{"usd": 1, "b": 2, "usd": 1}]}', "usd"),  # equal values, too
        ('{"": 1, "": 2}', ""),
    ],
)
def test_a_key_that_stands_twice_is_refused_by_name(text: str, key: str) -> None:
    with pytest.raises(SpecError, match=f"^scores.json: key '{key}' stands twice in one object$"):
        parse_json(text, "scores.json")


def test_equal_keys_of_different_objects_are_no_doubles() -> None:
    assert parse_json('[{"a": 1}, {"a": {"a": 2}}]', "x") == [{"a": 1}, {"a": {"a": 2}}]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks_are_read(encoding: str) -> None:
    assert parse_json('{"é": 1}'.encode(encoding), "x") == {"é": 1}


def test_bytes_of_no_known_encoding_are_named_with_their_place() -> None:
    with pytest.raises(SpecError, match=r"^x: not UTF-8: byte 0xff at 2$"):
        decoded_text(b"ab\xff", "x")
    with pytest.raises(SpecError, match=r"^x: not UTF-16: byte 0x61 at 2$"):
        decoded_text(b"\xff\xfea", "x")


def test_nan_is_passed_on_to_whoever_reads_the_field() -> None:
    assert math.isnan(parse_json('{"a": NaN}', "x")["a"])


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a": ' + "9" * 5000 + "}", "\x00"])
def test_what_is_no_json_is_one_sentence(text: str) -> None:
    with pytest.raises(SpecError, match=r"^x: not JSON"):
        parse_json(text, "x")
