"""Test-time scaling on sums with an exact checker: accuracy against tokens, joules and FLOPs.

The point is the cost axes. Greedy decoding is the first point; then n samples per question, from
which one answer is chosen by majority, by the model's own probability, or by both. The verifier is
the model itself: what it costs to ask is counted. eFLOPs add memory traffic (Kinetics).
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from effmark.adapter import Generates, Generation, Sampling, Scores, begin
from effmark.code.cost_records import cost_measurements
from effmark.code.ledger import attempts_of
from effmark.code.prices import Prices
from effmark.energy_numbers import best_of
from effmark.errors import UnsupportedError
from effmark.record import EnergyReading, Measured, Measurement, Missing, ModelFacts
from effmark.scores import architecture_from_config, decode_flops, eflops, prefill_flops
from effmark.spec import Scaling
from effmark.workloads.calls import ModelCall, ledger_lines
from effmark.workloads.context import Context, Findings
from effmark.workloads.votes import CHOICES, Answer, curve, proportion, saturation

__all__ = ["scaling"]

_SHOTS = "12+34=46\n25+13=38\n7+9=16\n48+27=75\n"


@dataclass(frozen=True)
class _Sum:
    """A question with its one right answer."""

    prompt: str
    answer: str


@dataclass
class _Bill:
    """What was used, and by how many questions."""

    prompt_tokens: int = 0
    new_tokens: int = 0
    wall_s: float = 0.0
    calls: list[tuple[int, int, float]] = field(default_factory=list)
    """Prompt tokens, new tokens and seconds of each answer, in the order of asking."""

    def add(self, prompts: Sequence[int], new: Sequence[int], wall_s: float) -> None:
        """Add a batch of answers; its time is shared out by tokens."""
        self.prompt_tokens += sum(prompts)
        self.new_tokens += sum(new)
        self.wall_s += wall_s
        whole = sum(prompts) + sum(new)
        for p, n in zip(prompts, new, strict=True):
            self.calls.append((p, n, wall_s * (p + n) / whole))


def scaling(context: Context) -> Findings:
    """Measure what more samples buy, and what they cost."""
    workload, adapter = context.cell.workload, context.adapter
    assert isinstance(workload, Scaling)
    if not isinstance(adapter, Generates):
        raise UnsupportedError(f"adapter {context.cell.adapter!r} generates no text")
    if not isinstance(adapter, Scores):
        raise UnsupportedError(f"adapter {context.cell.adapter!r} cannot verify: no probabilities")
    sums = _sums(workload)
    context.energy.rest(context.settings.budget_s)
    origin = time.monotonic()
    context.energy.start()
    greedy_bill, sampled_bill, verifier_bill = _Bill(), _Bill(), _Bill()
    context.progress("greedy")
    greedy = _ask(adapter, sums, workload, None, greedy_bill)
    rows: list[list[str]] = [[] for _ in sums]
    for number in range(workload.n):
        context.progress(f"sample {number + 1} of {workload.n}")
        for row, text in zip(
            rows, _ask(adapter, sums, workload, number, sampled_bill), strict=True
        ):
            row.append(text)
    context.progress("verifying")
    answers = _verified(adapter, sums, rows, verifier_bill)
    adapter.synchronize()
    readings, missing = context.energy.stop(origin)
    right = [text == one.answer for text, one in zip(greedy, sums, strict=True)]
    bills = {"greedy": greedy_bill, "sampled": sampled_bill, "verifier": verifier_bill}
    points = _points(context.facts, workload, right, answers, bills, readings, context.cell.device)
    ledger = ledger_lines(
        context,
        _calls(sums, answers, sampled_bill),
        readings,
        greedy_bill.wall_s + verifier_bill.wall_s,
    )
    return Findings(
        measurements=[
            *_measurements(right, answers),
            *_costs(points[-len(CHOICES) - 1], best_of(readings, context.cell.device)),
            *cost_measurements(attempts_of(ledger, "ledger"), Prices()),
        ],
        energy=readings,
        energy_missing=missing,
        notes={
            "curve": json.dumps(points),
            "saturation": json.dumps(_saturations(points)),
            "answers": json.dumps({"greedy": greedy, "sampled": rows}),
            "ledger": "\n".join(json.dumps(line) for line in ledger),
        },
    )


def _sums(workload: Scaling) -> list[_Sum]:
    random = Random(workload.seed)
    found = []
    for _ in range(workload.questions):
        a, b = random.randint(1, workload.largest), random.randint(1, workload.largest)
        found.append(_Sum(f"{_SHOTS}{a}+{b}=", str(a + b)))
    return found


def _ask(
    adapter: Generates, sums: Sequence[_Sum], workload: Scaling, number: int | None, bill: _Bill
) -> list[str]:
    """Return one answer to each question: greedy if `number` is None, else that sample."""
    sampling = (
        Sampling() if number is None else Sampling(temperature=workload.temperature, seed=number)
    )
    found: list[str] = []
    for first in range(0, len(sums), workload.batch):
        part = sums[first : first + workload.batch]
        prompts = tuple(tuple(begin(adapter, adapter.encode(one.prompt))) for one in part)
        rows: list[list[int]] = [[] for _ in part]

        def on_step(ids: Sequence[int | None], rows: list[list[int]] = rows) -> bool:
            for row, token in zip(rows, ids, strict=True):
                if token is not None:
                    row.append(token)
            return all("\n" in adapter.decode(row) for row in rows)

        start = time.monotonic()
        adapter.generate(
            Generation(prompts=prompts, new_tokens=workload.new_tokens, sampling=sampling), on_step
        )
        spent_s = time.monotonic() - start
        bill.add(list(map(len, prompts)), list(map(len, rows)), spent_s)
        found += [adapter.decode(row).partition("\n")[0].strip() for row in rows]
    return found


def _verified(
    adapter: Scores, sums: Sequence[_Sum], rows: Sequence[Sequence[str]], bill: _Bill
) -> list[list[Answer]]:
    """Return the answers with their log-probabilities; equal ones of a question asked once."""
    found = []
    for one, texts in zip(sums, rows, strict=True):
        known: dict[str, float] = {}
        context = begin(adapter, adapter.encode(one.prompt))
        for text in dict.fromkeys(texts):
            continuation = adapter.encode(f"{text}\n")
            start = time.monotonic()
            (table,) = adapter.log_probs([(context, continuation)])
            bill.wall_s += time.monotonic() - start
            bill.prompt_tokens += len(context) + len(continuation)
            known[text] = sum(float(table[i][token]) for i, token in enumerate(continuation))
        found.append([Answer(text, text == one.answer, known[text]) for text in texts])
    return found


def _calls(
    sums: Sequence[_Sum], answers: Sequence[Sequence[Answer]], bill: _Bill
) -> list[ModelCall]:
    """Return the calls that drew the samples, sample by sample; questions may repeat."""
    asked = [f"{i}: {one.prompt.removeprefix(_SHOTS)}" for i, one in enumerate(sums)]
    return [
        ModelCall(asked[i % len(sums)], (number := i // len(sums)), prompt, new, wall_s,
                  answers[i % len(sums)][number].right)
        for i, (prompt, new, wall_s) in enumerate(bill.calls)
    ]  # fmt: skip


def _measurements(greedy: Sequence[bool], answers: Sequence[Sequence[Answer]]) -> list[Measurement]:
    values = {"accuracy": [float(right) for right in greedy]}
    for name, choice in CHOICES.items():
        values[f"{name}_accuracy"] = [float(choice(row)) for row in answers]
    values["coverage"] = [float(any(answer.right for answer in row)) for row in answers]
    group = tuple(str(i) for i in range(len(answers)))
    return [
        Measured(
            metric=name,
            unit="ratio",
            samples=tuple(found),
            estimator="mean",
            source="checker",
            group=group,
        )
        for name, found in values.items()
    ]


def _costs(majority: Mapping[str, object], readings: Sequence[EnergyReading]) -> list[Measurement]:
    """Return what an answer by the majority of all samples costs; the curve has the other ways."""
    rows = (
        ("tokens_per_answer", "tokens", "token", "count"),
        ("energy_j_per_answer", "energy_j", "J", readings[0].source if readings else ""),
        ("flop_per_answer", "work_flop", "FLOP", "analytic"),
        ("eflop_per_answer", "eflop", "FLOP", "analytic"),
    )
    found: list[Measurement] = []
    for name, key, unit, source in rows:
        if key in majority:
            value = float(str(majority[key]))
            found.append(Measured(metric=name, unit=unit, samples=(value,), source=source))
        else:
            lacking = "no energy was read" if unit == "J" else "the architecture is unknown"
            found.append(Missing(metric=name, reason="not_present", detail=lacking))
    return found


def _points(
    facts: ModelFacts,
    workload: Scaling,
    greedy: Sequence[bool],
    answers: Sequence[Sequence[Answer]],
    bills: Mapping[str, _Bill],
    readings: Sequence[EnergyReading],
    device: str,
) -> list[dict[str, object]]:
    """Return accuracy and cost per question: greedy, then 1, 2, 4 … n samples by each choice."""
    wall_s = sum(bill.wall_s for bill in bills.values())
    best = best_of(readings, device)
    joules_per_s = sum(r.joules for r in best) / wall_s if best else None
    first = _cost(facts, bills["greedy"], None, workload.questions, 1, 1.0, joules_per_s)
    found: list[dict[str, object]] = [
        {"samples": 1, "choice": "greedy", **proportion(greedy), **first}
    ]
    for k in [*(2**i for i in range(20) if 2**i < workload.n), workload.n]:
        for name, value in curve(answers, k).items():
            verifier = bills["verifier"] if name in ("weighted", "best_of_n") else None
            share = k / workload.n
            cost = _cost(
                facts, bills["sampled"], verifier, workload.questions, k, share, joules_per_s
            )
            found.append({"samples": k, "choice": name, **value, **cost})
    return found


def _cost(
    facts: ModelFacts,
    asked: _Bill,
    verifier: _Bill | None,
    questions: int,
    trials: int,
    share: float,
    joules_per_s: float | None,
) -> dict[str, float]:
    """Return what a share of the calls used per question; FLOPs where the architecture is known.

    eFLOPs are Kinetics': no prefill, no verifier, a prompt that all trials share.
    """
    used = [asked] if verifier is None else [asked, verifier]
    part = share / questions
    cost = {
        "prompt_tokens": part * sum(bill.prompt_tokens for bill in used),
        "new_tokens": part * asked.new_tokens,
    }
    cost["tokens"] = cost["prompt_tokens"] + cost["new_tokens"]
    if joules_per_s is not None:
        cost["energy_j"] = part * joules_per_s * sum(bill.wall_s for bill in used)
    try:
        arch = architecture_from_config(facts.config)
    except ValueError:
        return cost
    length = max(1, round(part * asked.prompt_tokens / trials))
    each = max(1, round(part * asked.new_tokens / trials))
    reads = cost["prompt_tokens"] / length
    work = prefill_flops(arch, length).total * reads
    work += decode_flops(arch, each - 1, context=length).total * trials if each > 1 else 0
    shape = (arch.heads, arch.kv_heads, arch.head_dim, arch.layers)
    kinetics = eflops(facts.parameters, *shape, length, each, trials=trials)
    return {**cost, "work_flop": float(work), "eflop": kinetics.total}


def _saturations(points: Sequence[dict[str, object]]) -> dict[str, int]:
    """Return by choice the number of samples from which on more are not shown to help."""
    by_choice: dict[str, dict[int, dict[str, float]]] = {}
    for point in points:
        if point["choice"] == "greedy":
            continue
        bounds = {key: float(str(point[key])) for key in ("value", "high")}
        by_choice.setdefault(str(point["choice"]), {})[int(str(point["samples"]))] = bounds
    return {name: saturation(found) for name, found in by_choice.items()}
