"""YAML that people hand in: what is surprising in it is refused with its line, nothing is guessed.

Refused are keys that stand twice, dates (YAML makes a calendar day of `2026-11-20`), numbers that
are none or that no machine holds, nesting that is deeper than any file of ours, and aliases that
stand for more values than anybody writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from effmark.errors import SpecError

__all__ = ["StrictLoader", "YamlText", "parse_yaml"]

_DEEPEST = 20
"""Levels of nesting; more is an anchor that contains itself, or no file of ours."""
_MOST_VALUES = 20_000
"""Values with those of aliases counted wherever they stand."""
_MOST_DIGITS = 18
"""Of a whole number: what 64 bits hold."""

At = tuple[str | int, ...]


@dataclass(frozen=True)
class YamlText:
    """A document and where its parts stand."""

    data: Any
    lines: dict[At, int] = field(default_factory=dict)
    """Line of every key and list entry, by its path."""


class StrictLoader(yaml.SafeLoader):
    """Makes values of YAML; what it refuses is a `MarkedYAMLError` at its place."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node; the recursion of the parser ends before Python's does."""
        self._depth += 1
        if self._depth > _DEEPEST:
            event: yaml.Event = self.peek_event()  # type: ignore[no-untyped-call]
            raise _fault("nested too deeply", event)
        found: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return found


def parse_yaml(text: str, where: str, loader: type[StrictLoader] = StrictLoader) -> YamlText:
    """Return the values of a YAML document.

    Args:
        text: one document.
        where: what messages begin with, before the number of the line.
        loader: with further tags.

    Raises:
        SpecError: one line with place, line number and what is wrong.
    """
    lines: dict[At, int] = {}
    reader = None
    try:
        reader = loader(text)  # the text is looked at for characters that YAML does not know
        node = reader.get_single_node()
        if node is None:
            return YamlText(None)
        for count, at in enumerate(_walk(node, (), lines)):
            if count > _MOST_VALUES:
                what = f"more than {_MOST_VALUES} values, those of aliases included"
                raise SpecError(f"{where}:{lines[at[:1]]}: {what}")
        return YamlText(reader.construct_document(node), lines)
    except yaml.YAMLError as error:
        raise SpecError(f"{where}:{_line(error, text)}: {_problem(error)}") from error
    finally:
        if reader is not None:
            reader.dispose()


def _fault(problem: str, at: Any) -> yaml.MarkedYAMLError:
    return _Refused(problem=problem, problem_mark=at.start_mark)


class _Refused(yaml.MarkedYAMLError):
    """YAML that is right, and that we do not take."""


def _line(error: yaml.YAMLError, text: str) -> int:
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return int(mark.line) + 1
    position = getattr(error, "position", 0)  # of a character that YAML does not know
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else 1


def _problem(error: yaml.YAMLError) -> str:
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error)
    first = next(iter(said.splitlines()), "")
    return first if isinstance(error, _Refused) else f"not YAML: {first}"


def _walk(node: yaml.Node, at: At, lines: dict[At, int]) -> Iterator[At]:
    """Note on which line every key and list entry stands; yields the path of each value."""
    if len(at) > _DEEPEST:
        raise _fault("nested too deeply; is it its own anchor?", node)
    lines.setdefault(at, node.start_mark.line + 1)
    yield at
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _fault("a key must be a word, not a list or a mapping", key)
            if (*at, key.value) in lines:
                raise _fault(f"key {key.value!r:.80} stands twice", key)
            lines[(*at, key.value)] = key.start_mark.line + 1
            yield from _walk(value, (*at, key.value), lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*at, index), lines)


def _whole(loader: StrictLoader, node: yaml.ScalarNode) -> int:
    digits = sum(c.isdigit() for c in str(loader.construct_scalar(node)))
    if digits > _MOST_DIGITS:
        raise _fault(f"a whole number of {digits} digits, wants at most {_MOST_DIGITS}", node)
    try:
        value = int(loader.construct_yaml_int(node))
    except (ValueError, IndexError) as error:
        raise _fault(f"{node.value!r:.80} is no whole number", node) from error
    if abs(value) >= 10**_MOST_DIGITS:  # letters of a hexadecimal are no digits; base 60 has colons
        raise _fault(f"{node.value!r:.80} has more than {_MOST_DIGITS} digits", node)
    return value


def _real(loader: StrictLoader, node: yaml.ScalarNode) -> float:
    try:
        return float(loader.construct_yaml_float(node))
    except (ValueError, IndexError, OverflowError) as error:
        raise _fault(f"{node.value!r:.80} is no number", node) from error


def _truth(loader: StrictLoader, node: yaml.ScalarNode) -> bool:
    try:
        return bool(loader.construct_yaml_bool(node))
    except KeyError as error:
        raise _fault(f"{node.value!r:.80} is neither true nor false", node) from error


def _date(loader: StrictLoader, node: yaml.ScalarNode) -> Any:
    raise _fault(f"{node.value!r:.80} is a date to YAML; write it in quotes to mean text", node)


def _bytes(loader: StrictLoader, node: yaml.ScalarNode) -> Any:
    raise _fault("!!binary is not taken; write text", node)


for _tag, _constructor in (("int", _whole), ("float", _real), ("bool", _truth),
                           ("timestamp", _date), ("binary", _bytes)):  # fmt: skip
    StrictLoader.add_constructor(f"tag:yaml.org,2002:{_tag}", _constructor)
