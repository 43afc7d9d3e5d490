"""What follows from the distances: proven, collapsed, or a refusal with the first difference.

The class of an artefact is read from its facts, not from its name: from the bits of its matrices
where it tells them, else from those that a weight has on average.

* full precision, 31 bits a weight or more: every log-probability within `EXACT_RATIO` of the
  largest, greedy tokens equal where the reference's margin is clear;
* half precision, 15 bits or more: a divergence within `HALF_KL_RATIO` of what forgetting the text
  gives, or below `HALF_KL_NATS`;
* low precision: the distance is recorded; past a ratio and a divergence of `COLLAPSED`, or where
  fewer than `COLLAPSE_AGREEMENT_RATIO` of the clear answers are the same, the model has collapsed;
  matrices of eight bits lose little, so that less is allowed.

Bounds and what was measured for them: docs/design/0011-proof.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from effmark.adapter import Array
from effmark.errors import UnsupportedError
from effmark.proof.distance import Distance, distance
from effmark.proof.trial import Rows, Tokens
from effmark.record import ModelFacts, Proof

__all__ = ["Level", "level_of", "verdict"]

Level = Literal["full", "half", "eight", "low"]

FULL_BITS, HALF_BITS, EIGHT_BITS = 31.0, 15.0, 8.0
EXACT_RATIO = 5e-3
"""Runtimes in fp32 differ by about 1e-6 of the largest logit, but llama.cpp's GELU comes from a
table of f16, which adds up over layers: 2.5e-3 after thirty. A wrong mask, scale, cap or position
is 1e-2 and more."""
HALF_KL_RATIO, HALF_KL_NATS = 0.05, 0.01
COLLAPSED: dict[Level, tuple[float, float]] = {"eight": (0.1, 0.02), "low": (0.5, 0.1)}
"""Ratio and nats, which must both be passed: a model that hardly reads has little to forget."""
MANY_POSITIONS = 12
"""On fewer, the steps of a decode say, one token sent to another expert is much at eight bits."""
COLLAPSE_AGREEMENT_RATIO = 0.5


@dataclass(frozen=True)
class _Measured:
    """The distance of one path."""

    path: str
    distance: Distance
    positions: int


def level_of(facts: ModelFacts, *, exact_reference: bool) -> Level:
    """Return how closely an artefact must agree; no closer than its reference computes."""
    told = facts.quantisation
    matrix_bits = told.get("matrix_bits", told.get("bits"))
    if isinstance(matrix_bits, int | float) and matrix_bits < HALF_BITS:
        # however large the table beside them
        return "eight" if matrix_bits >= EIGHT_BITS else "low"
    if facts.effective_bits >= FULL_BITS and exact_reference:
        return "full"
    return "half" if facts.effective_bits >= HALF_BITS else "low"


def verdict(level: Level, rows: Sequence[Rows], tokens: Sequence[Tokens], against: str) -> Proof:
    """Return the proof of an artefact.

    Raises:
        UnsupportedError: it does not compute the model; the sentence names the first difference.
    """
    known = _all_rows(rows)
    measured = [_Measured(r.path, _distance(r, known), len(r.wanted)) for r in rows]
    if level == "full":
        _refuse_inexact(measured, tokens, against)
    elif level == "half":
        _refuse_distant(measured, against)
    collapse = _collapse(level, measured, tokens) if level in COLLAPSED else ""
    return _proof(measured, tokens, against, collapse)


def _all_rows(rows: Sequence[Rows]) -> Array | None:
    """Return all rows of the reference: four steps that repeat a word have nothing to forget."""
    import numpy as np

    return np.concatenate([r.wanted for r in rows]) if rows else None


def _distance(rows: Rows, known: Array | None) -> Distance:
    try:
        return distance(rows.wanted, rows.got, known)
    except ValueError as error:
        raise UnsupportedError(f"log-probabilities of {rows.path}: {error}") from error


def _refuse_inexact(measured: Sequence[_Measured], tokens: Sequence[Tokens], against: str) -> None:
    for one in measured:
        if not one.distance.largest_ratio <= EXACT_RATIO:
            raise UnsupportedError(
                f"does not compute the model: log-probabilities of {one.path} differ from "
                f"{against} by {one.distance.largest_ratio:.3g} of the largest at position "
                f"{one.distance.worst_row}, {EXACT_RATIO:g} is allowed"
            )
    for row in tokens:
        _refuse_other_tokens(row, against)


def _refuse_other_tokens(row: Tokens, against: str) -> None:
    """Refuse a token that differs where the reference's margin exceeds twice the tolerance."""
    for step, (wanted, got) in enumerate(zip(row.wanted, row.got, strict=True)):
        if wanted == got:
            continue
        if _margin(row, step, got) > 2 * EXACT_RATIO * _spread(row):
            raise UnsupportedError(
                f"does not compute the model: greedy token {step} of {row.path} is {got}, "
                f"{against} gives {wanted}"
            )
        return  # a tie was broken otherwise: what follows answers another question


