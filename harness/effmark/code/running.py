"""Rounds of jobs over a batch of problems: measure, judge, and go on while it pays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from effmark.code.bout import Bout, Claim, shown_output
from effmark.code.drivers import JUDGE, REPLAY
from effmark.code.problems import Rung
from effmark.sandbox import Job, JobResult, Limits, Sandbox

__all__ = ["Ladder", "climb", "run_bouts"]

_JUDGE_LIMITS = Limits(wall_s=60, memory_b=4 << 30)
_LEAST_ROUNDS = 3
_SETTLED = 0.02
"""A problem's scores are settled when leaving out any repeat moves none by more."""
_RUNG_S = 60.0
"""CPU seconds that a reference may take on all cases of a level."""
_MANY = 100
"""More levels than any problem has."""
_CLUSTER_RATIO = 0.20
"""A reference stands for its cluster's slowest member: EvalPerf's clusters are 20 % wide."""

OnJob = Callable[[], None]


def run_bouts(sandbox: Sandbox, bouts: Sequence[Bout], on_job: OnJob) -> None:
    """Measure and judge all programs of some problems, with as many repeats as they need."""
    open_bouts = list(bouts)
    for repeat in range(bouts[0].rules.rounds if bouts else 0):
        _run_round(sandbox, open_bouts, repeat, on_job)
        open_bouts = [bout for bout in open_bouts if bout.graded and not _is_settled(bout, repeat)]
        if not open_bouts:
            return


def _run_round(sandbox: Sandbox, bouts: Sequence[Bout], repeat: int, on_job: OnJob) -> None:
    """Run the first level before the others in the first round: who fails there goes no further."""
    steps = ((0,), range(1, _MANY)) if repeat == 0 else (range(_MANY),)
    for levels in steps:
        _run_levels(sandbox, bouts, repeat, levels, on_job)


def _run_levels(
    sandbox: Sandbox, bouts: Sequence[Bout], repeat: int, levels: Sequence[int], on_job: OnJob
) -> None:
    plans = [[slot for slot in bout.slots(repeat) if slot.level in levels] for bout in bouts]
    groups = [[bout.job(slot) for slot in plan] for bout, plan in zip(bouts, plans, strict=True)]
    results = sandbox.map_groups(groups, lambda position, result: on_job())
    claims = [
        bout.absorb(plan, found) for bout, plan, found in zip(bouts, plans, results, strict=True)
    ]
    _judge(sandbox, bouts, claims)


def _is_settled(bout: Bout, repeat: int) -> bool:
    """Return whether more repeats would change little."""
    reference = bout.limits()
    if repeat + 1 < _LEAST_ROUNDS and bout.rules.clock == "cpu":
        return not bout.slots(repeat + 1)
    if reference is None or bout.rules.clock == "instructions":
        return repeat >= 1
    return all(_spread(bout, index) <= _SETTLED for index in range(len(bout.programs)))


def _spread(bout: Bout, index: int) -> float:
    """Return by how much a program's score depends on any one repeat."""
    program = bout.programs[index]
    reference = bout.limits()
    if program.lost or program.last_level < 0 or reference is None:
        return 0.0
    score = bout.efficiency(program, reference).score
    moved = 0.0
    repeats = max(len(times) for cases in bout.reference for times in cases)
    for left_out in range(repeats):
        others = bout.limits(left_out)
        if others is not None:
            moved = max(moved, abs(bout.efficiency(program, others, left_out).score - score))
    return moved


def _judge(sandbox: Sandbox, bouts: Sequence[Bout], claims: Sequence[list[Claim]]) -> None:
    """Have outputs that differ from the reference's judged, those of a program in one job."""
    open_claims: list[tuple[Bout, list[Claim]]] = []
    for bout, found in zip(bouts, claims, strict=True):
        by_program: dict[int, list[Claim]] = {}
        for claim in found:
            by_program.setdefault(claim.who, []).append(claim)
        open_claims += [(bout, group) for group in by_program.values()]
    jobs = [_judge_job(bout, group) for bout, group in open_claims]
    for (bout, group), result in zip(open_claims, sandbox.map(jobs), strict=True):
        verdicts = [value == "1" for value in result.values]
        if bout.prepared.problem.test:
            verdicts = verdicts[:1] * len(group)
        verdicts += [False] * (len(group) - len(verdicts))
        for claim, right in zip(group, verdicts, strict=False):
            bout.settle(claim, right=right)
            if not right:
                program = bout.programs[claim.who]
                program.kind = "wrong"
                program.detail = f"level {claim.level}, case {claim.case}: another output"


