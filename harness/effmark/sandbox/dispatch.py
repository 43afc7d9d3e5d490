"""Groups of jobs on workers: who runs what next, and what happens when a worker is lost.

One thread, one selector: no job waits for another worker's, and nothing is forked from a thread.
"""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from effmark.sandbox.job import Job, JobResult
from effmark.sandbox.results import lost_result, make_result
from effmark.sandbox.verdict import is_doubtful
from effmark.sandbox.worker import Report, Worker, WorkerLostError

__all__ = ["JOBS_PER_ZYGOTE", "Dispatch", "Group", "OnResult"]

JOBS_PER_ZYGOTE = 1000
"""After so many jobs a zygote is replaced, between two groups."""

_LOOK_S = 1.0

OnResult = Callable[[int, JobResult], None]
"""Hears the position of a job and its result, as soon as there is one."""


@dataclass
class Group:
    """Jobs that share a zygote, and how far they have come."""

    first: int
    """Position of the first job among all jobs."""
    jobs: Sequence[Job]
    results: list[JobResult] = field(default_factory=list)
    doubtful: list[int] = field(default_factory=list)
    """Which of the results the machine may have decided."""
    attempt: int = 1
    """Which attempt at the present job it is."""

    @property
    def job(self) -> Job:
        """The job whose result is the next to come."""
        return self.jobs[len(self.results)]


class Dispatch:
    """One pass over groups of jobs."""

    def __init__(
        self,
        workers: Sequence[Worker],
        restart: Callable[[Worker], None],
        on_result: OnResult | None,
    ) -> None:
        self._workers, self._restart, self._on_result = workers, restart, on_result
        self._active: dict[Worker, Group] = {}
        self._selector = selectors.DefaultSelector()

    def run(self, groups: Iterable[Group]) -> None:
        """Fill in the results of all groups."""
        waiting = deque(group for group in groups if group.jobs)
        with self._selector:
            while waiting or self._active:
                for worker in self._workers:
                    if waiting and worker not in self._active:
                        self._begin(worker, waiting.popleft())
                for key, _ in self._selector.select(_LOOK_S):
                    self._hear(key.data)
                for worker in [worker for worker in self._active if worker.is_overdue()]:
                    self._lose(worker, "it does not answer")

    def _begin(self, worker: Worker, group: Group) -> None:
        if worker.jobs_done >= JOBS_PER_ZYGOTE:
            self._restart(worker)
        self._active[worker] = group
        self._submit(worker)

    def _submit(self, worker: Worker) -> None:
        self._selector.register(worker.fileno(), selectors.EVENT_READ, worker)
        try:
            worker.submit(self._active[worker].job)
        except WorkerLostError as error:
            self._lose(worker, str(error))

    def _hear(self, worker: Worker) -> None:
        try:
            report = worker.receive()
        except WorkerLostError as error:
            self._lose(worker, str(error))
            return
        if report is not None:
            self._selector.unregister(worker.fileno())
            self._ended(worker, report)

    def _ended(self, worker: Worker, report: Report) -> None:
        group = self._active[worker]
        result = make_result(worker, group.job, report, group.attempt)
        if result.status == "sandbox_lost" and group.attempt == 1:
            self._again(worker)
            return
        if is_doubtful(report.facts, result, group.job.limits):
            group.doubtful.append(len(group.results))
        self._settle(worker, result)

    def _lose(self, worker: Worker, why: str) -> None:
        self._selector.unregister(worker.fileno())
        group = self._active[worker]
        if group.attempt == 1:
            self._again(worker)
            return
        result = lost_result(worker, why)
        self._restart(worker)
        self._settle(worker, result)

    def _again(self, worker: Worker) -> None:
        """Run the present job once more, in a new zygote."""
        self._restart(worker)
        self._active[worker].attempt += 1
        self._submit(worker)

    def _settle(self, worker: Worker, result: JobResult) -> None:
        group = self._active[worker]
        if self._on_result is not None:
            self._on_result(group.first + len(group.results), result)
        group.results.append(result)
        group.attempt = 1
        if len(group.results) == len(group.jobs):
            del self._active[worker]
        else:
            self._submit(worker)
