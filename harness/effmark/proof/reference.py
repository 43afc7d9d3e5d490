"""Where the answers of a source model come from: installed references, asked once per model."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar, Protocol

from effmark.cache import build_once
from effmark.errors import EffmarkError, PrerequisiteError
from effmark.proof.answers import Answers
from effmark.registry import installed
from effmark.schema import content_hash
from effmark.spec import ModelRef

__all__ = ["Reference", "reference_answers"]

RECIPE = 3
"""Rises whenever the same model would be asked something else."""


class Reference(Protocol):
    """Computes what a source model says, without a cache: an entry point of `effmark.references`.

    The class is called without arguments.
    """

    distributions: ClassVar[tuple[str, ...]]
    """Packages whose versions may change the answers."""

    def answers(self, model: ModelRef, cache: Path, memory_b: int) -> Answers:
        """Return the answers of a model by its full weights.

        Raises:
            UnsupportedError: this reference cannot read or run the model.
            PrerequisiteError: a package or a file is missing.
            OutOfMemoryError: the model does not fit into `memory_b` bytes.
        """


def reference_answers(model: ModelRef, cache: Path, memory_b: int) -> Answers | str:
    """Return the answers of the first reference that has them, or why there are none."""
    reasons = []
    for name, point in installed("references").items():
        try:
            return _cached(point.load()(), name, model, cache, memory_b)
        except ImportError as error:
            reasons.append(f"reference {name!r} needs {error.name!r}")
        except EffmarkError as error:
            reasons.append(str(error))
        except Exception as error:  # noqa: BLE001 - whatever its libraries do, there is no reference
            first = (str(error).splitlines() or [""])[0][:200]
            reasons.append(f"reference {name!r} failed: {type(error).__name__}: {first}")
    return "; ".join(reasons) or "no reference is installed"


def _cached(
    reference: Reference, name: str, model: ModelRef, cache: Path, memory_b: int
) -> Answers:
    """Return the answers from the cache; ask the reference where they are not there yet."""
    key = content_hash(
        {
            "model": model.sha256,
            "reference": name,
            "versions": _versions(reference.distributions),
            "recipe": RECIPE,
        }
    )[:32]

    def build(folder: Path) -> None:
        reference.answers(model, cache, memory_b).save(folder)

    return Answers.read(build_once(cache, "references", key, build, ""))


def _versions(distributions: Sequence[str]) -> dict[str, str]:
    """Return the versions of packages; one that is missing is named."""
    found: dict[str, Any] = {}
    for name in distributions:
        try:
            found[name] = version(name)
        except ModuleNotFoundError as error:
            raise PrerequisiteError(
                f"the reference needs {name!r}, which is not installed"
            ) from error
    return found
