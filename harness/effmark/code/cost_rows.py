"""Cost-of-pass of a row: in USD where the run knows what its machine costs, with both averages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from effmark.code.cost_interval import cost_estimate, mean_cost_estimate
from effmark.record import Missing, RatesUsed
from effmark.samples import Samples
from effmark.scores import run_cost
from effmark.stats import Estimate

__all__ = ["COSTS", "cost_numbers", "priced"]

_CURRENCIES = ("usd", "j", "s", "flop")
COSTS = frozenset(f"cost_of_pass_{currency}" for currency in _CURRENCIES)
"""What a record says; their means over problems follow."""

_Found = Mapping[str, Samples | Missing]


def priced(found: _Found, rates: RatesUsed | None) -> dict[str, Samples | Missing]:
    """Return the samples with USD filled in: hours of the devices, and electricity where known."""
    usd, seconds = found.get("cost_of_pass_usd"), found.get("cost_of_pass_s")
    if not isinstance(usd, Missing) or not isinstance(seconds, Samples) or rates is None:
        return dict(found)
    if rates.device is None:
        detail = rates.unknown.get("device", usd.detail)
        return {**found, usd.metric: usd.model_copy(update={"detail": detail})}
    hour, joules = rates.device.value, found.get("cost_of_pass_j")
    if rates.electricity is None or not isinstance(joules, Samples):
        spent = [run_cost(s, 1, hour) for s in seconds.values]
        source = rates.device.source
    else:
        kwh = rates.electricity.value
        spent = [
            run_cost(s, 1, hour, energy_j=j, usd_per_kwh=kwh)
            for s, j in zip(seconds.values, joules.values, strict=True)
        ]
        source = joules.source if joules.source == "model_estimate" else rates.device.source
    dollars = replace(seconds, metric=usd.metric, values=spent, source=source)
    return {**found, usd.metric: dollars}


def cost_numbers(found: _Found) -> dict[str, tuple[Estimate, str] | Missing]:
    """Return the cost-of-pass of the data set and the mean over problems, with their sources."""
    numbers: dict[str, tuple[Estimate, str] | Missing] = {}
    for name in sorted(COSTS & found.keys()):
        samples, mean = found[name], name.replace("cost_of_pass_", "cost_of_pass_mean_")
        if isinstance(samples, Missing):
            numbers[name] = samples
            numbers[mean] = samples.model_copy(update={"metric": mean})
        else:
            costs, scores = samples.values, samples.weights or ()
            numbers[name] = cost_estimate(costs, scores), samples.source
            numbers[mean] = mean_cost_estimate(costs, scores), samples.source
    return numbers
