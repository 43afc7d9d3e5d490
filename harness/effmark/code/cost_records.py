"""What a right answer cost as part of a record, in every currency that the calls tell.

A measurement holds one entry per problem: mean cost and mean score of its attempts. From these
follow both the data set's cost-of-pass and the mean over problems, which never compare.
"""

from __future__ import annotations

import datetime
import hashlib
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from effmark.code.cost import per_problem_means, tries_of
from effmark.code.ledger import Attempt
from effmark.code.prices import CURRENCIES, Currency, Prices
from effmark.environment import capture_environment
from effmark.errors import SpecError
from effmark.record import Measured, Measurement, Missing, Record, SuiteRef
from effmark.schema import content_hash
from effmark.spec import Cell, Ledger, ModelRef

__all__ = ["SUITE", "SUITE_VERSION", "cost_measurements", "cost_records"]

SUITE, SUITE_VERSION = "cost", 1
_UNITS: Mapping[Currency, str] = {"usd": "USD", "j": "J", "s": "s", "flop": "FLOP"}
_SOURCES: Mapping[Currency, str] = {"usd": "prices", "s": "clock", "flop": "analytic"}


def cost_measurements(attempts: Sequence[Attempt], prices: Prices) -> list[Measurement]:
    """Return the cost-of-pass of one model in each currency, or why there is none."""
    return [_measurement(attempts, prices, currency) for currency in CURRENCIES]


def _measurement(attempts: Sequence[Attempt], prices: Prices, currency: Currency) -> Measurement:
    metric = f"cost_of_pass_{currency}"
    try:
        (tries,) = tries_of(attempts, prices, currency).values()
    except SpecError as error:
        return Missing(metric=metric, reason="not_present", detail=str(error))
    costs, scores = per_problem_means(tries)
    return Measured(
        metric=metric,
        unit=_UNITS[currency],
        samples=tuple(costs),
        weights=tuple(scores),
        estimator="ratio",
        source=_SOURCES.get(currency) or _energy_source(attempts),
        group=tuple(tries),
    )


def _energy_source(attempts: Sequence[Attempt]) -> str:
    """Return where the joules come from; an estimate anywhere makes the sum one."""
    sources = {call.energy_source for attempt in attempts for call in attempt.calls}
    return "model_estimate" if "model_estimate" in sources else min(sources)


def cost_records(
    attempts: Sequence[Attempt], prices: Prices, ledger: Path, command: str
) -> list[Record]:
    """Return one record per model of a ledger."""
    run_id, digest = uuid.uuid4().hex, _digest(ledger)
    names = dict.fromkeys(attempt.model for attempt in attempts)
    return [
        _record([a for a in attempts if a.model == name], prices, digest, run_id, command)
        for name in names
    ]


def _digest(ledger: Path) -> str:
    paths = [ledger] if ledger.is_file() else sorted(ledger.rglob("*.jsonl"))
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def _record(
    attempts: Sequence[Attempt], prices: Prices, digest: str, run_id: str, command: str
) -> Record:
    tries: dict[str, int] = {}
    for attempt in attempts:
        tries[attempt.problem] = tries.get(attempt.problem, 0) + 1
    workload = Ledger(
        problems=len(tries),
        problems_sha256=content_hash(sorted(tries)),
        n=min(tries.values()),
        prices=prices.told,
    )
    suite = SuiteRef(
        name=SUITE,
        version=SUITE_VERSION,
        sha256=content_hash(workload.model_dump(mode="json")),
        profile="default",
    )
    cell = Cell(
        model=ModelRef(name=attempts[0].model, task="lm", kind="solutions", sha256=digest),
        adapter="ledger",
        precision="as called",
        device="cpu",
        threads=1,
        workload=workload,
        suite_sha256=suite.sha256,
    )
    return Record(
        id=uuid.uuid4().hex,
        run_id=run_id,
        process_id=run_id,
        created=datetime.datetime.now(datetime.UTC).isoformat(),
        suite=suite,
        cell=cell,
        outcome="ok",
        environment=capture_environment({}),
        measurements=tuple(cost_measurements(attempts, prices)),
        notes=_notes(attempts, prices),
        command=command,
    )


def _notes(attempts: Sequence[Attempt], prices: Prices) -> dict[str, str]:
    best: dict[str, float] = {}
    for attempt in attempts:
        best[attempt.problem] = max(best.get(attempt.problem, 0.0), attempt.score or 0.0)
    unsolved = sum(1 for score in best.values() if not score)
    return {
        "attempts": str(len(attempts)),
        "calls": str(sum(len(attempt.calls) for attempt in attempts)),
        "unsolved": f"{unsolved} of {len(best)} problems",
        "prices": prices.told,
        "aggregation": "data set: sum of mean costs / sum of mean scores over problems",
    }
