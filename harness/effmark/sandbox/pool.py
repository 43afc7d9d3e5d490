"""The sandbox as the rest of the harness sees it: workers on cores, jobs in, results out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from types import TracebackType
from typing import Self

from effmark.errors import PrerequisiteError, SpecError
from effmark.perf_events import CounterAbsent
from effmark.sandbox.canary import find_gap
from effmark.sandbox.dispatch import Dispatch, Group, OnResult
from effmark.sandbox.job import Job, JobResult, Level, Overhead
from effmark.sandbox.levels import choose_plan, layers_of, level_of
from effmark.sandbox.results import make_result
from effmark.sandbox.worker import Worker, WorkerLostError, run_blocking

__all__ = ["PRELOADED", "Sandbox", "pick_cores"]

PRELOADED = (
    *("array", "bisect", "collections", "copy", "dataclasses", "enum", "functools", "heapq"),
    *("itertools", "json", "math", "operator", "random", "re", "string", "sys", "time", "typing"),
)
"""What is imported before any job, so that no job is billed for it; `job_process.py` has what is
imported for those that name it only."""

_EMPTY_JOBS = 5
_MOST_PER_CPU = 4
"""Workers; more only wait for each other, and each holds memory."""


class Sandbox:
    """A pool of sandboxed workers, closed by `close` or the end of a ``with`` block.

    Not for several threads at once: one caller, one pass at a time.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        level: Level | None = None,
        allow_weak: bool = False,
        room: str | None = None,
        paths: Sequence[str] = (),
        preload: Sequence[str] = PRELOADED,
    ) -> None:
        """Start the workers, one per physical core if None, or say what this machine lacks.

        `level` asks for one level instead of the best; `room` for `bwrap` or `namespaces`; `paths`
        are folders that jobs may read and import from; `preload` is imported before any job.
        """
        plan = choose_plan(level, allow_weak=allow_weak, room=room)
        real = tuple(os.path.realpath(path) for path in paths)
        plan = replace(plan, paths=real, preload=tuple(preload))
        _check_workers(workers)
        cores = pick_cores(workers)
        self._workers: list[Worker] = []
        try:
            self._workers += [Worker(i, core, plan) for i, core in enumerate(cores)]
            self._start(self._workers)
        except BaseException:
            self.close()
            raise

    @property
    def level(self) -> Level:
        """How well jobs are contained."""
        return level_of(self._workers[0].plan)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers around every job."""
        return layers_of(self._workers[0].plan, self._workers[0].group)

    @property
    def workers(self) -> int:
        """How many jobs run at the same time."""
        return len(self._workers)

    def run(self, job: Job) -> JobResult:
        """Return the result of one job."""
        return self.map([job])[0]

    def run_together(self, jobs: Sequence[Job]) -> list[JobResult]:
        """Return the results of jobs run one after the other in one zygote."""
        return self.map_groups([jobs])[0]

    def map(self, jobs: Iterable[Job], on_result: OnResult | None = None) -> list[JobResult]:
        """Return the results of jobs in their order; `on_result` hears of each as it ends."""
        return [results[0] for results in self.map_groups(((job,) for job in jobs), on_result)]

    def map_groups(
        self, groups: Iterable[Sequence[Job]], on_result: OnResult | None = None
    ) -> list[list[JobResult]]:
        """Return the results of each group, whose jobs share a zygote and keep their order.

        `on_result` gets the position of a job among all jobs, and its result; a doubtful one it
        gets again at the end, when the job has been run once more with no other beside it.
        """
        laid_out: list[Group] = []
        for jobs in groups:
            first = laid_out[-1].first + len(laid_out[-1].jobs) if laid_out else 0
            laid_out.append(Group(first, tuple(jobs)))
        Dispatch(self._workers, self._restart, on_result).run(laid_out)
        for group in laid_out:
            for position in group.doubtful:
                self._run_alone(group, position, on_result)
        return [group.results for group in laid_out]

    def close(self) -> None:
        """End all workers."""
        for worker in self._workers:
            worker.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self.close()

    def _run_alone(self, group: Group, position: int, on_result: OnResult | None) -> None:
        worker = self._workers[group.results[position].worker]
        single = Group(group.first + position, (group.jobs[position],))
        Dispatch([worker], self._restart, None).run([single])
        if single.results[0].status != "sandbox_lost":
            group.results[position] = replace(single.results[0], attempts=2)
        if on_result is not None:
            on_result(single.first, group.results[position])

    def _restart(self, worker: Worker) -> None:
        worker.stop()
        self._start([worker])

    def _start(self, workers: Sequence[Worker]) -> None:
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                self._get_to_know(worker)
        except WorkerLostError as error:
            raise PrerequisiteError(f"sandbox: a worker was lost at its start: {error}") from error

    def _get_to_know(self, worker: Worker) -> None:
        """Have the canary look for gaps, and measure what an empty job costs."""
        worker.await_hello()
        if gap := find_gap(worker):
            raise PrerequisiteError(f"sandbox: the layers do not hold: {gap}")
        worker.overhead = None
        worker.overhead = _typical([self._run_empty(worker) for _ in range(_EMPTY_JOBS)])

    def _run_empty(self, worker: Worker) -> JobResult:
        job = Job("", driver="pass")
        return make_result(worker, job, run_blocking(worker, job), attempt=1)


def _typical(empty: Sequence[JobResult]) -> Overhead:
    counts = [result.user_instructions for result in empty]
    known = [count for count in counts if not isinstance(count, CounterAbsent)]
    return Overhead(
        wall_s=median(result.wall_s for result in empty),
        cpu_s=median(result.cpu_s for result in empty),
        user_instructions=int(median(known)) if known else counts[0],
        maxrss_b=int(median(result.maxrss_b for result in empty)),
    )


def _check_workers(wanted: int | None) -> None:
    cpus = len(os.sched_getaffinity(0))
    if wanted is not None and not 1 <= wanted <= _MOST_PER_CPU * cpus:
        raise SpecError(f"workers: {wanted} on {cpus} CPUs, wants 1 to {_MOST_PER_CPU * cpus}")


def pick_cores(wanted: int | None) -> list[int]:
    """Return a core for each worker: one thread per physical core first, then their siblings."""
    allowed = sorted(os.sched_getaffinity(0))
    seen: set[str] = set()
    first: list[int] = []
    later: list[int] = []
    for core in allowed:
        siblings = _siblings(core)
        (later if siblings in seen else first).append(core)
        seen.add(siblings)
    if wanted is None:
        return first
    order = first + later
    return [order[i % len(order)] for i in range(wanted)]


def _siblings(core: int) -> str:
    path = Path(f"/sys/devices/system/cpu/cpu{core}/topology/thread_siblings_list")
    try:
        return path.read_text().strip()
    except OSError:
        return str(core)
