"""Names that tell models apart: two checkpoints of one folder name must not be two equal lines.

A record keeps the name, the place and the hash of its model. What people read is the name alone
where it is enough; else as many folders above it as tell the models shown apart, `a/checkpoint-500`
and `b/checkpoint-500`; else the beginning of the hash, for one folder whose files were edited, say.
No more of a place is shown than that: the rest may be private.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from effmark.spec import ModelRef

__all__ = ["is_same", "model_key", "shown_names"]

Key = tuple[str, str]

_HASH_DIGITS = 8


def model_key(model: ModelRef) -> Key:
    """Return what a model is known by in `shown_names`."""
    return model.name, model.sha256


def is_same(one: ModelRef, two: ModelRef) -> bool:
    """Return whether two models of one name are one: of equal content, or not of two places.

    A folder that was edited is still the same model, one that lies elsewhere is another.
    """
    if model_key(one) == model_key(two):
        return True
    places = {_above(model.name, model.path) for model in (one, two)}
    return one.name == two.name and (len(places) == 1 or None in places)


def shown_names(models: Iterable[ModelRef]) -> dict[Key, str]:
    """Return the shortest name of each of some models that no other of them has."""
    places: dict[str, dict[str, Path | None]] = {}
    for model in models:
        mine = places.setdefault(model.name, {})
        mine[model.sha256] = mine.get(model.sha256) or model.path
    found: dict[Key, str] = {}
    for name, by_hash in places.items():
        several = len(by_hash) > 1
        found |= _of_one_name(name, by_hash) if several else {(name, h): name for h in by_hash}
    often = Counter(found.values())
    return {key: n if often[n] == 1 else _with_hash(n, key[1]) for key, n in found.items()}


def _of_one_name(name: str, places: Mapping[str, Path | None]) -> dict[Key, str]:
    """Return names of models that have one, by the folders above them where these differ."""
    above = {digest: _above(name, path) for digest, path in places.items()}
    known = {parts for parts in above.values() if parts is not None}
    short = _shortest(sorted(known))
    return {
        (name, digest): name if parts is None else "/".join((*short[parts], name))
        for digest, parts in above.items()
    }


def _above(name: str, path: Path | None) -> tuple[str, ...] | None:
    """Return the folders above what a model is named by; None where its name is no place."""
    if path is None:
        return None
    for place in (path, path.parent):
        if name in (place.name, place.stem):
            return place.parent.parts[1:]
    return None


def _shortest(places: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], tuple[str, ...]]:
    """Return of each place the fewest last folders that tell all of them apart."""
    deepest = max(map(len, places), default=0)
    for depth in range(deepest + 1):
        short = {parts: parts[len(parts) - min(depth, len(parts)) :] for parts in places}
        if len(set(short.values())) == len(places):
            return short
    return {parts: parts for parts in places}


def _with_hash(name: str, digest: str) -> str:
    return f"{name} {digest[:_HASH_DIGITS]}"
