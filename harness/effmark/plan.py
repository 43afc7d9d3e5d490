"""From a suite to cells: what would run, in which process, in which order, and for how long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from effmark.environment import default_threads
from effmark.errors import PrerequisiteError, SpecError
from effmark.estimates import process_estimate, resident_b
from effmark.model_names import model_key, shown_names
from effmark.models import resolve_model
from effmark.record import Record, SuiteRef
from effmark.registry import adapter_class, adapter_version, list_models, nearest
from effmark.schema import content_hash
from effmark.spec import (
    Budget,
    Cell,
    CellGroup,
    Code,
    Decode,
    ModelRef,
    Outcome,
    Prefill,
    Suite,
    Tasks,
    Text,
)
from effmark.suites import pinned
from effmark.units import format_quantity

__all__ = ["Plan", "ProcessPlan", "make_plan", "plan_again", "suite_ref"]

_START_TOKENS = 2
"""Room for what a tokenizer puts before a text."""
_CODE_PROMPT_TOKENS = 1024
"""Room for a programming problem and its chat template; longer ones are refused by name."""


@dataclass(frozen=True)
class ProcessPlan:
    """The cells that one worker process measures in turn."""

    cells: tuple[Cell, ...]
    is_reference: bool
    """Whether its log-probabilities are the reference of the quality numbers."""
    reference: str
    """Identity of the baseline of this process's model, whichever process that is."""
    estimate_s: float
    basis: str
    """`own records` or `guess`."""
    memory_b: int | None
    """Estimated resident memory; None where nothing is known."""
    problem: str = ""
    """Why it cannot run here, known before anything is made."""
    outcome: Outcome = "oom"
    """What is recorded of a process that has a problem."""
    model: str = ""
    """What tells its model from others of the same name; empty where the name does."""

    @property
    def label(self) -> str:
        """Return the name that people read."""
        cell = self.cells[0]
        options = "".join(f" {k}={v}" for k, v in sorted(cell.options.items()))
        return f"{self.model or cell.model.name} · {cell.adapter} {cell.precision}{options}"

    @property
    def context_tokens(self) -> int:
        """Return the longest request in tokens that will come."""
        return max((_tokens(cell) for cell in self.cells), default=1) + 1

    @property
    def batch(self) -> int:
        """Return the most sequences that will run together."""
        return max((getattr(cell.workload, "batch", 1) for cell in self.cells), default=1)


