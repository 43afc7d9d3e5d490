"""The noise of this machine, from A/A runs: the same work in several processes.

What differs between processes that did the same is noise. Its spread, on the log scale, decides
what a comparison on this machine can see: differences below the noise floor are chance, and an
effect is found reliably from the minimum detectable effect on.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from effmark.compare.units import by_process, process_value
from effmark.errors import SpecError
from effmark.metrics import METRICS
from effmark.record import Record
from effmark.stats.decisions import check_margin
from effmark.stats.dependence import rank_autocorrelation
from effmark.stats.distributions import t_quantile
from effmark.stats.ranks import StudentRatio

__all__ = ["Calibration", "Noise", "against_noise", "calibrate", "cell_name", "matching"]

_AS_GOOD_AS = 1 - 1e-9
"""One process against those that were calibrated on has the same error twice, but for rounding."""
FEWEST_SPREAD = 3
"""Degrees of freedom of the sides' own spread from which on it counts beside calibrated noise."""
FEWEST_PROCESSES = 5
"""Below this the spread is known to worse than a factor of 2.9 (chi-square, 4 degrees, 95 %)."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The spread of one metric between processes that did the same work."""

    metric: str
    log_sd: float
    """Standard deviation of the logarithm of the process's value."""
    processes: int
    drift: float
    """Correlation of neighbouring processes in time, 0 to 0.99: load that comes and goes."""
    worst_ratio: float
    """Largest ratio of two of the processes, 1 or more."""

    @property
    def df(self) -> int:
        """Return the degrees of freedom of the spread."""
        return self.processes - 1

    def error(self, processes_a: int, processes_b: int, *, interleaved: bool = False) -> float:
        """Return the standard error of the logarithm of a ratio of so many processes a side.

        Sides that ran one after the other feel load that comes and goes in full: neighbouring
        processes are alike, so their mean is as uncertain as that of fewer. Interleaving shares it.
        """
        drift = 0.0 if interleaved else self.drift
        stretch = math.sqrt((1 + drift) / (1 - drift))
        return self.log_sd * stretch * math.sqrt(1 / processes_a + 1 / processes_b)

    def floor_ratio(self, processes: int = 1, confidence: float = 0.95) -> float:
        """Return the relative difference that chance stays below, with so many processes a side."""
        t = t_quantile((1 + confidence) / 2, self.df)
        return math.expm1(t * self.error(processes, processes))

    def detectable_ratio(
        self, processes: int, margin: float, alpha: float = 0.05, power: float = 0.8
    ) -> float:
        """Return the smallest relative slow-down that a gate finds with the probability `power`."""
        check_margin(margin)
        t = t_quantile(1 - alpha, self.df) + t_quantile(power, self.df)
        return math.expm1(math.log1p(margin) + t * self.error(processes, processes))

    def false_alarm_rate(
        self, values: Sequence[float], margin: float, alpha: float = 0.05
    ) -> float:
        """Return the share of pairs of equal processes that a gate would call worse."""
        error = self.error(1, 1, interleaved=True)
        limit = math.log1p(margin) + t_quantile(1 - alpha, self.df) * error
        pairs = list(combinations(map(math.log, values), 2))
        alarms = sum((x - y > limit) + (y - x > limit) for x, y in pairs)
        return alarms / (2 * len(pairs))


@dataclass(frozen=True, slots=True)
class Calibration:
    """The noise of all metrics of one cell on one machine."""

    device_class: str
    cell: str
    noise: dict[str, Noise]

    def of(self, metric: str) -> Noise | None:
        """Return the noise of a metric, None where it was not measured."""
        return self.noise.get(metric)


def noise_of(metric: str, values: Sequence[float]) -> Noise:
    """Return the noise of one metric from its value in each of several equal processes.

    Args:
        metric: its name.
        values: one per process, in time order, above 0.
    """
    if len(values) < FEWEST_PROCESSES:
        raise SpecError(
            f"calibration: {len(values)} processes, wants {FEWEST_PROCESSES} or more of the same"
        )
    if not all(math.isfinite(v) and v > 0 for v in values):
        raise SpecError(f"calibration: {metric}: wants finite numbers above 0")
    logs = [math.log(v) for v in values]
    mean = math.fsum(logs) / len(logs)
    sd = math.sqrt(math.fsum((x - mean) ** 2 for x in logs) / (len(logs) - 1))
    worst = math.exp(max(logs) - min(logs))
    return Noise(metric, sd, len(values), rank_autocorrelation(logs), worst)


def calibrate(records: Sequence[Record], metrics: Iterable[str] = METRICS) -> Calibration:
    """Return the noise of this machine from A/A records: one cell, several processes.

    Raises:
        SpecError: the records are not of one cell and one machine, or too few.
    """
    good = by_process(records)
    if len(good) < FEWEST_PROCESSES:
        raise SpecError(
            f"calibration: {len(good)} processes, wants {FEWEST_PROCESSES} or more of the same"
        )
    cells = {cell_name(record) for record in good}
    machines = {record.environment.device_class if record.environment else "" for record in good}
    if len(cells) > 1 or len(machines) > 1:
        raise SpecError(
            f"calibration: records of {sorted(cells)} on {sorted(machines)}, wants one of each"
        )
    noise = {}
    for metric in metrics:
        values = [process_value(record, metric) for record in good]
        known = [v for v in values if v is not None and v > 0]
        if len(known) == len(values):
            noise[metric] = noise_of(metric, known)
    return Calibration(machines.pop(), cells.pop(), noise)


def cell_name(record: Record) -> str:
    """Return what identifies the work of a record, whichever revision did it."""
    cell = record.cell
    options = "".join(f" {k}={v}" for k, v in sorted(cell.options.items()))
    model = f"{cell.model.name} {cell.model.sha256[:8]}"
    return f"{model} · {cell.adapter} {cell.precision}{options} {cell.device} · " + (
        cell.workload.label
    )


def matching(calibrations: Iterable[Calibration], record: Record) -> Calibration | None:
    """Return the calibration of a record's cell on its machine, if there is one."""
    machine = record.environment.device_class if record.environment else ""
    wanted = (cell_name(record), machine)
    return next((c for c in calibrations if (c.cell, c.device_class) == wanted), None)


def against_noise(
    a: Sequence[float], b: Sequence[float], noise: Noise | None, *, interleaved: bool = False
) -> StudentRatio:
    """Return the t test of the logarithms of processes' values; the larger noise counts.

    Args:
        a: one value above 0 per process of the baseline.
        b: those of the candidate.
        noise: what A/A runs showed; None to go by the spread within the sides.
        interleaved: whether processes of both sides took turns.
    """
    sides = [[math.log(v) for v in side] for side in (a, b)]
    means = [math.fsum(side) / len(side) for side in sides]
    square = math.fsum((x - m) ** 2 for s, m in zip(sides, means, strict=True) for x in s)
    df = len(a) + len(b) - 2
    observed = math.sqrt(square / df * (1 / len(a) + 1 / len(b))) if df > 0 else 0.0
    ratio = math.exp(means[1] - means[0])
    if noise is not None:
        error = noise.error(len(a), len(b), interleaved=interleaved)
        if error >= observed * _AS_GOOD_AS or df < FEWEST_SPREAD:
            name = "Student's t, calibrated noise"
            return StudentRatio(ratio, max(error, observed), noise.df, name)
    return StudentRatio(ratio, observed, df, "Student's t over processes")
