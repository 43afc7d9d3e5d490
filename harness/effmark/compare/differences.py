"""What makes two records incomparable, by name: the comparison refuses before it computes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from effmark.record import Record

__all__ = ["Difference", "Scope", "comparable", "scope_of"]

Scope = Literal["all", "speed", "energy", "quality", "subject"]
"""Which metrics a difference spoils; `subject` is what may be compared on purpose."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A field in which two records differ."""

    field: str
    a: str
    b: str
    scope: Scope


_QUALITY = {
    "accuracy",
    "bits_per_byte",
    "perplexity",
    "kl_divergence",
    "top1_agreement",
    "information_capacity",
    "quality_retention",
}
_STATIC = {"model_size_b", "effective_bits", "kv_bytes_per_token", "flops_per_token"}
_UNKNOWN = "unknown"


def scope_of(metric: str) -> tuple[Scope, ...]:
    """Return the kinds of differences that spoil a metric."""
    if metric in _QUALITY:
        return ("all", "quality")
    if metric in _STATIC:
        return ("all",)
    if "energy" in metric or metric in ("tokens_per_j", "mean_power_w", "accuracy_per_j"):
        return ("all", "speed", "energy")
    return ("all", "speed")


def comparable(a: Record, b: Record) -> tuple[Difference, ...]:
    """Return every field in which two records differ; none means that they compare in full."""
    fields = (*_identity(a, b), *_machine(a, b), *_model(a, b), *_energy(a, b), *_subject(a, b))
    return tuple(Difference(name, str(x), str(y), scope) for name, x, y, scope in fields if x != y)


_Field = tuple[str, object, object, Scope]


def _identity(a: Record, b: Record) -> Iterator[_Field]:
    yield "schema_version", a.schema_version, b.schema_version, "all"
    yield "foreign", a.foreign or "no", b.foreign or "no", "all"
    yield "suite.name", a.suite.name, b.suite.name, "all"
    yield "suite.version", a.suite.version, b.suite.version, "all"
    yield "suite.sha256", a.suite.sha256, b.suite.sha256, "all"
    yield "workload", a.cell.workload, b.cell.workload, "all"
    yield "model.sha256", a.cell.model.sha256, b.cell.model.sha256, "all"
    for side, record in (("a", a), ("b", b)):
        if record.outcome != "ok":
            outcomes = (record.outcome, "ok") if side == "a" else ("ok", record.outcome)
            yield "outcome", *outcomes, "all"


def _machine(a: Record, b: Record) -> Iterator[_Field]:
    yield "device", a.cell.device, b.cell.device, "speed"
    yield "threads", a.cell.threads, b.cell.threads, "speed"
    one, two = a.environment, b.environment
    if one is None or two is None:
        yield "environment", one and one.device_class, two and two.device_class, "speed"
        return
    yield "device_class", one.device_class, two.device_class, "speed"
    yield "system", one.system, two.system, "subject"
    for key in ("driver", "power_limit_w", "governor", "turbo", "sandbox_level"):
        if key in one.state or key in two.state:
            x, y = one.state.get(key, _UNKNOWN), two.state.get(key, _UNKNOWN)
            yield f"state.{key}", x, y, "speed"


def _model(a: Record, b: Record) -> Iterator[_Field]:
    if a.facts is None or b.facts is None:
        return
    yield "facts.kernel", a.facts.kernel, b.facts.kernel, "speed"
    yield "facts.weights", a.facts.weights, b.facts.weights, "quality"
    yield "facts.weights_source", a.facts.weights_source, b.facts.weights_source, "quality"


def _energy(a: Record, b: Record) -> Iterator[_Field]:
    if not a.energy or not b.energy:
        return
    for name in ("source", "scope", "probe"):
        yield f"energy.{name}", _of_energy(a, name), _of_energy(b, name), "energy"


def _of_energy(record: Record, name: str) -> tuple[str, ...]:
    return tuple(sorted({str(getattr(reading, name)) for reading in record.energy}))


def _subject(a: Record, b: Record) -> Iterator[_Field]:
    for name in ("adapter", "adapter_version", "precision", "options"):
        yield name, getattr(a.cell, name), getattr(b.cell, name), "subject"
    if a.environment is None or b.environment is None:
        return
    yield "git_revision", a.environment.git_revision, b.environment.git_revision, "subject"
    yield "python", a.environment.python, b.environment.python, "subject"
    one, two = a.environment.packages, b.environment.packages
    for package in sorted(one.keys() | two.keys()):
        versions = one.get(package, _UNKNOWN), two.get(package, _UNKNOWN)
        yield f"packages.{package}", *versions, "subject"
