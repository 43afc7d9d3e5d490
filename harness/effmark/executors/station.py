"""A process of the plan with its worker: asked for cells, answers with records."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any, Protocol

from effmark.adapter import LoadRequest
from effmark.executors.local import LocalWorker
from effmark.plan import ProcessPlan
from effmark.record import Proof, Record, Settings, SuiteRef
from effmark.spec import Cell, Limits, Suite

__all__ = ["Observer", "Orders", "Station"]


class Observer(Protocol):
    """Told what happens, to show it to people."""

    def process(self, process: ProcessPlan, phase: str) -> None:
        """Tell that a process enters a phase: `prepare`, `prove`, `load`, `done`."""

    def cell(self, cell: Cell, text: str) -> None:
        """Tell what a cell is doing."""

    def record(self, record: Record) -> None:
        """Tell that a cell has ended; its record is on disk."""


class Orders:
    """What all workers of a run are told."""

    def __init__(
        self, suite: Suite, suite_ref: SuiteRef, cache: Path, memory_b: int, command: str
    ) -> None:
        self.suite = suite
        self.suite_ref = suite_ref
        self.cache = cache
        self.memory_b = memory_b
        self.command = command
        self.run_id = uuid.uuid4().hex
        self.state: dict[str, str | int | float | bool] = {}
        """What the run knows of the machine and workers shall put into their records."""
        self.unknown: dict[str, str] = {}

    @property
    def limits(self) -> Limits:
        """Return the limits of the suite."""
        return self.suite.limits

    def settings(self, process: ProcessPlan) -> Settings:
        """Return how to measure a cell: its share of the process's budget."""
        timed = [c for c in process.cells if c.workload.kind in ("decode", "prefill", "infer")]
        whole_s = self.suite.budget.process_s
        return Settings(
            precision=self.suite.precision,
            budget_s=None if whole_s is None else whole_s / max(1, len(timed)),
            min_blocks=self.suite.budget.min_blocks,
            max_blocks=self.suite.budget.max_blocks,
            limits=self.suite.limits,
        )


class Station:
    """One worker process for one process of the plan.

    Every method raises WorkerFailed when the worker says so or is no more.
    """

    def __init__(self, process: ProcessPlan, orders: Orders, observer: Observer) -> None:
        self.process = process
        self._orders = orders
        self._observer = observer
        self._cell = process.cells[0]
        threads = str(process.cells[0].threads)
        self._worker = LocalWorker({"OMP_NUM_THREADS": threads}, orders.memory_b)

    def prepare(self, process: ProcessPlan) -> None:
        """Make the artefacts of a process, this one's or another's."""
        self._observer.process(process, "prepare")
        self._ask("prepare", self._orders.limits.prepare_s, **self._request(process))

    def prove(self, process: ProcessPlan) -> Proof | None:
        """Return the proof of the artefact that was prepared for a process."""
        self._observer.process(process, "prove")
        answer = self._ask(
            "prove",
            self._orders.limits.prepare_s,
            memory_b=self._orders.memory_b,
            **self._request(process),
        )
        return answer["proof"] and Proof.model_validate(answer["proof"])

    def load(self, proof: Proof | None) -> None:
        """Load the model; the records will hold its proof."""
        self._observer.process(self.process, "load")
        self._ask(
            "load",
            self._orders.limits.load_s,
            proof=proof and proof.model_dump(mode="json"),
            **self._request(self.process),
        )

    def run(self, cell: Cell) -> Record:
        """Measure a cell to its end."""
        return Record.model_validate(self._measure("run", cell)["record"])

    def begin(self, cell: Cell) -> dict[str, Any]:
        """Begin a cell whose blocks come one by one; return whether it is `warm` and `done`."""
        return self._measure("begin", cell)

    def step(self) -> dict[str, Any]:
        """Measure one block; return whether the cell is `warm` and `done`."""
        return self._ask("step", self._orders.limits.cell_s)

    def align(self, partners: int) -> None:
        """Count the blocks so far as warm-up; `partners` cells share what follows."""
        self._ask("align", self._orders.limits.cell_s, partners=partners)

    def finish(self, interleaved: str) -> Record:
        """Return the record of the cell that was begun."""
        answer = self._ask("finish", self._orders.limits.cell_s, interleaved=interleaved)
        return Record.model_validate(answer["record"])

    def close(self) -> None:
        """End the worker; calling it after its death is allowed."""
        self._worker.close()

    def _measure(self, op: str, cell: Cell) -> dict[str, Any]:
        self._cell = cell
        self._observer.cell(cell, "starting")
        return self._ask(
            op,
            self._orders.limits.cell_s,
            cell=cell.model_dump(mode="json"),
            settings=self._orders.settings(self.process).model_dump(mode="json"),
            is_reference=self.process.is_reference,
            reference=self.process.reference,
            run_id=self._orders.run_id,
            suite=self._orders.suite_ref.model_dump(mode="json"),
            command=self._orders.command,
            rates=self._orders.suite.rates.model_dump(mode="json"),
        )

    def _ask(self, op: str, limit_s: float, **body: Any) -> dict[str, Any]:
        return self._worker.ask(
            op, limit_s, lambda text: self._observer.cell(self._cell, text), **body
        )

    def _request(self, process: ProcessPlan) -> dict[str, Any]:
        cell = process.cells[0]
        request = LoadRequest(
            model=cell.model,
            precision=cell.precision,
            device=cell.device,
            threads=cell.threads,
            context_tokens=process.context_tokens,
            batch=process.batch,
            options=cell.options,
            cache=self._orders.cache,
        )
        return {
            "adapter": cell.adapter,
            "request": request.model_dump(mode="json"),
            "process_id": uuid.uuid4().hex,
            "variables": self._worker.variables,
            "state": self._orders.state,
            "unknown": self._orders.unknown,
        }
