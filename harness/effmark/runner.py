"""One workload on one loaded adapter: findings become a record body, failures become outcomes."""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from pydantic import ValidationError

from effmark.advice import advise
from effmark.errors import (
    EffmarkError,
    OutOfMemoryError,
    PrerequisiteError,
    SpecError,
    UnsupportedError,
)
from effmark.probes.memory import PeakMemory
from effmark.probes.state import MachineWatch
from effmark.record import (
    Environment,
    Measured,
    Measurement,
    Missing,
    Outcome,
    Proof,
    RatesUsed,
    Record,
    SuiteRef,
)
from effmark.schema import first_fault
from effmark.spec import Decode, Prefill
from effmark.workloads import WORKLOADS, Context, Findings, Measuring

__all__ = ["CellRun", "Identity", "classify", "first_inference"]


@dataclass(frozen=True)
class Identity:
    """What all records of one worker process share."""

    run_id: str
    process_id: str
    suite: SuiteRef
    environment: Environment
    measurements: tuple[Measurement, ...]
    """Measured once per process: import, load, size …"""
    proof: Proof | None
    """What preparing found of the artefact that the process holds."""
    command: str
    rates: RatesUsed | None = None
    """Carbon and prices where this machine stands."""


def classify(error: BaseException) -> tuple[Outcome, str]:
    """Return the outcome that an exception stands for, and its sentence, one line of text."""
    outcome, text = _told(error)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return outcome, first if len(first) <= _LONGEST_DETAIL else f"{first[: _LONGEST_DETAIL - 1]}…"


_LONGEST_DETAIL = 1000
"""Characters; sentences of effmark are shorter, frameworks append whole configurations."""


def _told(error: BaseException) -> tuple[Outcome, str]:
    """Return the outcome that an exception stands for, and all that it says."""
    if isinstance(error, OutOfMemoryError | MemoryError):
        return "oom", str(error) or "out of memory"
    if isinstance(error, UnsupportedError | SpecError):
        return "unsupported", str(error)
    if isinstance(error, PrerequisiteError):
        return "failed_setup", str(error)
    if isinstance(error, ValidationError):
        return "crash", f"the adapter gave an impossible value: {first_fault(error)}"
    if isinstance(error, ModuleNotFoundError):
        return "failed_setup", f"{error}; install it with: pip install 'effmark[all]'"
    if isinstance(error, EffmarkError):
        return "crash", str(error)
    return "crash", f"{type(error).__name__}: {error}"


class CellRun:
    """One cell being measured: whatever happens inside the adapter, it ends as a record.

    `finish` measures to the end at once. For interleaved cells the caller takes turns: `step`
    until `warm`, `align`, then `step` until all partners are `done`, and `finish`.
    """

    def __init__(self, context: Context, identity: Identity, memory: PeakMemory) -> None:
        self._context, self._identity, self._memory = context, identity, memory
        self._start = time.monotonic()
        self._failure: tuple[Outcome, str] | None = None
        self._findings: Findings | None = None
        self._measuring: Measuring | None = None
        self._machine = MachineWatch()
        self._machine.start()
        memory.start()
        self._try(self._begin)

    @property
    def warm(self) -> bool:
        """Return whether there is no warm-up left to do."""
        return self._measuring is None or self._failure is not None or self._measuring.warm

    @property
    def done(self) -> bool:
        """Return whether nothing more needs to be measured."""
        return self._measuring is None or self._failure is not None or self._measuring.done

    def step(self) -> None:
        """Measure one block."""
        if self._measuring is not None and self._failure is None:
            self._try(self._measuring.step)

    def align(self, partners: int) -> None:
        """Count all blocks so far as warm-up, so that the blocks of `partners` cells pair up."""
        if self._measuring is not None:
            self._measuring.align(partners)

    def finish(self, interleaved: str = "") -> Record:
        """Return the record; measure what is left to measure.

        Args:
            interleaved: the name that partners share whose blocks took turns; then the blocks
                are there already, and no energy window belongs to one cell alone.
        """
        if self._measuring is not None and self._failure is None:
            self._try(self._collect_interleaved if interleaved else self._measure)
        outcome, detail = self._failure or ("ok", "")
        memory = (*self._memory.measurements(), *self._device_memory(interleaved))
        shared = (*self._identity.measurements, *memory, *self._kv_cache())
        found = self._findings if self._failure is None else None
        identity = replace(self._identity, environment=self._environment(interleaved))
        record = _record(self._context, identity, found or Findings(), outcome, detail, shared)
        elapsed_s = time.monotonic() - self._start
        return record.model_copy(update={"elapsed_s": elapsed_s, "interleaved": interleaved})

    def _device_memory(self, interleaved: str) -> tuple[Measurement, ...]:
        """Return the driver's view of the accelerator's memory, where its probe had a window."""
        if self._measuring is None or interleaved:
            return ()
        state = self._context.energy.seen.state
        return tuple(
            Measured(metric=name, unit="B", samples=(float(state[name]),), estimator="max",
                     source="nvml")
            for name in ("device_used_b", "device_process_b")
            if name in state
        )  # fmt: skip

    def _kv_cache(self) -> tuple[Measurement, ...]:
        """Return the size of the KV cache by arithmetic, to read next to the working memory."""
        workload = self._context.cell.workload
        if not isinstance(workload, Decode | Prefill):
            return ()
        new_tokens = workload.new_tokens if isinstance(workload, Decode) else 0
        held_b = self._context.facts.kv_cache_b(workload.prompt_tokens + new_tokens)
        if held_b is None:
            return ()
        size_b = held_b * workload.batch
        return (Measured(metric="kv_cache_b", unit="B", samples=(size_b,), source="analytic"),)

    def _environment(self, interleaved: str) -> Environment:
        """Return the machine with its state around this cell."""
        environment, machine = self._identity.environment, self._machine.stop()
        state, unknown = dict(machine.state), dict(machine.unknown)
        if interleaved and "foreign_cpu_ratio" in state:
            del state["foreign_cpu_ratio"]
            unknown["foreign_cpu_ratio"] = "other cells of this run took turns"
        device = self._context.energy.seen
        return environment.model_copy(
            update={
                "state": {**environment.state, **state, **device.state},
                "unknown": {**environment.unknown, **unknown, **device.unknown},
            }
        )

    def _begin(self) -> None:
        found = WORKLOADS[self._context.cell.workload.kind](self._context)
        if isinstance(found, Findings):
            self._findings = found
        else:
            self._measuring = Measuring(self._context, found)

    def _measure(self) -> None:
        assert self._measuring is not None
        self._findings = self._measuring.with_energy()

    def _collect_interleaved(self) -> None:
        assert self._measuring is not None
        self._findings = self._measuring.findings()
        detail = "blocks of several cells took turns: no window belongs to one; run without it"
        self._findings.energy_missing = [
            Missing(metric="energy", reason="not_applicable", detail=detail)
        ]

    def _try(self, action: Callable[[], None]) -> None:
        """Do something with the adapter; remember how it failed."""
        try:
            action()
        except Exception as error:  # noqa: BLE001 - an adapter may fail in any way; it is recorded
            self._failure = classify(error)


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
        proof=identity.proof,
        environment=identity.environment,
        measurements=(*shared, *findings.measurements),
        energy=tuple(findings.energy),
        energy_missing=tuple(findings.energy_missing),
        rates=identity.rates,
        traces=findings.traces,
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
