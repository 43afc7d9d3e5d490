"""One problem while its samples are being measured: what is known so far of each program.

Time is the kernel's. A job runs the cases of a level; its driver reads the process's CPU clock
around each call, and the kernel's bill of the whole job is what these readings must add up to.
What is billed beyond them, compared with the reference's job on the same cases in the same zygote,
is charged to every case: hiding work from the clock never pays. With the instruction clock each
case is a job, and its cost is the bill.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from effmark.code.drivers import RUN
from effmark.code.preparing import Prepared
from effmark.code.problems import Case
from effmark.perf_events import CounterAbsent
from effmark.sandbox import Job, JobResult, Limits
from effmark.scores.code_timing import (
    FAILURES,
    STOPS,
    CodeEfficiency,
    ReferenceTimes,
    code_efficiency,
    reference_times,
)

__all__ = ["ALPHA", "REFERENCE", "Bout", "Clock", "Program", "Rules", "Slot", "shown_output"]

Clock = Literal["instructions", "cpu"]
_T = TypeVar("_T")

ALPHA = 2.0
"""Time limit of a problem over the slowest time of its reference (ENAMEL)."""
REFERENCE = -1
"""Who runs in a slot: the reference, else the number of a program."""
_STOP_FACTOR = 1.6
"""A call is given up at so many times the limit; the limit itself is known only at the end."""
_SLACK_S = 0.3
"""For decoding inputs and showing outputs; the bill is compared, this is not a score."""
_HIDDEN_S, _HIDDEN_SHARE = 0.003, 0.05
"""Billed time beyond the readings that noise explains, absolutely and of the bill."""


@dataclass(frozen=True)
class Rules:
    """What all programs of a run are held to."""

    clock: Clock = "cpu"
    wall_s: float = 5.0
    """Backstop of a job; more where the reference itself needs more."""
    memory_b: int = 4 << 30
    """Address space (ENAMEL's 4 GiB); HumanEval-like sets are as strict."""
    rounds: int = 6
    """Repeats at most."""

    @property
    def tolerance(self) -> float:
        """What a time may exceed the limit by before it stops the run, in the clock's unit."""
        return 0.01 if self.clock == "cpu" else 1e7


@dataclass(frozen=True)
class Slot:
    """Which cases of which level a job runs, and whose program."""

    level: int
    first: int
    count: int
    who: int

    @property
    def cases(self) -> tuple[int, int, int]:
        """What must be equal for a reference's job to be compared with."""
        return self.level, self.first, self.count


@dataclass
class Program:
    """One distinct solution: all equal samples share it."""

    text: str
    events: list[list[list[float | str]]]
    """[level][case][repeat]: time in the clock's unit, or how it ended."""
    approved: list[list[set[str]]]
    """[level][case]: outputs known to be right."""
    kind: str = ""
    """The first thing that went wrong, in our words."""
    detail: str = ""
    lost: bool = False
    """The sandbox failed it: never scored."""
    rung_cost: float | None = None
    """Time at the case of the ladder, where it was measured on its own."""

    @property
    def last_level(self) -> int:
        """The level at which it ended early; beyond all levels if it did not; -1 if it failed."""
        for level, cases in enumerate(self.events):
            for repeats in cases:
                for event in repeats:
                    if event in FAILURES or (event in STOPS and level == 0):
                        return -1
                    if event in STOPS:
                        return level
        return len(self.events)


@dataclass(frozen=True)
class Claim:
    """An output that is not known to be right yet."""

    who: int
    level: int
    case: int
    repeat: int
    output: str


@dataclass
class Bout:
    """All programs of one problem, and its reference, round by round."""

    prepared: Prepared
    rules: Rules
    programs: list[Program]
    reference: list[list[list[float]]] = field(init=False)
    """[level][case][repeat] of the reference, in the clock's unit."""

    def __post_init__(self) -> None:
        self.reference = [[[] for _ in cases] for cases in self.prepared.levels]

    @classmethod
    def begin(cls, prepared: Prepared, rules: Rules, texts: Sequence[str]) -> Bout:
        """Return a bout in which nothing has run yet."""
        programs = [
            Program(
                text,
                [[[] for _ in cases] for cases in prepared.levels],
                [[{case.expected} for case in cases] for cases in prepared.levels],
            )
            for text in texts
        ]
        return cls(prepared, rules, programs)

    @property
    def graded(self) -> bool:
        """Whether time counts."""
        return self.prepared.problem.graded

    def slots(self, repeat: int) -> list[Slot]:
        """Return who runs what in a round: on each level the reference, then everybody left."""
        found = []
        for level, cases in enumerate(self.prepared.levels):
            if repeat and not self.prepared.problem.hardness[level]:
                continue
            left = [i for i, p in enumerate(self.programs) if not p.lost and level < p.last_level]
            who = [REFERENCE, *left] if self.graded else left
            step = 1 if self.rules.clock == "instructions" and self.graded else len(cases)
            if left:
                found += [
                    Slot(level, first, step, one)
                    for first in range(0, len(cases), step)
                    for one in who
                ]
        return found

    def job(self, slot: Slot) -> Job:
        """Return the job of a slot."""
        problem = self.prepared.problem
        cases = self.prepared.levels[slot.level][slot.first : slot.first + slot.count]
        text = problem.reference if slot.who == REFERENCE else self.programs[slot.who].text
        inputs = self._inputs(text, cases, self.stop_s)
        return Job("", RUN, inputs, limits=self._limits(slot))

    @property
    def stop_s(self) -> float:
        """When a call is given up, in CPU seconds; the wall-clock backstop if time is no score."""
        if not self.graded:
            return self.rules.wall_s
        return _STOP_FACTOR * ALPHA * self.prepared.slowest_s + 0.05

    def _limits(self, slot: Slot) -> Limits:
        cases = self.prepared.levels[slot.level][slot.first : slot.first + slot.count]
        shown_b = sum(len(case.expected) for case in cases)
        cpu_s = self.rules.wall_s
        if self.graded:
            bytes_s = (shown_b + sum(len(case.args) for case in cases)) / 5e6
            cpu_s = self.stop_s * slot.count + bytes_s + _SLACK_S
        return Limits(
            wall_s=max(self.rules.wall_s, 2 * cpu_s),
            cpu_s=cpu_s,
            memory_b=self.rules.memory_b,
            values_b=(1 << 20) + 8 * shown_b,
        )

    def absorb(self, slots: Sequence[Slot], results: Sequence[JobResult]) -> list[Claim]:
        """Note the results of a round and return the outputs that have to be judged."""
        bills = {
            slot.cases: Bill.of(result, _Answers(result, slot.count), self.rules.clock)
            for slot, result in zip(slots, results, strict=True)
            if slot.who == REFERENCE and result.status == "ok"
        }
        claims: list[Claim] = []
        for slot, result in zip(slots, results, strict=True):
            answers = _Answers(result, slot.count)
            bill = Bill.of(result, answers, self.rules.clock)
            times = bill.times(answers.calls_s, bills.get(slot.cases))
            if slot.who == REFERENCE:
                for offset, time in enumerate(times):
                    self.reference[slot.level][slot.first + offset].append(time)
            else:
                claims += self._note(slot, result, answers, times)
        return claims

    def _note(
        self, slot: Slot, result: JobResult, answers: _Answers, times: Sequence[float]
    ) -> Iterator[Claim]:
        program = self.programs[slot.who]
        if result.status == "sandbox_lost":
            program.lost, program.detail = True, result.reason
            return
        cases = program.events[slot.level]
        for offset, (time, output) in enumerate(zip(times, answers.outputs, strict=True)):
            case = slot.first + offset
            cases[case].append(time)
            if not output.startswith("="):
                program.kind, program.detail = "wrong", f"an output of type {output[1:40]}"
                cases[case][-1] = "wrong"
            elif output[1:] not in program.approved[slot.level][case]:
                yield Claim(slot.who, slot.level, case, len(cases[case]) - 1, output[1:])
        if len(answers.outputs) < slot.count:
            event, kind = ending(result, answers.calls_s, self.stop_s)
            cases[slot.first + len(answers.outputs)].append(event)
            if not program.kind:
                program.kind, program.detail = kind, result.reason

    def settle(self, claim: Claim, *, right: bool) -> None:
        """Note what the judge said of an output."""
        program = self.programs[claim.who]
        if right:
            program.approved[claim.level][claim.case].add(claim.output)
        else:
            program.events[claim.level][claim.case][claim.repeat] = "wrong"

    def timing_job(self, text: str, level: int, case: int | None, cpu_s: float) -> Job:
        """Return a job that only times: one case of a level, or all if `case` is None."""
        cases = self.prepared.levels[level]
        chosen = cases if case is None else cases[case : case + 1]
        limits = Limits(
            wall_s=2 * cpu_s + 1,
            cpu_s=cpu_s,
            memory_b=self.rules.memory_b,
            values_b=(1 << 20) + 8 * sum(len(case.expected) for case in chosen),
        )
        return Job("", RUN, self._inputs(text, chosen, cpu_s), limits=limits)

    def costs(self, result: JobResult) -> list[float]:
        """Return the time of each call of a timing job, as far as it came."""
        answers = _Answers(result, len(result.values))
        bill = Bill.of(result, answers, self.rules.clock)
        if not bill.instructions:
            return answers.calls_s
        shares = (call / (bill.cpu_s or bill.calls_s) for call in answers.calls_s)
        return [bill.cost * min(1.0, share) for share in shares]

    def _inputs(self, text: str, cases: Sequence[Case], stop_s: float) -> dict[str, Any]:
        return {
            "source": text,
            "entry_point": self.prepared.problem.entry_point,
            "shown": self.prepared.problem.shown,
            "cases": [(case.args, case.plain) for case in cases],
            "stop_s": stop_s,
        }

    def limits(self, left_out: int | None = None) -> ReferenceTimes | None:
        """Return the reference's times and the limit; None until each case has been timed."""
        times = [[_without(repeats, left_out) for repeats in cases] for cases in self.reference]
        if not self.graded or not all(repeats for cases in times for repeats in cases):
            return None
        return reference_times(times, self.prepared.problem.hardness, alpha=ALPHA)

    def efficiency(
        self, program: Program, reference: ReferenceTimes, left_out: int | None = None
    ) -> CodeEfficiency:
        """Return pass and score of a program, with one of the repeats left out if asked."""
        runs = [
            [_without(repeats, left_out) for repeats in cases] for cases in _started(program.events)
        ]
        return code_efficiency(
            runs,
            reference.levels_s,
            reference.limit_s,
            self.prepared.problem.hardness,
            tolerance_s=self.rules.tolerance,
        )


def _started(events: list[list[list[float | str]]]) -> list[list[list[float | str]]]:
    """Return the levels and cases that have events, up to the first without."""
    found = []
    for cases in events:
        begun = [repeats for repeats in cases if repeats]
        if not begun:
            break
        found.append(begun)
    return found


def _without(repeats: list[_T], left_out: int | None) -> list[_T]:
    """Return repeats without one of them; a single one, and how a run ended, always stay."""
    if left_out is None or len(repeats) < 2:
        return repeats
    left_out %= len(repeats)
    kept = [r for i, r in enumerate(repeats) if i != left_out or isinstance(r, str)]
    return kept


def shown_output(result: JobResult) -> str:
    """Return the first output of a job; empty if there is none."""
    answers = _Answers(result, 1)
    return answers.outputs[0][1:] if answers.outputs else ""


class _Answers:
    """What a job said, checked: a forged record is as good as none."""

    def __init__(self, result: JobResult, most: int) -> None:
        self.calls_s: list[float] = []
        self.outputs: list[str] = []
        for value in result.values[:most]:
            spent, _, output = value.partition(" ")
            try:
                time = float(spent)
            except ValueError:
                break
            if not 0 <= time < math.inf or not output:
                break
            self.calls_s.append(time)
            self.outputs.append(output)


@dataclass(frozen=True)
class Bill:
    """What the kernel billed a job, without an empty job's share."""

    cost: float
    """CPU seconds or user instructions."""
    calls_s: float
    """CPU seconds that the readings add up to."""
    cpu_s: float
    instructions: bool

    @classmethod
    def of(cls, result: JobResult, answers: _Answers, clock: Clock) -> Bill:
        """Return the bill of a job."""
        count = result.net_instructions() if clock == "instructions" else 0
        counted = clock == "instructions" and not isinstance(count, CounterAbsent)
        cost = float(count) if not isinstance(count, CounterAbsent) and counted else 0.0
        cpu_s = result.net_cpu_s()
        return cls(cost if counted else cpu_s, sum(answers.calls_s), cpu_s, counted)

    def times(self, calls_s: Sequence[float], reference: Bill | None) -> list[float]:
        """Return the time of each call in the clock's unit."""
        if self.instructions:
            base = reference or self
            share = base.calls_s / base.cpu_s if base.cpu_s > 0 else 1.0
            around = base.cost * max(0.0, 1 - min(1.0, share))
            return [max(1.0, self.cost - around) for _ in calls_s]
        hidden_s = 0.0
        if reference is not None:
            usual_s = max(0.0, reference.cpu_s - reference.calls_s)
            allowed_s = usual_s + _HIDDEN_S + _HIDDEN_SHARE * self.cpu_s
            hidden_s = max(0.0, self.cpu_s - self.calls_s - allowed_s)
        return [call + hidden_s for call in calls_s]


def ending(result: JobResult, calls_s: Sequence[float], stop_s: float) -> tuple[str, str]:
    """Return how a job ended early: the event of the score, and the kind in our words."""
    status = result.status
    if status == "timeout" or (status == "ok" and calls_s and calls_s[-1] > stop_s):
        return "timeout", "timeout"
    if status == "memory":
        return "memory", "memory"
    if status == "exception":
        name = result.reason.partition(":")[0]
        if name == "OverflowError":
            return "overflow", "overflow"
        return ("exit", "exit") if name == "SystemExit" else ("error", "error")
    if status in ("ok", "no_output"):
        return "exit", "exit"
    kind = "crash" if status.startswith("crash") else status
    return "error", kind
