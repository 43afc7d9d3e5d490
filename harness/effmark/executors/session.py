"""A run: the processes of a plan one after the other, a journal line after every cell.

Everything that can be prepared is prepared first, in one process that is gone before anything is
timed. Cells that the journal already holds are not run again, so the same command resumes.
"""

from __future__ import annotations

import datetime
import shlex
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import psutil

from effmark.adapter import LoadRequest
from effmark.executors.local import LocalWorker, WorkerDied
from effmark.plan import Plan, ProcessPlan
from effmark.record import ModelFacts, Outcome, Record, Settings
from effmark.spec import Cell
from effmark.store import Journal

__all__ = ["FINAL", "Observer", "Session"]

FINAL: frozenset[Outcome] = frozenset({"ok", "oom", "unsupported", "skipped"})
"""Outcomes that a resumed run keeps; the others are tried again."""
_MEMORY_SHARE = 0.9
"""Of the memory that is available when a run starts, what one worker may use."""


class Observer(Protocol):
    """Told what happens, to show it to people."""

    def process(self, process: ProcessPlan, phase: str) -> None:
        """Tell that a process enters a phase: `prepare`, `load`, `done`."""

    def cell(self, cell: Cell, text: str) -> None:
        """Tell what a cell is doing."""

    def record(self, record: Record) -> None:
        """Tell that a cell has ended; its record is on disk."""


