"""Who takes part in a ranking: what a number carries besides its value, and why it may not rank.

A row that is left out stays on the page with its mark; nothing disappears and nothing becomes 0.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal

from effmark.metrics import metric
from effmark.ranking import Contender, Rank, paired_draws, ranks, sampling_error
from effmark.record import Missing, Record
from effmark.rows import Number, Row
from effmark.samples import Samples, metric_samples
from effmark.schema import content_hash

__all__ = ["MARKS", "contender", "contenders", "exclusion", "family", "marks", "of_a_machine",
           "ranks_of"]  # fmt: skip

Family = Literal["quality", "size", "energy", "cost", "joined"]

_QUALITY = {"accuracy", "best_of_n_accuracy", "bits_per_byte", "coverage", "dps", "dps_norm",
            "information_capacity", "information_capacity_biased", "kl_divergence",
            "majority_accuracy", "perplexity", "quality_retention", "top1_agreement",
            "weighted_accuracy"}  # fmt: skip
_SCORE_AT_K = re.compile(r"(pass|eff)_at_\d+")
_JOINED = re.compile(r"accuracy_per_j|cost_of_pass_.*|eff_at_\d+_per_j")
_ENERGY = ("energy", "_per_j", "mean_power", "carbon", "electricity")
_SIZE = {"model_size_b", "effective_bits", "compression_ratio", "kv_bytes_per_token",
         "flops_per_token", "load_memory_b", "peak_memory_b", "device_memory_b"}  # fmt: skip
_OF_THE_WEIGHTS = {"compression_ratio", "effective_bits", "flops_per_token", "kv_bytes_per_token",
                   "model_size_b"}  # fmt: skip
_ITEMS = {"accuracy", "bits_per_byte", "kl_divergence", "top1_agreement"}
"""Sampled over items that other models answered, too, and therefore compared in pairs."""
_COUNTED = {"tensors", "analytic"}
"""Sources that count or compute: no sampling error."""

MARKS = {
    "invalid": "a check found that these numbers do not hold",
    "suspect": "something disturbed the measurement; see the advice",
    "unproven": "no reference to hold this artefact against: whether it computes the model is not "
    "known",
    "emulated": "low-bit weights are expanded before the arithmetic: no claim on speed",
    "random": "random weights: no claim on quality",
    "dequantised": "the full-precision weights are a dequantised low-bit file: shows cost; "
    "no ranking by quality is drawn from it",
    "foreign": "imported from another tool: measured by its rules, not by those of effmark",
    "estimated": "from a model of the hardware, not measured",
}
"""What each mark means, worst first."""


@cache
def family(name: str) -> Family:
    """Return which kind of claim a metric makes."""
    if _JOINED.fullmatch(name):
        return "joined"
    if name in _QUALITY or _SCORE_AT_K.fullmatch(name):
        return "quality"
    if name in _SIZE:
        return "size"
    return "energy" if any(word in name for word in _ENERGY) else "cost"


def of_a_machine(name: str) -> bool:
    """Return whether a metric depends on the machine: sizes of weights and quality do not."""
    return family(name) != "quality" and name not in _OF_THE_WEIGHTS


def marks(row: Row) -> list[str]:
    """Return the marks of a row, worst first."""
    record, facts = row.record, row.record.facts
    found: set[str] = {record.validity} | ({"foreign"} if record.foreign else set())
    if is_unproven(record):
        found.add("unproven")
    if facts is not None:
        found |= {"emulated"} if facts.kernel == "emulated" else set()
        found |= {"random"} if facts.weights == "random" else set()
        found |= {"dequantised"} if facts.weights_source.startswith("dequantised") else set()
    return [mark for mark in MARKS if mark in found]


def is_unproven(record: Record) -> bool:
    """Return whether a language model was measured from files that nothing vouches for."""
    has_files = record.cell.model.path is not None and record.cell.model.task == "lm"
    if record.outcome != "ok" or record.foreign or not has_files:
        return False
    return record.proof is None or record.proof.status == "unproven"


def exclusion(row: Row, name: str) -> str:
    """Return why a row has no rank by a metric, or an empty text where it has one.

    Suspect rows rank and carry their mark; on shared machines nearly all rows are.
    """
    if row.record.outcome != "ok":
        return row.record.outcome
    number = row.metrics.get(name)
    if number is None:
        return "not measured"
    if isinstance(number, Missing):
        return number.reason.replace("_", " ")
    if number.source == "model_estimate":
        return "estimated"
    claims, kind = marks(row), family(name)
    barred = {"invalid", "foreign"}
    if kind in ("cost", "energy", "joined"):
        barred |= {"emulated"}
    if kind in ("quality", "joined"):
        barred |= {"random", "dequantised"}
    return next((mark for mark in claims if mark in barred), "")


def contenders(row: Row, *, paired: bool = True) -> dict[str, Contender]:
    """Return every number of a row with what is known of its error.

    Args:
        row: whose numbers.
        paired: whether to draw from the items that others share; without, ranks have more ties.
    """
    samples = _LazySamples(row)
    return {
        name: _contender(row, number, name, samples, paired=paired)
        for name, number in row.metrics.items()
        if isinstance(number, Number)
    }


def contender(row: Row, name: str) -> Contender:
    """Return a number that is there with what is known of its error."""
    number = row.metrics[name]
    assert isinstance(number, Number)
    return _contender(row, number, name, _LazySamples(row), paired=True)


class _LazySamples:
    """The raw samples of a row, read only when a number needs them: most have their interval."""

    def __init__(self, row: Row) -> None:
        self._row = row
        self._found: Mapping[str, Samples | Missing] | None = None

    def of(self, name: str) -> Samples | None:
        if self._found is None:
            self._found = metric_samples(self._row.record)
        found = self._found.get(name)
        return found if isinstance(found, Samples) else None


def _contender(
    row: Row, number: Number, name: str, samples: _LazySamples, *, paired: bool
) -> Contender:
    shared = _shared_items(row, name, samples) if paired else None
    if shared is not None:
        items, drawn = shared
        error = sampling_error(number.low, number.high, drawn)
        return Contender(number.value, error, tuple(paired_draws(drawn, items)), items)
    exact = number.source in _COUNTED or number.method == "exact"
    told = number.low is not None or exact or number.n < 2
    known = None if told else samples.of(name)
    return Contender(number.value, sampling_error(number.low, number.high, known, exact=exact))


def _shared_items(row: Row, name: str, samples: _LazySamples) -> tuple[str, Samples] | None:
    """Return what identifies the items that others share, with the samples that belong to them.

    Items are questions and windows of text, and the turns of interleaved cells: block i of one was
    measured next to block i of the others.
    """
    if len(row.records) > 1 or not (name in _ITEMS or row.record.interleaved):
        return None
    known = samples.of(name)
    if known is None:
        return None
    if name in _ITEMS:
        return _items_of(row, known), known
    a_block_each = known.groups is None and len(known.values) == len(row.record.blocks)
    if not a_block_each or known.estimator not in ("median", "mean", "ratio"):
        return None
    return f"{row.record.interleaved} {len(known.values)}", known


def _items_of(row: Row, samples: Samples) -> str:
    """Return what identifies the items that a quality cell was asked: equal ones are paired.

    The weights of a text are its bytes or tokens, so that another tokenizer's windows are others.
    """
    return content_hash(
        [row.record.cell.workload.model_dump(mode="json"), len(samples.values), samples.weights]
    )[:12]


def ranks_of(rows: Sequence[Row], name: str) -> list[Rank | str]:
    """Return the rank of each row by a metric, or the reason why it has none.

    Only rows of one workload compare; which rows belong together is the caller's choice.
    """
    reasons = [exclusion(row, name) for row in rows]
    taking_part = [i for i, reason in enumerate(reasons) if not reason]
    found = ranks([contender(rows[i], name) for i in taking_part], metric(name).direction)
    places = dict(zip(taking_part, found, strict=True))
    return [places.get(i, reason) for i, reason in enumerate(reasons)]
