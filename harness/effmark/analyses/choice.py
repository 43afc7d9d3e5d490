"""Constrained best choice: what is best among what keeps to the limits, and how sure is that?

Of the configurations whose numbers keep to the limits, the one is chosen that is most often the
best of all that do, over possible worlds (`worlds.py`): that share is the probability that the
choice is right, and it stands beside each other candidate, too. It holds the sampling errors of the
records and nothing else. Ranking and selection calls it the probability of correct selection (Chick
and Inoue, Operations Research 49(5), 2001).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from effmark.analyses.field import Candidate, Entrants, Field, entrants, most_entrants, told
from effmark.analyses.finding import Cell, Finding, Quantity, Table, TooLittle
from effmark.analyses.limits import Limit
from effmark.analyses.worlds import world_values
from effmark.metrics import METRICS, metric
from effmark.ranking import DRAWS

__all__ = ["Odds", "best_choice", "choice_odds"]

_WANTED = ("accuracy", "bits_per_byte", "quality_retention", "speedup", "output_token_throughput",
           "image_throughput", "tpot_s", "latency_s")  # fmt: skip
"""What is best without a wish: the first of these that two candidates have."""
_DAY = "The probabilities hold the sampling error of these records, not another day or machine."


@dataclass(frozen=True, slots=True)
class Odds:
    """How often a candidate keeps to the limits, and how often it is the best that does."""

    feasible: float
    best: float


def choice_odds(
    worlds: Sequence[Mapping[str, Sequence[float]]], by: str, limits: Sequence[Limit]
) -> list[Odds]:
    """Return the odds of each candidate; ties for the best count for all that tie.

    Args:
        worlds: for each candidate the value of every metric in each world, equally many.
        by: the metric that is to be best.
        limits: what a choice must keep to.
    """
    sign = 1.0 if metric(by).direction == "higher" else -1.0
    count = len(worlds[0][by]) if worlds else 0
    feasible, best = [0] * len(worlds), [0] * len(worlds)
    for draw in range(count):
        inside = [
            i for i, w in enumerate(worlds)
            if all(limit.holds(w[limit.metric][draw]) for limit in limits)
        ]  # fmt: skip
        top = max((sign * worlds[i][by][draw] for i in inside), default=None)
        for i in inside:
            feasible[i] += 1
            best[i] += sign * worlds[i][by][draw] == top
    return [Odds(f / count, b / count) for f, b in zip(feasible, best, strict=True)]


def best_choice(
    field: Field, limits: Sequence[Limit], by: str | None = None, *, everything: bool = False
) -> Finding:
    """Return which configuration to take under limits.

    Args:
        field: who may take part.
        limits: what it must keep to.
        by: the metric that is to be best; None for quality where there is some, else speed.
        everything: whether numbers without a rank take part, too.

    Raises:
        TooLittle: fewer than two configurations have all the numbers.
    """
    names = [limit.metric for limit in limits]
    by = by or _usual(field, names, everything=everything)
    if metric(by).direction == "none":
        raise TooLittle(f"best: {by!r} is a fact, not a merit; name a metric that has a direction")
    asked = list(dict.fromkeys([by, *names]))
    found = entrants(field, asked, everything=everything, infinite=True)
    candidates = told(found, 2, "best", ", ".join(METRICS[name].label for name in asked))
    worlds = [
        {name: world_values(c.numbers[name], f"{c.name} {name}") for name in c.numbers}
        for c in candidates
    ]
    odds = choice_odds(worlds, by, limits)
    chosen = _chosen(candidates, by, limits, odds)
    return _finding(field, found, by, limits, odds, chosen)


def _usual(field: Field, names: Sequence[str], *, everything: bool) -> str:
    for by in _WANTED:
        if by in names:
            continue
        if most_entrants(field, [[by, *names]], everything=everything)[1] > 1:
            return by
    limits = "".join(f"{METRICS[name].label} and " for name in names)
    wished = ", ".join(METRICS[name].label for name in _WANTED[:3])
    raise TooLittle(
        f"best: needs two configurations with {limits}one of {wished} or speed; run a suite that "
        "measures both, or let in what has no rank with --all"
    )


def _chosen(
    candidates: Sequence[Candidate], by: str, limits: Sequence[Limit], odds: Sequence[Odds]
) -> int | None:
    """Return the likeliest best of those that keep to the limits by their values; ties by value."""
    sign = 1.0 if metric(by).direction == "higher" else -1.0
    inside = [
        i for i, c in enumerate(candidates)
        if all(limit.holds(c.numbers[limit.metric].value) for limit in limits)
    ]  # fmt: skip
    return max(
        inside, key=lambda i: (odds[i].best, sign * candidates[i].numbers[by].value), default=None
    )


def _finding(
    field: Field, found: Entrants, by: str, limits: Sequence[Limit], odds: Sequence[Odds],
    chosen: int | None,
) -> Finding:  # fmt: skip
    candidates = found.candidates
    sign = -1.0 if metric(by).direction == "higher" else 1.0
    order = sorted(
        range(len(candidates)),
        key=lambda i: (i != chosen, -odds[i].best, -odds[i].feasible,
                       sign * candidates[i].numbers[by].value),
    )  # fmt: skip
    names = list(dict.fromkeys([by, *(limit.metric for limit in limits)]))
    table = Table(
        f"best {METRICS[by].label}" + (f" under {_and(limits)}" if limits else ""),
        (
            "configuration",
            *(METRICS[n].label for n in names),
            *(["P(keeps limits)"] if limits else []),
            "P(best)",
        ),
        tuple(_row(candidates[i], names, odds[i], limited=bool(limits)) for i in order),
    )
    values = {
        "by": by,
        "limits": {limit.text: limit.bound for limit in limits},
        "choice": None if chosen is None else candidates[chosen].name,
        "probability": None if chosen is None else odds[chosen].best,
        "worlds": DRAWS,
    }
    return Finding(
        "best", f"Best {METRICS[by].label}" + (" within limits" if limits else ""),
        _conclusion(candidates, by, limits, odds, chosen, order), (_DAY, *found.caveats), (table,),
        field.suite, field.machine, field.workload, values,
    )  # fmt: skip


def _row(
    candidate: Candidate, names: Sequence[str], odds: Odds, *, limited: bool
) -> tuple[Cell, ...]:
    cells = [_shown(candidate, name) for name in names]
    keeps = [_percent(odds.feasible)] if limited else []
    return (candidate.name, *cells, *keeps, _percent(odds.best))


def _shown(candidate: Candidate, name: str) -> Quantity:
    number = candidate.quantity(name)
    return Quantity(number.value, number.unit, number.low, number.high)


def _conclusion(
    candidates: Sequence[Candidate], by: str, limits: Sequence[Limit], odds: Sequence[Odds],
    chosen: int | None, order: Sequence[int],
) -> str:  # fmt: skip
    if chosen is None:
        likely = max(odds, key=lambda o: o.feasible).feasible
        return (f"None of {len(candidates)} configurations keeps to {_and(limits)}; the likeliest "
                f"does with probability {_percent(likely)}.")  # fmt: skip
    best, value = candidates[chosen], candidates[chosen].numbers[by].value
    twins = [
        i for i in order if odds[i] == odds[chosen] and candidates[i].numbers[by].value == value
    ]
    under = f" under {_and(limits)}" if limits else ""
    if len(twins) > 1:
        text = (
            f"{len(twins)} configurations share the best {METRICS[by].label} "
            f"({_shown(best, by).text}){under}, {best.name} among them: each the right choice"
        )
    else:
        text = (f"Take {best.name} for the best {METRICS[by].label} ({_shown(best, by).text})"
                f"{under}: the right choice")  # fmt: skip
    text += f" with probability {_percent(odds[chosen].best)}"
    rivals = [i for i in order if i not in twins and odds[i].best > 0]
    if not rivals:
        return f"{text}."
    rival = max(rivals, key=lambda i: odds[i].best)
    return f"{text}; next is {candidates[rival].name} with {_percent(odds[rival].best)}."


def _and(limits: Sequence[Limit]) -> str:
    return " and ".join(limit.text for limit in limits) if limits else "no limit"


def _percent(share: float) -> str:
    """Return a share of worlds in percent; never a certainty that draws cannot show."""
    if share in (0.0, 1.0):
        return f"< {100 / DRAWS:.1g} %" if share == 0.0 else f"> {100 - 100 / DRAWS:.3g} %"
    return f"{100 * share:.0f} %" if 0.01 <= share <= 0.99 else f"{100 * share:.1f} %"
