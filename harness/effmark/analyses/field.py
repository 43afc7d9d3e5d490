"""Who takes part in an analysis: the configurations of one suite on one machine.

What has no rank on the leaderboard (estimated, emulated, foreign, invalid; quality of random or
dequantised weights) takes no part either, unless everything is asked for; it is counted, by reason.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field

from effmark.analyses.finding import TooLittle
from effmark.metrics import METRICS
from effmark.model_names import model_key, shown_names
from effmark.ranking import Contender
from effmark.record import Missing
from effmark.report.configurations import COST_KINDS, Configuration, boards
from effmark.report.standing import MARKS, contender, exclusion
from effmark.rows import Number, Row

__all__ = [
    "Candidate",
    "Entrants",
    "Field",
    "configuration_names",
    "entrants",
    "fields",
    "most_entrants",
    "told",
]


@dataclass(frozen=True)
class Field:
    """What compares: one suite on one machine, costs from one workload."""

    suite: str
    machine: str
    workload: str
    configurations: tuple[Configuration, ...]
    _known: dict[tuple[int, str], Contender] = dataclass_field(
        default_factory=dict, compare=False, repr=False
    )
    """Numbers with their draws, which cost more than all the rest: every analysis shares them."""

    @property
    def rows(self) -> list[Row]:
        """Return all cells of the field."""
        return [row for configuration in self.configurations for row in configuration.rows]

    def contender(self, configuration: Configuration, name: str) -> Contender:
        """Return a number that is there with what is known of its error."""
        key = (id(configuration), name)
        if key not in self._known:
            row = configuration.source_of(name)
            assert row is not None
            self._known[key] = contender(row, name)
        return self._known[key]


@dataclass(frozen=True)
class Candidate:
    """A configuration with the numbers that an analysis asked for."""

    name: str
    configuration: Configuration
    numbers: Mapping[str, Contender]

    @property
    def series(self) -> Mapping[str, str]:
        """Return what candidates may be grouped by."""
        cell = self.configuration.row.record.cell
        return {
            "adapter": cell.adapter,
            "model": self.configuration.row.model,
            "precision": cell.precision,
        }

    def quantity(self, name: str) -> Number:
        """Return the number as the leaderboard shows it."""
        found = self.configuration.metric(name)
        assert isinstance(found, Number)
        return found


@dataclass(frozen=True)
class Entrants:
    """The candidates, and why the other configurations are not among them."""

    candidates: tuple[Candidate, ...]
    left_out: Counter[str]
    """Configurations by reason, `TPOT: estimated`."""

    @property
    def caveats(self) -> tuple[str, ...]:
        """Return a sentence on what was left out, and one on numbers without a known error."""
        found = []
        if self.left_out:
            each = ", ".join(f"{n} × {reason}" for reason, n in self.left_out.most_common(4))
            found.append(f"Left out: {each}.")
        blind = {
            METRICS[name].label
            for c in self.candidates
            for name, number in c.numbers.items()
            if number.error is None and not number.draws
        }
        if blind:
            found.append(f"Taken as exact, their error is not known: {', '.join(sorted(blind))}.")
        return tuple(found)


def configuration_names(rows: Sequence[Row]) -> list[str]:
    """Return runtime, precision and options; after the model and device where those differ."""
    names = shown_names(row.record.cell.model for row in rows)
    several = len(names) > 1
    devices = len({row.configuration[4] for row in rows}) > 1
    return [_name(row, names, several, devices) for row in rows]


def _name(
    row: Row, names: Mapping[tuple[str, str], str], with_model: bool, with_device: bool
) -> str:
    """Return the name of a configuration; models of one name are told apart."""
    _, adapter, precision, options, device = row.configuration
    name = " ".join(part for part in (adapter, precision, options) if part)
    model = names[model_key(row.record.cell.model)]
    name = f"{model} · {name}" if with_model else name
    return f"{name} on {device}" if with_device else name


def fields(rows: Sequence[Row], workload: str | None = None) -> list[Field]:
    """Return what compares among rows, each suite and machine apart.

    Args:
        rows: cells of any number of suites and machines.
        workload: label of the workload that costs come from; None for the one measured most often.
    """
    kept = [row for row in rows if workload is None or _serves(row, workload)]
    found = [Field(b.suite, b.machine, b.workload, b.configurations) for b in boards(kept)]
    if workload is None:
        return found
    known = dict.fromkeys(
        r.record.cell.workload.label for r in rows if r.record.cell.workload.kind in COST_KINDS
    )
    if workload not in known:
        raise TooLittle(f"no workload {workload!r} in these results; there are: {', '.join(known)}")
    return [field for field in found if field.workload == workload]


def _serves(row: Row, workload: str) -> bool:
    asked = row.record.cell.workload
    return asked.kind not in COST_KINDS or asked.label == workload


def entrants(
    field: Field, names: Sequence[str], *, everything: bool = False, infinite: bool = False
) -> Entrants:
    """Return the configurations that have all the named metrics.

    Args:
        field: who may take part.
        names: metrics that a candidate must have.
        everything: whether numbers without a rank take part, too.
        infinite: whether an infinite score is a number: it has an order, but no distance.
    """
    taking_part, left_out = _admitted(field, names, everything, infinite=infinite)
    titles = configuration_names([c.row for c in taking_part])
    candidates = (
        Candidate(title, c, {name: field.contender(c, name) for name in names})
        for title, c in zip(titles, taking_part, strict=True)
    )
    return Entrants(tuple(candidates), left_out)


def most_entrants(
    field: Field, choices: Sequence[Sequence[str]], *, everything: bool = False
) -> tuple[Sequence[str], int]:
    """Return the first choice of metrics that most configurations have, and how many do."""
    counts = [len(_admitted(field, names, everything)[0]) for names in choices]
    best = counts.index(max(counts))
    return choices[best], counts[best]


def _admitted(
    field: Field, names: Sequence[str], everything: bool, *, infinite: bool = False
) -> tuple[list[Configuration], Counter[str]]:
    """Return the configurations that have all metrics, and the others by reason."""
    taking_part, left_out = [], Counter[str]()
    for configuration in field.configurations:
        barred = (_barred(configuration, name, everything) for name in names)
        reason = next((why for why in barred if why), "")
        if not infinite:
            reason = reason or _endless(configuration, names)
        if reason:
            left_out[reason] += 1
        else:
            taking_part.append(configuration)
    return taking_part, left_out


def _endless(configuration: Configuration, names: Sequence[str]) -> str:
    for name in names:
        number = configuration.metric(name)
        if isinstance(number, Number) and not math.isfinite(number.value):
            return f"{METRICS[name].label}: infinite"
    return ""


def _barred(configuration: Configuration, name: str, everything: bool) -> str:
    """Return why a configuration has no say by a metric, or an empty text."""
    row = configuration.source_of(name)
    label = METRICS[name].label
    if row is None:
        return f"{label}: not measured"
    if everything:
        missing = isinstance(row.metrics[name], Missing) or row.record.outcome != "ok"
        return f"{label}: {exclusion(row, name)}" if missing else ""
    reason = exclusion(row, name)
    return f"{label}: {reason}" if reason else ""


def told(found: Entrants, needed: int, analysis: str, what: str) -> tuple[Candidate, ...]:
    """Return the candidates, or raise TooLittle with what there is and what would be needed."""
    if len(found.candidates) >= needed:
        return found.candidates
    reasons = "; ".join(f"{n} × {reason}" for reason, n in found.left_out.most_common(4))
    unranked = any(reason.endswith(tuple(MARKS)) for reason in found.left_out)
    raise TooLittle(
        f"{analysis}: needs {needed} or more configurations with {what}, "
        f"got {len(found.candidates)}"
        + (f" (left out: {reasons})" if reasons else "")
        + ("; --all lets in what has no rank" if unranked else "")
    )
