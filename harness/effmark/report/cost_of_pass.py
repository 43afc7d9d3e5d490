"""Cost-of-pass as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["cost_text"]

_UNITS = {"usd": "USD", "j": "J", "s": "s", "flop": "FLOP"}


def cost_text(document: Mapping[str, Any]) -> str:
    """Return the costs of `effmark score cost` as lines for people."""
    return "\n".join(_lines(document))


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    unit, models = _UNITS[document["currency"]], document["models"]
    table = document["prices_version"]
    prices = f", prices of table {table}" if table is not None else ""
    yield f"cost of a right answer in {unit}, {document['problems_count']} problems{prices}"
    if document["estimated"]:
        yield "~ all of it rests on energy that was estimated, not measured"
    for name, model in models.items():
        yield f"{name}: {model['attempts_count']} attempts, {model['spent']:.6g} {unit} spent"
        yield f"  data set          {_value(model['dataset'])}"
        unsolved = model["unsolved_count"]
        note = f"   {unsolved} of {model['problems_count']} problems unsolved" if unsolved else ""
        yield f"  mean of problems  {_value(model['mean_of_problems'])}{note}"
        if model["untried_count"]:
            yield f"  not tried         {model['untried_count']} problems"
        if len(models) > 1 or document["baseline"] is not None:
            yield f"  essentialness     {_share(document['essentialness'][name])}"
    yield from _families(document)
    yield from _frontiers(document, unit)
    yield "the data set's value and the mean of problems are different questions, never compared"


def _families(document: Mapping[str, Any]) -> Iterator[str]:
    for name, value in document["essentialness"].items():
        if name not in document["models"]:
            yield f"family {name}: essentialness {_share(value)}"


def _frontiers(document: Mapping[str, Any], unit: str) -> Iterator[str]:
    for title, key in (("frontier of the models", "models_only"),
                       ("frontier with the baseline", "with_baseline")):  # fmt: skip
        found = document["frontier"][key]
        if found is not None:
            note = f"   {found['unsolved_count']} unsolved" if found["unsolved_count"] else ""
            yield f"{title}: {_number(found['value'])} {unit}{note}"
    for step in document["progress"] or ():
        share = "" if step["normalised"] is None else f", {_percent(step['normalised'])} of it"
        gain = step["relative_gain"]
        told = "" if gain is None else f", gain {_percent(gain)}"
        yield f"  after {step['model']}: {_number(step['frontier'])} {unit}{share}{told}"


def _percent(share: float | str) -> str:
    return "∞" if isinstance(share, str) else f"{100 * share:.3g} %"


def _value(value: Mapping[str, Any]) -> str:
    bounds = f"[{_number(value['low'])}, {_number(value['high'])}]"
    return f"{_number(value['value'])} {bounds}"


def _number(value: float | str) -> str:
    return "∞" if isinstance(value, str) else f"{value:.6g}"


def _share(value: float | Mapping[str, str]) -> str:
    return f"{value:.3f}" if isinstance(value, int | float) else f"missing: {value['detail']}"