def _margin(row: Tokens, step: int, got: int | None) -> float:
    """Return by how many nats the wanted token is likelier than the one that came."""
    logs = row.rows[step]
    if got is None or not 0 <= got < len(logs):
        return float("inf")
    return float(logs[row.wanted[step]] - logs[got])


def _spread(row: Tokens) -> float:
    finite = row.rows[row.rows > -60]
    return float(finite.max() - finite.min())


def _refuse_distant(measured: Sequence[_Measured], against: str) -> None:
    for one in measured:
        if one.distance.kl_ratio > HALF_KL_RATIO and one.distance.kl_nats > HALF_KL_NATS:
            raise UnsupportedError(
                f"does not compute the model: log-probabilities of {one.path} have a divergence of "
                f"{one.distance.kl_nats:.3g} nats to {against}, {one.distance.kl_ratio:.2g} of "
                f"what forgetting the text gives, {HALF_KL_RATIO:g} is allowed"
            )


def _collapse(level: Level, measured: Sequence[_Measured], tokens: Sequence[Tokens]) -> str:
    """Return why a model at low precision has collapsed; empty where it has not."""
    for one in measured:
        found = one.distance
        ratio, nats = COLLAPSED[level if one.positions >= MANY_POSITIONS else "low"]
        if found.kl_ratio > ratio and found.kl_nats > nats:
            return (
                f"log-probabilities of {one.path} have a divergence of {found.kl_nats:.3g} nats, "
                f"{found.kl_ratio:.2g} of what forgetting the text gives"
            )
        agreement = found.clear_agreement_ratio
        if agreement is not None and agreement < COLLAPSE_AGREEMENT_RATIO:
            return f"of the clear answers of {one.path} only {agreement:.0%} are the same"
    if not measured and tokens and _agreement(tokens) < COLLAPSE_AGREEMENT_RATIO:
        return f"only {_agreement(tokens):.0%} of the greedy tokens are the same"
    return ""


def _agreement(tokens: Sequence[Tokens]) -> float:
    """Return the share of first greedy tokens that are the same: what follows one hangs on it."""
    return sum(row.wanted[0] == row.got[0] for row in tokens) / len(tokens)


def _proof(
    measured: Sequence[_Measured], tokens: Sequence[Tokens], against: str, collapse: str
) -> Proof:
    text = next((one.distance for one in measured), None)
    return Proof(
        status="collapsed" if collapse else "proven",
        detail=collapse,
        against=against,
        paths=tuple(dict.fromkeys([*(m.path for m in measured), *(t.path for t in tokens)])),
        largest_difference_ratio=max((m.distance.largest_ratio for m in measured), default=None),
        kl_nats=text and text.kl_nats,
        top1_agreement_ratio=text and text.top1_agreement_ratio,
    )