def _judge_job(bout: Bout, claims: Sequence[Claim]) -> Job:
    problem = bout.prepared.problem
    if problem.test:
        return _replay_job(bout, claims)
    triples = []
    for claim in claims:
        case = bout.prepared.levels[claim.level][claim.case]
        triples.append((case.args, case.plain, case.expected, claim.output))
    inputs = {"checker": problem.checker, "shown": problem.shown, "triples": triples}
    return Job("", JUDGE, inputs, limits=_JUDGE_LIMITS)


def _replay_job(bout: Bout, claims: Sequence[Claim]) -> Job:
    """Return the job that replays all outputs, those that equal the reference's included."""
    problem, cases = bout.prepared.problem, bout.prepared.levels[0]
    said = {claim.case: claim.output for claim in claims}
    finished = sum(
        1 for times in bout.programs[claims[0].who].events[0] if times and times[0] != "error"
    )
    triples = [
        (case.args, case.plain, case.expected, said.get(number, case.expected))
        for number, case in enumerate(cases[:finished])
    ]
    inputs = {
        "reference": problem.reference,
        "test": problem.test,
        "entry_point": problem.entry_point,
        "triples": triples,
    }
    return Job("", REPLAY, inputs, limits=_JUDGE_LIMITS)


@dataclass(frozen=True)
class Ladder:
    """What the slowest of each reference's cluster takes on one input, from slow to fast."""

    level: int
    case: int
    costs: tuple[float, ...]
    scores: tuple[float, ...]


def climb(sandbox: Sandbox, bouts: Sequence[Bout], on_job: OnJob) -> list[Ladder | None]:
    """Return the ladders of problems, and time on their input whoever was stopped before it.

    The input is that case of the last level on which the slowest reference takes longest; a cost
    is the least of the repeats, which other work on the machine disturbs least.
    """
    able = [bout for bout in bouts if bout.prepared.problem.ladder and _has_passed(bout)]
    groups = [[_rung_job(bout, rung) for rung in bout.prepared.problem.ladder] for bout in able]
    measured = sandbox.map_groups(groups, lambda position, result: on_job())
    found = {
        bout.prepared.problem.id: _ladder(bout, results)
        for bout, results in zip(able, measured, strict=True)
    }
    ladders = [found.get(bout.prepared.problem.id) for bout in bouts]
    _time_the_stopped(sandbox, bouts, ladders, on_job)
    return ladders


def _has_passed(bout: Bout) -> bool:
    return bout.limits() is not None and any(
        not p.lost and p.last_level >= 0 for p in bout.programs
    )


def _rung_job(bout: Bout, rung: Rung) -> Job:
    return bout.timing_job(rung.program, len(bout.prepared.levels) - 1, None, _RUNG_S)


def _ladder(bout: Bout, results: Sequence[JobResult]) -> Ladder | None:
    """Return the ladder; None where one of its references did not finish."""
    level = len(bout.prepared.levels) - 1
    costs = [bout.costs(result) for result in results]
    if any(len(row) < len(bout.prepared.levels[level]) or min(row) <= 0 for row in costs):
        return None
    case = costs[0].index(max(costs[0]))
    own = min([*bout.reference[level][case], costs[-1][case]])
    steps = tuple(cost * (1 + _CLUSTER_RATIO) for cost in (*(c[case] for c in costs[:-1]), own))
    return Ladder(level, case, steps, tuple(r.score for r in bout.prepared.problem.ladder))


def _time_the_stopped(
    sandbox: Sandbox, bouts: Sequence[Bout], ladders: Sequence[Ladder | None], on_job: OnJob
) -> None:
    """Time those who passed but did not get as far as the ladder's input."""
    places = [
        (bout, ladder, index)
        for bout, ladder in zip(bouts, ladders, strict=True)
        if ladder is not None
        for index, program in enumerate(bout.programs)
        if not program.lost and 0 <= program.last_level < len(program.events)
    ]
    jobs = [
        bout.timing_job(
            bout.programs[index].text, ladder.level, ladder.case, _longest_s(bout, ladder)
        )
        for bout, ladder, index in places
    ]
    results = sandbox.map(jobs, lambda position, result: on_job())
    claims = [
        Claim(index, ladder.level, ladder.case, 0, shown_output(result))
        for (_, ladder, index), result in zip(places, results, strict=True)
    ]
    verdicts = sandbox.map(
        [_judge_job(bout, [claim]) for (bout, _, _), claim in zip(places, claims, strict=True)]
    )
    for (bout, _, index), result, verdict in zip(places, results, verdicts, strict=True):
        costs = bout.costs(result)
        if costs and verdict.values == ("1",):
            bout.programs[index].rung_cost = costs[0]


def _longest_s(bout: Bout, ladder: Ladder) -> float:
    """Return the CPU seconds after which a program is slower than every rung."""
    if bout.rules.clock == "cpu":
        return 1.1 * ladder.costs[0] + 0.3
    return _RUNG_S
