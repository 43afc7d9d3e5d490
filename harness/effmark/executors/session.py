"""A run: the processes of a plan one after the other, a journal line after every cell.

Everything that can be prepared is prepared first, in one process that is gone before anything is
timed. Cells that the journal already holds are not run again, so the same command resumes.
"""

from __future__ import annotations

import datetime
import shlex
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

from effmark.environment import capture_environment
from effmark.executors.local import LocalWorker, WorkerFailed
from effmark.executors.station import Observer, Orders, Station
from effmark.executors.turns import parties, take_turns
from effmark.plan import Plan, ProcessPlan
from effmark.probes.lock import device_lock
from effmark.probes.peaks import machine_peaks
from effmark.record import FINAL, Environment, Missing, Proof, Record
from effmark.registry import adapter_class
from effmark.spec import Cell, Tasks
from effmark.store import Journal
from effmark.task_files import task_files

__all__ = ["Session"]

_MEMORY_SHARE = 0.9
"""Of the memory that is available when a run starts, what one worker may use."""


class Session:
    """One run of a plan into one results folder."""

    def __init__(
        self,
        plan: Plan,
        results: Path,
        cache: Path,
        observer: Observer,
        command: Sequence[str],
        *,
        fresh: bool = False,
    ) -> None:
        self.plan = plan
        self._observer = observer
        given_b = plan.suite.limits.memory_b
        memory_b = given_b or int(psutil.virtual_memory().available * _MEMORY_SHARE)
        self._orders = Orders(plan.suite, plan.suite_ref, cache, memory_b, shlex.join(command))
        self._journal = Journal(results, plan.suite_ref.name, plan.suite_ref.version)
        self._new: list[Record] = []
        self._machine: Environment | None = None
        self._fresh = fresh
        """Whether cells are measured anew on purpose: then their failures replace results."""
        self._kept: set[str] = set()
        """Keys of cells that are finished: no failure is written over them."""
        self._proofs: dict[str, Proof | None] = {}
        """By the key of the first cell of a process."""

    def run(self, done: dict[str, Record]) -> list[Record]:
        """Run what is not done yet, one process after the other; return the new records."""
        self._kept = _kept(done, self.plan)
        pending = [(p, self._unfinished(p.cells)) for p in self.plan.processes]
        pending = [(process, cells) for process, cells in pending if cells]
        with self._journal, self._device():
            ready = self._prepare([process for process, _ in pending])
            for process, cells in pending:
                if process in ready:
                    self._measure(process, cells)
        return self._new

    def run_interleaved(self, done: dict[str, Record]) -> list[Record]:
        """Run what is not done yet, the processes of each model taking turns block by block.

        As many processes as fit into memory are alive at once, the baseline always among them.
        A party of which one cell is missing runs again as a whole: pairs are made of both.
        """
        self._kept = _kept(done, self.plan)
        with self._journal, self._device():
            ready = self._prepare(self.plan.processes)
            for party in parties([p for p in self.plan.processes if p in ready], self._orders):
                if any(self._unfinished(process.cells) for process in party):
                    self._measure_together(party)
        return self._new

    @contextmanager
    def _device(self) -> Iterator[None]:
        """Keep other runs off the devices, or note that they are there."""
        devices = sorted({cell.device for cell in self.plan.cells})
        with ExitStack() as stack:
            alone = [stack.enter_context(device_lock(device)) for device in devices]
            self._orders.state["device_exclusive"] = all(alone)
            yield

    def _prepare(self, processes: Sequence[ProcessPlan]) -> list[ProcessPlan]:
        """Make all artefacts; return the processes that can run, keep the failure of others."""
        ready = []
        station: Station | None = None
        for process in _fullest_first(processes):
            if process.problem:
                self._fail(process, process.cells, WorkerFailed(process.outcome, process.problem))
                continue
            station = station or Station(process, self._orders, self._observer)
            try:
                station.prepare(process)
                self._proofs[process.cells[0].key] = station.prove(process)
                ready.append(process)
            except WorkerFailed as failure:
                self._fail(process, process.cells, failure)
                station = station if failure.alive else None
        if station is not None:
            station.close()
        self._fetch([cell for process in ready for cell in process.cells])
        self._look_at_machine([cell for process in ready for cell in process.cells])
        return ready

    def _fetch(self, cells: Sequence[Cell]) -> None:
        """Fetch the data of lm-eval's own tasks in a worker that may use the network.

        What cannot be fetched is noted in all records; the cells that need it fail by themselves.
        """
        asked = {c.workload.name: c.workload for c in cells if isinstance(c.workload, Tasks)}
        for name, task in asked.items():
            if task_files(name):
                continue
            worker = LocalWorker({}, self._orders.memory_b, online=True)
            try:
                worker.ask(
                    "fetch",
                    self._orders.limits.prepare_s,
                    lambda _: None,
                    task=task.model_dump(mode="json"),
                    cache=str(self._orders.cache),
                )
            except WorkerFailed as failure:
                self._orders.unknown[f"task {name}"] = failure.detail
            finally:
                worker.close()

    def _look_at_machine(self, cells: Sequence[Cell]) -> None:
        """Measure what the machine reaches at best, where a real model is to be compared."""
        real = [cell for cell in cells if cell.model.kind != "synthetic"]
        if not real:
            return
        peaks = machine_peaks(self._orders.cache, real[0].threads, real[0].device)
        if isinstance(peaks, Missing):
            self._orders.unknown["peak_flop_per_s"] = peaks.detail
        else:
            self._orders.state.update(peaks)

    def _open(self, process: ProcessPlan, cells: Sequence[Cell]) -> Station | None:
        """Return a loaded worker; where there is none, its cells have got their records."""
        station = Station(process, self._orders, self._observer)
        try:
            station.load(self._proofs[process.cells[0].key])
        except WorkerFailed as failure:
            station.close()
            self._fail(process, cells, failure)
            return None
        return station

    def _measure(self, process: ProcessPlan, cells: Sequence[Cell]) -> None:
        """Measure the cells of one process; every cell gets a record, whatever happens."""
        station = self._open(process, cells)
        for number, cell in enumerate(cells):
            if station is None:
                return
            found: Record | WorkerFailed
            try:
                found = station.run(cell)
                self._keep(found)
            except WorkerFailed as failure:
                found = failure
                self._fail(process, [cell], failure)
            if found.outcome in ("crash", "timeout", "oom"):
                station.close()  # what is left runs in a process that has not been through this
                left = cells[number + 1 :]
                station = self._open(process, left) if left else None
        if station is not None:
            station.close()
        self._observer.process(process, "done")

    def _measure_together(self, party: Sequence[ProcessPlan]) -> None:
        """Measure the cells of several processes side by side."""
        opened = [self._open(process, process.cells) for process in party]
        stations = [station for station in opened if station is not None]
        for number in range(max(len(process.cells) for process in party)):
            here = [s for s in stations if number < len(s.process.cells)]
            for station, found in take_turns(here, number):
                if isinstance(found, Record):
                    self._keep(found)
                else:
                    self._fail(station.process, [station.process.cells[number]], found)
                if found.outcome in ("crash", "timeout", "oom"):
                    station.close()
                    stations.remove(station)
                    self._measure(station.process, station.process.cells[number + 1 :])
        for station in stations:
            station.close()
            self._observer.process(station.process, "done")

    def _fail(self, process: ProcessPlan, cells: Sequence[Cell], failure: WorkerFailed) -> None:
        """Keep the records of unfinished cells that gave none themselves."""
        for cell in self._unfinished(cells):
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            self._keep(
                Record(
                    id=uuid.uuid4().hex,
                    run_id=self._orders.run_id,
                    process_id="",
                    created=now,
                    suite=self.plan.suite_ref,
                    cell=cell,
                    settings=self._orders.settings(process),
                    is_baseline=process.is_reference,
                    outcome=failure.outcome,
                    detail=failure.detail,
                    environment=self._environment(),
                    measurements=failure.memory,
                    command=self._orders.command,
                )
            )

    def _unfinished(self, cells: Sequence[Cell]) -> list[Cell]:
        return [cell for cell in cells if cell.key not in self._kept]

    def _environment(self) -> Environment:
        """Return the machine as a worker would have found it: a failure belongs to it, too."""
        if self._machine is None:
            self._machine = capture_environment({})
        state = {"state": dict(self._orders.state), "unknown": dict(self._orders.unknown)}
        return self._machine.model_copy(update=state)

    def _keep(self, record: Record) -> None:
        """Put a record on disk, then tell people."""
        record = record.model_copy(update={"fresh": self._fresh})
        self._journal.append(record)
        self._new.append(record)
        self._observer.record(record)


