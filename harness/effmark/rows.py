"""Records to rows: every number that people read, computed when reading.

A row is one cell (model, adapter, precision, workload, device); its numbers come from the raw
samples of its records, its joined numbers (speed-up, retention, accuracy per joule …) also from
the records of the baseline and of the same model process. What cannot be said is Missing.
"""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from effmark.code.cost_rows import COSTS, cost_numbers, priced
from effmark.energy_numbers import best_readings, energy_numbers
from effmark.metrics import LARGEST, metric
from effmark.model_names import model_key, shown_names
from effmark.record import EnergyReading, Measured, Missing, Reason, Record
from effmark.samples import Samples, estimate, metric_samples
from effmark.schema import canonical_json, content_hash
from effmark.scores import (
    architecture_from_config,
    decode_flops_per_token,
    information_capacity,
    mbu,
    mfu,
    text_bits_per_token,
)
from effmark.scores.information_capacity import BIASES
from effmark.spec import Cell, Decode, Prefill, Text
from effmark.stats import (
    Estimate,
    TooFew,
    mean_interval,
    paired_ratio_interval,
    ratio_of_medians_interval,
)
from effmark.store import machine_of, standing

__all__ = [
    "ROWS_SCHEMA_VERSION",
    "Memory",
    "Number",
    "Row",
    "make_rows",
    "row_json",
    "same_cell",
    "shown_together",
]

ROWS_SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True)
class Number:
    """A value for people, with its interval where there is one."""

    value: float
    low: float | None
    high: float | None
    unit: str
    n: int
    source: str
    method: str


@dataclass(frozen=True)
class Row:
    """One cell of a leaderboard with all its numbers."""

    record: Record
    """The record that stands for the row: the worst of its processes, the last among equals."""
    records: tuple[Record, ...]
    metrics: Mapping[str, Number | Missing] = field(default_factory=dict)
    model_shown: str = ""
    """What tells its model from others of the same name; empty where the name does."""
    threads_shown: bool = False
    """Whether its threads tell it from a row that is the same but for them."""

    @property
    def model(self) -> str:
        """Return the name of the model that people read."""
        return self.model_shown or self.record.cell.model.name

    @property
    def configuration(self) -> tuple[str, str, str, str, str]:
        """Return model, adapter, precision, options, device: what a user chooses."""
        cell = self.record.cell
        options = [f"{k}={v}" for k, v in sorted(cell.options.items())]
        options += [f"threads={cell.threads}"] if self.threads_shown else []
        return self.model, cell.adapter, cell.precision, " ".join(options), cell.device

    def number(self, name: str) -> Number | None:
        """Return a number, or None where it is missing."""
        found = self.metrics.get(name)
        return found if isinstance(found, Number) else None


Metrics = Mapping[str, Number | Missing]


class Memory(Protocol):
    """What keeps the numbers of rows from one report to the next."""

    def get(self, key: str) -> Metrics | None:
        """Return what was kept under a key, if anything."""

    def put(self, key: str, metrics: Metrics) -> None:
        """Keep the numbers of a row."""


def make_rows(records: Iterable[Record], memory: Memory | None = None) -> list[Row]:
    """Return the rows of records: one per cell, later good attempts replacing earlier ones.

    Args:
        records: in the order of their journals.
        memory: where numbers are kept, by the content of all records that they depend on.
    """
    bare = [Row(_worst(group), group) for group in _grouped(records)]
    processes = _index(bare, _process_key)
    baselines = _index([row for row in bare if row.record.is_baseline], _baseline_key)
    maker = _Maker(memory)
    return shown_together(
        maker.row(row, baselines.get(_baseline_key(row), [None])[0], processes[_process_key(row)])
        for row in bare
    )


def shown_together(rows: Iterable[Row]) -> list[Row]:
    """Return rows that are shown together, each with names that no other line has.

    A model is told from others of its name; threads are told where a line was measured with more
    than one number of them.
    """
    told = list(rows)
    names = shown_names(row.record.cell.model for row in told)
    told = [replace(row, model_shown=names[model_key(row.record.cell.model)]) for row in told]
    threads: dict[Any, set[int]] = {}
    for row in told:
        threads.setdefault(_line_key(row), set()).add(row.record.cell.threads)
    return [replace(row, threads_shown=len(threads[_line_key(row)]) > 1) for row in told]


