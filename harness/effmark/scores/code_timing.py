"""Efficiency of one code sample: how close to the reference it runs, on ever harder inputs.

Level l has hardness h_l >= 0. Time of a case = Hodges-Lehmann estimator over its repeats; reference
of a level t*_l = slowest of its cases; limit T = alpha * max of t*_l over levels with h_l > 0, ONE
limit per problem. f_l = max(0, T - slowest case) / (T - t*_l), above 1 for faster than the
reference, 0 where h_l = 0. e = sum(h_l f_l) / sum(h_l) if the sample is correct, else 0.

A sample that takes longer than T + tolerance, runs out of memory or overflows is stopped: that and
all later levels score 0, but it has still passed, unless it was in the first level. A wrong answer,
an exception or an exit fails it. (So "passed" counts code that is too slow at later levels.)

Source: Qiu et al., ICLR 2025, arXiv 2406.06647; read in q-rz/enamel @ b97da79c779b. Their estimator
returns 0.0 for no times; here that is an error. References must be timed on the same machine as the
samples, right before them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from effmark.scores import _average, _check

STOPS = ("timeout", "memory", "overflow")
FAILURES = ("wrong", "error", "exit")


@dataclass(frozen=True, slots=True)
class ReferenceTimes:
    """How long the reference solution of one problem takes, and the limit that follows."""

    levels_s: tuple[float | None, ...]
    """Slowest case of each level in seconds; None where the hardness is 0."""
    slowest_s: float
    """Slowest level in seconds."""
    limit_s: float
    """Time limit of the problem in seconds."""


@dataclass(frozen=True, slots=True)
class CodeEfficiency:
    """What one code sample achieved on one problem."""

    passed: bool
    """Whether the sample counts for pass@k."""
    score: float
    """The efficiency score e; above 1 is possible."""
    levels: tuple[float, ...]
    """The score of each level; 0 from a stop on, all 0 for a failed sample."""
    elapsed_s: tuple[tuple[float, ...], ...]
    """Seconds of the finished cases per level, up to a stopped level, without a failed one."""


def hodges_lehmann(times_s: Sequence[float]) -> float:
    """Return the median, in seconds, of the means of all pairs of times, each with itself too."""
    times = _check.numbers("times_s", times_s, least=0)
    return _average.median([(t + s) / 2 for i, t in enumerate(times) for s in times[: i + 1]])


def level_score(elapsed_s: float, reference_s: float | None, limit_s: float) -> float:
    """Return the score of a level: 1 for the reference's time, 0 from the limit on."""
    _check.number("elapsed_s", elapsed_s, least=0, infinite=True)
    _check.number("limit_s", limit_s, above=0)
    if reference_s is None:
        return 0.0
    _reference("reference_s", reference_s, limit_s)
    return max(0.0, limit_s - elapsed_s) / (limit_s - reference_s)


def reference_times(
    times_s: Sequence[Sequence[Sequence[float]]],
    hardness: Sequence[float] = (0, 3, 3, 4),
    *,
    alpha: float = 2.0,
) -> ReferenceTimes:
    """Return the reference times and the limit in seconds; ``times_s[level][case][repeat]``."""
    weights = _hardness(hardness)
    _check.same_length("times_s", times_s, "hardness", weights)
    _check.number("alpha", alpha, above=1)
    levels = [
        _slowest_case(f"times_s[{index}]", cases) if weight > 0 else None
        for index, (cases, weight) in enumerate(zip(times_s, weights, strict=True))
    ]
    slowest = max(level for level in levels if level is not None)
    if slowest <= 0:
        raise ValueError(f"times_s must hold a reference slower than 0 s, got {slowest!r}")
    return ReferenceTimes(tuple(levels), slowest, alpha * slowest)


