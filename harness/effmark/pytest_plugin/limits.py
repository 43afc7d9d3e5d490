"""What a marker asks: limits on numbers, a margin against a baseline, and what if unanswered.

    @pytest.mark.effmark(max_latency_s=0.02, within="5%", of="baseline", missing="fail")

`max_NAME` and `min_NAME` take any metric of the table, and a few short names. An unknown name is
an error of the collection: a limit that is misspelt must never pass.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from effmark.errors import SpecError
from effmark.metrics import METRICS

__all__ = ["Asked", "Limit", "asked", "margin_of"]

_SHORT = {
    "latency_s": ("latency_s", "e2e_latency_s"),
    "instructions": (
        "instructions_per_call",
        "instructions_per_output_token",
        "instructions_per_image",
    ),
    "cpu_s": ("cpu_s_per_call", "cpu_s_per_output_token", "cpu_s_per_image"),
    "bytecodes": ("bytecodes_per_call",),
    "j_per_token": ("energy_j_per_output_token",),
    "j_per_call": ("energy_j_per_call",),
    "j_per_image": ("energy_j_per_image",),
}
"""Names for what a test measures, whichever workload it is: the first metric that is there."""
_ENERGY = ("energy", "tokens_per_j", "mean_power_w", "accuracy_per_j")
_OTHERS = ("within", "of", "missing", "metrics", "budget_s")


@dataclass(frozen=True, slots=True)
class Limit:
    """A bound on a number."""

    name: str
    """As the marker has it: `max_latency_s`."""
    bound: float
    metrics: tuple[str, ...]
    """Metrics that it may mean, the first that was measured."""

    @property
    def is_upper(self) -> bool:
        """Return whether larger numbers violate it."""
        return self.name.startswith("max_")

    def holds(self, value: float) -> bool:
        """Return whether a value keeps to the limit."""
        return value <= self.bound if self.is_upper else value >= self.bound


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that markers and options ask of one test."""

    limits: tuple[Limit, ...] = ()
    within: float | None = None
    """Relative loss that is accepted against the baseline; None: no such limit."""
    of: str = "baseline"
    metrics: tuple[str, ...] | None = None
    """What is compared with the baseline; None for the metrics of `effmark gate`."""
    missing: Literal["skip", "fail"] | None = None
    """What a limit is that cannot be judged here."""
    budget_s: float | None = None

    @property
    def needs_energy(self) -> bool:
        """Return whether a limit or a comparison is about energy."""
        return any(word in name for name in self._names for word in _ENERGY)

    @property
    def needs_bytecodes(self) -> bool:
        """Return whether a limit or a comparison is about executed Python instructions."""
        return "bytecodes_per_call" in self._names

    @property
    def _names(self) -> list[str]:
        return [n for limit in self.limits for n in limit.metrics] + list(self.metrics or ())


def asked(markers: Iterable[Mapping[str, Any]], where: str) -> Asked:
    """Return what markers ask together; a nearer one overrides what a farther one says.

    Args:
        markers: their keyword arguments, the nearest first.
        where: the test, for messages.

    Raises:
        SpecError: an unknown name, or a value that is none.
    """
    given: dict[str, Any] = {}
    for marker in reversed(list(markers)):
        given.update(marker)
    limits = tuple(_limit(k, v, where) for k, v in given.items() if k not in _OTHERS)
    missing = given.get("missing")
    if missing not in (None, "skip", "fail"):
        raise SpecError(f"{where}: missing={missing!r}, wants 'skip' or 'fail'")
    within = given.get("within")
    return Asked(
        limits=limits,
        within=None if within is None else margin_of(within, f"{where}: within"),
        of=str(given.get("of", "baseline")),
        metrics=_metrics(given.get("metrics"), where),
        missing=missing,
        budget_s=_positive(given["budget_s"], f"{where}: budget_s")
        if "budget_s" in given
        else None,
    )


def margin_of(value: Any, what: str) -> float:
    """Return a relative margin given as `"5%"` or 0.05."""
    text = str(value).strip()
    try:
        margin = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        margin = math.nan
    if not 0 < margin < 1:
        raise SpecError(f"{what}={value!r}, wants a share such as '5%' or 0.05")
    return margin


def _limit(name: str, value: Any, where: str) -> Limit:
    side, _, rest = name.partition("_")
    metrics = _SHORT.get(rest) or ((rest,) if rest in METRICS else ())
    if side not in ("max", "min") or not metrics:
        known = [f"{s}_{m}" for s in ("max", "min") for m in (*_SHORT, *METRICS)] + list(_OTHERS)
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]!r}" if close else "wants max_METRIC or min_METRIC"
        raise SpecError(f"{where}: marker effmark: unknown {name!r}; {hint}")
    try:
        bound = float(value)
    except (TypeError, ValueError):
        bound = math.nan
    if not math.isfinite(bound):
        raise SpecError(f"{where}: {name}={value!r}, wants a number")
    return Limit(name, bound, metrics)


def _positive(value: Any, what: str) -> float:
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise SpecError(f"{what}={value!r}, wants seconds above 0")
    return float(value)


def _metrics(value: Any, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = (value,) if isinstance(value, str) else tuple(value)
    for name in names:
        if name not in METRICS or METRICS[name].direction == "none":
            raise SpecError(f"{where}: metrics: {name!r} is none with a direction")
    return names