def _line_key(row: Row) -> tuple[str, ...]:
    """Return what the rows of a line have in common, but for their threads."""
    cell, suite = row.record.cell, row.record.suite
    options = canonical_json(dict(cell.options))
    place = (suite.name, str(suite.version), suite.profile, machine_of(row.record))
    return (row.model, cell.adapter, cell.precision, options, cell.device, *place)


class _Maker:
    """Computes the numbers of rows, each row's own ones once, or finds them in the memory."""

    def __init__(self, memory: Memory | None) -> None:
        self._memory = memory
        self._own: dict[int, Row] = {}
        self._digests: dict[int, str] = {}

    def row(self, bare: Row, baseline: Row | None, process: Sequence[Row]) -> Row:
        if self._memory is None:
            return self._computed(bare, baseline, process)
        key = self._key(bare, baseline, process)
        metrics = self._memory.get(key)
        if metrics is not None:
            return Row(bare.record, bare.records, metrics)
        row = self._computed(bare, baseline, process)
        self._memory.put(key, row.metrics)
        return row

    def _computed(self, bare: Row, baseline: Row | None, process: Sequence[Row]) -> Row:
        row = self._with_own(bare)
        joined = _joined(row, [self._with_own(other) for other in _accurate(process)])
        relative = _relative(row, None if baseline is None else self._with_own(baseline))
        return Row(row.record, row.records, {**row.metrics, **relative, **joined})

    def _with_own(self, bare: Row) -> Row:
        """Return a row with the numbers that its records say by themselves."""
        known = self._own.get(id(bare))
        if known is None:
            known = Row(bare.record, bare.records, _own_numbers(bare.records))
            self._own[id(bare)] = known
        return known

    def _key(self, bare: Row, baseline: Row | None, process: Sequence[Row]) -> str:
        """Return the hash of everything that the numbers of a row depend on."""
        others = [*([baseline] if baseline else []), *_accurate(process)]
        parts = [[self._digest(record) for record in row.records] for row in (bare, *others)]
        return content_hash([baseline is not None, parts])

    def _digest(self, record: Record) -> str:
        if id(record) not in self._digests:
            text = record.model_dump_json()
            self._digests[id(record)] = hashlib.sha256(text.encode()).hexdigest()
        return self._digests[id(record)]


def _accurate(process: Sequence[Row]) -> list[Row]:
    """Return the rows of a process that may say how accurate its model is."""
    return [row for row in process if any(r.measurement("accuracy") for r in row.records)]


def row_json(row: Row) -> dict[str, Any]:
    """Return a row as published by `effmark leaderboard --json`."""
    cell = row.record.cell
    return {
        "suite": f"{row.record.suite.name}-v{row.record.suite.version}",
        "profile": row.record.suite.profile,
        "model": row.model,
        "adapter": cell.adapter,
        "precision": cell.precision,
        "options": dict(cell.options),
        "workload": cell.workload.label,
        "device": cell.device,
        "threads": cell.threads,
        "outcome": row.record.outcome,
        "detail": row.record.detail,
        "validity": row.record.validity,
        "advice": [a.model_dump(mode="json") for a in row.record.advice],
        "metrics": {name: _number_json(number) for name, number in row.metrics.items()},
        "records": [record.id for record in row.records],
    }


def _number_json(number: Number | Missing) -> dict[str, Any]:
    if isinstance(number, Missing):
        return {"missing": number.reason, "detail": number.detail}
    return {
        "value": _finite(number.value),
        "low": _finite(number.low),
        "high": _finite(number.high),
        "unit": number.unit,
        "n": number.n,
        "source": number.source,
        "method": number.method,
    }


def _finite(value: float | None) -> float | str | None:
    if value is None or math.isfinite(value):
        return value
    return "inf" if value > 0 else "-inf"


def _grouped(records: Iterable[Record]) -> list[tuple[Record, ...]]:
    """Return the records of each cell on each machine: of each repetition the one that counts."""
    attempts = standing(records, lambda r: (*same_cell(r.cell), r.cell.repetition))
    groups: dict[tuple[str, str, str], list[Record]] = {}
    for ((text, options, _), machine), record in attempts.items():
        groups.setdefault((text, options, machine), []).append(record)
    return [tuple(group) for group in groups.values()]