def code_efficiency(
    runs: Sequence[Sequence[Sequence[float | str]]],
    levels_s: Sequence[float | None],
    limit_s: float,
    hardness: Sequence[float] = (0, 3, 3, 4),
    *,
    tolerance_s: float = 0.01,
) -> CodeEfficiency:
    """Return pass and score of a sample; ``runs[level][case][repeat]`` is seconds or an outcome.

    Outcomes are ``"timeout"``, ``"memory"``, ``"overflow"`` (a stop) and ``"wrong"``, ``"error"``,
    ``"exit"`` (a failure); what would follow a stop or failure may be absent.
    """
    weights = _hardness(hardness)
    references = _references(levels_s, limit_s, weights)
    longest = limit_s + _check.number("tolerance_s", tolerance_s, least=0)
    size = len(weights)
    if len(runs) > size:
        raise ValueError(f"runs must not hold more levels than hardness ({size}), got {len(runs)}")
    levels: list[float] = []
    elapsed: list[tuple[float, ...]] = []
    for index, reference in enumerate(references):
        if index >= len(runs):
            raise ValueError(f"runs must hold {size} levels unless one stops, got {len(runs)}")
        times, outcome = _run_level(f"runs[{index}]", runs[index], longest)
        if outcome not in FAILURES:
            elapsed.append(times)
        if outcome in FAILURES or (outcome in STOPS and index == 0):
            return CodeEfficiency(False, 0.0, (0.0,) * size, tuple(elapsed))
        if outcome in STOPS:
            break
        levels.append(level_score(max(times), reference, limit_s))
    levels += [0.0] * (size - len(levels))
    weighted = math.fsum(w * f for w, f in zip(weights, levels, strict=True))
    return CodeEfficiency(True, weighted / math.fsum(weights), tuple(levels), tuple(elapsed))


def _hardness(hardness: Sequence[float]) -> list[float]:
    weights = _check.numbers("hardness", hardness, least=0)
    if not any(weights):
        raise ValueError(f"hardness must not be 0 for every level, got {hardness!r}")
    return weights


def _reference(name: str, reference_s: float, limit_s: float) -> float:
    _check.number(name, reference_s, least=0)
    if reference_s >= limit_s:
        raise ValueError(f"{name} must be below limit_s = {limit_s!r}, got {reference_s!r}")
    return reference_s


def _references(
    levels_s: Sequence[float | None], limit_s: float, weights: Sequence[float]
) -> list[float | None]:
    """Return the reference of each level that counts; None for one of hardness 0."""
    _check.same_length("levels_s", levels_s, "hardness", weights)
    _check.number("limit_s", limit_s, above=0)
    found: list[float | None] = []
    for index, (level, weight) in enumerate(zip(levels_s, weights, strict=True)):
        if level is None and weight > 0:
            raise ValueError(
                f"levels_s[{index}] must be a time where hardness is {weight!r}, got None"
            )
        known = None if level is None else _reference(f"levels_s[{index}]", level, limit_s)
        found.append(known if weight > 0 else None)
    return found


def _slowest_case(name: str, cases: Sequence[Sequence[float]]) -> float:
    _check.not_empty(name, cases)
    for index, repeats in enumerate(cases):
        _check.not_empty(f"{name}[{index}]", repeats)
    return max(hodges_lehmann(repeats) for repeats in cases)


def _run_level(
    name: str, cases: Sequence[Sequence[float | str]], longest_s: float
) -> tuple[tuple[float, ...], str | None]:
    """Return the seconds of the finished cases and the outcome that ended the level early."""
    _check.not_empty(name, cases)
    times: list[float] = []
    for index, repeats in enumerate(cases):
        _check.not_empty(f"{name}[{index}]", repeats)
        seconds: list[float] = []
        for event in repeats:
            if isinstance(event, str):
                _check.option(f"{name}[{index}]", event, STOPS + FAILURES)
                return tuple(times), event
            if _check.number(f"{name}[{index}]", event, least=0) > longest_s:
                return tuple(times), "timeout"
            seconds.append(event)
        times.append(hodges_lehmann(seconds))
    return tuple(times), None
