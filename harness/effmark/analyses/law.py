"""A power law between two columns of the leaderboard, over the configurations of one field."""

from __future__ import annotations

import math
from collections.abc import Callable

from effmark.analyses.field import Candidate, Field, entrants, most_entrants, told
from effmark.analyses.finding import Finding, Quantity, Table, TooLittle
from effmark.analyses.power_law import FEWEST, PowerLaw, fit_power_law
from effmark.metrics import METRICS
from effmark.record import ModelFacts

__all__ = ["FACTS", "law"]

FACTS: dict[str, Callable[[ModelFacts], float | None]] = {
    "parameters": lambda facts: float(facts.parameters),
    "weights_b": lambda facts: float(facts.weights_b),
    "flops": lambda facts: facts.flops_per_unit,
}
"""What x may be besides a metric."""
_SCOPE = ("A straight line on log axes through these configurations: it explains nothing, and "
          "holds only between the smallest and the largest of them.")  # fmt: skip


def law(
    field: Field, x: str = "weights_b", y: str | None = None, *, everything: bool = False
) -> Finding:  # fmt: skip
    """Return the power law of y in x with the interval of its exponent, and who is off the line.

    Args:
        field: the configurations, one point each.
        x: a metric, or `parameters`, `weights_b`, `flops`.
        y: a metric; None for the usual time.
        everything: whether numbers without a rank take part, too.
    """
    name = y or _usual(field, everything=everything)
    names = [name] if x in FACTS else [name, x]
    found = entrants(field, names, everything=everything)
    candidates = told(found, FEWEST, "power-law", f"{METRICS[name].label} and {x}")
    points = [(c, _value(c, x), c.numbers[name].value) for c in candidates]
    usable = [(c, a, b) for c, a, b in points if a is not None and a > 0 and b > 0]
    try:
        fit = fit_power_law([a for _, a, _ in usable], [b for _, _, b in usable])
    except ValueError as error:
        raise TooLittle(f"power-law: {error} different values of {x}") from error
    return _finding(field, [c for c, _, _ in usable], x, name, fit, found.caveats)


def _usual(field: Field, *, everything: bool) -> str:
    names = ("tpot_s", "latency_s", "ttft_s")
    found, _ = most_entrants(field, [[n] for n in names], everything=everything)
    return found[0]


def _value(candidate: Candidate, x: str) -> float | None:
    if x not in FACTS:
        return candidate.numbers[x].value
    facts = candidate.configuration.row.record.facts
    return None if facts is None else FACTS[x](facts)


def _finding(
    field: Field, candidates: list[Candidate], x: str, name: str, fit: PowerLaw,
    caveats: tuple[str, ...],
) -> Finding:  # fmt: skip
    label = METRICS[name].label
    slope = Quantity(fit.exponent, "ratio", fit.low, fit.high)
    zero = " (no relation can be claimed)" if fit.low <= 0 <= fit.high else ""
    order = sorted(range(fit.n), key=lambda i: fit.residuals[i])
    return Finding(
        "power-law", f"{label} as a power of {x}",
        f"{label} ~ {x}^{slope.text}{zero}: over {fit.n} configurations the line misses by a "
        f"factor of {fit.spread:.2f} and explains {100 * fit.r_squared:.0f} % of the differences.",
        (_SCOPE, *caveats),
        (Table("distance from the line", ("configuration", "actual / line"),
               tuple((candidates[i].name, Quantity(math.exp(fit.residuals[i]))) for i in order)),),
        field.suite, field.machine, field.workload,
        {"x": x, "y": name, "exponent": fit.exponent, "low": fit.low, "high": fit.high,
         "factor": fit.factor, "r_squared": fit.r_squared, "n": fit.n},
    )  # fmt: skip
