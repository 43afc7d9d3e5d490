from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import NormalDist

import pytest

Noise = Callable[[random.Random], Iterator[float]]


def _normal(source: random.Random) -> Iterator[float]:
    while True:
        yield source.gauss(1, 0.05)


def _log_normal(source: random.Random) -> Iterator[float]:
    while True:
        yield source.lognormvariate(0, 0.15)


def _bimodal(source: random.Random) -> Iterator[float]:
    while True:
        yield source.gauss(1, 0.02) if source.random() < 0.7 else source.gauss(1.3, 0.03)


def _autocorrelated(source: random.Random) -> Iterator[float]:
    state = source.gauss(0, 1)
    while True:
        state = 0.5 * state + math.sqrt(1 - 0.25) * source.gauss(0, 1)
        yield 1 + 0.05 * state


def _bimodal_median() -> float:
    normal, low, high = NormalDist(), 0.9, 1.2
    for _ in range(60):
        middle = (low + high) / 2
        share = 0.7 * normal.cdf((middle - 1) / 0.02) + 0.3 * normal.cdf((middle - 1.3) / 0.03)
        low, high = (middle, high) if share < 0.5 else (low, middle)
    return low


NOISES: dict[str, tuple[Noise, float, float, float]] = {
    "normal": (_normal, 1.0, 1.0, 0.025),
    "log-normal": (_log_normal, 1.0, math.exp(0.15**2 / 2), 0.07),
    "bimodal": (_bimodal, _bimodal_median(), 1.09, 0.025),
    "autocorrelated": (_autocorrelated, 1.0, 1.0, 0.035),
}
"""Generator, true median, true mean, wanted relative half-width."""


@pytest.fixture(params=sorted(NOISES))
def noise(request: pytest.FixtureRequest) -> tuple[str, Noise, float, float, float]:
    name: str = request.param
    return name, *NOISES[name]


@pytest.fixture(params=["hashing", "interpreter", "memory", "objects"])
def recorded(request: pytest.FixtureRequest) -> list[list[float]]:
    """Return the block times of 40 processes that did the same work, in seconds."""
    path = Path(__file__).parents[2] / "data" / "noise" / f"{request.param}.json"
    processes = json.loads(path.read_text(encoding="utf-8"))["processes"]
    return [[t / 1e9 for t in times] for times in processes]