def _kept(done: dict[str, Record], plan: Plan) -> set[str]:
    """Return the keys of cells that need not run again.

    A quality cell that missed its reference runs again where the baseline has run or will run.
    """
    finished = {key: record for key, record in done.items() if record.outcome in FINAL}
    baselines = [r.cell for r in finished.values() if r.is_baseline and r.outcome == "ok"]
    baselines += [cell for process in plan.processes if process.is_reference
                  for cell in process.cells]  # fmt: skip
    references = {(cell.model.sha256, cell.workload.label) for cell in baselines}
    return {
        key
        for key, record in finished.items()
        if not _lacks_reference(record)
        or (record.cell.model.sha256, record.cell.workload.label) not in references
    }


def _lacks_reference(record: Record) -> bool:
    found = record.measurement("kl_divergence")
    return isinstance(found, Missing) and found.reason == "not_present"


def _fullest_first(processes: Sequence[ProcessPlan]) -> list[ProcessPlan]:
    """Return processes, of each model and adapter the adapter's first precision before the others.

    What it proves of the runtime decides what the proofs of the others say.
    """
    runtimes = [(p.model, p.cells[0].model.sha256, p.cells[0].adapter) for p in processes]

    def place(number: int) -> tuple[int, bool]:
        cell = processes[number].cells[0]
        fullest = adapter_class(cell.adapter).precisions[:1]
        return runtimes.index(runtimes[number]), cell.precision not in fullest

    return [processes[number] for number in sorted(range(len(processes)), key=place)]
