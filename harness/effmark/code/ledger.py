"""The ledger: one line per call of a model, with what it used; nothing unknown becomes 0.

Records of effmark hold the ledger of what their model wrote: a journal of them, or a folder of
journals, is a ledger, too. Its models are then called by runtime and precision as well.

A line is a JSON object: `model`, `task_id`, and `sample` (attempt, from 0) say whose call it was;
all calls of one attempt are added up. `prompt_tokens` (of which `cached_tokens`), and
`completion_tokens` (reasoning included), `wall_s`, `energy_j`, `work_flop` say what it used;
`usd`, or `usd_per_prompt_token`, `usd_per_completion_token` and `usd_per_cached_token`, what it
cost; `score` in [0, 1], or `passed`, on any line of an attempt, what came of it. Unknown
keys are ignored.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from effmark.errors import SpecError
from effmark.metrics import LARGEST
from effmark.record import Record
from effmark.regular_files import given_bytes
from effmark.store import Damage, latest, read_records
from effmark.strict_json import parse_json, text_lines

__all__ = ["Attempt", "Call", "Key", "attempts_of", "read_attempts", "read_scores"]

Key = tuple[str, str, int]
"""Model, problem, attempt."""

_ALIASES = {"problem": "task_id", "attempt": "sample", "seconds": "wall_s", "joules": "energy_j",
            "flop": "work_flop", "flops": "work_flop"}  # fmt: skip
_COUNTS = ("prompt_tokens", "cached_tokens", "completion_tokens")
_AMOUNTS = ("wall_s", "energy_j", "work_flop", "usd", "usd_per_prompt_token",
            "usd_per_completion_token", "usd_per_cached_token")  # fmt: skip


_RECORD = '{"schema_version":'
"""How the line of a record begins."""


@dataclass(frozen=True)
class Call:
    """One call; an amount that the line does not give is not in `amounts`."""

    where: str
    """File and line, for messages."""
    model: str
    amounts: Mapping[str, float]
    energy_source: str = "ledger"
    """Where the joules come from, as a reading of energy says it."""


@dataclass
class Attempt:
    """One try at a problem: its calls and its score."""

    model: str
    problem: str
    number: int
    calls: list[Call] = field(default_factory=list)
    score: float | None = None


def read_attempts(path: Path, scores: Mapping[tuple[str, int], float]) -> list[Attempt]:
    """Return the attempts of a ledger; `scores` by problem and attempt fill in missing ones.

    Raises:
        SpecError: a line is not a call, a number is impossible, an attempt has no score.
    """
    attempts = _added_up(_folder_lines(path) if path.is_dir() else _lines(path))
    if not attempts:
        raise SpecError(f"ledger {str(path)!r}: no calls; give one JSON object a line")
    for attempt in attempts:
        if attempt.score is None:
            attempt.score = scores.get((attempt.problem, attempt.number))
        if attempt.score is None:
            raise SpecError(
                f"{attempt.calls[0].where}: no 'score' or 'passed' for {attempt.problem!r} attempt "
                f"{attempt.number}; give it, or --scores with the JSON of `effmark score code`"
            )
    return attempts


def attempts_of(lines: Iterable[Mapping[str, Any]], where: str) -> list[Attempt]:
    """Return the attempts of the decoded lines of a ledger.

    Raises:
        SpecError: a line is not a call, or a number is impossible.
    """
    return _added_up(_entry(line, f"{where}:{i}") for i, line in enumerate(lines, start=1))


_Line = tuple[Call, Key, float | None]


def _added_up(lines: Iterable[_Line]) -> list[Attempt]:
    attempts: dict[Key, Attempt] = {}
    for call, key, score in lines:
        attempt = attempts.setdefault(key, Attempt(*key))
        attempt.calls.append(call)
        if score is not None and attempt.score not in (None, score):
            raise SpecError(f"{call.where}: score {score!r}, an earlier line has {attempt.score!r}")
        attempt.score = attempt.score if score is None else score
    return list(attempts.values())


def _lines(path: Path) -> Iterator[_Line]:
    lines = text_lines(given_bytes(path, "ledger"), str(path))
    begun = list(itertools.islice(lines, 1))
    if begun and begun[0][1].startswith(_RECORD):
        yield from _folder_lines(path)
        return
    for number, row in itertools.chain(begun, lines):
        yield _call(row, f"{path}:{number}")


def _folder_lines(path: Path) -> Iterator[_Line]:
    """Yield the calls in the records of a journal or of a folder of journals."""
    damage = Damage()
    current = latest(read_records(path, damage))
    if damage.places:
        raise SpecError(f"ledger {damage.places[0]}: a damaged record; remove the line")
    records = [record for record in current.values() if record.notes.get("ledger")]
    if not records:
        raise SpecError(f"ledger {str(path)!r}: no record of generated solutions in it")
    several = len({record.cell.workload.label for record in records}) > 1
    for record in records:
        model = _who(record, several=several)
        for number, row in enumerate(record.notes["ledger"].split("\n"), start=1):
            entry = {**_decoded(row, record.id), "model": model}
            yield _entry(entry, f"record {record.id[:8]}:{number}")


def _who(record: Record, *, several: bool) -> str:
    cell = record.cell
    name = f"{cell.model.name} {cell.adapter} {cell.precision}"
    return f"{name} {cell.workload.label}" if several else name


def _call(raw: str, where: str) -> _Line:
    return _entry(_decoded(raw, where), where)


def _decoded(raw: str, where: str) -> dict[str, Any]:
    entry = parse_json(raw, where)
    if not isinstance(entry, dict):
        raise SpecError(f"{where}: not an object, got {type(entry).__name__}")
    return entry


def _entry(entry: Mapping[str, Any], where: str) -> _Line:
    for alias, name in _ALIASES.items():
        if alias in entry and name in entry:
            raise SpecError(f"{where}: both {alias!r} and {name!r}, which mean the same")
    entry = {_ALIASES.get(name, name): value for name, value in entry.items()}
    model, problem, sample = entry.get("model"), entry.get("task_id"), entry.get("sample", 0)
    for name, value in (("model", model), ("task_id", problem)):
        if not isinstance(value, str):
            raise SpecError(f"{where}: {name} must be text, got {value!r}")
    if type(sample) is not int or sample < 0:
        raise SpecError(f"{where}: sample must be a whole number from 0, got {sample!r}")
    amounts = {
        name: _number(entry[name], f"{where}: {name}")
        for name in (*_COUNTS, *_AMOUNTS)
        if entry.get(name) is not None
    }
    if amounts.get("cached_tokens", 0) > amounts.get("prompt_tokens", 0):
        raise SpecError(f"{where}: cached_tokens must be part of prompt_tokens")
    source = str(entry.get("energy_source", "ledger"))
    return (
        Call(where, str(model), amounts, source),
        (str(model), str(problem), sample),
        _score(entry, where),
    )


def _number(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SpecError(f"{what} must be a number, got {value!r}")
    if not 0 <= value <= LARGEST:
        hint = "; an unknown price is left out, never -1 or 0" if "usd" in what else ""
        wanted = f"at most {LARGEST:g}" if LARGEST < value < math.inf else "finite and at least 0"
        raise SpecError(f"{what} must be {wanted}, got {value!r:.80}{hint}")
    return float(value)


def _score(entry: Mapping[str, Any], where: str) -> float | None:
    name = "passed" if entry.get("score") is None else "score"
    value = entry.get(name)
    if value is None:
        return None
    score = float(value) if isinstance(value, bool) else _number(value, f"{where}: {name}")
    if score > 1:
        raise SpecError(f"{where}: {name} must be in [0, 1], got {value!r}")
    return score


def read_scores(path: Path) -> dict[tuple[str, int], float]:
    """Return 1 or 0 by problem and sample, from the JSON of `effmark score code`.

    Raises:
        SpecError: the file is not that; the sample and what is wrong with it are named.
    """
    what = f"scores {str(path)!r}"
    body = parse_json(given_bytes(path, "scores"), what)
    samples = body.get("samples") if isinstance(body, dict) else None
    if not isinstance(samples, list):
        raise SpecError(f"{what}: not the JSON of `effmark score code`: no list 'samples'")
    found: dict[tuple[str, int], float] = {}
    for number, sample in enumerate(samples):
        scored = _scored(sample, f"{what}: samples.{number}")
        if scored is None:
            continue
        key, passed = scored
        if found.setdefault(key, passed) != passed:
            raise SpecError(f"{what}: samples.{number}: {key[0]!r} sample {key[1]} stands twice, "
                            "once passed and once not")  # fmt: skip
    return found


def _scored(sample: Any, where: str) -> tuple[tuple[str, int], float] | None:
    """Return problem and number of a sample with 1 or 0; None for one that was lost."""
    if not isinstance(sample, dict):
        raise SpecError(f"{where}: not an object, got {type(sample).__name__}")
    wanted = (("task_id", str, "text"), ("sample", int, "a whole number from 0"),
              ("passed", bool, "true or false"), ("verdict", str, "text"))  # fmt: skip
    for name, kind, words in wanted:
        value = sample.get(name)
        if type(value) is not kind or (isinstance(value, int) and value < 0):
            raise SpecError(f"{where}: {name} must be {words}, got {value!r:.80}")
    if sample["verdict"] == "lost":
        return None
    if sample["passed"] != (sample["verdict"] == "passed"):
        raise SpecError(f"{where}: passed is {sample['passed']!r}, but its verdict is "
                        f"{sample['verdict']!r}")  # fmt: skip
    return (sample["task_id"], sample["sample"]), float(sample["passed"])
