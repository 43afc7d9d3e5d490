"""From a worker's report to a result."""

from __future__ import annotations

from effmark.perf_events import CounterAbsent
from effmark.sandbox.job import Job, JobResult, Overhead, printable
from effmark.sandbox.levels import layers_of, level_of
from effmark.sandbox.verdict import decide, values_of
from effmark.sandbox.worker import Report, Worker

__all__ = ["UNKNOWN_OVERHEAD", "lost_result", "make_result"]

_NEVER_RAN = CounterAbsent("failed", "the job ended before it was counted")
UNKNOWN_OVERHEAD = Overhead(0.0, 0.0, CounterAbsent("failed", "not measured"), 0)
"""What is subtracted from the empty jobs themselves."""


def make_result(worker: Worker, job: Job, report: Report, attempt: int) -> JobResult:
    """Return the result of a job that came to an end."""
    facts, stream, output = report.facts, bytes(report.values), bytes(report.output)
    verdict = decide(facts, stream, job.limits, oom_killed=report.oom_killed)
    return JobResult(
        status=verdict.status,
        limit=verdict.limit,
        reason=verdict.reason,
        wall_s=facts["wall_s"],
        cpu_s=facts["cpu_s"],
        user_instructions=_instructions(report),
        maxrss_b=facts["maxrss_b"],
        values=values_of(stream),
        output=printable(output),
        raw_output=output,
        level=level_of(worker.plan),
        layers=layers_of(worker.plan, worker.group),
        worker=worker.index,
        zygote=worker.serial,
        overhead=worker.overhead or UNKNOWN_OVERHEAD,
        starved_s=facts.get("starved_s"),
        steal_s=facts.get("steal_s"),
        attempts=attempt,
    )


def _instructions(report: Report) -> int | CounterAbsent:
    facts = report.facts
    if facts.get("multiplexed"):
        return CounterAbsent("failed", "the counter had to share the hardware")
    if "instructions" in facts:
        return int(facts["instructions"])
    if "counter_absent" in facts:
        return CounterAbsent(*facts["counter_absent"])
    return _NEVER_RAN


def lost_result(worker: Worker, why: str) -> JobResult:
    """Return the result of a job that cost two workers; nothing is known of it."""
    return JobResult(
        status="sandbox_lost",
        limit=None,
        reason=f"the worker was lost twice: {why}",
        wall_s=0.0,
        cpu_s=0.0,
        user_instructions=_NEVER_RAN,
        maxrss_b=0,
        values=(),
        output="",
        level=level_of(worker.plan),
        layers=layers_of(worker.plan, worker.group),
        worker=worker.index,
        zygote=worker.serial,
        overhead=worker.overhead or UNKNOWN_OVERHEAD,
        attempts=2,
    )
