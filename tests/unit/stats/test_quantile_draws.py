from __future__ import annotations

import os
import subprocess
import sys
from random import Random

import pytest

from effmark.stats.quantile_draws import ratio_draws
from effmark.stats.quantiles import quantile

CASES = {
    "same sizes": (20, 20, 0.5, None),
    "other sizes": (300, 41, 0.5, None),
    "few": (6, 9, 0.5, None),
    "a percentile": (400, 80, 0.9, None),
    "dependent": (60, 60, 0.5, (21.7, 33.1)),
    "shapes below 1": (6, 6, 0.9, None),
}


def one_by_one(
    top: list[float], bottom: list[float], q: float, worth: tuple[float, float], random: Random
) -> list[float]:
    shapes = [part * (size + 1) for size in reversed(worth) for part in (q, 1 - q)]
    return sorted(
        quantile(top, random.betavariate(*shapes[:2]))
        / quantile(bottom, random.betavariate(*shapes[2:]))
        for _ in range(2000)
    )


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", range(3))
def test_draws_at_once_are_those_of_the_standard_library_to_the_last_bit(
    name: str, seed: int
) -> None:
    pytest.importorskip("numpy")
    m, n, q, given = CASES[name]
    random = Random(f"{name} {seed}")
    bottom = sorted(random.lognormvariate(0, 0.1) for _ in range(m))
    top = sorted(random.lognormvariate(0.2, 0.2) for _ in range(n))
    worth = given or (float(m), float(n))
    expected = one_by_one(top, bottom, q, worth, Random(seed))
    assert ratio_draws(top, bottom, q, worth, Random(seed), 2000) == expected


def test_few_draws_load_no_numpy() -> None:
    script = (
        "import sys\nfrom random import Random\n"
        "from effmark.stats.quantile_draws import ratio_draws\n"
        "ratio_draws([1.0] * 9, [1.0, 2.0] * 5, 0.5, (10.0, 9.0), Random(1), 2000)\n"
        "assert 'numpy' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