def same_cell(cell: Cell) -> tuple[str, str]:
    """Return what repetitions of a cell have in common; says the same as its key, but faster."""
    text = cell.model_dump_json(
        exclude={"model": {"path", "base"}, "repetition": True, "options": True}
    )
    return text, canonical_json(dict(cell.options))


_TRUST = {"valid": 0, "suspect": 1, "invalid": 2}


def _worst(records: Sequence[Record]) -> Record:
    """Return the record that says how a cell ended when some of its processes ended otherwise."""
    return max(reversed(records), key=lambda r: (r.outcome != "ok", _TRUST[r.validity]))


def _counted(records: Sequence[Record]) -> list[Record]:
    """Return the records whose samples count: those that ended well, invalid ones only if alone."""
    good = [record for record in records if record.outcome == "ok"]
    return [r for r in good if r.validity != "invalid"] or good or [records[-1]]


def _own_numbers(records: Sequence[Record]) -> dict[str, Number | Missing]:
    """Return what the records of one cell say by themselves."""
    good = _counted(records)
    found: dict[str, Number | Missing] = {}
    pooled = priced(_pooled(good), good[-1].rates)
    for name, samples in pooled.items():
        if name not in COSTS:
            found[name] = samples if isinstance(samples, Missing) else _number(samples)
    found.update(_costs(pooled))
    energy = energy_numbers(good, _ratio_number)
    readings = best_readings(good)
    found.update({n: _bounded(number, readings, energy) for n, number in energy.items()})
    found.update(_memory_split(found))
    return found


_BOUNDED_FROM = ("external_meter", "hw_counter", "hw_power_integrated")


def _bounded(
    number: Number | Missing, readings: Sequence[EnergyReading], energy: Metrics
) -> Number | Missing:
    """Return a measured energy whose interval also holds the error of its windows.

    The sensor's own error is the same in every window, so no interval of repeats can show it: it
    is told beside the interval and never merged with it. One window alone has no interval: how
    much windows differ is not known from it. A net value is wrong by the error of its gross one.
    """
    if isinstance(number, Missing) or number.source not in _BOUNDED_FROM:
        return number
    errors = [r.err_window_rel for r in readings if r.err_window_rel is not None]
    method, low, high = number.method, number.low, number.high
    if errors and low is not None and high is not None:
        gross = next((g for n, g in energy.items() if number is energy.get(f"net_{n}")), number)
        error = abs(gross.value if isinstance(gross, Number) else number.value) * max(errors)
        low, high = min(number.value - error, low), max(number.value + error, high)
    if errors:
        method = f"{method}; window ±{100 * max(errors):.2g} %"
    sensor = max((r.err_sys_rel for r in readings if r.err_sys_rel is not None), default=None)
    if sensor is not None:
        method = f"{method}; sensor ±{100 * sensor:.2g} % apart"
    return replace(number, low=low, high=high, method=method)


def _memory_split(found: Mapping[str, Number | Missing]) -> dict[str, Number | Missing]:
    """Return how held and computed KV cache compare, and what memory is neither it nor weights."""
    named = {name: n for name, n in found.items() if isinstance(n, Number)}
    computed, held = named.get("kv_cache_b"), named.get("kv_cache_held_b")
    split: dict[str, Number | Missing] = {}
    if computed is not None and held is not None and computed.value > 0:
        ratio = held.value / computed.value
        split["kv_cache_ratio"] = Number(ratio, None, None, "ratio", 1, held.source, "exact")
    peak = named.get("device_memory_b", named.get("peak_memory_b"))
    weights, cache = named.get("model_size_b"), held or computed
    if peak is None or weights is None or cache is None:
        return split
    rest = peak.value - weights.value - cache.value
    what = "peak less weights less KV cache"
    if rest < 0:
        detail = "weights and KV cache exceed the peak: mapped weights that were never read, say"
        split["other_memory_b"] = _missing("other_memory_b", "undefined", detail)
    else:
        split["other_memory_b"] = Number(rest, None, None, "B", 1, peak.source, what)
    return split


