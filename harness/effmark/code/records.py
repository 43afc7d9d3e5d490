"""A scored file of solutions as a record, so that it joins the leaderboard."""

from __future__ import annotations

import datetime
import hashlib
import uuid
from pathlib import Path

from effmark.code.bout import Clock
from effmark.code.clocks import why_no_instructions
from effmark.code.evaluation import Evaluation
from effmark.code.summary import problem_value
from effmark.environment import capture_environment
from effmark.record import Measured, Measurement, Missing, Record, SuiteRef
from effmark.schema import content_hash
from effmark.spec import Cell, Code, ModelRef

__all__ = [
    "SUITE",
    "SUITE_VERSION",
    "clock_note",
    "code_measurements",
    "code_notes",
    "code_record",
]

SUITE, SUITE_VERSION = "code", 1
_RECORDED_KS = (1, 10, 100)


def code_record(evaluation: Evaluation, solutions: Path, model: str, command: str) -> Record:
    """Return the record of an evaluation: one value per problem and metric."""
    about = {"problems": evaluation.problems.sha256, "clock": evaluation.rules.clock}
    suite = SuiteRef(
        name=SUITE, version=SUITE_VERSION, sha256=content_hash(about), profile="default"
    )
    cell = Cell(
        model=ModelRef(
            name=model,
            task="lm",
            kind="solutions",
            path=solutions,
            sha256=hashlib.sha256(solutions.read_bytes()).hexdigest(),
        ),
        adapter="solutions",
        precision="as generated",
        device="cpu",
        threads=1,
        workload=Code(
            problems=evaluation.problems.name,
            n=min(len(task.samples) for task in evaluation.tasks),
            clock=evaluation.rules.clock,
        ),
        suite_sha256=suite.sha256,
    )
    run_id = uuid.uuid4().hex
    return Record(
        id=uuid.uuid4().hex,
        run_id=run_id,
        process_id=run_id,
        created=datetime.datetime.now(datetime.UTC).isoformat(),
        suite=suite,
        cell=cell,
        outcome="ok",
        environment=capture_environment({}),
        measurements=tuple(code_measurements(evaluation)),
        notes=code_notes(evaluation),
        command=command,
    )


def code_measurements(evaluation: Evaluation) -> list[Measurement]:
    """Return one value per problem of each score, or why there is none."""
    names = [f"{kind}@{k}" for k in _RECORDED_KS if k in evaluation.ks for kind in ("pass", "eff")]
    return [_measurement(evaluation, name) for name in (*names, "dps", "dps_norm")]


def _measurement(evaluation: Evaluation, name: str) -> Measurement:
    metric = name.replace("@", "_at_")
    values = {
        score.task_id: problem_value(score, evaluation.ks)[name] for score in evaluation.ordered
    }
    known = {task_id: value["value"] for task_id, value in values.items() if "value" in value}
    if not known:
        absent = next(iter(values.values()))
        return Missing(metric=metric, reason=absent["missing"], detail=absent["detail"])
    return Measured(
        metric=metric,
        unit="%" if metric.startswith("dps") else "ratio",
        samples=tuple(known.values()),
        estimator="mean",
        source="sandbox",
        group=tuple(known),
    )


def clock_note(clock: Clock) -> str:
    """Return the clock, and why it is not the better one."""
    absent = why_no_instructions() if clock == "cpu" else ""
    return f"{clock}; instructions are not counted here: {absent}" if absent else clock


def code_notes(evaluation: Evaluation) -> dict[str, str]:
    """Return what explains the scores: set, clock, sandbox, failures."""
    failures = ", ".join(f"{kind} {count}" for kind, count in evaluation.failures().items())
    return {
        "problem_set": f"{evaluation.problems.name} {evaluation.problems.version}",
        "problems": f"{len(evaluation.tasks)} of {len(evaluation.problems.problems)}",
        "clock": clock_note(evaluation.rules.clock),
        "sandbox": f"{evaluation.level}: {', '.join(evaluation.layers)}",
        "failures": failures or "none",
    }