@dataclass(frozen=True)
class Plan:
    """All processes of a run, in order."""

    suite: Suite
    suite_ref: SuiteRef
    processes: tuple[ProcessPlan, ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        """Return all cells, in order."""
        return tuple(cell for process in self.processes for cell in process.cells)

    @property
    def estimate_s(self) -> float:
        """Return the estimated length of the run, conversions aside."""
        return sum(process.estimate_s for process in self.processes)


def make_plan(
    suite: Suite,
    cache: Path,
    *,
    models: Sequence[str] = (),
    only: Sequence[str] = (),
    records: Sequence[Record] = (),
    repetitions: int = 1,
    fetch: bool = True,
    trust_remote_code: bool = False,
) -> Plan:
    """Return what a suite asks for, baseline first for each model.

    Args:
        suite: The suite.
        cache: Where models are found and kept.
        models: Models to run instead of those of the suite.
        only: `ADAPTER` or `ADAPTER/PRECISION` to keep; empty keeps all.
        records: Earlier records, from which times are estimated.
        repetitions: Worker processes per combination.
        fetch: Whether models that are not here yet are downloaded.
        trust_remote_code: Whether Python code that lies in a model's folder may run.

    Raises:
        SpecError: an unknown model, adapter or precision, or nothing left to run.
    """
    for group in suite.cells:
        _check(group)
    chosen = _chosen(suite, only)
    processes = [
        _process(suite, resolved, group, precision, number, records)
        for resolved in (
            resolve_model(name, cache, fetch=fetch, trust_remote_code=trust_remote_code)
            for name in (models or suite.models)
        )
        for number in range(repetitions)
        for group, precision in chosen
    ]
    names = shown_names(process.cells[0].model for process in processes if process.cells)
    kept = tuple(
        replace(process, model=names[model_key(process.cells[0].model)])
        for process in processes
        if process.cells
    )
    if not kept:
        raise SpecError(f"suite {suite.suite!r}: nothing to run; check --only and --model")
    return Plan(suite, suite_ref(suite), kept)


def suite_ref(suite: Suite) -> SuiteRef:
    """Return what records keep of a suite."""
    return SuiteRef(
        name=suite.suite, version=suite.version, sha256=suite.sha256, profile=suite.profile
    )


def plan_again(record: Record, cache: Path) -> Plan:
    """Return the plan that measures the cell of a record once more, its model found anew.

    Raises:
        SpecError: the model of that name is not the one that was measured.
    """
    cell, settings = record.cell, record.settings
    trust = cell.model.trust_remote_code
    model = resolve_model(_where(cell.model), cache, trust_remote_code=trust)
    if model.sha256 != cell.model.sha256:
        raise SpecError(
            f"model {model.name!r} is not the one of record {record.id[:8]}: its SHA-256 is "
            f"{model.sha256[:16]}…, recorded was {cell.model.sha256[:16]}…"
        )
    group = CellGroup(
        adapter=cell.adapter, precision=(cell.precision,), device=cell.device, options=cell.options
    )
    suite = Suite(
        suite=record.suite.name,
        version=record.suite.version,
        why=f"record {record.id} again",
        models=(_where(model),),
        cells=(group,),
        workloads=(cell.workload,),
        precision=settings.precision,
        budget=Budget(
            process_s=settings.budget_s,
            min_blocks=settings.min_blocks,
            max_blocks=settings.max_blocks,
        ),
        limits=settings.limits,
        threads=cell.threads,
    )
    here = {"model": model, "adapter_version": adapter_version(cell.adapter)}
    again = cell.model_copy(update=here)
    process = ProcessPlan(
        (again,), record.is_baseline, "", record.elapsed_s or 0.0, "this record", None
    )
    return Plan(suite, record.suite, (process,))


def _where(model: ModelRef) -> str:
    """Return what resolves to a recorded model: its name, or for a file or folder its path."""
    by_name = model.path is None or "/" in model.name or model.name in list_models()
    return model.name if by_name else str(model.path)


def _check(group: CellGroup) -> None:
    """Refuse unknown adapters and precisions before anything is spent."""
    adapter_version(group.adapter)
    try:
        known = adapter_class(group.adapter).precisions
    except PrerequisiteError:
        return  # a missing extra is an outcome of the cell, not an error of the suite
    for precision in group.precision:
        if precision not in known:
            hint = nearest(precision, list(known)).replace("installed", "it has")
            raise SpecError(f"adapter {group.adapter!r} has no precision {precision!r}; {hint}")


def _chosen(suite: Suite, only: Sequence[str]) -> list[tuple[CellGroup, str]]:
    pairs = [(group, precision) for group in suite.cells for precision in group.precision]
    for wanted in only:
        if not any(_matches(group, precision, wanted) for group, precision in pairs):
            adapters, precisions = ({g.adapter for g, _ in pairs}, {p for _, p in pairs})
            both = {f"{group.adapter}/{precision}" for group, precision in pairs}
            known = sorted(both) if "/" in wanted else sorted(adapters | precisions)
            hint = nearest(wanted, known).replace("installed", "the suite has")
            raise SpecError(f"--only {wanted!r} matches nothing; {hint}")
    if only:
        pairs = [p for p in pairs if any(_matches(*p, wanted) for wanted in only)]
    return sorted(pairs, key=lambda pair: not _is_baseline(suite, *pair))


def _matches(group: CellGroup, precision: str, wanted: str) -> bool:
    return wanted in (group.adapter, precision, f"{group.adapter}/{precision}")


def _is_baseline(suite: Suite, group: CellGroup, precision: str) -> bool:
    baseline = suite.baseline
    return (
        baseline is not None and group is suite.baseline_group and precision == baseline.precision
    )


def _reference(suite: Suite, model: ModelRef) -> str:
    """Return the identity of what the baseline of a suite computes on a model."""
    group = suite.baseline_group
    if suite.baseline is None or group is None:
        return ""
    return content_hash(
        [
            model.sha256,
            group.adapter,
            adapter_version(group.adapter),
            suite.baseline.precision,
            group.device,
            dict(group.options),
        ]
    )


def _process(
    suite: Suite,
    model: ModelRef,
    group: CellGroup,
    precision: str,
    repetition: int,
    records: Sequence[Record],
) -> ProcessPlan:
    cells = tuple(
        Cell(
            model=model,
            adapter=group.adapter,
            adapter_version=adapter_version(group.adapter),
            precision=precision,
            device=group.device,
            threads=suite.threads or default_threads(),
            options=group.options,
            workload=pinned(workload),
            suite_sha256=suite.sha256,
            repetition=repetition,
        )
        for workload in suite.workloads_of(model.name)
    )
    memory_b = None if model.quantised else resident_b(model, precision)
    foreign = _foreign(model, group.adapter)
    estimate_s, basis = process_estimate(suite, cells, records, memory_b)
    return ProcessPlan(
        cells=cells,
        is_reference=_is_baseline(suite, group, precision),
        reference=_reference(suite, model),
        estimate_s=estimate_s,
        basis=basis,
        memory_b=memory_b,
        problem=foreign or _too_large(memory_b, suite, model),
        outcome="unsupported" if foreign else "oom",
    )


def _tokens(cell: Cell) -> int:
    workload = cell.workload
    if isinstance(workload, Decode):
        return workload.prompt_tokens + workload.new_tokens
    if isinstance(workload, Prefill):
        return workload.prompt_tokens + 1
    if isinstance(workload, Code):
        return _CODE_PROMPT_TOKENS + (workload.new_tokens or 0)
    if isinstance(workload, Text):
        return _START_TOKENS + workload.context_tokens
    return workload.context_tokens if isinstance(workload, Tasks) else 512


def _foreign(model: ModelRef, adapter: str) -> str:
    """Return why an adapter cannot read the weights of a model, empty if it can."""
    try:
        known = getattr(adapter_class(adapter), "quantised", ())
    except PrerequisiteError:
        return ""  # its cells will say what is missing
    if not model.quantised or model.quantised in known:
        return ""
    return (
        f"model {model.name!r} holds weights quantised by {model.quantised}, which {adapter} does "
        "not read; give the folder of the model before quantisation, or a GGUF file"
    )


def _too_large(memory_b: int | None, suite: Suite, model: ModelRef) -> str:
    limit = suite.limits.memory_b or psutil.virtual_memory().total
    if memory_b is None or memory_b <= limit:
        return ""
    need, have = (format_quantity(size, "B") for size in (memory_b, limit))
    return f"model {model.name!r} needs {need} of memory or more, {have} may be used"