def _costs(pooled: Mapping[str, Samples | Missing]) -> dict[str, Number | Missing]:
    """Return what a right answer costs; infinite where nothing was right."""
    return {
        name: told if isinstance(told, Missing) else _from_estimate(name, *told)
        for name, told in cost_numbers(pooled).items()
    }


def _pooled(records: Sequence[Record]) -> dict[str, Samples | Missing]:
    """Return the samples of repeated processes together, grouped by process."""
    if len(records) == 1:
        return metric_samples(records[0])
    parts = [metric_samples(record) for record in records]
    pooled: dict[str, Samples | Missing] = {}
    for name in parts[0]:
        mine = [s for part in parts if isinstance(s := part.get(name), Samples)]
        pooled[name] = _concatenated(mine) if mine else parts[0][name]
    return pooled


def _concatenated(parts: Sequence[Samples]) -> Samples:
    first = parts[0]
    return Samples(
        metric=first.metric,
        values=[v for part in parts for v in part.values],
        weights=None if first.weights is None else [w for p in parts for w in (p.weights or ())],
        estimator=first.estimator,
        q=first.q,
        groups=[i for i, part in enumerate(parts) for _ in part.values],
        between_processes=True,
        serial=False,
        source=first.source,
    )


def _number(samples: Samples) -> Number | Missing:
    if samples.estimator == "median" and samples.between_processes:
        return _between_processes(samples)
    found = estimate(samples)
    if isinstance(found, TooFew):
        return Missing(metric=samples.metric, reason="too_few_samples", detail=found.detail)
    return _from_estimate(samples.metric, found, samples.source)


def _between_processes(samples: Samples) -> Number | Missing:
    """Return the typical median of several processes: what differs between them is the error."""
    medians = []
    for process in dict.fromkeys(samples.groups or ()):
        mine = [
            v for v, g in zip(samples.values, samples.groups or (), strict=True) if g == process
        ]
        medians.append(statistics.median(mine))
    if min(medians) <= 0:
        return _missing(samples.metric, "undefined", "a process took no time at all")
    found = mean_interval([math.log(m) for m in medians]).exponentiated()
    method = f"Student's t on the logs of the medians of {len(medians)} processes"
    return Number(found.value, found.low, found.high, metric(samples.metric).unit,
                  len(samples.values), samples.source, method)  # fmt: skip


def _from_estimate(name: str, found: Estimate, source: str) -> Number:
    return Number(
        found.value, found.low, found.high, metric(name).unit, found.n, source, found.method
    )


def _ratio_number(
    name: str, values: Sequence[float], weights: Sequence[float], source: str
) -> Number | Missing:
    return _number(Samples(name, values, weights, "ratio", serial=False, source=source))


def _process_key(row: Row) -> tuple[str, ...]:
    """Return what the cells of one model process have in common."""
    record = row.record
    content = (record.cell.model.sha256, record.suite.sha256, str(record.cell.threads))
    return (*row.configuration, *content, machine_of(record))


def _baseline_key(row: Row) -> tuple[str, ...]:
    """Return what a row and its baseline must share."""
    cell, suite = row.record.cell, row.record.suite
    asked = (suite.name, str(suite.version), suite.sha256, cell.workload.label)
    return (cell.model.sha256, cell.device, str(cell.threads), *asked, machine_of(row.record))


