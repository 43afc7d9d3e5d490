"""Generated code: a model writes solutions, the sandbox scores them, one record holds both."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from effmark.adapter import Generates
from effmark.code.bout import Rules
from effmark.code.clocks import choose_clock
from effmark.code.cost_records import cost_measurements
from effmark.code.evaluation import Evaluation, make_tasks
from effmark.code.ledger import Attempt, attempts_of
from effmark.code.prices import Prices
from effmark.code.records import code_measurements, code_notes
from effmark.code.sets import find_problems
from effmark.code.solutions import Sample
from effmark.code.summary import KS
from effmark.code.writing import Written, spread, write_solutions
from effmark.errors import SpecError, UnsupportedError
from effmark.record import EnergyReading, Measured, Measurement, Missing
from effmark.sandbox import Sandbox
from effmark.spec import Code
from effmark.workloads.calls import ModelCall, ledger_lines
from effmark.workloads.context import Context, Findings

__all__ = ["code"]


def code(context: Context) -> Findings:
    """Measure what a model's solutions are worth, and what writing them took."""
    workload, adapter = context.cell.workload, context.adapter
    assert isinstance(workload, Code)
    if not isinstance(adapter, Generates):
        raise UnsupportedError(f"adapter {context.cell.adapter!r} generates no text")
    if workload.new_tokens is None:
        raise SpecError("workload code: no new_tokens; say how long a solution may get")
    problems = find_problems(workload.problems)
    chosen = spread(list(problems.problems.values()), workload.limit)
    context.energy.rest(context.settings.budget_s)
    origin = time.monotonic()
    context.energy.start()
    written = write_solutions(adapter, context.facts, chosen, workload, context.progress)
    adapter.synchronize()
    readings, missing = context.energy.stop(origin)
    samples = [one.sample for one in sorted(written, key=lambda one: one.number)]
    evaluation = _score(context, workload, samples)
    ledger = ledger_lines(context, _calls(written, evaluation), readings)
    attempts = [a for a in attempts_of(ledger, "ledger") if a.score is not None]
    return Findings(
        measurements=[
            *code_measurements(evaluation),
            *cost_measurements(attempts, Prices()),
            *_per_joule(evaluation, attempts),
        ],
        energy=[_with_tokens(reading, written) for reading in readings],
        energy_missing=missing,
        notes={
            **code_notes(evaluation),
            "ledger": "\n".join(json.dumps(line) for line in ledger),
            "solutions": "\n".join(
                json.dumps({"task_id": s.task_id, "completion": s.text}) for s in samples
            ),
        },
    )


def _score(context: Context, workload: Code, samples: Sequence[Sample]) -> Evaluation:
    problems = find_problems(workload.problems)
    tasks = make_tasks(problems, samples, Path("generated"))
    ks = [k for k in KS if k <= workload.n]
    evaluation = Evaluation(problems, tasks, Rules(clock=choose_clock(workload.clock)), ks)

    def progress(done: int, total: int, jobs: int) -> None:
        context.progress(f"scoring: {done} of {total} problems")

    with Sandbox() as sandbox:
        evaluation.run(sandbox, progress)
    return evaluation


def _calls(written: Sequence[Written], evaluation: Evaluation) -> list[ModelCall]:
    """Return the calls with what came of them; a sample that the sandbox lost is not judged."""
    verdicts = {
        (sample.task_id, sample.sample): sample.verdict
        for score in evaluation.ordered
        for sample in score.samples
    }
    return [
        ModelCall(
            one.sample.task_id,
            one.number,
            one.prompt_tokens,
            one.completion_tokens,
            one.wall_s,
            None if (said := verdicts[one.sample.task_id, one.number]) == "lost"
            else said == "passed",
        )
        for one in written
    ]  # fmt: skip


def _with_tokens(reading: EnergyReading, written: Sequence[Written]) -> EnergyReading:
    units = {
        "output_tokens": float(sum(one.completion_tokens for one in written)),
        "input_tokens": float(sum(one.prompt_tokens for one in written)),
    }
    return reading.model_copy(update={"units": {k: v for k, v in units.items() if v}})


def _per_joule(evaluation: Evaluation, attempts: Sequence[Attempt]) -> list[Measurement]:
    """Return eff@k per joule: its k samples cost k times the mean joules of an attempt."""
    joules = next(m for m in cost_measurements(attempts, Prices()) if m.metric == "cost_of_pass_j")
    found: list[Measurement] = []
    for eff in code_measurements(evaluation):
        if not eff.metric.startswith("eff_at_"):
            continue
        name, k = f"{eff.metric}_per_j", int(eff.metric.rpartition("_")[2])
        absent = next((m for m in (eff, joules) if isinstance(m, Missing)), None)
        if absent is not None:
            found.append(absent.model_copy(update={"metric": name}))
            continue
        assert isinstance(eff, Measured)
        assert isinstance(joules, Measured)
        spent = dict(zip(joules.group or (), joules.samples, strict=True))
        found.append(
            Measured(
                metric=name,
                unit="1/J",
                samples=eff.samples,
                weights=tuple(k * spent[problem] for problem in eff.group or ()),
                estimator="ratio",
                source=joules.source,
                group=eff.group,
            )
        )
    return found
