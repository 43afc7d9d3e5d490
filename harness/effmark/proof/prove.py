"""Prove one artefact: load it, ask it, compare; kept by everything that decides the result."""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from effmark.adapter import Adapter, LoadRequest, Scores, Tokenizes
from effmark.cache import build_once
from effmark.errors import UnsupportedError
from effmark.file_hashes import hash_file
from effmark.proof.answers import STEPS, TEXT, Answers, holds_answers
from effmark.proof.reference import RECIPE, reference_answers
from effmark.proof.trial import has_paths, rows_of, tokens_of
from effmark.proof.verdict import level_of, verdict
from effmark.record import Proof
from effmark.registry import adapter_class, adapter_version
from effmark.schema import content_hash
from effmark.weight_files import count_weights

__all__ = ["prove"]


def prove(adapter: str, request: LoadRequest, memory_b: int) -> Proof | None:
    """Return the proof of a prepared artefact; None where there are no files to hold it against.

    Args:
        adapter: name of the adapter; its `prepare` has run.
        request: what will be loaded; the proof loads it for a short text and few prompts.
        memory_b: what a process may use.

    Raises:
        UnsupportedError: the artefact does not compute the model.
    """
    if request.model.weights_path is None or request.model.task != "lm":
        return None
    answers = _answers(request, memory_b)
    if isinstance(answers, str):
        return Proof(status="unproven", detail=answers)
    _refuse_the_wrong(adapter, request, answers)
    key = _key(adapter, request, answers)
    kept = build_once(
        request.cache, "proofs", key, lambda folder: _build(adapter, request, answers, folder), ""
    )
    found = json.loads((kept / "proof.json").read_text("utf-8"))
    if "refused" in found:
        raise UnsupportedError(found["refused"])
    return Proof.model_validate(found["proof"])


def _answers(request: LoadRequest, memory_b: int) -> Answers | str:
    """Return what the source model says, or why nobody can tell."""
    path = request.model.weights_path
    assert path is not None
    weights = count_weights(path)
    if weights is not None and weights * 2 > memory_b:
        return f"the reference needs {weights * 2} bytes at least, {memory_b} may be used"
    return reference_answers(request.model, request.cache, memory_b)


def _build(adapter: str, request: LoadRequest, answers: Answers, folder: Path) -> None:
    """Write the proof, or the refusal, into an empty folder."""
    try:
        found: dict[str, Any] = {"proof": _try(adapter, request, answers, folder).model_dump()}
    except UnsupportedError as error:
        found = {"refused": str(error), "wrong": isinstance(error, _Wrong)}
    (folder / "proof.json").write_text(json.dumps(found), "utf-8")


def _try(adapter: str, request: LoadRequest, answers: Answers, folder: Path) -> Proof:
    loaded = adapter_class(adapter)()
    loaded.load(_for_questions(request, answers))
    try:
        return _ask(adapter, request, loaded, answers, folder)
    finally:
        loaded.close()


def _ask(
    adapter: str, request: LoadRequest, loaded: Adapter, answers: Answers, folder: Path
) -> Proof:
    if not has_paths(loaded):
        return Proof(status="unproven", detail=f"adapter {adapter!r} neither scores nor generates")
    _check_reading(adapter, loaded, answers)
    level = level_of(loaded.facts(), exact_reference=answers.exact)
    if level in ("eight", "low"):
        answers = _same_runtime(adapter, request, answers) or answers
    rows, tokens = list(rows_of(loaded, answers)), list(tokens_of(loaded, answers))
    try:
        proof = verdict(level, rows, tokens, answers.source)
    except UnsupportedError as error:
        refusal = _Wrong if level == "full" else UnsupportedError
        raise refusal(f"{adapter} at {request.precision} {error}") from error
    if level == "full" and isinstance(loaded, Scores):
        own = replace(answers, text_rows=rows[0].got, source=f"{adapter} at {request.precision}")
        own.save(folder)
    return proof


def _check_reading(adapter: str, loaded: Adapter, answers: Answers) -> None:
    """Refuse an adapter that turns text into other tokens than the model was trained on."""
    if not isinstance(loaded, Tokenizes):
        return
    got = tuple(loaded.encode(TEXT))
    if got != answers.reads:
        pairs = enumerate(itertools.zip_longest(got, answers.reads))
        at, (ours, wanted) = next((i, pair) for i, pair in pairs if pair[0] != pair[1])
        raise UnsupportedError(
            f"{adapter} reads text otherwise than the model's tokenizer: token {at} of a sentence "
            f"is {ours}, the tokenizer gives {wanted}"
        )


class _Wrong(UnsupportedError):
    """At full precision, where nothing is rounded, a runtime computes something else."""


def _refuse_the_wrong(adapter: str, request: LoadRequest, answers: Answers) -> None:
    """Refuse a precision of a runtime that computes something else at full precision.

    What is rounded hides it: a wrong rotation is within the bound of eight bits.
    """
    for precision, entry in _others(adapter, request, answers):
        found = json.loads((entry / "proof.json").read_text("utf-8"))
        if found.get("wrong") and precision != request.precision:
            raise UnsupportedError(
                f"{adapter} at {request.precision} is not trusted, since {found['refused']}"
            )


def _same_runtime(adapter: str, request: LoadRequest, answers: Answers) -> Answers | None:
    """Return what the same runtime said at full precision, where that was proven before."""
    for _, entry in _others(adapter, request, answers):
        if holds_answers(entry):
            return Answers.read(entry)
    return None


def _others(adapter: str, request: LoadRequest, answers: Answers) -> Iterator[tuple[str, Path]]:
    """Yield the precisions that were proven or refused before, each with its entry."""
    for precision in adapter_class(adapter).precisions:
        whole = request.model_copy(update={"precision": precision, "options": {}})
        entry = request.cache / "proofs" / _key(adapter, whole, answers)
        if entry.is_dir():
            yield precision, entry


def _for_questions(request: LoadRequest, answers: Answers) -> LoadRequest:
    """Return the request with room for the questions alone."""
    longest = max(len(answers.text), *(len(prompt) + STEPS for prompt in answers.prompts))
    return request.model_copy(update={"context_tokens": longest + 1, "batch": len(answers.prompts)})


def _key(adapter: str, request: LoadRequest, answers: Answers) -> str:
    """Return the hash of everything that decides how a proof ends."""
    return content_hash(
        {
            "model": request.model.sha256,
            "adapter": adapter,
            "version": adapter_version(adapter),
            "code": _code(adapter_class(adapter).__module__.partition(".")[0]),
            "rules": _code(__name__.rpartition(".")[0]),
            "precision": request.precision,
            "device": request.device,
            "options": request.options,
            "reference": answers.source,
            "recipe": RECIPE,
        }
    )[:32]


@functools.cache
def _code(package: str) -> str:
    """Return the hash of the source files of a package: how it converts is part of a proof."""
    origin = Path(str(import_module(package).__file__))
    files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
    return content_hash([hash_file(file) for file in files])