def _index(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    found: dict[Any, list[Row]] = {}
    for row in rows:
        found.setdefault(key(row), []).append(row)
    return found


_WORK = ("tpot_s", "latency_s", "ttft_s")
"""What a speed-up compares: the time per unit of work, the first of these that both rows have."""


def _relative(row: Row, baseline: Row | None) -> dict[str, Number | Missing]:
    """Return speed-up, compression and retention against the baseline of the suite."""
    if baseline is None or baseline.record.outcome != "ok" or row.record.outcome != "ok":
        return {}
    found: dict[str, Number | Missing] = {}
    ours, theirs = row.record.facts, baseline.record.facts
    if ours and theirs:
        ratio = theirs.weights_b / ours.weights_b
        found["compression_ratio"] = Number(ratio, None, None, "ratio", 1, "tensors", "exact")
    if len(row.records) > 1 or len(baseline.records) > 1:
        return {**found, **_speedup_of_processes(row, baseline), **_retention(row, baseline)}
    for name in _WORK:
        mine, base = metric_samples(row.record).get(name), metric_samples(baseline.record).get(name)
        if isinstance(mine, Samples) and isinstance(base, Samples):
            turns = row.record.interleaved and row.record.interleaved == baseline.record.interleaved
            form = paired_ratio_interval if turns else ratio_of_medians_interval
            if min(*mine.values, *base.values) <= 0:
                detail = f"{name} is 0 in a block: shorter than the clock can tell"
                found["speedup"] = _missing("speedup", "undefined", detail)
                break
            compared = form(list(mine.values), list(base.values))
            found["speedup"] = _from_estimate("speedup", compared, "clock")
            break
    found.update(_retention(row, baseline))
    return found


def _speedup_of_processes(row: Row, baseline: Row) -> dict[str, Number | Missing]:
    """Return the speed-up of several processes: the ratio of their numbers, errors combined."""
    for name in _WORK:
        mine, base = row.number(name), baseline.number(name)
        if mine is not None and base is not None and mine.value > 0:
            return {"speedup": _quotient("speedup", base, mine)}
    return {}


def _retention(row: Row, baseline: Row) -> dict[str, Number | Missing]:
    """Return the share of the baseline's quality that is kept; paired where items are shared."""
    for name, inverse in (("bits_per_byte", True), ("accuracy", False)):
        ours, theirs = row.record.measurement(name), baseline.record.measurement(name)
        if isinstance(ours, Measured) and isinstance(theirs, Measured):
            above, below = (theirs, ours) if inverse else (ours, theirs)
            if len(above.samples) != len(below.samples) or not sum(below.samples):
                return {}
            number = _ratio_number("quality_retention", above.samples, below.samples, ours.source)
            return {"quality_retention": number}
    return {}


def _joined(row: Row, process: Sequence[Row]) -> dict[str, Number | Missing]:
    """Return numbers that need the other cells of the same model process."""
    found: dict[str, Number | Missing] = {}
    workload = row.record.cell.workload
    if row.number("bits_per_byte") is not None:
        found.update(_capacities(row))
    if isinstance(workload, Decode | Prefill):
        found.update(_utilisation(row))
        accuracies = [n for other in process if (n := other.number("accuracy"))]
        energy = row.number("energy_j_per_output_token")
        if accuracies and energy is not None and energy.value > 0:
            found["accuracy_per_j"] = _quotient("accuracy_per_j", accuracies[0], energy)
    return found


def _quotient(name: str, above: Number, below: Number) -> Number:
    """Return above / below; relative errors of independent numbers add in quadrature."""
    value = above.value / below.value
    widths = [
        (n.high - n.low) / 2 / n.value
        if n.low is not None and n.high is not None and n.value
        else None
        for n in (above, below)
    ]
    if None in widths:
        return Number(
            value, None, None, metric(name).unit, min(above.n, below.n), below.source, "ratio"
        )
    spread = value * math.hypot(*(w for w in widths if w is not None))
    return Number(value, value - spread, value + spread, metric(name).unit, min(above.n, below.n),
                  below.source, "ratio, errors in quadrature")  # fmt: skip


_CAPACITY_TOKENS = 1024
"""Length over which decode FLOPs are averaged, as the authors of information capacity do."""
_CAPACITIES = ("information_capacity", "information_capacity_biased")


def _capacities(row: Row) -> dict[str, Number | Missing]:
    """Return the information capacity without bias and with the authors' for such a text."""
    found = _explained(row)
    if isinstance(found, Missing):
        return {name: found.model_copy(update={"metric": name}) for name in _CAPACITIES}
    gain, flops, about = found
    workload = row.record.cell.workload
    stem = Path(workload.name).stem if isinstance(workload, Text) else ""
    corpus = stem if stem in BIASES else "other"
    biases = {"": (0.0, "no bias"), "_biased": (BIASES[corpus], f"authors' bias {corpus!r}")}
    numbers: dict[str, Number | Missing] = {}
    for suffix, (bias, told) in biases.items():
        value, low, high = (
            None if bits is None else information_capacity(bits, 0.0, flops, bias=bias)
            for bits in (gain.value, gain.low, gain.high)
        )
        assert value is not None
        method = f"{told} {bias:g}; {about}; {gain.method}"
        name = f"information_capacity{suffix}"
        numbers[name] = Number(value, low, high, "ratio", gain.n, "logits", method)
    return numbers


def _explained(row: Row) -> tuple[Number, float, str] | Missing:
    """Return bits per token that a model explains of a text, its FLOPs per token, and the terms.

    Bits of text are averaged over the windows, those of the model over all tokens (the authors').
    """
    record, name = row.record, "information_capacity"
    bits, tokens = record.measurement("bits_per_byte"), record.measurement("perplexity")
    if not isinstance(bits, Measured) or not isinstance(tokens, Measured) or record.facts is None:
        return _missing(name, "not_applicable", "needs the likelihood of a text")
    if bits.weights is None or tokens.weights is None:
        return _missing(name, "undefined", "the text was scored without counts")
    try:
        arch = architecture_from_config(record.facts.config)
    except ValueError as error:
        return _missing(name, "not_present", f"FLOPs unknown: {error}")
    gain = [8 * size - nll for size, nll in zip(bits.weights, bits.samples, strict=True)]
    pooled = _ratio_number(name, gain, tokens.weights, "logits")
    if isinstance(pooled, Missing):
        return pooled
    value = text_bits_per_token(bits.weights, tokens.weights)
    value -= math.fsum(bits.samples) / math.fsum(tokens.weights)
    moved = value - pooled.value
    low, high = (None if bound is None else bound + moved for bound in (pooled.low, pooled.high))
    flops = decode_flops_per_token(arch, _CAPACITY_TOKENS)
    about = f"{record.cell.workload.label}, FLOPs over {_CAPACITY_TOKENS} tokens"
    return replace(pooled, value=value, low=low, high=high), flops, about


def _utilisation(row: Row) -> dict[str, Number | Missing]:
    """Return MBU of decode steps and MFU, against peaks measured on the same machine."""
    facts, environment = row.record.facts, row.record.environment
    if facts is None or environment is None:
        return {}
    bandwidth, flops = (
        peak if isinstance(peak, float) and 0 < peak <= LARGEST else None
        for peak in map(environment.state.get, ("peak_bandwidth_b_per_s", "peak_flop_per_s"))
    )
    found: dict[str, Number | Missing] = {}
    workload, step = row.record.cell.workload, row.number("tpot_s")
    if step is not None and step.value <= 0:
        found["mbu"] = _missing("mbu", "undefined", "a step took no time that the clock can tell")
    elif isinstance(workload, Decode) and bandwidth is not None and step is not None:
        context = workload.prompt_tokens + workload.new_tokens / 2
        held_b = facts.kv_cache_b(context)
        if held_b is None:
            detail = f"the cache is unknown: {facts.unknown.get('kv', 'the adapter does not tell')}"
            found["mbu"] = _missing("mbu", "not_present", detail)
        else:
            used = mbu(facts.weights_b, held_b * workload.batch, step.value, bandwidth)
            found["mbu"] = _scaled("mbu", used, step)
    rate = row.number("output_token_throughput" if isinstance(workload, Decode)
                      else "prefill_token_throughput")  # fmt: skip
    if flops is not None and rate is not None and facts.flops_per_unit:
        found["mfu"] = _scaled(
            "mfu", mfu(facts.flops_per_unit, rate.value, flops), rate, direct=True
        )
    if not found:
        detail = "no peaks were measured in this run"
        found = {name: _missing(name, "not_present", detail) for name in ("mbu", "mfu")}
    return found


def _scaled(name: str, value: float, basis: Number, *, direct: bool = False) -> Number:
    """Return a number that is proportional (or inversely so) to another, with its interval."""
    bounds = (basis.low, basis.high) if direct else (basis.high, basis.low)
    low, high = (
        None if not bound else value * (bound / basis.value if direct else basis.value / bound)
        for bound in bounds
    )
    return Number(value, low, high, metric(name).unit, basis.n, basis.source, basis.method)


def _missing(name: str, reason: Reason, detail: str) -> Missing:
    return Missing(metric=name, reason=reason, detail=detail)