class Session:
    """One run of a plan into one results folder."""

    def __init__(
        self, plan: Plan, results: Path, cache: Path, observer: Observer, command: Sequence[str]
    ) -> None:
        self.plan = plan
        self.run_id = uuid.uuid4().hex
        self._cache = cache
        self._observer = observer
        self._command = shlex.join(command)
        self._suite = plan.suite_ref
        self._journal = Journal(results, self._suite.name, self._suite.version)
        limit = plan.suite.limits.memory_b
        self._memory_b = limit or int(psutil.virtual_memory().available * _MEMORY_SHARE)

    def run(self, done: dict[str, Record]) -> list[Record]:
        """Run what is not done yet; return the new records."""
        pending = [
            (p, tuple(c for c in p.cells if not _kept(c, done))) for p in self.plan.processes
        ]
        pending = [(process, cells) for process, cells in pending if cells]
        try:
            failed = self._prepare_all([process for process, _ in pending])
            return [
                record
                for process, cells in pending
                for record in self._measure(process, cells, failed.get(process.label))
            ]
        finally:
            self._journal.close()

    def _prepare_all(self, processes: Sequence[ProcessPlan]) -> dict[str, tuple[Outcome, str]]:
        """Make all artefacts; return how preparing failed, by process label."""
        failed: dict[str, tuple[Outcome, str]] = {}
        worker: LocalWorker | None = None
        for process in processes:
            if process.problem:
                failed[process.label] = ("oom", process.problem)
                continue
            self._observer.process(process, "prepare")
            worker = worker or self._worker(process)
            answer = self._ask(worker, process, "prepare", self.plan.suite.limits.prepare_s)
            if isinstance(answer, WorkerDied):
                failed[process.label] = (answer.outcome, answer.detail)
                worker = None
            elif answer["op"] == "failed":
                failed[process.label] = (answer["outcome"], answer["detail"])
        if worker is not None:
            worker.close()
        return failed

    def _measure(
        self,
        process: ProcessPlan,
        cells: Sequence[Cell],
        failure: tuple[Outcome, str] | None,
    ) -> list[Record]:
        """Measure the cells of one process; every cell gets a record, whatever happens."""
        if failure is not None:
            return [self._failed(process, cell, *failure) for cell in cells]
        self._observer.process(process, "load")
        worker = self._worker(process)
        answer = self._ask(worker, process, "load", self.plan.suite.limits.load_s)
        if isinstance(answer, WorkerDied):
            return [self._failed(process, cell, answer.outcome, answer.detail) for cell in cells]
        if answer["op"] == "failed":
            worker.close()
            return [
                self._failed(process, cell, answer["outcome"], answer["detail"]) for cell in cells
            ]
        facts = ModelFacts.model_validate(answer["facts"])
        records = []
        for number, cell in enumerate(cells):
            records.append(self._run(worker, process, cell, facts, cells[number:]))
            if records[-1].outcome in ("crash", "timeout", "oom"):
                worker.close()
                left = cells[number + 1 :]
                return records + (self._measure(process, left, None) if left else [])
        worker.close()
        self._observer.process(process, "done")
        return records

    def _run(
        self,
        worker: LocalWorker,
        process: ProcessPlan,
        cell: Cell,
        facts: ModelFacts,
        left: Sequence[Cell],
    ) -> Record:
        suite = self.plan.suite
        self._observer.cell(cell, "starting")
        try:
            answer = worker.ask(
                "run",
                suite.limits.cell_s,
                lambda text: self._observer.cell(cell, text),
                cell=cell.model_dump(mode="json"),
                settings=self._settings(process).model_dump(mode="json"),
                is_reference=process.is_reference,
                run_id=self.run_id,
                suite=self._suite.model_dump(mode="json"),
                command=self._command,
            )
        except WorkerDied as death:
            return self._failed(process, cell, death.outcome, death.detail, facts)
        if answer["op"] == "failed":
            return self._failed(process, cell, answer["outcome"], answer["detail"], facts)
        return self._keep(Record.model_validate(answer["record"]))

    def _settings(self, process: ProcessPlan) -> Settings:
        """Return how to measure a cell: its share of the process's budget."""
        suite = self.plan.suite
        timed = [c for c in process.cells if c.workload.kind in ("decode", "prefill", "infer")]
        whole_s = suite.budget.process_s
        return Settings(
            precision=suite.precision,
            budget_s=None if whole_s is None else whole_s / max(1, len(timed)),
            min_blocks=suite.budget.min_blocks,
            max_blocks=suite.budget.max_blocks,
        )

    def _ask(
        self, worker: LocalWorker, process: ProcessPlan, op: str, limit_s: float
    ) -> dict[str, Any] | WorkerDied:
        try:
            return worker.ask(
                op,
                limit_s,
                lambda text: None,
                adapter=process.cells[0].adapter,
                request=self._request(process).model_dump(mode="json"),
                process_id=uuid.uuid4().hex,
                variables=worker.variables,
            )
        except WorkerDied as death:
            return death

    def _worker(self, process: ProcessPlan) -> LocalWorker:
        return LocalWorker({"OMP_NUM_THREADS": str(process.cells[0].threads)}, self._memory_b)

    def _request(self, process: ProcessPlan) -> LoadRequest:
        cell = process.cells[0]
        return LoadRequest(
            model=cell.model,
            precision=cell.precision,
            device=cell.device,
            threads=cell.threads,
            context_tokens=process.context_tokens,
            batch=process.batch,
            options=cell.options,
            cache=self._cache,
        )

    def _failed(
        self,
        process: ProcessPlan,
        cell: Cell,
        outcome: Outcome,
        detail: str,
        facts: ModelFacts | None = None,
    ) -> Record:
        """Keep the record of a cell that gave none itself."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return self._keep(
            Record(
                id=uuid.uuid4().hex,
                run_id=self.run_id,
                process_id="",
                created=now,
                suite=self._suite,
                cell=cell,
                settings=self._settings(process),
                is_baseline=process.is_reference,
                outcome=outcome,
                detail=detail,
                facts=facts,
                command=self._command,
            )
        )

    def _keep(self, record: Record) -> Record:
        self._journal.append(record)
        self._observer.record(record)
        return record


def _kept(cell: Cell, done: dict[str, Record]) -> bool:
    earlier = done.get(cell.key)
    return earlier is not None and earlier.outcome in FINAL
