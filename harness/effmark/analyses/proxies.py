"""Proxy validity: do FLOPs, parameters or bytes tell what latency and energy will be?

A proxy is known without running anything; it is valid as far as it orders configurations as the
measurement does. Spearman and Kendall say how far (`agreement.py`), and the residuals of the power
law through the points (`power_law.py`) who breaks the rule and by how much. What is the same for
all configurations, as FLOPs are for all precisions of one model, tells nothing here: Missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from effmark.analyses.agreement import kendall, spearman
from effmark.analyses.field import Candidate, Entrants, Field, entrants
from effmark.analyses.finding import Cell, Finding, Quantity, Table, TooLittle
from effmark.analyses.power_law import FEWEST, PowerLaw, fit_power_law
from effmark.metrics import METRICS
from effmark.record import Missing, ModelFacts
from effmark.stats import Estimate

__all__ = ["PROXIES", "Verdict", "proxies", "verdict"]

PROXIES: dict[str, Callable[[ModelFacts], float | None]] = {
    "FLOPs": lambda facts: facts.flops_per_unit,
    "parameters": lambda facts: float(facts.parameters),
    "weight bytes": lambda facts: float(facts.weights_b),
}
_MEASURED = ("tpot_s", "ttft_s", "latency_s", "energy_j_per_output_token", "energy_j_per_image",
             "peak_memory_b")  # fmt: skip
_WORST_SHOWN = 3
_SCOPE = ("Agreement among these configurations only: a proxy that orders models of one runtime "
          "may fail between runtimes.")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one proxy did on one measured number."""

    rho: Estimate
    tau: Estimate
    law: PowerLaw | None
    """None for too few points or sizes for a line."""


def verdict(proxy: Sequence[float], measured: Sequence[float]) -> Verdict | None:
    """Return how a proxy agrees with measurements; None where either is the same for all."""
    rho, tau = spearman(proxy, measured), kendall(proxy, measured)
    if rho is None or tau is None:
        return None
    line = len(proxy) >= FEWEST and len(set(proxy)) > 2 and min(measured) > 0
    return Verdict(rho, tau, fit_power_law(proxy, measured) if line else None)


def proxies(
    field: Field, metrics: Sequence[str] = (), *, everything: bool = False
) -> Finding:  # fmt: skip
    """Return how well FLOPs, parameters and bytes foretell what was measured.

    Args:
        field: the configurations.
        metrics: what was measured; none for latency, energy and memory.
        everything: whether numbers without a rank take part, too.
    """
    rows: list[tuple[Cell, ...]] = []
    worst: list[tuple[Cell, ...]] = []
    found: dict[tuple[str, str], Verdict] = {}
    left_out: list[str] = []
    for name in metrics or _MEASURED:
        entered = entrants(field, [name], everything=everything)
        for proxy, of in PROXIES.items():
            pairs = _pairs(entered, name, of)
            if len(pairs) < FEWEST:
                continue
            x, y = [p[1] for p in pairs], [p[2] for p in pairs]
            told = verdict(x, y)
            rows.append(_row(proxy, name, told, len(pairs)))
            if told is not None:
                found[(proxy, name)] = told
                worst += _worst(proxy, name, told, [p[0] for p in pairs])
        left_out += [c for c in entered.caveats if entered.candidates and "not measured" not in c]
    if not rows:
        raise TooLittle(
            f"proxies: needs {FEWEST} configurations with known parameters and a measured "
            f"{' or '.join(METRICS[n].label for n in metrics or _MEASURED[:3])}; run a suite with "
            "more of them"
        )
    tables = [Table("rank agreement and the line through the points",
                    ("proxy", "measured", "Spearman", "Kendall", "exponent", "typical miss", "n"),
                    tuple(rows))]  # fmt: skip
    if worst:
        tables.append(Table("who breaks the rule", ("proxy", "measured", "configuration", "off by"),
                            tuple(worst)))  # fmt: skip
    values = {f"{p} ~ {n}": {"spearman": v.rho.value, "kendall": v.tau.value}
              for (p, n), v in found.items()}  # fmt: skip
    return Finding(
        "proxies", "Do FLOPs, parameters and bytes foretell the cost?", _conclusion(found),
        (_SCOPE, *dict.fromkeys(left_out)), tuple(tables), field.suite, field.machine,
        field.workload, values,
    )  # fmt: skip


def _pairs(
    entered: Entrants, name: str, of: Callable[[ModelFacts], float | None]
) -> list[tuple[Candidate, float, float]]:
    found = []
    for candidate in entered.candidates:
        facts = candidate.configuration.row.record.facts
        value = None if facts is None else of(facts)
        if value is not None:
            found.append((candidate, value, candidate.numbers[name].value))
    return found


def _row(proxy: str, name: str, told: Verdict | None, n: int) -> tuple[Cell, ...]:
    label = METRICS[name].label
    if told is None:
        same = Missing(metric=name, reason="undefined", detail=f"all {n} have the same {proxy}")
        return proxy, label, same, same, same, f"the same {proxy} for all", str(n)
    return (proxy, label, _estimate(told.rho), _estimate(told.tau), *_line(told.law, name), str(n))


def _estimate(found: Estimate) -> Quantity:
    return Quantity(found.value, "ratio", found.low, found.high)


def _line(law: PowerLaw | None, name: str) -> tuple[Cell, Cell]:
    if law is None:
        few = Missing(
            metric=name, reason="too_few_samples", detail=f"needs {FEWEST} points at 3 sizes"
        )
        return few, few
    return Quantity(law.exponent, "ratio", law.low, law.high), f"× {law.spread:.2f}"


def _worst(
    proxy: str, name: str, told: Verdict, candidates: Sequence[Candidate]
) -> list[tuple[Cell, ...]]:
    """Return the configurations farthest from the line."""
    residuals = told.law.residuals if told.law is not None else ()
    order = sorted(range(len(residuals)), key=lambda i: -abs(residuals[i]))
    return [
        (proxy, METRICS[name].label, candidates[i].name, f"× {math.exp(residuals[i]):.2f}")
        for i in order[:_WORST_SHOWN]
    ]


def _conclusion(found: dict[tuple[str, str], Verdict]) -> str:
    if not found:
        return (
            "All configurations share the same FLOPs, parameters and bytes: they tell nothing here."
        )
    (proxy, name), best = max(found.items(), key=lambda item: abs(item[1].rho.value))
    text = f"{proxy} order {METRICS[name].label} best, Spearman {_estimate(best.rho).text}"
    useless = sorted({p for (p, _), v in found.items() if _may_be_none(v.rho)} - {proxy})
    return (
        f"{text}; no agreement can be claimed for {', '.join(useless)}." if useless else f"{text}."
    )


def _may_be_none(rho: Estimate) -> bool:
    return rho.low is not None and rho.high is not None and rho.low <= 0 <= rho.high
