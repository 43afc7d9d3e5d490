"""A record that another tool measured: its samples in our units, its mark, and nothing made up.

The model is known by name only, so its hash is that of what the report says of it. What the report
does not say of the machine is listed as unknown. Two reports of the same thing on different
machines are different cells.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from effmark.errors import SpecError
from effmark.exchange.places import without_folders
from effmark.metrics import metric
from effmark.record import Environment, Measured, Measurement, Missing, Record, SuiteRef
from effmark.schema import content_hash
from effmark.spec import Cell, ModelRef, OptionValue, Workload

__all__ = ["MOST", "Imported", "LeftOut", "absent", "is_time", "machine", "parsed", "ratio",
           "rejected", "series"]  # fmt: skip

_M = TypeVar("_M", bound=BaseModel)
_VERSION = 2
"""Of the way in which reports become records; rises when old and new imports stop comparing."""
_NO_TIME = "1970-01-01T00:00:00Z"
"""When a test ran whose report does not say it."""
MOST = 10**15
"""Of tokens, bytes, parameters: a number of a report that is larger is a fault of the file."""
_SHORTEST_S, _LONGEST_S = 1e-12, 1e9
"""Less than a step of any processor takes, and thirty years."""


@dataclass(frozen=True)
class LeftOut:
    """A part of a report that did not come in."""

    why: str
    """A sentence that names the part."""


@dataclass(frozen=True)
class Imported:
    """What one entry of a report says."""

    tool: str
    tool_version: str
    model: str
    task: Literal["lm", "classifier", "synthetic"]
    kind: Literal["gguf", "hf", "synthetic"]
    adapter: str
    precision: str
    device: str
    threads: int
    workload: Workload
    created: str
    environment: Environment
    measurements: Sequence[Measurement]
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    identity: Mapping[str, Any] = field(default_factory=dict)
    """What the report says of the model besides its name: size, parameters, revision."""
    notes: Mapping[str, str] = field(default_factory=dict)

    def record(self, source: str) -> Record:
        """Return the record; the same entry of the same report always gives the same id.

        Args:
            source: hash of the whole report.
        """
        here = {"tool": self.tool, "import": _VERSION, "machine": self.environment.device_class}
        suite = SuiteRef(
            name=self.tool, version=_VERSION, sha256=content_hash(here), profile="imported"
        )
        cell = Cell(
            model=ModelRef(
                name=self.model, task=self.task, kind=self.kind,
                sha256=content_hash({"name": self.model, **self.identity}),
            ),
            adapter=self.adapter, adapter_version=self.tool_version, precision=self.precision,
            device=self.device, threads=self.threads, options=dict(self.options),
            workload=self.workload, suite_sha256=suite.sha256,
        )  # fmt: skip
        values = [m.model_dump(mode="json") for m in self.measurements]
        notes = {"imported": f"measured by {self.tool} {self.tool_version}".strip(),
                 "model_hash": "of what the report says of the model, not of its file"}  # fmt: skip
        record = Record(
            id=content_hash([source, cell.key, values])[:32], run_id=source[:32],
            process_id=content_hash([source, cell.key])[:32], created=_moment(self.created),
            suite=suite, cell=cell, foreign=self.tool, outcome="ok",
            environment=self.environment, measurements=tuple(self.measurements),
            notes={**notes, **self.notes},
        )  # fmt: skip
        return Record.model_validate(without_folders(record.model_dump(mode="json")))


def _moment(told: str) -> str:
    """Return the time that a report says, or that of nothing where it says none."""
    try:
        datetime.datetime.fromisoformat(told)
    except ValueError:
        return _NO_TIME
    return told


def series(name: str, values: Sequence[float], source: str) -> Measured:
    """Return samples of a metric, in its unit; peaks have the largest, others the median."""
    estimator: Literal["max", "median"] = "max" if name.endswith("_b") else "median"
    return Measured(metric=name, unit=metric(name).unit, samples=tuple(values),
                    estimator=estimator, source=source)  # fmt: skip


def ratio(name: str, above: Sequence[float], below: Sequence[float], source: str) -> Measured:
    """Return a metric that is sum(above) / sum(below): tokens over seconds, joules over tokens."""
    return Measured(metric=name, unit=metric(name).unit, samples=tuple(above),
                    weights=tuple(below), estimator="ratio", source=source)  # fmt: skip


def is_time(seconds: float) -> bool:
    """Return whether a number of seconds can be what something took."""
    return _SHORTEST_S <= seconds <= _LONGEST_S


def absent(name: str, detail: str) -> Missing:
    """Return a number that the report does not hold."""
    return Missing(metric=name, reason="not_present", detail=detail)


def rejected(name: str, detail: str) -> Missing:
    """Return a number that the report holds and that cannot be."""
    return Missing(metric=name, reason="rejected", detail=detail)


def machine(
    cpu: str | None, accelerators: Sequence[str] = (), *, host: str | None = None,
    system: str | None = None, python: str | None = None, cores_count: int | None = None,
    memory_b: int | None = None, packages: Mapping[str, str] | None = None,
) -> Environment:  # fmt: skip
    """Return the machine as far as a report tells; the rest is listed as unknown."""
    texts = {"cpu": cpu, "host": host, "system": system, "python": python}
    lacking = [name for name, value in texts.items() if not value]
    lacking += [n for n, v in (("cores_count", cores_count), ("memory_b", memory_b)) if v is None]
    return Environment(
        host=host or "unknown", system=system or "unknown", cpu=cpu or "unknown CPU",
        cores_count=cores_count, memory_b=memory_b, accelerators=tuple(accelerators),
        python=python or "unknown", packages=dict(packages or {}),
        unknown=dict.fromkeys(lacking, "the report does not say"),
    )  # fmt: skip


def parsed(model: type[_M], body: Any, where: str) -> _M:
    """Return a part of a report as its model, or raise SpecError with the first thing wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in (where, *first["loc"]) if str(part))
        raise SpecError(f"{place}: {first['msg']}, got {first['input']!r:.80}") from error
