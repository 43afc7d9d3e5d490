"""Generated code: a model writes solutions, the sandbox scores them, one record holds both."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from effmark.adapter import Generates
from effmark.code.bout import Rules
from effmark.code.evaluation import Evaluation, make_tasks
from effmark.code.records import code_measurements, code_notes
from effmark.code.sets import find_problems
from effmark.code.solutions import Sample
from effmark.code.summary import KS
from effmark.code.writing import Written, spread, write_solutions
from effmark.errors import SpecError, UnsupportedError
from effmark.record import EnergyReading, Measured, Measurement, Missing
from effmark.sandbox import Sandbox
from effmark.scores import decode_flops, prefill_flops
from effmark.scores.architecture import Architecture, architecture_from_config
from effmark.spec import Code
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
    ledger = _ledger(context, written, readings, evaluation)
    return Findings(
        measurements=[*code_measurements(evaluation), _cost_of_pass(ledger)],
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
    evaluation = Evaluation(problems, tasks, Rules(clock=workload.clock), ks)

    def progress(done: int, total: int, jobs: int) -> None:
        context.progress(f"scoring: {done} of {total} problems")

    with Sandbox() as sandbox:
        evaluation.run(sandbox, progress)
    return evaluation


def _ledger(
    context: Context,
    written: Sequence[Written],
    readings: Sequence[EnergyReading],
    evaluation: Evaluation,
) -> list[dict[str, object]]:
    """Return one line per call: tokens, seconds, joules and FLOPs, and whether it was right."""
    passed = {
        (sample.task_id, sample.sample): sample.passed
        for score in evaluation.ordered
        for sample in score.samples
    }
    wall_s = sum(one.wall_s for one in written)
    best = min(readings, key=_trust, default=None)
    arch = _architecture(context.facts.config)
    lines = []
    for one in written:
        line: dict[str, object] = {
            "model": context.cell.model.name,
            "task_id": one.sample.task_id,
            "sample": one.number,
            "prompt_tokens": one.prompt_tokens,
            "completion_tokens": one.completion_tokens,
            "wall_s": one.wall_s,
            "passed": passed[one.sample.task_id, one.number],
        }
        if best is not None:
            line["energy_j"] = best.joules * one.wall_s / wall_s
            line["energy_source"] = best.source
        if arch is not None:
            line["work_flop"] = _flop(arch, one)
        lines.append(line)
    return lines


def _trust(reading: EnergyReading) -> int:
    order = ("hw_counter", "external_meter", "hw_power_integrated", "model_estimate")
    return order.index(reading.source)


def _architecture(config: Mapping[str, object]) -> Architecture | None:
    try:
        return architecture_from_config(config)
    except ValueError:
        return None


def _flop(arch: Architecture, one: Written) -> float:
    work = prefill_flops(arch, max(1, one.prompt_tokens)).total
    if one.completion_tokens > 1:
        work += decode_flops(arch, one.completion_tokens - 1, context=one.prompt_tokens).total
    return float(work)


def _with_tokens(reading: EnergyReading, written: Sequence[Written]) -> EnergyReading:
    units = {
        "output_tokens": float(sum(one.completion_tokens for one in written)),
        "input_tokens": float(sum(one.prompt_tokens for one in written)),
    }
    return reading.model_copy(update={"units": {k: v for k, v in units.items() if v}})


def _cost_of_pass(ledger: Sequence[Mapping[str, object]]) -> Measurement:
    """Return the data set's cost-of-pass in joules; undefined, as infinite, without a success."""
    name = "cost_of_pass_j"
    joules = [line.get("energy_j") for line in ledger]
    if any(value is None for value in joules):
        return Missing(metric=name, reason="not_present", detail="no energy was read")
    passed = [float(bool(line["passed"])) for line in ledger]
    if not sum(passed):
        tries = f"none of {len(passed)} attempts was right: infinite"
        return Missing(metric=name, reason="undefined", detail=tries)
    return Measured(
        metric=name,
        unit="J",
        samples=tuple(float(str(value)) for value in joules),
        weights=tuple(passed),
        estimator="ratio",
        source=str(ledger[0]["energy_source"]),
        group=tuple(str(line["task_id"]) for line in ledger),
    )
