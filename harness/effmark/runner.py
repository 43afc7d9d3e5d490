"""One workload on one loaded adapter: findings become a record body, failures become outcomes."""

from __future__ import annotations

import datetime
import time
import uuid
from dataclasses import dataclass

from pydantic import ValidationError

from effmark.advice import advise
from effmark.errors import (
    AdapterError,
    OutOfMemoryError,
    PrerequisiteError,
    SpecError,
    UnsupportedError,
)
from effmark.probes.memory import PeakMemory
from effmark.record import (
    Environment,
    Measured,
    Measurement,
    Outcome,
    Record,
    SuiteRef,
)
from effmark.workloads import WORKLOADS, Context, Findings

__all__ = ["Identity", "classify", "run_cell"]


@dataclass(frozen=True)
class Identity:
    """What all records of one worker process share."""

    run_id: str
    process_id: str
    suite: SuiteRef
    environment: Environment
    measurements: tuple[Measurement, ...]
    """Measured once per process: import, load, size …"""
    command: str


def classify(error: BaseException) -> tuple[Outcome, str]:
    """Return the outcome that an exception stands for, and its sentence."""
    if isinstance(error, OutOfMemoryError | MemoryError):
        return "oom", str(error) or "out of memory"
    if isinstance(error, UnsupportedError | SpecError):
        return "unsupported", str(error)
    if isinstance(error, PrerequisiteError):
        return "failed_setup", str(error)
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return "crash", f"the adapter gave an impossible value: {where}: {first['msg']}"
    if isinstance(error, AdapterError):
        return "crash", str(error)
    return "crash", f"{type(error).__name__}: {error}"


def run_cell(context: Context, identity: Identity, memory: PeakMemory) -> Record:
    """Measure one cell and return its record, whatever happens inside the adapter."""
    memory.start()
    start = time.monotonic()
    outcome: Outcome = "ok"
    detail = ""
    try:
        findings = WORKLOADS[context.cell.workload.kind](context)
        peak = memory.stop("peak_memory_b")
    except Exception as error:  # noqa: BLE001 - an adapter may fail in any way; it is recorded
        outcome, detail = classify(error)
        findings = Findings()
        peak = memory.stop("peak_memory_b")
    shared = (*identity.measurements, peak)
    record = _record(context, identity, findings, outcome, detail, shared)
    return record.model_copy(update={"elapsed_s": time.monotonic() - start})


def _record(
    context: Context,
    identity: Identity,
    findings: Findings,
    outcome: Outcome,
    detail: str,
    shared: tuple[Measurement, ...],
) -> Record:
    record = Record(
        id=uuid.uuid4().hex,
        run_id=identity.run_id,
        process_id=identity.process_id,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        suite=identity.suite,
        cell=context.cell,
        settings=context.settings,
        is_baseline=context.is_reference,
        outcome=outcome,
        detail=detail,
        facts=context.facts,
        environment=identity.environment,
        measurements=(*shared, *findings.measurements),
        energy=tuple(findings.energy),
        energy_missing=tuple(findings.energy_missing),
        warmup_blocks=tuple(findings.warmup_blocks),
        blocks=tuple(findings.blocks),
        stop=findings.stop,
        notes=findings.notes,
        command=identity.command,
    )
    validity, advice = advise(record)
    return record.model_copy(update={"validity": validity, "advice": (*findings.advice, *advice)})


def first_inference(record: Record) -> Measured | None:
    """Return how long the very first block of a process took."""
    blocks = (*record.warmup_blocks, *record.blocks)
    if not blocks:
        return None
    return Measured(metric="first_inference_s", unit="s", source="clock",
                    samples=(blocks[0].end_s - blocks[0].start_s,))  # fmt: skip
